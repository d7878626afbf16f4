"""Piper: voices are found, options become parameters, and the real package speaks in a child process."""

import importlib.util
import json
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import ProviderError
from media.api.options import SynthesisOption
from media.speech.provider import Context
from media.speech.tts import piper
from media.speech.tts.base import Synthesiser
from media.speech.tts.piper import Piper, Voice, describe, find, parameters
from tests.support import pipervoice
from tests.support.pipervoice import SAMPLES, STEP, TONE, ids

ONE = Voice(Path("amy.onnx"), 16_000, 1.0, 1, {})
MANY = Voice(Path("many.onnx"), 22_050, 1.2, 3, {"anna": 0, "ben": 1})


def option(**fields: Any) -> SynthesisOption:
    return SynthesisOption.model_validate(fields)


def refusal(voice: Voice, **fields: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        parameters(option(**fields), voice)
    assert (caught.value.code, caught.value.retry) == (400, False)
    return caught.value


class TestParameters:
    """The API's scales in the package's."""

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            ({"model": "amy"}, {}),
            ({"model": "amy", "speed": 1.0, "volume": 5}, {"length_scale": 1.2, "volume": 1.0}),
            ({"model": "amy", "speed": 2.0}, {"length_scale": 0.6}),
            ({"model": "amy", "speed": 100}, {"length_scale": 0.3}),
            ({"model": "amy", "speed": -2}, {"length_scale": 4.8}),
            ({"model": "amy", "volume": 0}, {"volume": 0.0}),
            ({"model": "amy", "volume": 100}, {"volume": 2.0}),
            ({"model": "amy", "speaker": "ben"}, {"speaker_id": 1}),
            ({"model": "amy", "speaker": "2"}, {"speaker_id": 2}),
            ({"speaker": "amy"}, {}),
            ({"model": "amy", "extra": {"noise_scale": 0}}, {"noise_scale": 0.0}),
            ({"model": "amy", "speed": 2, "extra": {"length_scale": 2}}, {"length_scale": 2.0}),
            ({"model": "amy", "extra": {"speaker_id": 2}}, {"speaker_id": 2}),
            ({"model": "amy", "extra": {"normalize_audio": False}}, {"normalize_audio": False}),
        ],
    )
    def test_what_is_given(self, fields: dict[str, Any], expected: dict[str, Any]) -> None:
        assert parameters(option(**fields), MANY) == pytest.approx(expected)

    @pytest.mark.parametrize("speaker", ["carl", "3", "-1", "²", "9" * 5000, "99999999999"])
    def test_a_speaker_that_the_voice_has_not(self, speaker: str) -> None:
        text = str(refusal(MANY, model="many", speaker=speaker[:200]))
        assert text.endswith("; it has anna, ben")

    def test_a_speaker_of_a_voice_without_names(self) -> None:
        assert str(refusal(ONE, model="amy", speaker="en-us")) == (
            "piper: the voice amy has no speaker 'en-us'; it has 0 to 0"
        )

    @pytest.mark.parametrize(
        "extra",
        [
            {"noise_scale": 3},
            {"length_scale": 0},
            {"length_scale": "1"},
            {"length_scale": True},
            {"speaker_id": 3},
            {"speaker_id": -1},
            {"normalize_audio": 1},
            {"voice": "x"},
        ],
    )
    def test_further_parameters_that_are_none(self, extra: dict[str, Any]) -> None:
        assert f"extra.{next(iter(extra))} is no parameter, or out of range" in str(
            refusal(MANY, model="many", extra=extra)
        )

    def test_the_sums_of_a_few_hundred_digits(self) -> None:
        refusal(ONE, model="amy", extra={"length_scale": 10**400})

    @given(st.floats(-100, 100), st.floats(0, 100))
    def test_no_speed_and_no_volume_is_out_of_range(self, speed: float, volume: float) -> None:
        made = parameters(option(speed=speed, volume=volume), ONE)
        assert 0.25 <= made["length_scale"] <= 4
        assert 0 <= made["volume"] <= 2


