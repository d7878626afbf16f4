import io
import os
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from control.errors import AudioFileError
from media import files
from media.files import LocalFiles, load

Floats = npt.NDArray[np.float64]


def tone(rate: int, seconds: float = 1.0, hertz: float = 440.0) -> Floats:
    return np.asarray(0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate))


def encoded(samples: Floats, rate: int, kind: str = "WAV", subtype: str | None = None) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=kind, subtype=subtype)
    return out.getvalue()


def closeness(samples: npt.NDArray[np.int16], rate: int, seconds: float) -> float:
    """How much of `samples` is the tone (1.0: all), whatever its delay."""
    cut = samples[: round(rate * seconds)].astype(np.float64)
    turn = 2 * np.pi * 440 * np.arange(cut.size) / rate
    amplitude = np.hypot(cut @ np.sin(turn), cut @ np.cos(turn)) * 2 / cut.size
    return float(amplitude / 16384)


def test_a_wav_at_our_rate_is_taken_as_it_is() -> None:
    samples = np.arange(-32768, 32767, 7, dtype=np.int16)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())
    loaded = load(out.getvalue())
    assert loaded.dtype == np.int16
    assert np.array_equal(loaded, samples)


@pytest.mark.parametrize(
    ("kind", "subtype", "rate"),
    [
        ("WAV", "PCM_16", 44100),
        ("WAV", "PCM_U8", 8000),
        ("WAV", "PCM_24", 48000),
        ("WAV", "PCM_32", 16000),
        ("WAV", "FLOAT", 22050),
        ("WAV", "ULAW", 8000),
        ("WAV", "ALAW", 8000),
        ("MP3", None, 44100),
        ("OGG", "VORBIS", 44100),
        ("OGG", "OPUS", 48000),
        ("FLAC", None, 32000),
        ("AIFF", None, 11025),
        ("AU", None, 8000),
    ],
)
@pytest.mark.parametrize("target", [8000, 16000])
def test_formats(kind: str, subtype: str | None, rate: int, target: int) -> None:
    loaded = load(encoded(tone(rate), rate, kind, subtype), target)
    assert loaded.size == pytest.approx(target, rel=0.1)
    assert closeness(loaded, target, 0.9) == pytest.approx(1.0, abs=0.05)


def test_channels_are_averaged() -> None:
    left = tone(8000)
    stereo = np.stack([left, np.zeros_like(left)], axis=1)
    assert np.abs(load(encoded(stereo, 8000))).max() == pytest.approx(16384 / 2, abs=2)


def test_a_file_longer_than_a_block_has_no_seam() -> None:
    loaded = load(encoded(tone(44100, 5.0), 44100))
    expected = 16384 * np.sin(2 * np.pi * 440 * np.arange(loaded.size) / 8000)
    assert loaded.size == 40000
    assert np.abs(loaded[1000:-1000] - expected[1000:-1000]).max() < 30


def test_an_exact_number_of_blocks_is_read_to_its_end() -> None:
    assert load(encoded(np.zeros(2 * files._BLOCK), 8000)).size == 2 * files._BLOCK


def test_what_is_too_loud_or_no_number_is_cut() -> None:
    loaded = load(encoded(np.array([2.0, -2.0, np.inf, -np.inf, np.nan, 0.0]), 8000, subtype="FLOAT"))
    assert loaded.tolist() == [32767, -32768, 32767, -32768, 0, 0]


def test_a_file_without_samples_is_silence() -> None:
    assert load(encoded(np.zeros(0), 44100)).size == 0


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is empty"),
        (b"<html>not found</html>", "cannot be read; use WAV, MP3, Ogg or FLAC"),
        (b"RIFF\x00\x00\x00\x00WAVE", "cannot be read"),
    ],
)
def test_what_is_no_audio_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(AudioFileError, match=complaint):
        load(data)


def test_limits() -> None:
    with pytest.raises(AudioFileError, match=r"longer than 0\.5 s"):
        load(encoded(tone(8000), 8000), max_seconds=0.5)
    with pytest.raises(AudioFileError, match="9 channels, 8 are the most"):
        load(encoded(np.zeros((10, 9)), 8000))
    with pytest.raises(AudioFileError, match="has 1000 Hz; 4000 to 192000 Hz can be played"):
        load(encoded(np.zeros(10), 1000))


WAV = encoded(tone(8000, 0.05), 8000)
FLAC = encoded(tone(8000, 0.05), 8000, "FLAC")


@settings(deadline=None)
@given(st.sampled_from([WAV, FLAC]), st.integers(0, 200), st.binary(max_size=20), st.integers(0, 2000))
def test_damaged_files_are_read_or_refused(whole: bytes, at: int, patch: bytes, end: int) -> None:
    damaged = (whole[:at] + patch + whole[at + len(patch) :])[:end]
    try:
        samples = load(damaged)
    except AudioFileError:
        return
    assert samples.dtype == np.int16


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    root = tmp_path / "sounds"
    (root / "sub").mkdir(parents=True)
    (root / "hello.wav").write_bytes(b"hello")
    (root / "sub" / "moh.wav").write_bytes(b"moh")
    (root / "linked.wav").symlink_to(root / "hello.wav")
    (tmp_path / "secret.wav").write_bytes(b"secret")
    (root / "escape.wav").symlink_to(tmp_path / "secret.wav")
    (root / "out").symlink_to(tmp_path)
    (root / "loop").symlink_to(root / "loop")
    os.mkfifo(root / "pipe")
    return root


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("hello.wav", b"hello"),
        ("./sub/moh.wav", b"moh"),
        ("sub/../hello.wav", b"hello"),
        ("linked.wav", b"hello"),
    ],
)
def test_files_under_the_folder_are_read(sounds: Path, name: str, content: bytes) -> None:
    assert LocalFiles(sounds).read(name) == content
    assert LocalFiles(sounds).read(str(sounds / name)) == content


@pytest.mark.parametrize(
    "name",
    [
        "../secret.wav",
        "sub/../../secret.wav",
        "escape.wav",
        "out/secret.wav",
        "/etc/passwd",
        "~/secret.wav",
        "file:///etc/passwd",
        "missing.wav",
        "hello.wav/x",
        "",
        ".",
        "sub",
        "loop",
        "pipe",
        "a\x00b",
        "\ud800",
        "x" * 5000,
    ],
)
def test_everything_else_does_not_exist(sounds: Path, name: str) -> None:
    with pytest.raises(AudioFileError, match="there is no sound"):
        LocalFiles(sounds).read(name)


def test_a_folder_that_is_missing_has_no_sounds(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match=r"there is no sound 'hello\.wav'"):
        LocalFiles(tmp_path / "none").read("hello.wav")


def test_the_folder_itself_may_be_a_link(sounds: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(sounds)
    assert LocalFiles(link).read("hello.wav") == b"hello"
    assert LocalFiles(link).read(str(link / "hello.wav")) == b"hello"


def test_a_file_that_is_too_large_is_refused(sounds: Path) -> None:
    assert LocalFiles(sounds, max_bytes=5).read("hello.wav") == b"hello"
    with pytest.raises(AudioFileError, match="larger than 4 bytes"):
        LocalFiles(sounds, max_bytes=4).read("hello.wav")


def test_a_file_that_cannot_be_opened_is_an_error(sounds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AudioFileError, match=r"'hello\.wav' cannot be read: Permission denied"):
        LocalFiles(sounds).read("hello.wav")


@given(st.text(st.characters()))
def test_no_name_raises_anything_else(name: str) -> None:
    with pytest.raises(AudioFileError):
        LocalFiles(Path("/nonexistent")).resolve(name)
