"""WAV files: the header, gaps, and that they can be read at any moment."""

import os
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from media.wav import HEADER, WavFile, header


def make(path: Path, rate: int = 8000, channels: int = 2) -> WavFile:
    return WavFile(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), rate, channels)


@given(st.sampled_from([8000, 16000]), st.integers(1, 2), st.lists(st.integers(-32768, 32767), max_size=50))
def test_others_read_what_was_written(rate: int, channels: int, samples: list[int]) -> None:
    samples = samples[: len(samples) // channels * channels]
    data = np.array(samples, np.int16)
    path = Path(f"/proc/self/fd/{os.memfd_create('wav')}")
    try:
        file = WavFile(int(path.name), rate, channels)
        file.write(0, data.tobytes())
        file.seal()
        with wave.open(str(path)) as read:
            assert (read.getframerate(), read.getnchannels(), read.getsampwidth()) == (rate, channels, 2)
            assert read.readframes(1000) == data.tobytes()
        heard, found = soundfile.read(path, dtype="int16", always_2d=True)
        assert found == rate
        np.testing.assert_array_equal(heard, data.reshape(-1, channels))
    finally:
        file.close()


def test_the_header_is_that_of_the_standard_library(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((2, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(400))
    assert (tmp_path / "a.wav").read_bytes()[:HEADER] == header(16000, 2, 100)


def test_what_was_left_out_is_silence(tmp_path: Path) -> None:
    file = make(tmp_path / "a.wav", channels=1)
    file.write(5, b"\1\0" * 3)
    file.write(0, b"\2\0")
    file.extend(4)
    assert file.frames == 8
    file.extend(12)
    file.seal()
    file.close()
    with wave.open(str(tmp_path / "a.wav")) as read:
        assert read.readframes(99) == b"\2\0" + bytes(8) + b"\1\0" * 3 + bytes(8)


def test_a_disk_that_takes_it_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: pwrite(fd, bytes(data)[:7], offset))
    file = make(tmp_path / "a.wav", channels=1)
    data = bytes(range(200))
    file.write(0, data)
    file.seal()
    file.close()
    assert (tmp_path / "a.wav").read_bytes() == header(8000, 1, 100) + data
