"""Bots of all three kinds, their control and their callers do anything at any time: what always holds."""

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from control.api import models
from control.errors import LegError, LegErrorCode
from control.sip.sdp import Direction
from media.api.calltype import CallType
from media.session import clock
from media.session.session import Session
from media.session.state import Parting, State
from tests.support.contract import COMMANDS
from tests.support.farend import FarEnd
from tests.support.sessions import CALLEE, CALLER, LEG, Guest, House, house, idle, stream

WAYS = ("bot hangs up", "bot leaves", "operator", "worker stops", "fault", "control was restarted")
"""How a session may end, besides the caller's doing."""
SAMPLES = base64.b64encode(bytes(2 * 400)).decode()
BOTS = st.integers(0, 1)
KINDS: list[type[models.Message]] = [
    *(models.Join, models.Leave, models.Claim, models.Ring, models.Accept, models.Reject),
    *(models.Invite, models.Connect, models.Refer, models.Hangup),
]
OPTION: dict[str, Any] = {"callee": CALLEE, "caller": CALLER, "offer": "v=0"}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"recorder": {}, "subscribe": True, "denoise": True},
    {"vad": {"type": "webrtc", "interrupt": True}, "dtmf": {"inband": True}, "asr": {"provider": "x"}},
    {"inactivityTimeout": 3, "handshakeTimeout": 2, "codec": "g722"},
]
REFERS: list[dict[str, Any]] = [{}, {"autoHangup": False}, {"moh": "nowhere.wav", "timeout": 3}]
PLAYS: list[dict[str, Any]] = [
    {"text": "one two three", "playId": "a", "waitInputTimeout": 2},
    {"text": "one. two. three", "playId": "b", "streaming": True},
    {"text": "", "playId": "b", "streaming": True, "endOfStream": True},
    {"text": "one fail two", "autoHangup": True},
    {"text": SAMPLES, "base64": True},
]
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("play", {"url": "nowhere.wav"}),
    ("pause", {}),
    ("resume", {}),
    ("interrupt", {"graceful": True}),
    ("interrupt", {"fadeOutMs": 100}),
    ("mute", {}),
    ("mute", {"trackId": "server-side-track"}),
    ("unmute", {}),
    ("dtmf", {"digits": "12"}),
    ("history", {"speaker": "a", "text": "b"}),
    ("sing", {}),
]


class Growing:
    """A wall clock by which each look is later than the one before."""

    def __init__(self) -> None:
        self._now = 1_700_000_000_000

    def time_ns(self) -> int:
        self._now += 1
        return self._now * 1_000_000


