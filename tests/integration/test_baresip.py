"""A real softphone calls the example greeter, and is called."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import soundfile
import soxr

from examples import greeter
from tests.support import speech, wav
from tests.support.baresip import Baresip, Codec, baresip
from tests.support.bot import Bot
from tests.support.netns import Namespace, namespace
from tests.support.poll import until
from tests.support.system import System, running_system

pytestmark = [pytest.mark.daemons, pytest.mark.root]

SPOKEN_WITHIN = 30.0
"""Seconds that the longest announcement may take."""


@dataclass(frozen=True, slots=True)
class House:
    """A system, and the network of one phone."""

    system: System
    space: Namespace
    sounds: Path


@pytest.fixture(scope="module")
def space() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_house(tmp_path_factory: pytest.TempPathFactory, space: Namespace) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("house")
    inside = re.escape(space.inside)
    async with running_system(
        folder,
        media={"sounds": str(folder), "recordings": str(folder / "recordings")},
        sip={"address": space.outside},
        calls={"allow": [rf"sip:[^@]*@{inside}(:\d+)?"]},
        routes=[{"callee": "^test$", "pool": "test"}],
    ) as system:
        yield House(system, space, folder)


@pytest_asyncio.fixture
async def house(shared_house: House) -> AsyncIterator[House]:
    before = await shared_house.system.leftovers()
    yield shared_house
    await shared_house.system.idle(before)


@pytest.mark.parametrize("codec", ["pcmu", "pcma"])
async def test_phone_hears_the_greeter_and_its_keys_are_heard(
    tmp_path: Path, space: Namespace, codec: Codec
) -> None:
    greeting, repeated = speech.render(greeter.GREETING), speech.render("You pressed 5.")
    async with (
        running_system(
            tmp_path, bot=True, up={"bot": "examples/greeter.py"}, sip={"address": space.outside}
        ) as system,
        baresip(space, tmp_path, codecs=(codec,)) as phone,
    ):
        await phone.dial(system.uri("bot"))
        await phone.event("CALL_ESTABLISHED")
        await phone.hears(greeting, SPOKEN_WITHIN)
        await phone.press("5")
        await phone.hears(repeated, SPOKEN_WITHIN)
        await phone.press("#")
        await phone.event("CALL_CLOSED")
        await system.idle()
        # The synthesiser's first text in its life is the same each time, sample by sample.
        assert wav.correlation(phone.heard(), greeting) > 0.95


async def test_sound_passes_unharmed(house: House, tmp_path: Path) -> None:
    sound = wav.babble(seed=7, seconds=3)
    # A phone drops what its jitter buffer holds when the call ends.
    wav.write(house.sounds / "babble.wav", np.concatenate((sound, np.zeros(wav.RATE // 2))))
    async with house.system.waiting_bot("test") as bot, baresip(house.space, tmp_path) as phone:
        await phone.dial(house.system.uri("test"))
        await bot.event("incoming")
        await bot.send("accept", option={})
        await bot.event("answer")
        await phone.event("CALL_ESTABLISHED")
        await bot.send("play", url="babble.wav", autoHangup=True)
        await phone.event("CALL_CLOSED")
        await bot.ended()
    assert wav.correlation(phone.heard(), sound) > 0.99


@pytest.mark.parametrize("codec", ["g722", "opus"])
async def test_wide_band_codecs_from_end_to_end(house: House, tmp_path: Path, codec: Codec) -> None:
    sound = wav.babble(seed=8, seconds=3)
    wav.write(house.sounds / "wide.wav", np.concatenate((sound, np.zeros(wav.RATE // 2))))
    async with (
        house.system.waiting_bot("test") as bot,
        baresip(house.space, tmp_path, codecs=(codec, "pcmu")) as phone,
    ):
        await phone.dial(house.system.uri("test"))
        await bot.event("incoming")
        await bot.send("accept", option={"recorder": {"recorderFile": f"wide/{codec}"}})
        await bot.event("answer")
        await phone.event("CALL_ESTABLISHED")
        await phone.press("5")
        assert (await bot.event("dtmf"))["digit"] == "5"
        await bot.send("play", url="wide.wav", autoHangup=True)
        await phone.event("CALL_CLOSED")
        quality = (await bot.ended())["quality"]
    assert quality["lossPercent"] < 5
    assert quality["mos"] > 3.5
    assert wav.likeness(phone.heard(), sound) > 0.9
    file = (house.sounds / "recordings") / "wide" / f"{codec}.wav"
    await until(lambda: finished(file), within=5)
    pcm, rate = soundfile.read(file)
    assert (rate, pcm.shape[1]) == (16_000, 2)
    assert wav.likeness(soxr.resample(pcm[:, 1], rate, wav.RATE), sound) > 0.9


async def finished(file: Path) -> bool:
    """Whether `file` is there and nobody writes it any more."""
    return file.exists() and soundfile.info(file).duration > 3  # noqa: ASYNC240


async def greet(bot: Bot, phone: Baresip) -> None:
    """Do on an answered call what the greeter does, and check each event."""
    greeting, repeated = speech.render("Welcome to the test."), speech.render("You pressed 5.")
    await bot.send("tts", text="Welcome to the test.", playId="greeting")
    assert (await bot.event("trackEnd", SPOKEN_WITHIN))["playId"] == "greeting"
    await phone.press("5")
    assert (await bot.event("dtmf"))["digit"] == "5"
    await bot.send("tts", text="You pressed 5.", playId="key")
    assert (await bot.event("trackEnd", SPOKEN_WITHIN))["playId"] == "key"
    await phone.press("#")
    assert (await bot.event("dtmf"))["digit"] == "#"
    await bot.send("hangup", reason="hash")
    await phone.event("CALL_CLOSED")
    assert (await bot.ended())["reason"] == "hash"
    assert bot.names[-3:] == ["dtmf", "trackEnd", "hangup"]
    for words in (greeting, repeated):
        assert wav.likeness(phone.heard(), words) > 0.95


async def test_phone_calls_a_bot(house: House, tmp_path: Path) -> None:
    async with house.system.waiting_bot("test") as bot, baresip(house.space, tmp_path) as phone:
        await phone.dial(house.system.uri("test"))
        await bot.event("incoming")
        await bot.send("ringing")
        await phone.event("CALL_RINGING")
        await bot.send("accept", option={})
        await bot.event("answer")
        await phone.event("CALL_ESTABLISHED")
        await greet(bot, phone)


async def test_bot_calls_a_phone(house: House, tmp_path: Path) -> None:
    async with house.system.bot() as bot, baresip(house.space, tmp_path) as phone:
        await bot.send("invite", option={"caller": "sip:bot@sidecall.example", "callee": phone.uri})
        await bot.event("ringing")
        await phone.answer()
        await phone.event("CALL_ESTABLISHED")
        await bot.event("answer")
        await greet(bot, phone)


async def test_phone_that_hangs_up_is_reported(house: House, tmp_path: Path) -> None:
    async with house.system.waiting_bot("test") as bot, baresip(house.space, tmp_path) as phone:
        await phone.dial(house.system.uri("test"))
        await bot.event("incoming")
        await bot.send("accept", option={})
        await bot.event("answer")
        await phone.event("CALL_ESTABLISHED")
        await phone.hangup()
        assert (await bot.ended())["initiator"] == "caller"
