import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from control.errors import ProviderError
from media.api.options import TranscriptionOption
from media.speech.hub import listening, wire
from media.speech.hub.providers import Step
from tests.support.speechhub import WORD, Ears, Script, counter, hub

OPTION = TranscriptionOption(provider="counter")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "FIRST_DELAY", 0.001)


def words(count: int, first: int = 1) -> Iterator[bytes]:
    """Pieces of 40 ms; each word is 100 ms of its number."""
    pcm = np.repeat(np.arange(first, first + count, dtype="<i2"), WORD).tobytes()
    for start in range(0, len(pcm), 1280):
        yield pcm[start : start + 1280]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_texts_with_their_times(tmp_path: Path) -> None:
    script, ears = Script(), Ears()
    async with hub(tmp_path, asr={"counter": counter(script)}) as place:
        work = place.client.listen(OPTION, 16_000, ears)
        for piece in words(3):
            work.audio(piece)
        place.client.send(wire.End(work.request))
        await ears.until(lambda: len(ears.finals) == 3)
        finals = [(t.index, t.text, t.start, t.end) for t in ears.texts if t.final]
        assert finals == [(0, "1", 0, 100), (1, "2", 100, 200), (2, "3", 200, 300)]
        assert {t.provider for t in ears.texts} == {"counter"}
        assert ears.troubles == []


@pytest.mark.parametrize("seed", range(8))
async def test_no_word_is_lost_or_understood_twice_wherever_connections_are_cut(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    script, ears = Script(), Ears()
    script.cuts.extend(chance.randrange(12 * WORD) for _ in range(20))
    async with hub(tmp_path, asr={"counter": counter(script)}) as place:
        work = place.client.listen(OPTION, 16_000, ears)
        for number, piece in enumerate(words(60)):
            work.audio(piece)
            if number % 3 == 0:
                await settle()
        place.client.send(wire.End(work.request))
        await ears.until(lambda: len(ears.finals) >= 60)
        assert ears.finals == [str(number) for number in range(1, 61)]
        assert [t.index for t in ears.texts if t.final] == list(range(60))
        ends = [t.end for t in ears.texts if t.final]
        assert ends == [100 * number for number in range(1, 61)]
        assert 1 <= len(ears.troubles) <= 20
        assert all("counter: cut; connecting anew, no audio is lost" in text for text, _ in ears.troubles)


async def test_an_outage_is_told_once(tmp_path: Path) -> None:
    script, ears = Script(), Ears()
    script.refusals.extend(ProviderError("counter: busy", 429) for _ in range(4))
    async with hub(tmp_path, asr={"counter": counter(script)}) as place:
        work = place.client.listen(OPTION, 16_000, ears)
        for piece in words(2):
            work.audio(piece)
        await ears.until(lambda: bool(ears.finals))
        assert ears.troubles == [("counter: busy; connecting anew, no audio is lost", 429)]
        assert len(script.asked) == 5
        work.close()


async def test_what_will_not_get_better_ends_it(tmp_path: Path) -> None:
    script, ears = Script(), Ears()
    script.refusals.append(ProviderError("counter: wrong key", 401, retry=False))
    async with hub(tmp_path, asr={"counter": counter(script)}) as place:
        work = place.client.listen(OPTION, 16_000, ears)
        for piece in words(1):
            work.audio(piece)
        await ears.until(lambda: bool(ears.failures))
        assert ears.failures == [("counter: wrong key; nothing is recognised any more", 401)]
        assert ears.troubles == []


@pytest.mark.parametrize("retry", [True, False])
async def test_a_fallback_takes_over_where_the_other_stopped(tmp_path: Path, retry: bool) -> None:
    script, second, ears = Script(), Script(), Ears()
    script.cuts.append(3 * WORD * 2 + 100)
    script.refusals = type(script.refusals)()
    providers = {"counter": counter(script), "other": counter(second, "other")}
    option = TranscriptionOption(provider="counter", fallback="other", language="en", model="m")
    async with hub(tmp_path, asr=providers) as place:
        work = place.client.listen(option, 16_000, ears)
        pieces = list(words(6))
        for piece in pieces[:6]:
            work.audio(piece)
        await ears.until(lambda: len(ears.finals) >= 2)
        script.refusals.extend(ProviderError("counter: away", 503, retry=retry) for _ in range(2))
        for piece in pieces[6:]:
            work.audio(piece)
        place.client.send(wire.End(work.request))
        await ears.until(lambda: len(ears.finals) == 6)
        assert ears.finals == list("123456")
        assert "counter: away; other takes over" in [text for text, _ in ears.troubles]
        assert [t.provider for t in ears.texts if t.final][-1] == "other"
        # Language means the same to any provider, a model does not.
        assert (second.asked[0].language, second.asked[0].model) == ("en", None)


async def test_an_option_that_cannot_be_followed(tmp_path: Path) -> None:
    ears = Ears()
    async with hub(tmp_path, asr={"counter": counter(Script())}) as place:
        place.client.listen(TranscriptionOption(provider="counter", language="bad"), 16_000, ears)
        await ears.until(lambda: bool(ears.failures))
        assert ears.failures == [("counter: no such language", 400)]


async def test_a_provider_that_answers_voice_with_silence_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "VOICE_SECONDS", 0.0)
    script, ears = Script(), Ears()
    script.gate.clear()
    async with hub(tmp_path, {"speech": {"stall_seconds": 0.01}}, asr={"counter": counter(script)}) as place:
        work = place.client.listen(OPTION, 16_000, ears)
        work.voice(speaking=True)
        for piece in words(2):
            work.audio(piece)
        work.voice(speaking=False)
        await ears.until(lambda: bool(ears.troubles))
        assert "it has understood nothing" in ears.troubles[0][0]
        script.gate.set()
        await ears.until(lambda: bool(ears.finals))
        assert ears.finals == ["1"]
        assert len(script.asked) == 2
        work.close()


