"""Transfers that go any way they like: whatever happens, everybody is told the truth and nothing is left."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import aiohttp
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from control.api import models
from control.errors import LegError, NgError
from control.sip.effects import CancelInvite, Reply, Send
from tests.support.callworld import Peer, World, sdp, settings, world
from tests.support.siptext import field

DOWN = NgError("rtpengine did not answer")


class Walk:
    """A call that is transferred now and then; each method is a step."""

    def __init__(self, made: World, caller: Peer, leg: str) -> None:
        self.world = made
        self.caller = caller
        self.leg = leg
        self.parties: list[str] = []
        self.called: dict[str, tuple[Peer, Send]] = {}
        self.hung_up: dict[str, int] = {}
        """Number of notices when the bot hung up a party."""
        self.party: Peer | None = None
        self.invite: Send | None = None
        self.final = True
        """Whether the last INVITE to a party has its final response."""
        self.notices: list[models.Notice] = []
        self.faults = False

    async def refer(self) -> None:
        with suppress(LegError):
            request = models.Refer(leg=self.leg, session="s1", callee="sip:bob@127.0.0.9", early_media=True)
            invited = await self.world.ask(request)
            await asyncio.sleep(0)
            self.parties.append(invited.leg)
            self.party, self.final = self.world.peer(), False
            sent = [each for each in self.world.channel.sent if isinstance(each, Send)]
            self.invite = next(each for each in sent if field(each, "Call-ID") == invited.leg)
            self.called[invited.leg] = (self.party, self.invite)

    def _respond(self, code: int, body: bytes = b"") -> None:
        if self.party is not None and self.invite is not None and not self.final:
            self.final = code >= 200
            self.party.answers(self.invite, code, body=body)

    async def ring(self) -> None:
        self._respond(180)

    async def early(self) -> None:
        self._respond(183, sdp("0 101"))

    async def answer(self) -> None:
        self._respond(200, sdp("0 101"))

    async def answer_otherwise(self) -> None:
        self._respond(200, sdp("8"))

    async def answer_badly(self) -> None:
        self._respond(200, sdp("18"))

    async def refuse(self) -> None:
        self._respond(486)

    async def party_ends(self) -> None:
        if self.party is not None and self.party.our_tag:
            self.party.request("BYE")

    async def party_holds(self) -> None:
        if self.party is not None and self.party.our_tag:
            self.party.request("UPDATE", body=sdp("0 101", direction="sendonly"))

    async def caller_ends(self) -> None:
        self.caller.request("BYE")

    async def caller_holds(self) -> None:
        self.caller.request("UPDATE", body=sdp("0 101", direction="sendonly"))

    async def bot_ends_party(self) -> None:
        for party in self.parties[-1:]:
            await self.world.ask(models.Hangup(leg=party))
            self.collect()
            self.hung_up[party] = len(self.notices)

    async def bot_ends_caller(self) -> None:
        await self.world.ask(models.Hangup(leg=self.leg))

    async def rtpengine_fails(self) -> None:
        self.faults, self.world.ng.fault = True, DOWN

    async def rtpengine_recovers(self) -> None:
        self.world.ng.fault = None

    async def rtpengine_is_slow(self) -> None:
        self.world.ng.gate.clear()

    async def rtpengine_goes_on(self) -> None:
        self.world.ng.gate.set()

    async def wait(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    async def settle(self) -> None:
        self.world.ng.gate.set()
        await self.world.settle()

    def collect(self) -> None:
        """Take what the bot was told."""
        while not self.world.worker.silent:
            notice = self.world.worker.notices.get_nowait()
            assert isinstance(notice, models.Notice)
            self.notices.append(notice)

    async def far_ends_agree(self) -> None:
        """Answer what still waits for a response."""
        for _ in range(3):
            await self.world.settle()
            for command in self.world.channel.rest:
                if isinstance(command, CancelInvite):
                    party, invite = self.called[command.call_id]
                    party.answers(invite, 487)
                elif isinstance(command, Send) and command.method == "BYE":
                    self.world.peer().answers(command, 200)
            self.world.channel.forget()

    def check(self) -> None:
        """Compare what the bot was told with how it went."""
        self.collect()
        for leg in (self.leg, *self.parties):
            told = [notice for notice in self.notices if notice.leg == leg]
            ends = [isinstance(notice, models.Ended) for notice in told]
            assert not any(ends[:-1])
            assert leg == self.leg or ends[-1]
        for leg, count in self.hung_up.items():
            late = [notice for notice in self.notices[count:] if notice.leg == leg]
            assert not any(isinstance(notice, models.Ringing | models.Answered) for notice in late)
        answered = [notice.leg for notice in self.notices if isinstance(notice, models.Answered)]
        assert len(answered) == len(set(answered))


STEPS: list[Callable[[Walk], object]] = [
    step
    for name, step in vars(Walk).items()
    if not name.startswith("_") and name not in ("collect", "far_ends_agree", "check")
]


async def take(steps: list[Callable[[Walk], object]]) -> None:
    one = world(settings(), cast(aiohttp.ClientSession, None))
    try:
        caller, leg = await one.standing()
        walk = Walk(one, caller, leg)
        await walk.refer()
        for step in steps:
            if step is Walk.refer:
                one.ng.gate.set()
            await cast(Callable[[Walk], "asyncio.Future[None]"], step)(walk)
        await walk.rtpengine_recovers()
        await walk.settle()
        found = one.service.legs.get(leg)
        if found is not None and found.owner is not None:
            await walk.bot_ends_party()
        await walk.far_ends_agree()
        walk.collect()
        found = one.service.legs.get(leg)
        if found is not None and found.owner is not None:
            assert found.transfer is None
            assert found.stream is not None
            assert found.stream.source_port == 0
            streams = [
                each for each in walk.notices if isinstance(each, models.MediaChanged) and each.leg == leg
            ]
            assert not streams or streams[-1].stream == found.stream
            if not walk.faults:
                assert set(one.ng.sides[leg]) == {"peer", "bot"}
                assert one.ng.blocked == set()
        await walk.bot_ends_caller()
        await walk.far_ends_agree()
        walk.check()
        assert len(one.service.legs) == 0
        assert one.ng.calls == set()
        assert not [each for each in one.channel.rest if not isinstance(each, Reply)]
    finally:
        await one.end()


@profile(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(STEPS), max_size=14))
def test_any_walk_ends_well(steps: list[Callable[[Walk], object]]) -> None:
    asyncio.run(take(steps))
