"""``/call``: audio over the bot's own socket, on a whole node and on one without telephony."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
import soundfile
import soxr

from media.engine.arrays import Pcm
from media.engine.stream import Codec
from tests.support import callbench, speech, wav
from tests.support.bot import PATIENCE, Bot
from tests.support.farend import Packet
from tests.support.poll import until
from tests.support.system import System, running_system

pytestmark = pytest.mark.daemons

SAID, ANSWERED = "I would like to talk about my last bill, please.", "Welcome to the test."
NOISE = wav.babble(seed=11, seconds=2)
KEY = (770, 1336)
"""Hz of the key 5 (ITU-T Q.23)."""
SAME, ALIKE = 0.95, 0.9
"""Correlation of a sound that was not changed, and likeness of words: a codec's noise counts where they are soft."""


@dataclass(frozen=True, slots=True)
class House:
    """A node and where it writes."""

    system: System
    folder: Path

    async def get(self, path: str) -> Any:
        """An answer of the REST API."""
        async with aiohttp.ClientSession() as http, http.get(f"http://{self.system.api}{path}") as answer:
            assert answer.status == 200
            return await answer.json()

    async def kill(self, session: str) -> int:
        """The status."""
        url = f"http://{self.system.api}/call/kill/{session}"
        async with aiohttp.ClientSession() as http, http.post(url) as answer:
            return answer.status

    async def lines(self, session: str) -> list[tuple[str, dict[str, Any]]]:
        """The event dump: what was a command or an event, and its content."""
        (text,) = await self._written(f"*{session}*.jsonl")
        parsed = [json.loads(line) for line in text.splitlines()]
        return [(each["type"], json.loads(each["content"])) for each in parsed]

    async def record(self, session: str) -> dict[str, Any]:
        """The call detail record."""
        (text,) = await self._written(f"*{session}*.json")
        record: dict[str, Any] = json.loads(text)
        return record

    async def _written(self, pattern: str) -> list[str]:
        def found() -> list[Path]:
            return sorted((self.folder / "records").rglob(pattern))

        async def there() -> bool:
            return bool(found())

        await until(there, PATIENCE)
        return [path.read_text("utf-8") for path in found()]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["whole", "without telephony"])
async def shared_house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("house")
    wav.write(folder / "noise.wav", NOISE)
    async with running_system(
        folder,
        telephony=request.param == "whole",
        media={"sounds": str(folder), "recordings": str(folder / "recordings")},
        records={"folder": str(folder / "records")},
    ) as system:
        yield House(system, folder)


@pytest_asyncio.fixture
async def house(shared_house: House) -> AsyncIterator[House]:
    before = await shared_house.system.leftovers()
    yield shared_house
    await shared_house.system.idle(before)