async def test_a_provider_that_stalls_is_left_when_nothing_is_heard_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "VOICE_SECONDS", 0.0)
    monkeypatch.setattr(listening, "IDLE_SECONDS", -1.0)
    script, ears = Script(), Ears()
    script.gate.clear()
    async with hub(tmp_path, {"speech": {"stall_seconds": 0.01}}, asr={"counter": counter(script)}) as place:
        work = place.client.listen(OPTION, 16_000, ears)
        work.voice(speaking=True)
        for piece in words(2):
            work.audio(piece)
        work.voice(speaking=False)
        await ears.until(lambda: bool(ears.troubles))
        script.gate.set()
        await ears.until(lambda: bool(ears.finals))
        assert ears.finals == ["1"]
        work.close()


async def test_a_caller_who_calls_again_does_not_hide_a_stall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "VOICE_SECONDS", 0.0)
    monkeypatch.setattr(listening, "PAUSE_SECONDS", 0.0)
    script, ears = Script(), Ears()
    script.gate.clear()
    async with hub(tmp_path, {"speech": {"stall_seconds": 0.01}}, asr={"counter": counter(script)}) as place:
        work = place.client.listen(OPTION, 16_000, ears)
        for speaking in (True, False, True):
            work.voice(speaking=speaking)
            for piece in words(1):
                work.audio(piece)
        await ears.until(lambda: bool(ears.troubles))
        assert ears.troubles[0][1] == 408
        work.close()


async def test_only_voice_behind_the_last_text_is_owed_one() -> None:
    script = Script()
    heard = asyncio.Event()
    step = Step(counter(script)(None), OPTION)
    work = listening.Listening(wire.Listen(1, {}, 16_000), [step], 8.0, lambda _: heard.set())
    task = asyncio.ensure_future(work.run())
    work.voice(speaking=True)
    assert work._voice is not None
    work._voice -= listening.VOICE_SECONDS
    for piece in words(1):
        work.audio(piece)
    await heard.wait()
    work.voice(speaking=False)
    assert work._unanswered < listening.VOICE_SECONDS
    work.voice(speaking=True)
    work._voice -= listening.VOICE_SECONDS
    work.voice(speaking=False)
    assert work._unanswered >= listening.VOICE_SECONDS
    assert work._timer is not None
    work.end()
    await task


async def test_a_connection_that_ends_while_nobody_is_heard_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "IDLE_SECONDS", -1.0)
    script, ears = Script(), Ears()
    script.cuts.append(WORD * 2 - 100)
    async with hub(tmp_path, asr={"counter": counter(script)}) as place:
        work = place.client.listen(OPTION, 16_000, ears)
        pieces = list(words(3))
        for piece in pieces[:3]:
            work.audio(piece)
        await settle()
        for piece in pieces[3:]:
            work.audio(piece)
            await settle()
        place.client.send(wire.End(work.request))
        await ears.until(lambda: len(ears.finals) == 3)
        assert ears.finals == ["1", "2", "3"]
        assert ears.troubles == []


async def test_cancelling_ends_the_connection(tmp_path: Path) -> None:
    script, ears = Script(), Ears()
    async with hub(tmp_path, asr={"counter": counter(script)}) as place:
        work = place.client.listen(OPTION, 16_000, ears)
        for piece in words(2):
            work.audio(piece)
        await ears.until(lambda: bool(ears.texts))
        assert script.running == 1
        work.close()
        await script.idle()
        assert ears.failures == []


async def test_the_speech_process_dies_and_comes_back(tmp_path: Path) -> None:
    script, ears = Script(), Ears()
    async with hub(tmp_path, asr={"counter": counter(script)}) as place:
        place.client.listen(OPTION, 16_000, ears)
        await place.stop()
        await ears.until(lambda: bool(ears.losses))
        work = place.client.listen(OPTION, 16_000, ears)
        await place.start()
        await place.connected()
        for piece in words(2):
            work.audio(piece)
        await ears.until(lambda: bool(ears.finals))
        assert "is being restarted" in ears.losses[0]
        work.close()


async def test_silence_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "QUIET_SECONDS", -1.0)
    monkeypatch.setattr(listening, "KEPT_SECONDS", 0.1)
    steps: list[wire.Report] = []
    order = wire.Listen(1, {}, 16_000)
    work = listening.Listening(order, [], 8.0, steps.append)
    for piece in words(10):
        work.audio(piece)
    assert work._tape.length - work._tape.origin == WORD


async def test_a_text_that_is_never_final_is_a_stall(tmp_path: Path) -> None:
    script, ears = Script(), Ears()
    settings = {"speech": {"stall_seconds": 0.01}}
    async with hub(tmp_path, settings, asr={"counter": counter(script)}) as place:
        work = place.client.listen(OPTION, 16_000, ears)
        for piece in words(1):
            work.audio(piece)
        await ears.until(lambda: bool(ears.troubles))
        assert ears.finals == []
        assert "it has understood nothing" in ears.troubles[0][0]
        work.close()