class Calls(RuleBasedStateMachine):
    """Two bots on an engine of three slots; one that has gone comes again."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.held: set[type[models.Message]] = set()
        self.bots: list[Guest] = []
        self.targets: list[FarEnd] = []
        self.count = 0
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(clock, "time", Growing())

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.runner.run(work)

    def now(self, do: Callable[[], object]) -> None:
        """Do it within the loop and let everything run that can."""

        async def work() -> None:
            do()
            await idle()

        self.run(work())

    @initialize(kinds=st.tuples(st.sampled_from(CallType), st.sampled_from(CallType)))
    def begin(self, kinds: tuple[CallType, CallType]) -> None:
        async def start() -> None:
            self.house: House = await self.stack.enter_async_context(house(Path("/nonexistent"), 3))
            self.default = dict(self.house.control.answers)
            port = self.house.services.engine.port
            self.targets = [self.stack.enter_context(FarEnd(port)) for _ in range(4)]
            self.bots = [self.connect(kind, None) for kind in kinds]
            await idle()

        self.run(start())

    def connect(self, kind: CallType, pool: str | None) -> Guest:
        self.count += 1
        return self.house.guest(f"s.{self.count}", pool=pool, call_type=kind)

    # Bots

    @rule(bot=BOTS, kind=st.sampled_from(CallType), pool=st.sampled_from([None, "sales"]))
    def come_again(self, bot: int, kind: CallType, pool: str | None) -> None:
        async def change() -> None:
            await self.bots[bot].leave()
            self.check_gone(self.bots[bot])
            self.bots[bot] = self.connect(kind, pool)
            await idle()

        self.run(change())

    @rule(bot=BOTS, kind=st.sampled_from(CallType), option=st.sampled_from(OPTIONS))
    def call_again(self, bot: int, kind: CallType, option: dict[str, Any]) -> None:
        """The short way to a call that stands, if control has nothing against it."""
        if self.bots[bot].state is State.ENDED:
            self.come_again(bot, kind, None)
        if self.bots[bot].state in (State.IDLE, State.WAITING):
            self.invite(bot, option, settled=True)
            self.answer(bot)

    @rule(bot=BOTS, option=st.sampled_from(OPTIONS), settled=st.booleans())
    def invite(self, bot: int, option: dict[str, Any], settled: bool) -> None:
        self.command(bot, "invite", {"option": OPTION | option}, settled)

    @rule(
        bot=BOTS,
        name=st.sampled_from(["ringing", "accept", "reject"]),
        option=st.sampled_from(OPTIONS),
        early=st.booleans(),
    )
    def take(self, bot: int, name: str, option: dict[str, Any], early: bool) -> None:
        self.command(bot, name, {"option": option, "earlyMedia": early, "reason": "no", "recorder": early})

    @rule(bot=BOTS, play=st.sampled_from(PLAYS), settled=st.booleans())
    def tts(self, bot: int, play: dict[str, Any], settled: bool) -> None:
        self.command(bot, "tts", play, settled)

    @rule(bot=BOTS, options=st.sampled_from(REFERS))
    def transfer_again(self, bot: int, options: dict[str, Any]) -> None:
        """The short way to a transfer that stands."""
        self.call_again(bot, self.bots[bot].session.arrival.call_type, {})
        self.refer(bot, options, settled=True)
        self.target_answers(bot)

    @rule(bot=BOTS, options=st.sampled_from(REFERS), settled=st.booleans())
    def refer(self, bot: int, options: dict[str, Any], settled: bool) -> None:
        self.command(bot, "refer", {"caller": "", "callee": CALLEE, "options": options}, settled)

    @rule(bot=BOTS, other=st.sampled_from(OTHERS), settled=st.booleans())
    def other(self, bot: int, other: tuple[str, dict[str, Any]], settled: bool) -> None:
        self.command(bot, *other, settled)

    @rule(bot=BOTS, example=st.sampled_from(sorted(COMMANDS)))
    def example(self, bot: int, example: str) -> None:
        if example != "play" and "ringtone" not in COMMANDS[example] and "refer" not in example:
            self.now(lambda: self.bots[bot].session.receive(json.dumps(COMMANDS[example])))

    @rule(bot=BOTS, size=st.sampled_from([0, 1, 640, 40_000]))
    def audio(self, bot: int, size: int) -> None:
        self.now(lambda: self.bots[bot].session.receive_binary(bytes(size)))

    def command(self, bot: int, name: str, fields: dict[str, Any], settled: bool = True) -> None:
        async def send() -> None:
            self.bots[bot].send(name, **fields)
            if settled:
                await idle()

        self.run(send())

    # Control

    @rule(kind=st.sampled_from(KINDS), code=st.sampled_from([None, *LegErrorCode]))
    def trouble(self, kind: type[models.Message], code: LegErrorCode | None) -> None:
        """Control takes its time for requests of this kind, or refuses them, until `release`."""
        if code is not None:
            self.house.control.answers[kind] = LegError(code, "refused")
        elif kind not in self.held:
            self.held.add(kind)
            self.house.control.hold(kind)

    @rule()
    def release(self) -> None:
        self.now(self.let_go)

    def let_go(self) -> None:
        self.house.control.answers.clear()
        self.house.control.answers.update(self.default)
        for kind in self.held:
            self.house.control.release(kind)
        self.held.clear()

    @rule(bot=BOTS)
    def offer(self, bot: int) -> None:
        self.tell(bot, models.Incoming, LEG, caller=CALLER, callee=CALLEE, sdp="")

    @rule(bot=BOTS, early=st.booleans())
    def ring(self, bot: int, early: bool) -> None:
        guest = self.bots[bot]
        if guest.state is State.DIALING and guest.session.leg is not None:
            self.tell(bot, models.Ringing, LEG, stream=self.stream(bot) if early else None)

    @rule(bot=BOTS)
    def answer(self, bot: int) -> None:
        """Control tells it once, after its answer to ``leg.accept`` and ``leg.invite``."""
        guest = self.bots[bot]
        ready = guest.state is State.DIALING or (
            guest.state is State.ANSWERING and models.Accept not in self.held
        )
        if ready and guest.session.leg is not None:
            self.tell(bot, models.Answered, guest.session.leg, stream=self.stream(bot), sdp="")

    @rule(
        bot=BOTS,
        direction=st.sampled_from(Direction),
        codec=st.sampled_from(["pcmu", "pcma", "g729"]),
        referred=st.booleans(),
    )
    def renegotiate(self, bot: int, direction: Direction, codec: str, referred: bool) -> None:
        if (leg := self.leg(bot, referred=referred)) is not None:
            changed = self.stream(bot, direction, referred=referred, codec=codec)
            self.tell(bot, models.MediaChanged, leg, stream=changed)

    @rule(bot=BOTS, play=st.sampled_from(PLAYS))
    def target_rings_over_a_play(self, bot: int, play: dict[str, Any]) -> None:
        self.call_again(bot, self.bots[bot].session.arrival.call_type, {})
        self.refer(bot, {}, settled=True)
        self.tts(bot, play, settled=True)
        self.tick(5, 1)
        self.target_rings(bot, early=True)

    @rule(bot=BOTS, early=st.booleans())
    def target_rings(self, bot: int, early: bool) -> None:
        transfer = self.bots[bot].session.transfer
        if transfer is not None and transfer.leg is not None and not transfer.connected:
            self.tell(
                bot, models.Ringing, transfer.leg, stream=self.stream(bot, referred=True) if early else None
            )

    @rule(bot=BOTS)
    def target_answers(self, bot: int) -> None:
        transfer = self.bots[bot].session.transfer
        if transfer is not None and transfer.leg is not None and not transfer.connected:
            self.tell(bot, models.Answered, transfer.leg, stream=self.stream(bot, referred=True), sdp="")

    @rule(bot=BOTS, referred=st.booleans())
    def press(self, bot: int, referred: bool) -> None:
        self.tell(bot, models.Digit, self.leg(bot, referred=referred) or "other", digit="1")

    @rule(bot=BOTS, refused=st.booleans(), referred=st.booleans())
    def end(self, bot: int, refused: bool, referred: bool) -> None:
        leg = self.leg(bot, referred=referred) or "other"
        transfer = self.bots[bot].session.transfer
        answered = (
            self.bots[bot].state is State.TALKING if not referred else bool(transfer and transfer.connected)
        )
        if refused and not answered:
            self.tell(bot, models.Rejected, leg, code=486, reason="busy")
        self.tell(bot, models.Ended, leg, initiator="callee", reason="callee", code=200)

    def leg(self, bot: int, *, referred: bool) -> str | None:
        session = self.bots[bot].session
        if referred:
            return None if session.transfer is None else session.transfer.leg
        return session.leg

    def stream(
        self, bot: int, direction: Direction = Direction.SENDRECV, *, referred: bool = False, **changes: Any
    ) -> Any:
        return stream(self.targets[2 * referred + bot], direction, **changes)

    def tell(self, bot: int, kind: type[models.Notice], leg: str, **fields: Any) -> None:
        def report() -> None:
            # A worker passes nothing on to a session that has ended.
            if self.bots[bot].state is not State.ENDED:
                self.bots[bot].tell(kind, leg, **fields)

        self.now(report)

    # Time, media, the worker

    @rule(count=st.integers(1, 30), code=st.integers(0, 3))
    def tick(self, count: int, code: int) -> None:
        async def beat() -> None:
            for far in self.targets:
                far.press(code)
                far.send(bytes(160))
            for _ in range(count):
                self.house.tick()
                await asyncio.sleep(0)

        self.run(beat())

    @rule(seconds=st.sampled_from([0.6, 2.0, 5.0]))
    def wait(self, seconds: float) -> None:
        async def sleep() -> None:
            await self.house.clock.advance(seconds)
            await idle()

        self.run(sleep())

    @rule(bot=BOTS, way=st.sampled_from(WAYS))
    def part(self, bot: int, way: str) -> None:
        guest = self.bots[bot]
        session = guest.session
        if guest.state is State.ENDED:
            return
        match way:
            case "bot hangs up":
                self.command(bot, "hangup", {})
            case "bot leaves":
                self.run(guest.leave())
            case "operator":
                self.now(session.kill)
            case "worker stops":
                self.now(lambda: session.finish("system", "shutdown", Parting.RESTART))
            case "fault":
                self.now(lambda: session.finish("system", "failed", Parting.FAULT))
            case "control was restarted":
                for leg in session.legs:
                    self.now(partial(session.lost, leg))

    @rule(bot=BOTS)
    def target_is_forgotten(self, bot: int) -> None:
        if (leg := self.leg(bot, referred=True)) is not None:
            self.now(partial(self.bots[bot].session.lost, leg))

    @rule(bot=BOTS)
    def hang_up_target(self, bot: int) -> None:
        self.command(bot, "hangup", {"refer": True})

    # What always holds

    @invariant()
    def events_are_in_order(self) -> None:
        for bot in self.bots:
            box = bot.box
            assert box.late == [], "something was sent after the end"
            ends = [event for event in box.all("hangup") if not event.get("refer")]
            assert (bot.state is State.ENDED) == (box.closed is not None)
            assert len(ends) == (box.closed is not None)
            assert not ends or box.events[-1] is ends[0]
            times = [event["timestamp"] for event in box.events]
            assert times == sorted(times)
            self.check_tracks(bot)
            self.check_transfers(bot)

    def check_tracks(self, bot: Guest) -> None:
        running: set[str] = set()
        for event in bot.box.events:
            if event["event"] == "trackStart":
                assert event["trackId"] not in running, bot.box.names
                running.add(event["trackId"])
            elif event["event"] == "trackEnd":
                running.remove(event["trackId"])
        assert not (running and bot.box.closed), f"{running} never ended"

    def check_transfers(self, bot: Guest) -> None:
        """Each target that answered hangs up, and each that did not is refused, before the next and the end."""
        under_way = False
        decided = [e for e in bot.box.events if e.get("refer") and e["event"] in ("answer", "reject")]
        for event in bot.box.events:
            if not event.get("refer"):
                continue
            if event["event"] == "answer":
                assert not under_way
                under_way = True
            elif event["event"] == "hangup":
                assert under_way
                under_way = False
        transfer = bot.session.transfer
        calling = transfer is not None and not transfer.connected
        assert len(decided) + calling == len(bot.session.call.transfers), bot.box.names
        assert under_way == (transfer is not None and transfer.connected), bot.box.names
        assert transfer is None or bot.state is State.TALKING

    @invariant()
    def slots_belong_to_calls(self) -> None:
        if self.bots:
            used: list[int] = []
            for bot in self.bots:
                session = bot.session
                used += [session.slot] if session.slot is not None else []
                used += [session.transfer.slot] if session.transfer is not None else []
            assert self.house.services.engine.used == len(used) == len(set(used)) == len(self.house.slots)

    def check_gone(self, guest: Guest) -> None:
        session: Session = guest.session
        guest.check_end(guest.box.closed[0] if guest.box.closed else 1000)
        assert len(session._tasks) == 0
        assert len(session.player._tasks) == 0
        assert session.transfer is None
        assert session.leg is None
        assert session.journal.closed

    def teardown(self) -> None:
        async def finish() -> None:
            self.let_go()
            await self.stack.aclose()
            for guest in self.bots:
                self.check_gone(guest)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        try:
            if self.bots:
                self.run(finish())
        finally:
            self.runner.close()
            self.patch.undo()


TestCalls = Calls.TestCase
TestCalls.settings = settings(
    max_examples=50, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
