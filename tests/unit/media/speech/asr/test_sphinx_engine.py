"""The engine with the real decoder, on words of our own synthesiser; bench/recognition.py tells how well it hears."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from control.errors import ProviderError
from media.speech import say
from media.speech.asr.sphinx.decoders import Decoding, Pool, telephone
from media.speech.asr.sphinx.endpoint import FRAME_MS
from media.speech.asr.sphinx.engine import PocketsphinxEngine
from media.speech.asr.sphinx.grammar import parse
from media.speech.asr.sphinx.utterance import confidence
from media.speech.local.engine import Done, Report, Told
from media.speech.voice import Voice

SECOND = 16_000
"""Bytes."""
SETTINGS = {"decoders": 1, "lm_decoders": 1}


@cache
def spoken(text: str) -> bytes:
    """`text` at 8 kHz, with a faint noise around it."""
    samples = say.render(text, Voice("en-us"), 8000).astype(float)
    noise = np.random.default_rng(1).normal(0, 20, samples.size + 12_000)
    noise[4000 : 4000 + samples.size] += samples / 3
    return np.clip(noise, -32768, 32767).astype("<i2").tobytes()


@pytest.fixture(scope="module")
def engine() -> PocketsphinxEngine:
    return PocketsphinxEngine(SETTINGS)


@pytest.fixture(autouse=True)
def _nothing_left(engine: PocketsphinxEngine) -> Iterator[None]:
    yield
    assert list(engine.step()) == []


def parameters(grammar: str | list[str] | None, confidence: float = 0.0) -> dict[str, Any]:
    return {"grammar": grammar, "silence": 280, "confidence": confidence}


def feed(engine: PocketsphinxEngine, stream: int, audio: bytes, piece: int = 640) -> list[Report]:
    reports: list[Report] = []
    for at in range(0, len(audio), piece):
        engine.data(stream, audio[at : at + piece])
        reports += engine.step()
    return reports


def finals(reports: list[Report]) -> list[dict[str, Any]]:
    return [dict(each.fields) for each in reports if isinstance(each, Told) and each.fields["final"]]


def test_a_word_is_understood_while_the_stream_goes_on(engine: PocketsphinxEngine) -> None:
    engine.open(1, parameters("yesno"))
    (told,) = finals(feed(engine, 1, spoken("no") + bytes(SECOND)))
    engine.cancel(1)
    assert (told["index"], told["text"]) == (0, "no")
    assert 0 < told["confidence"] <= 1
    assert 0 < told["start"] < told["end"] < len(spoken("no")) // 16


def test_utterances_are_numbered_and_the_rest_comes_with_the_end(engine: PocketsphinxEngine) -> None:
    engine.open(1, parameters("yesno"))
    reports = feed(engine, 1, spoken("yes") + bytes(SECOND) + spoken("no")[: -SECOND // 4], piece=1001)
    engine.finish(1)
    reports += engine.step()
    assert reports[-1] == Done(1)
    assert [(told["index"], told["text"]) for told in finals(reports)] == [(0, "yes"), (1, "no")]
    first, second = finals(reports)
    assert first["end"] <= second["start"]


def test_long_utterances_are_told_in_parts_first(engine: PocketsphinxEngine) -> None:
    engine.open(1, parameters("digits"))
    reports = feed(engine, 1, spoken("one two three four five six"))
    engine.cancel(1)
    told = [dict(each.fields) for each in reports if isinstance(each, Told)]
    deltas = [each for each in told if not each["final"]]
    assert deltas
    assert all(each["index"] == 0 and each["confidence"] is None and each["text"] for each in deltas)
    assert len(told[-1]["text"].split()) > len(deltas[0]["text"].split())


def test_streams_share_few_decoders(engine: PocketsphinxEngine) -> None:
    for stream in (1, 2, 3):
        engine.open(stream, parameters(["yes", "no", "maybe tomorrow"] if stream == 2 else "yesno"))
    reports: list[Report] = []
    audio = spoken("yes") + bytes(SECOND)
    for at in range(0, len(audio), 640):
        for stream in (1, 2, 3):
            engine.data(stream, audio[at : at + 640])
        reports += engine.step()
    assert sorted(told["text"] for told in finals(reports)) == ["yes", "yes", "yes"]
    for stream in (1, 2, 3):
        engine.finish(stream)
    reports += engine.step()
    assert not engine.busy
    assert {each.stream for each in reports if isinstance(each, Done)} == {1, 2, 3}


def test_utterances_that_wait_for_a_decoder_are_not_forgotten_at_the_end(engine: PocketsphinxEngine) -> None:
    for stream in (1, 2, 3):
        engine.open(stream, parameters("yesno"))
        engine.data(stream, spoken("no"))
        engine.finish(stream)
    reports = list(engine.step())
    assert {each.stream for each in reports if isinstance(each, Done)} == {1, 2, 3}
    engine.open(4, parameters("digits"))
    reports = feed(engine, 4, spoken("one two three four five six")[: 2 * SECOND])
    for stream in (5, 6):
        engine.open(stream, parameters("yesno"))
        engine.data(stream, spoken("no"))
        engine.finish(stream)
    assert finals(list(engine.step())) == []
    assert not engine.busy
    engine.cancel(4)
    assert engine.busy
    reports = list(engine.step())
    assert {each.stream for each in reports if isinstance(each, Done)} == {5, 6}
    assert not engine.busy


def test_a_stream_that_is_cancelled_gives_its_decoder_back(engine: PocketsphinxEngine) -> None:
    engine.open(1, parameters("digits"))
    feed(engine, 1, spoken("one two three four five six")[: 2 * SECOND])
    engine.cancel(1)
    engine.open(2, parameters("yesno"))
    reports = feed(engine, 2, spoken("no") + bytes(SECOND))
    engine.cancel(2)
    assert [told["text"] for told in finals(reports)] == ["no"]


def test_what_is_not_certain_is_not_told(engine: PocketsphinxEngine) -> None:
    engine.open(1, parameters("yesno", confidence=1.0))
    reports = feed(engine, 1, spoken("no") + bytes(SECOND))
    engine.cancel(1)
    assert finals(reports) == []


def test_noise_and_silence_are_nothing(engine: PocketsphinxEngine) -> None:
    engine.open(1, parameters("digits", confidence=0.3))
    noise = np.random.default_rng(2).normal(0, 400, 24_000).astype("<i2").tobytes()
    assert feed(engine, 1, bytes(SECOND) + noise) == []
    engine.finish(1)
    assert list(engine.step()) == [Done(1)]


def test_without_a_grammar_any_words_may_come(engine: PocketsphinxEngine) -> None:
    engine.open(1, parameters(None))
    (told,) = finals(feed(engine, 1, spoken("hello") + bytes(SECOND)))
    engine.cancel(1)
    assert told["text"]
    assert told["confidence"] is None


def test_unknown_words_are_named(engine: PocketsphinxEngine) -> None:
    with pytest.raises(ProviderError, match="no pronunciation for blorf, xyzzy;") as caught:
        engine.open(1, parameters(["yes", "xyzzy blorf"]))
    assert (caught.value.code, caught.value.retry) == (400, False)
    assert list(engine.step()) == []


def test_grammars_of_all_forms_are_accepted_by_the_decoder() -> None:
    decoding = Decoding(grammar=True)
    for body in ("(yes)*", "[yes]", "((yes | no)+)*", "/0.5/ yes | /2/ no [now]", "[([yes])*]"):
        grammar = parse(f"#JSGF V1.0; grammar g; public <g> = {body};")
        decoding.use(grammar)
        assert decoding.grammar == grammar


def test_a_pool_lends_no_more_than_it_has_and_keeps_grammars() -> None:
    pool = Pool(2, grammar=True)
    yesno, digits = parse("yesno"), parse("digits")
    one, two = pool.borrow(yesno), pool.borrow(digits)
    assert one is not None
    assert two is not None
    assert pool.borrow(yesno) is None
    pool.give_back(one)
    pool.give_back(two)
    assert pool.borrow(digits) is two
    assert pool.borrow(digits) is one
    assert one.grammar == digits


@pytest.mark.parametrize(
    ("phones", "variants"),
    [
        ("S IH K S", ["DH IH K S", "DH IH K", "DH IH K HH"]),
        ("Z IH R OW", ["DH IH R OW"]),
        ("Y EH S", []),
        ("S T AA P", []),
        ("B AA K S", ["B AA K", "B AA K HH"]),
    ],
)
def test_pronunciations_on_the_telephone(phones: str, variants: list[str]) -> None:
    assert telephone(phones) == variants


def test_confidence_is_higher_for_better_scores_and_more_tolerant_of_loops() -> None:
    scores = (-1.0, -0.004, -0.003, -0.002, 0.0)
    choice = [confidence(score, loop=False) for score in scores]
    assert choice == sorted(choice)
    assert all(0 <= value <= 1 for value in choice)
    assert all(confidence(score, loop=True) >= confidence(score, loop=False) for score in scores)
    assert FRAME_MS == 20
