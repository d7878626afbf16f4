import io
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from control.errors import SpeechError
from media.speech.say import main, render
from media.speech.voice import Voice

ENGLISH = Voice("en-us")


def test_a_text_is_rendered_the_same_each_time() -> None:
    first, second = (render("Hello, this is a greeting.", ENGLISH, 8000) for _ in range(2))
    assert first.dtype == np.int16
    assert first.size > 8000
    assert np.array_equal(first, second)


def test_rate_and_voice_are_followed() -> None:
    assert render("Hello", ENGLISH, 16000).size == pytest.approx(
        2 * render("Hello", ENGLISH, 8000).size, abs=4
    )
    mute = render("-5 -- Hello\x00", Voice("de", speed=2.0, volume=0.0), 8000)
    assert mute.size > 1000
    assert not mute.any()


def test_an_empty_text_is_no_samples() -> None:
    assert render("", ENGLISH, 8000).size == 0


def test_an_unknown_voice_is_an_error() -> None:
    with pytest.raises(SpeechError, match="no voice 'xiaoyan'"):
        render("Hello", Voice("xiaoyan"), 8000)


def test_the_command_writes_a_file(tmp_path: Path) -> None:
    path = tmp_path / "hello.wav"
    assert main(["Hello", str(path), "--rate=16000"]) == 0
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
    assert info.frames > 4000


def test_the_command_writes_to_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["Hello"]) == 0
    out.flush()
    assert isinstance(out.buffer, io.BytesIO)
    assert soundfile.info(io.BytesIO(out.buffer.getvalue())).samplerate == 8000


def test_the_command_lists_voices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--voices"]) == 0
    assert "de              German\n" in capsys.readouterr().out


def test_the_command_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["Hello", "--speaker=xiaoyan"]) == 1
    assert "no voice 'xiaoyan'" in capsys.readouterr().err