class TestFind:
    """Voices by name."""

    @pytest.fixture(autouse=True)
    def voices(self, tmp_path: Path) -> None:
        for name in ("amy.onnx", "ben/en_GB-ben.onnx", "two/a.onnx", "two/b.onnx", "../outside.onnx"):
            path = tmp_path / "models" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("amy", "amy.onnx"),
            ("amy.onnx", "amy.onnx"),
            ("ben", "ben/en_GB-ben.onnx"),
            ("ben/en_GB-ben", "ben/en_GB-ben.onnx"),
            ("two/b", "two/b.onnx"),
        ],
    )
    def test_one_that_is_there(self, name: str, path: str, tmp_path: Path) -> None:
        assert find(tmp_path / "models", name) == tmp_path / "models" / path

    @pytest.mark.parametrize(
        "name",
        ["bob", "two", "../outside", "ben/../amy", "/etc/passwd", "", ".", "ben/", "a\0b", "*", "a" * 5000],
    )
    def test_one_that_is_not(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(ProviderError, match=r"no voice .* in speech.models: fetch it") as caught:
            find(tmp_path / "models", name)
        assert (caught.value.code, caught.value.retry) == (404, False)
        assert str(tmp_path) not in str(caught.value)


DESCRIPTION: dict[str, Any] = {"audio": {"sample_rate": 22_050}, "num_speakers": 1}


class TestDescribe:
    """What the file beside a voice says."""

    def test_a_small_one(self) -> None:
        data = json.dumps(DESCRIPTION).encode()
        assert describe(Path("a.onnx"), data) == Voice(Path("a.onnx"), 22_050, 1.0, 1, {})

    def test_a_whole_one(self) -> None:
        more = {"speaker_id_map": {"x": 0}, "inference": {"length_scale": 1.5}, "phoneme_type": "text"}
        found = describe(Path("a.onnx"), json.dumps(DESCRIPTION | more).encode())
        assert found == Voice(Path("a.onnx"), 22_050, 1.5, 1, {"x": 0})

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\xff",
            b"[]",
            b"{}",
            b'{"audio": 5, "num_speakers": 1}',
            b'{"audio": {"sample_rate": "x"}, "num_speakers": 1}',
            b'{"audio": {"sample_rate": 0}, "num_speakers": 1}',
            b'{"audio": {"sample_rate": 16000}, "num_speakers": 1, "inference": {"length_scale": 0}}',
            b'{"audio": {"sample_rate": 16000}, "num_speakers": 1, "speaker_id_map": {"a": null}}',
        ],
    )
    def test_one_that_is_none(self, data: bytes) -> None:
        with pytest.raises(
            ProviderError, match=r"a.onnx.json describes no voice .*: fetch it again"
        ) as caught:
            describe(Path("a.onnx"), data)
        assert (caught.value.code, caught.value.retry) == (500, False)

    def test_phonemes_that_need_more(self) -> None:
        data = json.dumps(DESCRIPTION | {"phoneme_type": "pinyin"}).encode()
        with pytest.raises(ProviderError, match="of the kind 'pinyin': not offered") as caught:
            describe(Path("a.onnx"), data)
        assert caught.value.code == 501


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Piper]:
    pipervoice.write(tmp_path / "amy.onnx")
    pipervoice.write(tmp_path / "many" / "v.onnx", rate=22_050, speakers=3, phonemes="espeak")
    async with aiohttp.ClientSession() as http:
        made = Piper(Context(http, tmp_path))
        try:
            yield made
        finally:
            await made.close()


async def texts(*parts: str) -> AsyncIterator[str]:
    for part in parts:
        yield part


async def spoken(provider: Synthesiser, *parts: str, **fields: Any) -> list[bytes]:
    given = option(**fields)
    provider.check(given)
    rate = provider.rate(given, 8000)
    async with aclosing(provider.synthesise(given, texts(*parts), rate)) as pieces:
        return [piece async for piece in pieces if isinstance(piece, bytes)]


def samples(pieces: list[bytes]) -> int:
    return sum(map(len, pieces)) // 2


def pitch(piece: bytes, rate: int) -> float:
    wave = np.frombuffer(piece, "<i2").astype(np.float64)
    strength = np.abs(np.fft.rfft(wave * np.hanning(wave.size), 1 << 16))
    return float(np.argmax(strength)) * rate / (1 << 16)


def peak(pieces: list[bytes]) -> int:
    return int(np.abs(np.frombuffer(b"".join(pieces), "<i2").astype(np.int32)).max())


