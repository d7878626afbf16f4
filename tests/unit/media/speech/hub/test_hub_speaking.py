import asyncio
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from control.errors import ProviderError, SpeechError
from media.api.options import SynthesisOption
from media.speech.hub import speaking, wire
from media.speech.hub.providers import Step
from media.speech.hub.requests import Synthesis
from media.speech.voice import Samples, Word
from tests.support.speechhub import Script, hub, spelled, speller

OPTION = SynthesisOption(provider="speller")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaking, "RETRY_SECONDS", 0.001)


async def read(synthesis: Synthesis) -> Samples:
    pieces = [piece async for piece in synthesis]
    chunks = [piece for piece in pieces if not isinstance(piece, Word)]
    return np.concatenate([np.zeros(0, np.int16), *chunks])


async def some(synthesis: Synthesis, count: int) -> list[Samples]:
    """The next chunks."""
    chunks: list[Samples] = []
    while len(chunks) < count:
        if not isinstance(piece := await anext(synthesis), Word):
            chunks.append(piece)
    return chunks


async def test_a_text_becomes_samples(tmp_path: Path) -> None:
    script = Script()
    async with hub(tmp_path, tts={"speller": speller(script)}) as place:
        work = place.client.synthesise("Hello, you.", OPTION, 8000)
        assert spelled(await read(work)) == "Hello, you."
        assert work.provider == "speller"
        assert spelled(await read(place.client.synthesise("", OPTION, 8000))) == ""


async def test_long_texts_are_given_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaking, "LONGEST", 60)
    script, text = Script(), " ".join(f"This is sentence number {number}." for number in range(9))
    async with hub(tmp_path, tts={"speller": speller(script)}) as place:
        heard = spelled(await read(place.client.synthesise(text, OPTION, 8000)))
        assert heard.replace(" ", "") == text.replace(" ", "")
        assert len(script.asked) >= len(text) // 60


@pytest.mark.parametrize("streaming", [True, False])
async def test_words_are_counted_over_all_parts(tmp_path: Path, streaming: bool) -> None:
    async with hub(tmp_path, tts={"speller": speller(Script(), streaming=streaming)}) as place:
        work = place.client.synthesise(None, OPTION, 8000)
        work.feed("Hello you. ")
        work.feed("Bye.")
        work.end()
        found = [piece async for piece in work if isinstance(piece, Word)]
        indices = [word.index for word in found]
        assert indices == sorted(indices)
        assert set(indices) == {0, 1, 2}
        assert [word.at for word in found] == sorted(word.at for word in found)


async def test_another_rate_is_converted(tmp_path: Path) -> None:
    async with hub(tmp_path, tts={"speller": speller(Script(), hertz=24_000)}) as place:
        samples = await read(place.client.synthesise("a" * 240, OPTION, 8000))
        assert samples.size == 800
        assert abs(int(samples[400]) - ord("a")) <= 1


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_text_that_comes_in_parts(tmp_path: Path, streaming: bool) -> None:
    script = Script()
    async with hub(tmp_path, tts={"speller": speller(script, streaming=streaming)}) as place:
        assert place.client.streams(OPTION) is streaming
        work = place.client.synthesise(None, OPTION, 8000)
        work.feed("Hello, ")
        chunks = await some(work, 1)
        work.feed("you.")
        work.end()
        samples = np.concatenate([*chunks, await read(work)])
        assert spelled(samples) == ("Hello, you." if streaming else "Hello,you.")
        assert len(script.asked) == (1 if streaming else 2)


async def test_a_failure_before_any_audio_is_tried_again(tmp_path: Path) -> None:
    script = Script(refusals=deque([ProviderError("speller: busy", 503)]))
    async with hub(tmp_path, tts={"speller": speller(script)}) as place:
        assert spelled(await read(place.client.synthesise("Hi", OPTION, 8000))) == "Hi"
        assert len(script.asked) == 2


async def test_a_fallback_speaks_all_of_it(tmp_path: Path) -> None:
    script, second = Script(), Script()
    script.refusals.extend(ProviderError("speller: away", 503) for _ in range(2))
    option = SynthesisOption(provider="speller", fallback="other", speaker="mia", speed=1.5)
    told: list[tuple[str, int]] = []
    async with hub(tmp_path, tts={"speller": speller(script), "other": speller(second, "other")}) as place:
        work = place.client.synthesise("Hi", option, 8000)
        work.trouble = lambda message, code: told.append((message, code))
        assert spelled(await read(work)) == "Hi"
        assert work.provider == "other"
        assert told == [("speller: away; other takes over", 503)]
        assert (second.asked[0].speaker, second.asked[0].speed) == (None, 1.5)