@dataclass(frozen=True, slots=True)
class Form:
    """How audio stands in the frames of a call."""

    name: str
    rate: int
    codec: Codec | None
    """None: samples as they are."""

    def encode(self, sound: wav.Sound) -> bytes:
        """`sound` (8 kHz) as it is sent."""
        wide = sound if self.rate == wav.RATE else np.asarray(soxr.resample(sound, wav.RATE, self.rate))
        pcm = np.clip(wide * 32768, -32768, 32767).astype(np.int16)
        return pcm.tobytes() if self.codec is None else b"".join(callbench.encode(self.codec, pcm))

    def decode(self, frames: list[bytes]) -> wav.Sound:
        """What was sent, at 8 kHz."""
        pcm: Pcm = np.frombuffer(b"".join(frames), "<i2")
        if self.codec is not None:
            pcm = callbench.decode(self.codec, [Packet(0, False, 0, 0, 0, frame) for frame in frames])
        # Codecs delay; what is compared must lie within it.
        sound = np.pad(pcm / 32768, (0, self.rate // 20))
        return sound if self.rate == wav.RATE else np.asarray(soxr.resample(sound, self.rate, wav.RATE))

    @property
    def frame(self) -> int:
        """Bytes of 20 ms."""
        return len(self.encode(np.zeros(160)))


FORMS = (
    Form("pcm", 16_000, None),
    Form("pcmu", 8000, Codec.PCMU),
    Form("pcma", 8000, Codec.PCMA),
    Form("g722", 16_000, Codec.G722),
)


async def say(bot: Bot, form: Form, sound: wav.Sound) -> None:
    """Send `sound` as fast as it goes, in pieces that are no multiple of 20 ms; it is heard at its own pace."""
    data, size = form.encode(sound), form.frame * 5 // 4 * 2
    for start in range(0, len(data), size):
        await bot.socket.send_bytes(data[start : start + size])


async def hears(bot: Bot, form: Form, match: Callable[[wav.Sound], float], least: float) -> None:
    """Wait until what the bot was sent matches."""

    async def heard() -> bool:
        return bool(bot.audio) and match(form.decode(bot.audio)) > least

    await until(heard, PATIENCE, every=0.2)


def tones(sound: wav.Sound) -> float:
    """The share of the key's two tones in the loudest 100 ms of `sound`."""
    size = wav.RATE // 10
    frames = sound[: sound.size // size * size].reshape(-1, size)
    loudest = frames[(frames**2).sum(axis=1).argmax()]
    power = np.abs(np.fft.rfft(loudest * np.hanning(size))) ** 2
    frequencies = np.fft.rfftfreq(size, 1 / wav.RATE)
    near = np.any([np.abs(frequencies - each) < 25 for each in KEY], axis=0)
    return float(power[near].sum() / max(power.sum(), 1e-9))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
async def test_a_call_both_ways(house: House, form: Form) -> None:
    said = speech.render(SAID)
    option = {
        "codec": form.name,
        "vad": {"type": "silero"},
        "recorder": {"recorderFile": f"{form.name}/{{id}}"},
        "extra": {"order": "42"},
    }
    async with house.system.bot("/call", id=f"both-{form.name}", dump="true") as bot:
        await bot.send("invite", option=option)
        await bot.event("answer")
        await say(bot, form, np.concatenate((np.zeros(wav.RATE // 2), said, np.zeros(wav.RATE))))
        speaking, silence = await bot.event("speaking"), await bot.event("silence")
        (call,) = [
            each for each in (await house.get("/call/lists"))["calls"] if each["id"] == f"both-{form.name}"
        ]
        await bot.send("play", url="noise.wav")
        await hears(bot, form, lambda sound: wav.correlation(sound, NOISE), SAME)
        await bot.event("trackEnd")
        bot.audio.clear()
        await bot.send("tts", text=ANSWERED, playId="words")
        words = speech.render(ANSWERED)
        await hears(bot, form, lambda sound: wav.likeness(sound, words), ALIKE)
        await bot.event("trackEnd")
        bot.audio.clear()
        await bot.send("dtmf", digits="5")
        await hears(bot, form, tones, 0.9)
        await bot.send("hangup", reason="done")
        hangup = await bot.ended()
    assert (call["call_type"], call["option"]["codec"]) == ("webSocket", form.name)
    assert {len(frame) for frame in bot.audio} == {form.frame}
    assert speaking["trackId"] == silence["trackId"] == f"both-{form.name}"
    # A pause within the sentence may end it.
    assert 1000 < silence["speechDuration"] < 1000 * said.size / wav.RATE + 500
    assert silence["speechStart"] == speaking["startTime"]
    assert (hangup["reason"], hangup["extra"]) == ("done", {"order": "42"})
    await what_was_written(house, form, said, words, bot)


async def what_was_written(house: House, form: Form, said: wav.Sound, words: wav.Sound, bot: Bot) -> None:
    """The recording, the dump and the record of the call."""
    record = await house.record(f"both-{form.name}")
    pcm, rate = soundfile.read(house.folder / "recordings" / f"{form.name}/both-{form.name}.wav")
    assert rate == form.rate
    caller, ours = (soxr.resample(channel, rate, wav.RATE) for channel in pcm.T)
    assert wav.likeness(caller, said) > ALIKE
    assert wav.correlation(ours, NOISE) > SAME
    assert wav.likeness(ours, words) > ALIKE
    assert record["callType"] == "webSocket"
    assert record["codec"] == form.name
    lines = await house.lines(f"both-{form.name}")
    events = [content for kind, content in lines if kind == "event"]
    assert [event for event in events if event["event"] != "ping"] == bot.events
    commands = [content["command"] for kind, content in lines if kind == "command"]
    assert commands == ["invite", "play", "tts", "dtmf", "hangup"]


async def test_kill(house: House) -> None:
    async with house.system.bot("/call", id="victim") as bot:
        await bot.send("invite", option={})
        await bot.event("answer")
        assert await house.kill("nobody") == 404
        assert await house.kill("victim") == 200
        hangup = await bot.ended()
    assert (hangup["reason"], hangup["initiator"]) == ("killed", "system")
    await until(lambda: gone(house, "victim"), PATIENCE)


async def gone(house: House, session: str) -> bool:
    """Whether the list has it no more."""
    return session not in {call["id"] for call in (await house.get("/call/lists"))["calls"]}