class TestSpeech:
    """Through the child process and the real package."""

    async def test_the_text_in_parts(self, provider: Piper) -> None:
        pieces = await spoken(provider, "abc", "de", model="amy")
        assert samples(pieces) == SAMPLES * ids(5)
        assert pitch(pieces[0], 16_000) == pytest.approx(TONE, abs=2)

    async def test_each_sentence_comes_for_itself(self, provider: Piper) -> None:
        pieces = await spoken(provider, "Hello there. How are you? Fine.", speaker="many")
        assert len(pieces) == 3

    async def test_speed_and_volume(self, provider: Piper) -> None:
        fast = await spoken(provider, "abc", model="amy", speed=2, volume=2.5)
        assert samples(fast) == SAMPLES * ids(3) // 2
        assert peak(fast) == pytest.approx(32767 / 2, abs=2)
        assert peak(await spoken(provider, "abc", model="amy")) == 32767
        assert peak(await spoken(provider, "abc", model="amy", volume=0)) == 0

    async def test_a_speaker(self, provider: Piper) -> None:
        [first] = await spoken(provider, "Hello", model="many")
        [third] = await spoken(provider, "Hello", model="many", speaker="speaker2")
        assert pitch(first, 22_050) == pytest.approx(TONE, abs=2)
        assert pitch(third, 22_050) == pytest.approx(TONE + 2 * STEP, abs=2)

    async def test_the_rate_is_that_of_the_voice(self, provider: Piper) -> None:
        assert provider.rate(option(model="amy"), 8000) == 16_000
        assert provider.rate(option(model="many"), 16_000) == 22_050

    @pytest.mark.parametrize("text", ["", " ", "\n"])
    async def test_nothing_to_say(self, text: str, provider: Piper) -> None:
        assert await spoken(provider, text, model="many") == []

    async def test_what_the_voice_cannot_write_is_left_out(self, provider: Piper) -> None:
        assert samples(await spoken(provider, "a\ud800漢字", model="amy")) > 0

    async def test_the_voice_is_loaded_once(self, provider: Piper) -> None:
        await spoken(provider, "a", model="amy")
        before = hosts(provider)
        await spoken(provider, "b", model="amy", speed=2)
        assert hosts(provider) == before
        assert len(before) == 1
        await spoken(provider, "b", model="many")
        assert len(hosts(provider)) == 2

    async def test_closing_ends_the_processes(self, provider: Piper) -> None:
        await spoken(provider, "a", model="amy")
        [pid] = hosts(provider)
        await provider.close()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    async def test_a_text_that_is_given_up(self, provider: Piper) -> None:
        given = option(model="many")
        pieces = provider.synthesise(given, texts("Hello there. How are you? Fine."), 22_050)
        assert await anext(pieces)
        await pieces.aclose()
        assert samples(await spoken(provider, "Hello", model="many")) > 0

    async def test_a_voice_that_cannot_be_loaded(self, provider: Piper, tmp_path: Path) -> None:
        pipervoice.write(tmp_path / "broken.onnx")
        (tmp_path / "broken.onnx").write_bytes(b"no model")
        with pytest.raises(
            ProviderError, match=r"piper: the voice broken.onnx cannot be loaded \(\w+\)"
        ) as caught:
            await spoken(provider, "a", model="broken")
        assert (caught.value.code, caught.value.retry) == (500, False)


def hosts(provider: Piper) -> list[int]:
    return [pid for host in provider._hosts.values() for pid in host.pids]


class TestCheck:
    """What is refused before anything is begun."""

    def check(self, provider: Piper, **fields: Any) -> ProviderError:
        with pytest.raises(ProviderError) as caught:
            provider.check(option(**fields))
        assert not caught.value.retry
        return caught.value

    async def test_no_voice(self, provider: Piper) -> None:
        error = self.check(provider)
        assert (str(error), error.code) == (
            "piper: no voice is named: set model to one in speech.models",
            400,
        )

    async def test_a_voice_that_is_not_there(self, provider: Piper) -> None:
        assert self.check(provider, model="bob").code == 404

    async def test_a_voice_without_description(self, provider: Piper, tmp_path: Path) -> None:
        (tmp_path / "amy.onnx.json").unlink()
        error = self.check(provider, model="amy")
        assert "the voice 'amy' has no amy.onnx.json beside it" in str(error)
        assert error.code == 404

    async def test_no_package(self, provider: Piper, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
        error = self.check(provider, model="amy")
        assert (str(error), error.code) == (
            "piper: its package is not installed: pip install 'sidecall[piper]'",
            501,
        )

    def test_the_package_is_not_needed_to_load_the_module(self) -> None:
        assert not hasattr(piper, "PiperVoice")