async def test_a_failure_behind_some_audio_ends_the_text(tmp_path: Path) -> None:
    script = Script(cuts=deque([3]))
    option = SynthesisOption(provider="speller", fallback="other")
    async with hub(tmp_path, tts={"speller": speller(script), "other": speller(Script(), "other")}) as place:
        work = place.client.synthesise("Hello", option, 8000)
        chunks = await some(work, 6)
        with pytest.raises(SpeechError, match="^speller: cut; the rest of the text is not spoken$"):
            await anext(work)
        assert spelled(np.concatenate(chunks)) == "Hel"


@pytest.mark.parametrize(
    ("option", "code"),
    [
        (SynthesisOption(provider="speller", speaker="nobody"), 400),
        (SynthesisOption(provider="none-such"), 501),
    ],
)
async def test_what_cannot_be_followed(tmp_path: Path, option: SynthesisOption, code: int) -> None:
    async with hub(tmp_path, tts={"speller": speller(Script())}) as place:
        with pytest.raises(SpeechError) as caught:
            await read(place.client.synthesise("Hi", option, 8000))
        assert caught.value.code == code


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_provider_that_stalls(tmp_path: Path, streaming: bool) -> None:
    script, settings = Script(), {"speech": {"stall_seconds": 0.01}}
    script.gate.clear()
    async with hub(tmp_path, settings, tts={"speller": speller(script, streaming=streaming)}) as place:
        work = place.client.synthesise(None if streaming else "Hi", OPTION, 8000)
        if streaming:
            work.feed("Hi")
        with pytest.raises(
            SpeechError,
            match="no audio came for .* s; the text is not spoken: say it again, or set a fallback$",
        ) as caught:
            await read(work)
        assert caught.value.code == 408
        await script.idle()


async def test_waiting_for_text_is_no_stall(tmp_path: Path) -> None:
    script, settings = Script(), {"speech": {"stall_seconds": 0.001}}
    async with hub(tmp_path, settings, tts={"speller": speller(script, streaming=True)}) as place:
        work = place.client.synthesise(None, OPTION, 8000)
        work.feed("Hi")
        chunks = await some(work, 4)
        late = asyncio.get_running_loop().call_later(0.05, work.end)
        assert spelled(np.concatenate([*chunks, await read(work)])) == "Hi"
        assert late.when() <= asyncio.get_running_loop().time()


async def test_nobody_gets_more_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaking, "AHEAD_SECONDS", 0.1)
    sent: list[wire.Report] = []
    step = Step(speller(Script())(None), OPTION)
    work = speaking.Speaking(wire.Speak(1, {}, 8000, "a" * 400, 100), [step], 8.0, sent.append)
    task = asyncio.ensure_future(work.run())
    for _ in range(2000):
        await asyncio.sleep(0)
    assert samples_of(sent) in range(100, 111)
    assert work._unsent in range(800, 811)
    work.credit(4000)
    await task
    assert samples_of(sent) == 4000


def samples_of(sent: list[wire.Report]) -> int:
    return sum(len(report.pcm) // 2 for report in sent if isinstance(report, wire.Chunk))


async def test_closing_ends_the_work(tmp_path: Path) -> None:
    script = Script()
    async with hub(tmp_path, tts={"speller": speller(script, streaming=True)}) as place:
        work = place.client.synthesise(None, OPTION, 8000)
        work.feed("Hi")
        await anext(work)
        await work.aclose()
        await script.idle()
        assert [chunk async for chunk in work] == []


async def test_the_speech_process_dies(tmp_path: Path) -> None:
    script = Script()
    script.gate.clear()
    async with hub(tmp_path, tts={"speller": speller(script)}) as place:
        work = place.client.synthesise("Hi", OPTION, 8000)
        reading = asyncio.ensure_future(read(work))
        async with asyncio.timeout(10):
            await place.stop()
            with pytest.raises(SpeechError, match="is being restarted"):
                await reading
        script.gate.set()
        later = place.client.synthesise("Hi", OPTION, 8000)
        await place.start()
        assert spelled(await read(later)) == "Hi"


async def test_a_speech_process_that_stays_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media.speech.hub.client.WAIT_SECONDS", 0.01)
    async with hub(tmp_path, tts={"speller": speller(Script())}) as place:
        await place.stop()
        work = place.client.synthesise("Hi", OPTION, 8000)
        with pytest.raises(SpeechError, match="the speech process"):
            await read(work)
        await place.start()


async def test_a_wav_header_is_no_sound() -> None:
    pcm = speaking._Pcm(8000, 8000)
    header, samples = b"RIFF" + bytes(40), np.arange(50, dtype="<i2").tobytes()
    data = header + samples
    parts = [pcm.push(data[at : at + 7]) for at in range(0, len(data), 7)]
    assert np.concatenate([*parts, pcm.end()]).tolist() == list(range(50))
    plain = speaking._Pcm(8000, 8000)
    assert plain.push(samples).tolist() == list(range(50))
    short = speaking._Pcm(8000, 8000)
    assert short.push(b"RI").size == 0
    assert short.push(b"\x01\x02").size == 2
