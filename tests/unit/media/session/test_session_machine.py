"""Two bots on an engine of one slot or two: whatever bots, control and callers do, each session ends as it must."""

import asyncio
import base64
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from control.api import models
from control.errors import LegError, LegErrorCode
from control.sip.sdp import Direction
from media.session.session import Session
from media.session.state import Parting, State
from tests.support.sessions import CALLEE, CALLER, LEG, Guest, House, house, idle

SAMPLES = base64.b64encode(bytes(2 * 400)).decode()
KINDS: list[type[models.Message]] = [
    *(models.Join, models.Leave, models.Claim, models.Ring),
    *(models.Accept, models.Reject, models.Invite, models.Hangup),
]
BOTS = st.integers(0, 1)
TEXTS = st.sampled_from(["", "one", "one two three", "fail", "one fail two"])
PLAY_IDS = st.sampled_from([None, "a", "b"])
WAITS = st.sampled_from([None, 0, 2, 3000])
OUTSIDE = [
    "",
    "{",
    '{"command": "sing"}',
    '{"command": "refer", "caller": "", "callee": "x"}',
    '{"command": "tts"}',
]


class Sessions(RuleBasedStateMachine):
    """Bots come again as soon as they are gone."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.held: set[type[models.Message]] = set()
        self.bots: list[Guest] = []
        self.known: set[Session] = set()
        """Sessions whose leg control has answered."""
        self.count = 0

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.runner.run(work)

    @initialize(slots=st.integers(1, 2))
    def begin(self, slots: int) -> None:
        async def start() -> None:
            self.house: House = await self.stack.enter_async_context(house(Path("/nonexistent"), slots))
            self.default = dict(self.house.control.answers)
            self.bots = [self.connect(pool="sales"), self.connect(pool=None)]
            await idle()

        self.run(start())

    def connect(self, pool: str | None, *, claims: bool = False) -> Guest:
        self.count += 1
        return self.house.guest(f"s.{self.count}", claims=claims, pool=pool)

    # Bots

    @rule(bot=BOTS, pool=st.sampled_from([None, "sales"]), claims=st.booleans())
    def come_again(self, bot: int, pool: str | None, claims: bool) -> None:
        async def change() -> None:
            await self.bots[bot].leave()
            self.check_gone(self.bots[bot])
            self.bots[bot] = self.connect(pool, claims=claims)
            await idle()

        self.run(change())

    @rule(bot=BOTS)
    def disconnect(self, bot: int) -> None:
        self.run(self.bots[bot].leave())

    @rule(bot=BOTS, text=TEXTS, play_id=PLAY_IDS, hangs_up=st.booleans(), wait=WAITS)
    def tts(self, bot: int, text: str, play_id: str | None, hangs_up: bool, wait: int | None) -> None:
        fields = {"text": text, "playId": play_id, "autoHangup": hangs_up, "waitInputTimeout": wait}
        self.run(self.bots[bot].do("tts", **fields))

    @rule(bot=BOTS, play_id=PLAY_IDS)
    def samples(self, bot: int, play_id: str | None) -> None:
        option = {"samplerate": 8000}
        self.run(self.bots[bot].do("tts", text=SAMPLES, base64=True, option=option, playId=play_id))

    @rule(
        bot=BOTS,
        command=st.sampled_from(["pause", "resume", "mute", "unmute", "interrupt"]),
        track=st.sampled_from([None, "server-side-track", "s.1", "other"]),
        graceful=st.booleans(),
        fade=st.sampled_from([None, 0, 30, 500]),
    )
    def control(self, bot: int, command: str, track: str | None, graceful: bool, fade: int | None) -> None:
        fields = {"trackId": track, "graceful": graceful, "fadeOutMs": fade}
        self.run(self.bots[bot].do(command, **fields))

    @rule(
        bot=BOTS,
        command=st.sampled_from(["accept", "invite", "ringing", "reject", "interrupt", "hangup", "history"]),
        early=st.booleans(),
        settled=st.booleans(),
    )
    def command(self, bot: int, command: str, early: bool, settled: bool) -> None:
        fields = {
            "option": {"callee": CALLEE, "caller": CALLER},
            "reason": "so",
            "speaker": "bot",
            "text": "hello",
            "earlyMedia": early,
        }

        async def send() -> None:
            self.bots[bot].send(command, **fields)
            if settled:
                await idle()

        self.run(send())

    @rule(bot=BOTS, text=st.sampled_from(OUTSIDE))
    def nonsense(self, bot: int, text: str) -> None:
        async def send() -> None:
            self.bots[bot].session.receive(text)
            self.bots[bot].session.receive_binary(b"12")

        self.run(send())

    # Control

    @rule(kind=st.sampled_from(KINDS), code=st.sampled_from([None, *LegErrorCode]))
    def answer_with(self, kind: type[models.Message], code: LegErrorCode | None) -> None:
        if code is not None:
            self.house.control.answers[kind] = LegError(code, "refused")
        elif kind in self.default:
            self.house.control.answers[kind] = self.default[kind]
        else:
            self.house.control.answers.pop(kind, None)

    @rule(kind=st.sampled_from(KINDS))
    def hold(self, kind: type[models.Message]) -> None:
        if kind not in self.held:
            self.held.add(kind)
            self.house.control.hold(kind)

    @rule()
    def release(self) -> None:
        async def let_go() -> None:
            for kind in self.held:
                self.house.control.release(kind)
            self.held.clear()
            await idle()

        self.run(let_go())

    @rule(bot=BOTS, leg=st.sampled_from([LEG, "other"]))
    def offer(self, bot: int, leg: str) -> None:
        self.tell(bot, models.Incoming, leg, caller=CALLER, callee=CALLEE, sdp="")

    @rule(bot=BOTS)
    def answer(self, bot: int) -> None:
        """Control tells it once, after its answer to ``leg.accept`` and ``leg.invite``."""
        guest = self.bots[bot]
        ready = guest.state is State.DIALING or (
            guest.state is State.ANSWERING and models.Accept not in self.held
        )
        if ready and guest.session.leg is not None:
            self.tell(bot, models.Answered, guest.session.leg, stream=self.house.stream(), sdp="")

    @rule(bot=BOTS, early=st.booleans())
    def ring(self, bot: int, early: bool) -> None:
        if self.bots[bot].state is State.DIALING:
            self.tell(bot, models.Ringing, LEG, stream=self.house.stream() if early else None)

    @rule(bot=BOTS, direction=st.sampled_from(Direction), codec=st.sampled_from(["pcmu", "pcma", "opus"]))
    def renegotiate(self, bot: int, direction: Direction, codec: str) -> None:
        self.tell(bot, models.MediaChanged, LEG, stream=self.house.stream(direction, codec=codec))

    @rule(bot=BOTS, leg=st.sampled_from([LEG, "other"]))
    def press(self, bot: int, leg: str) -> None:
        self.tell(bot, models.Digit, leg, digit="1")

    @rule(bot=BOTS, refused=st.booleans(), leg=st.sampled_from([LEG, "other"]))
    def end(self, bot: int, refused: bool, leg: str) -> None:
        if refused:
            self.tell(bot, models.Rejected, leg, code=486, reason="busy")
        self.tell(bot, models.Ended, leg, initiator="callee", reason="callee", code=200)

    def tell(self, bot: int, kind: type[models.Notice], leg: str, **fields: Any) -> None:
        async def report() -> None:
            # A worker passes nothing on to a session that has ended.
            if self.bots[bot].state is not State.ENDED:
                self.bots[bot].tell(kind, leg, **fields)
            await idle()

        self.run(report())

    # Time, media, the worker

    @rule(count=st.integers(1, 30))
    def tick(self, count: int) -> None:
        async def beat() -> None:
            self.house.far.press(5)
            for _ in range(count):
                self.house.tick()
                await asyncio.sleep(0)

        self.run(beat())

    @rule(seconds=st.sampled_from([0.3, 0.6, 5.0]))
    def wait(self, seconds: float) -> None:
        async def sleep() -> None:
            await self.house.clock.advance(seconds)
            await idle()

        self.run(sleep())

    @rule(slow=st.booleans())
    def synthesis(self, slow: bool) -> None:
        async def change() -> None:
            (self.house.tts.gate.clear if slow else self.house.tts.gate.set)()
            await idle()

        self.run(change())

    @precondition(lambda self: self.count < 20)
    @rule(bot=BOTS)
    def restart(self, bot: int) -> None:
        async def stop() -> None:
            self.bots[bot].session.finish("system", "shutdown", Parting.RESTART)
            await idle()

        self.run(stop())

    # What always holds

    @invariant()
    def events_are_in_order(self) -> None:
        for bot in self.bots:
            box = bot.box
            assert (bot.state is State.ENDED) == (box.closed is not None)
            assert box.names.count("hangup") == (box.closed is not None)
            assert box.closed is None or box.names[-1] == "hangup"
            assert box.late == [], "something was sent after the end"
            running: set[str] = set()
            for event in box.events:
                if event["event"] == "trackStart":
                    assert event["trackId"] not in running
                    running.add(event["trackId"])
                elif event["event"] == "trackEnd":
                    running.remove(event["trackId"])
            assert not (running and box.closed), f"{running} never ended"

    @invariant()
    def slots_belong_to_calls(self) -> None:
        if self.bots:
            slots = [bot.session.slot for bot in self.bots if bot.session.slot is not None]
            assert self.house.services.engine.used == len(slots) == len(set(slots)) == len(self.house.slots)

    def check_gone(self, guest: Guest) -> None:
        guest.check_end(guest.box.closed[0] if guest.box.closed else 1000)
        assert len(guest.session._tasks) == 0
        assert len(guest.session.player._tasks) == 0

    def teardown(self) -> None:
        async def finish() -> None:
            for kind in self.held:
                self.house.control.release(kind)
            await self.stack.aclose()
            for guest in self.bots:
                self.check_gone(guest)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        try:
            if self.bots:
                self.run(finish())
        finally:
            self.runner.close()


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
