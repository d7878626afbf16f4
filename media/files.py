"""Audio files: from bytes to samples, and local files from one folder only.

Everything here blocks and is to be called in a thread.
"""

import io
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from control.errors import AudioFileError

MAX_SECONDS = 1800
"""Longest file, about 29 MB of samples at 8 kHz."""
MAX_CHANNELS = 8
RATES = range(4000, 192_001)
"""Hz."""
_BLOCK = 65_536
"""Frames decoded at a time."""


def load(data: bytes, sample_rate: int = 8000, *, max_seconds: float = MAX_SECONDS) -> npt.NDArray[np.int16]:
    """Decode an audio file to mono PCM at `sample_rate` Hz; channels are averaged. Raises AudioFileError.

    Whatever libsndfile reads: WAV, MP3, Ogg Vorbis and Opus, FLAC, AIFF, AU ...
    """
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            return _decode(file, sample_rate, max_seconds)
    except (soundfile.SoundFileError, ValueError) as error:
        what = "is empty" if not data else "cannot be read; use WAV, MP3, Ogg or FLAC"
        raise AudioFileError(f"the audio file {what}", 415) from error


def _decode(file: soundfile.SoundFile, sample_rate: int, max_seconds: float) -> npt.NDArray[np.int16]:
    if file.channels > MAX_CHANNELS:
        raise AudioFileError(f"the audio file has {file.channels} channels, {MAX_CHANNELS} are the most", 415)
    if file.samplerate not in RATES:
        raise AudioFileError(
            f"the audio file has {file.samplerate} Hz; {RATES[0]} to {RATES[-1]} Hz can be played", 415
        )
    resampler = None
    if file.samplerate != sample_rate:
        resampler = soxr.ResampleStream(file.samplerate, sample_rate, 1, dtype="float32", quality="HQ")
    parts: list[npt.NDArray[np.int16]] = []
    frames, last = 0, False
    while not last:
        block = file.read(_BLOCK, dtype="float32", always_2d=True)
        frames += len(block)
        # Counted here: the length in a file's header may be a lie.
        if frames > max_seconds * file.samplerate:
            raise AudioFileError(f"the audio file is longer than {max_seconds:g} s", 413)
        last = len(block) < _BLOCK
        mono = np.clip(np.nan_to_num(block), -1.0, 1.0).mean(axis=1)
        if resampler is not None:
            mono = resampler.resample_chunk(mono, last=last)
        parts.append(np.rint(np.clip(mono * 32768.0, -32768, 32767)).astype(np.int16))
    return np.concatenate(parts)


class LocalFiles:
    """Files under one folder; no name leads out of it, neither by ``..`` nor by a link."""

    def __init__(self, root: Path, max_bytes: int = 20_000_000) -> None:
        self._root = root
        self._max_bytes = max_bytes

    def resolve(self, name: str) -> Path:
        """The file called `name`, relative to the folder (or absolute inside it). Raises AudioFileError."""
        missing = f"there is no sound {name[:100]!r}"
        if self._leads_out(name):
            raise AudioFileError(f"{missing}: it would lie outside the folder of sounds", 403)
        try:
            root = self._root.resolve(strict=True)
            path = (root / name).resolve(strict=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise AudioFileError(missing, 404) from error
        # One answer for what is missing and what a link leads to: nobody learns what this machine has.
        if not path.is_relative_to(root) or not path.is_file():
            raise AudioFileError(missing, 404)
        return path

    def _leads_out(self, name: str) -> bool:
        """Whether `name` itself, whatever there is on this machine, is a path out of the folder."""
        root = self._root.absolute()
        path = Path(os.path.normpath(root / name))
        return not any(path.is_relative_to(folder) for folder in (root, root.resolve()))

    def read(self, name: str) -> bytes:
        """The content of the file called `name`. Raises AudioFileError."""
        path = self.resolve(name)
        try:
            with path.open("rb") as file:
                data = file.read(self._max_bytes + 1)
        except OSError as error:
            raise AudioFileError(f"the sound {name[:100]!r} cannot be read: {error.strerror}") from error
        if len(data) > self._max_bytes:
            raise AudioFileError(f"the sound {name[:100]!r} is larger than {self._max_bytes} bytes", 413)
        return data

    def version(self, name: str) -> tuple[str, int, int]:
        """What changes when the file called `name` does: path, time and size. Raises AudioFileError."""
        path = self.resolve(name)
        try:
            status = path.stat()
        except OSError as error:
            raise AudioFileError(f"the sound {name[:100]!r} cannot be read: {error.strerror}") from error
        return str(path), status.st_mtime_ns, status.st_size
