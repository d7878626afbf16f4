"""``refer`` between two real softphones: what each of them hears, and what the bot is told."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import soundfile

from tests.support import wav
from tests.support.baresip import Baresip, baresip
from tests.support.bot import Bot, Event
from tests.support.linetap import LineTap, gaps, line_tap
from tests.support.netns import Namespace, namespace
from tests.support.poll import until
from tests.support.system import System, running_system

pytestmark = [pytest.mark.daemons, pytest.mark.root]

FRAME = 0.02
GAP = 0.06
"""Seconds without a packet that a switch may cost."""
PAUSE = 4.0
"""Seconds of silence within ringing tone (ITU-T E.180): the longest that the caller may hear."""
SAME = 0.95
ALICE, BOB, MUSIC, AGAIN = (wav.babble(seed, seconds) for seed, seconds in ((1, 60), (2, 60), (3, 2), (4, 1)))
"""What the two say, what plays meanwhile, and what the bot plays to a caller who is back."""
TONE = wav.tone(425, 0.9)


@dataclass(frozen=True, slots=True)
class House:
    """A system between two phones in networks of their own."""

    system: System
    alice: Namespace
    bob: Namespace
    sounds: Path


@dataclass(slots=True)
class Scene:
    """Alice talks to the bot; Bob's phone is there to be called."""

    house: House
    bot: Bot
    alice: Baresip
    bob: Baresip
    tap: LineTap
    """On Alice's line."""
    began: int = 0
    """Events before the transfer."""

    async def refer(self, **options: object) -> None:
        """The bot transfers Alice to Bob, whose phone rings."""
        self.began = len(self.bot.events)
        await self.bot.send("refer", caller="", callee=self.bob.uri, options=options)
        await self.bot.event("ringing")

    async def connect(self, **options: object) -> Event:
        """Bob takes the call, and both have heard two seconds of each other; the ``answer`` event."""
        await self.refer(**options)
        # This softphone stays deaf when another source replaces ours after a packet or two.
        heard = self.alice.heard().size
        await until(lambda: self.has_heard(heard + wav.RATE // 4), within=5)
        await self.bob.answer()
        answer = await self.bot.event("answer")
        await self.each_hears_the_other()
        return answer

    async def has_heard(self, samples: int) -> bool:
        """Whether Alice's phone has recorded so much in all."""
        return self.alice.heard().size >= samples

    async def each_hears_the_other(self) -> None:
        """Wait until each has recorded the other's voice."""
        said = BOB[wav.RATE // 2 : wav.RATE * 5 // 2]

        async def alice_hears_bob() -> bool:
            return wav.correlation(self.alice.heard(), said) > SAME

        async def bob_hears_alice() -> bool:
            heard = self.bob.heard()[wav.RATE // 2 : wav.RATE * 5 // 2]
            return heard.size == said.size and wav.correlation(ALICE, heard) > SAME

        for condition in (alice_hears_bob, bob_hears_alice):
            await until(condition, within=8, every=0.2)

    async def back(self) -> None:
        """Alice hears the bot again, and ends the call."""
        await self.bot.send("play", url="again.wav")
        await self.bot.event("trackEnd")
        await until(lambda: hears_all_of(self.alice, AGAIN), within=5, every=0.2)
        await self.alice.hangup()
        await self.bot.ended()

    @property
    def story(self) -> list[tuple[str, ...]]:
        """Events since the transfer began: name, whose track (if any), and `refer` where it is set."""
        names = {self.bot.events[0]["trackId"]: "alice", "server-side-track": "server"}
        found = []
        for event in self.bot.events[self.began :]:
            track = [names[event["trackId"]]] if "trackId" in event else []
            found.append((event["event"], *track, *(["refer"] if event.get("refer") else [])))
        return found


RINGS = ("ringing", "server", "refer")
STANDS = [("trackStart", "server"), ("answer", "server", "refer")]
TARGET_ENDS = [("trackEnd", "server"), ("hangup", "server", "refer")]
PLAYS = [("trackStart", "server"), ("trackEnd", "server")]
ALICE_ENDS = [("trackEnd", "alice"), ("hangup", "alice")]


@pytest.fixture(scope="module")
def spaces() -> Iterator[tuple[Namespace, Namespace]]:
    with namespace() as alice, namespace() as bob:
        yield alice, bob


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_house(
    tmp_path_factory: pytest.TempPathFactory, spaces: tuple[Namespace, Namespace]
) -> AsyncIterator[House]:
    folder, (alice, bob) = tmp_path_factory.mktemp("house"), spaces
    wav.write(folder / "music.wav", MUSIC)
    wav.write(folder / "again.wav", AGAIN)
    async with running_system(
        folder,
        media={"sounds": str(folder), "recordings": str(folder / "recordings")},
        sip={"address": alice.outside},
        calls={"allow": [rf"sip:[^@]*@{re.escape(bob.inside)}(:\d+)?"]},
        routes=[{"callee": "^test$", "pool": "test"}],
    ) as system:
        yield House(system, alice, bob, folder)


@pytest_asyncio.fixture
async def scene(shared_house: House, tmp_path: Path) -> AsyncIterator[Scene]:
    """Alice's call stands and is recorded; at the end nothing is left, and nobody has invited her."""
    before = await shared_house.system.leftovers()
    async with standing(shared_house, tmp_path) as made:
        yield made
        assert made.bot.close_code == 1000
        assert made.tap.requests("INVITE", shared_house.alice.inside) == []
        assert made.tap.fragments == 0
    await shared_house.system.idle(before)


@asynccontextmanager
async def standing(house: House, folder: Path) -> AsyncIterator[Scene]:
    """Alice calls the bot, which answers."""
    async with (
        line_tap(house.alice.interface) as tap,
        house.system.waiting_bot("test") as bot,
        baresip(house.alice, folder, name="alice", says=ALICE) as alice,
        baresip(house.bob, folder, name="bob", says=BOB) as bob,
    ):
        await alice.dial(house.system.uri("test"))
        await bot.event("incoming")
        await bot.send("accept", option={"recorder": {"recorderFile": folder.name}})
        await bot.event("answer")
        await bot.event("metrics")
        await alice.event("CALL_ESTABLISHED")
        yield Scene(house, bot, alice, bob, tap)


def longest_silence(heard: wav.Sound) -> float:
    """Seconds, in frames of 20 ms."""
    frames = heard[: heard.size // 160 * 160].reshape(-1, 160)
    loud = np.flatnonzero(np.sqrt((frames**2).mean(axis=1)) > 1e-3)
    return float(np.diff(loud).max() - 1) * FRAME


async def test_music_then_each_hears_the_other(scene: Scene) -> None:
    await scene.refer(moh="music.wav", autoHangup=True)
    await until(lambda: hears_all_of(scene.alice, MUSIC), within=8, every=0.2)
    await scene.bob.answer()
    answer = await scene.bot.event("answer")
    await scene.each_hears_the_other()
    for phone, digit, track in ((scene.alice, "5", None), (scene.bob, "7", True)):
        await phone.press(digit)
        pressed = await scene.bot.event("dtmf")
        assert (pressed["digit"], pressed.get("refer")) == (digit, track)
    await scene.bob.hangup()
    await scene.alice.event("CALL_CLOSED")
    hangup = await scene.bot.ended()
    assert (hangup["initiator"], hangup["reason"]) == ("system", "refer")
    keys = [("dtmf", "alice"), ("dtmf", "server", "refer")]
    ends = [*TARGET_ENDS, ("other", "alice"), *ALICE_ENDS]
    assert scene.story == [RINGS, *STANDS, *keys, *ends]
    switch_costs_no_more_than_it_may(scene, answer["timestamp"] / 1000)
    await both_are_recorded(scene)


async def hears_all_of(phone: Baresip, sound: wav.Sound) -> bool:
    """Whether `phone` has heard `sound` once."""
    return wav.correlation(phone.heard(), sound) > SAME


def switch_costs_no_more_than_it_may(scene: Scene, switch: float) -> None:
    """By arrival at Alice, less what her packets are late at other times because the machine is busy."""
    near: list[float] = []
    far: list[float] = []
    for began, length in gaps(scene.tap.rtp(scene.house.alice.inside, lambda each: each.payload_type < 96)):
        (near if abs(began - switch) < 0.3 else far).append(length)
    assert len(near) > 20
    assert max(near) <= GAP + max(0.0, max(far) - FRAME)


async def both_are_recorded(scene: Scene) -> None:
    """Alice is in the first channel from the answer on, Bob in the second while he talks to her."""
    extra = next(event["extra"] for event in scene.bot.events if event["event"] == "other")
    file = scene.house.sounds / "recordings" / extra["file"]
    await until(lambda: complete(file, int(extra["duration"])), within=5)
    pcm, rate = soundfile.read(file)
    assert (rate, pcm.shape[1]) == (wav.RATE, 2)
    said = BOB[wav.RATE // 2 : wav.RATE * 5 // 2]
    match, place = wav.best_match(pcm[:, 1], said)
    assert match > SAME
    assert wav.correlation(ALICE, pcm[place : place + said.size, 0]) > SAME
    assert wav.correlation(pcm[:, 1], MUSIC) > SAME


async def complete(file: Path, ms: int) -> bool:
    """Whether all of a recording is on disk."""
    return bool(soundfile.info(file).frames >= ms * wav.RATE // 1000)


async def test_ringing_tone_until_the_target_answers(scene: Scene) -> None:
    await scene.refer()
    two = np.concatenate((TONE, np.zeros(round((PAUSE + 0.1) * wav.RATE)), TONE))
    await until(lambda: hears_all_of(scene.alice, two), within=9, every=0.2)
    await scene.bob.answer()
    await scene.bot.event("answer")
    await scene.each_hears_the_other()
    await scene.alice.hangup()
    await scene.bob.event("CALL_CLOSED")
    hangup = await scene.bot.ended()
    assert (hangup["initiator"], hangup["reason"]) == ("caller", "BYE")
    assert scene.story == [RINGS, *STANDS, *TARGET_ENDS, ("other", "alice"), *ALICE_ENDS]
    assert longest_silence(scene.alice.heard()) < PAUSE + 0.1


async def test_a_busy_target(scene: Scene) -> None:
    await scene.refer(moh="music.wav")
    await scene.bob.event("CALL_INCOMING")
    await until(lambda: hears_all_of(scene.alice, MUSIC), within=8, every=0.2)
    await scene.bob.hangup()
    reject = await scene.bot.event("reject")
    assert reject["code"] == 486
    await scene.back()
    assert scene.story == [RINGS, ("reject", "server", "refer"), *PLAYS, ("other", "alice"), *ALICE_ENDS]


async def test_a_target_that_does_not_answer(scene: Scene) -> None:
    await scene.refer(timeout=2)
    reject = await scene.bot.event("reject")
    assert (reject["code"], reject["reason"]) == (408, "Timeout when refer")
    await scene.bob.event("CALL_CLOSED")
    await scene.back()
    assert scene.story == [RINGS, ("reject", "server", "refer"), *PLAYS, ("other", "alice"), *ALICE_ENDS]
    assert await hears_all_of(scene.alice, TONE)


async def test_the_target_hangs_up_and_the_caller_is_back(scene: Scene) -> None:
    await scene.connect(autoHangup=False)
    await scene.bob.hangup()
    hangup = await scene.bot.event("hangup")
    assert (hangup["initiator"], hangup["reason"]) == ("callee", "BYE")
    await scene.back()
    ends = [*TARGET_ENDS, *PLAYS, ("other", "alice"), *ALICE_ENDS]
    assert scene.story == [RINGS, *STANDS, *ends]
    audio = scene.tap.rtp(scene.house.alice.inside, lambda each: each.payload_type < 96)
    assert audio[0].ssrc != audio[-1].ssrc


async def test_the_bot_takes_the_caller_back(scene: Scene) -> None:
    for _ in range(2):
        await scene.connect(moh="music.wav")
        await scene.bot.send("hangup", refer=True, reason="enough")
        hangup = await scene.bot.event("hangup")
        assert (hangup["initiator"], hangup["reason"]) == ("system", "enough")
        await scene.bob.event("CALL_CLOSED")
        assert scene.story == [RINGS, *STANDS, *TARGET_ENDS]
    await scene.back()


async def test_the_bot_takes_the_caller_back_while_it_rings(scene: Scene) -> None:
    await scene.refer()
    await scene.bob.event("CALL_INCOMING")
    await scene.bot.send("hangup", refer=True)
    assert (await scene.bot.event("reject"))["code"] == 487
    await scene.bob.event("CALL_CLOSED")
    await scene.back()
    assert scene.story == [RINGS, ("reject", "server", "refer"), *PLAYS, ("other", "alice"), *ALICE_ENDS]


async def test_the_caller_hangs_up_while_the_target_rings(scene: Scene) -> None:
    await scene.refer()
    await scene.bob.event("CALL_INCOMING")
    await until(lambda: hears_all_of(scene.alice, TONE), within=5, every=0.2)
    await scene.alice.hangup()
    await scene.bob.event("CALL_CLOSED")
    hangup = await scene.bot.ended()
    assert (hangup["initiator"], hangup["reason"]) == ("caller", "BYE")
    assert scene.story == [RINGS, ("reject", "server", "refer"), ("other", "alice"), *ALICE_ENDS]
