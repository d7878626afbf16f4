"""The child of `piper`: one voice, any number of streams. Needs the package piper-tts (GPL-3.0)."""

import json
import logging
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as states
from piper import AudioChunk, PiperConfig, PiperVoice, SynthesisConfig

from media.speech.local.engine import (
    Data,
    Done,
    Engine,
    Failed,
    Parameters,
    ProviderError,
    Report,
    Settings,
)

# onnxruntime's errors have no base of their own.
_ERRORS: tuple[type[Exception], ...] = tuple(
    each for each in vars(states).values() if isinstance(each, type) and issubclass(each, Exception)
)
_WRONG: tuple[type[Exception], ...] = (
    *_ERRORS,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
)
"""What the package raises when a voice is not what it should be."""
_UNLOADABLE: tuple[type[Exception], ...] = (*_WRONG, OSError)


@dataclass(slots=True)
class _Work:
    """A stream."""

    config: SynthesisConfig
    text: bytearray = field(default_factory=bytearray)
    """UTF-8, so far."""
    audio: Iterator[AudioChunk] = iter(())
    """Sentence by sentence, made when it is asked for."""


class PiperEngine(Engine):
    """Settings: ``voice``, the path of its .onnx. Parameters of a stream: those of piper's SynthesisConfig.

    What goes in is UTF-8; the text is spoken when it is complete. Streams take turns, a sentence each.
    """

    def __init__(self, settings: Settings) -> None:
        # A letter that the voice does not know would be a line in the log each time.
        logging.getLogger("piper").setLevel(logging.ERROR)
        path = Path(settings["voice"])
        try:
            self._voice = _load(path)
        except _UNLOADABLE as error:
            raise ProviderError(
                f"the voice {path.name} cannot be loaded ({type(error).__name__}): fetch it again",
                500,
                retry=False,
            ) from error
        self._works: dict[int, _Work] = {}
        self._ready: deque[int] = deque()
        """Streams that have something to say, in the order of their turns."""
        self._held: set[int] = set()

    @property
    def busy(self) -> bool:
        """Whether there is a sentence that may be spoken."""
        return any(stream not in self._held for stream in self._ready)

    def open(self, stream: int, parameters: Parameters) -> None:
        """Begin a text."""
        self._works[stream] = _Work(SynthesisConfig(**parameters))

    def data(self, stream: int, data: bytes) -> None:
        """Take a part of it."""
        self._works[stream].text += data

    def finish(self, stream: int) -> None:
        """Let it be spoken."""
        work = self._works[stream]
        work.audio = iter(self._voice.synthesize(work.text.decode("utf-8", "replace"), work.config))
        self._ready.append(stream)

    def cancel(self, stream: int) -> None:
        """Forget it."""
        del self._works[stream]
        self._held.discard(stream)
        if stream in self._ready:
            self._ready.remove(stream)

    def hold(self, stream: int, *, held: bool) -> None:
        """Leave it out, or let it have its turn again."""
        (self._held.add if held else self._held.discard)(stream)

    def step(self) -> Iterable[Report]:
        """Speak the next sentence of the next stream."""
        stream = next((stream for stream in self._ready if stream not in self._held), None)
        return () if stream is None else [self._speak(stream)]

    def _speak(self, stream: int) -> Report:
        try:
            chunk = next(self._works[stream].audio, None)
        except _WRONG as error:
            self.cancel(stream)
            return Failed(stream, f"the voice cannot say this ({type(error).__name__})", 500, retry=False)
        if chunk is None:
            self.cancel(stream)
            return Done(stream)
        self._ready.remove(stream)
        self._ready.append(stream)
        return Data(stream, chunk.audio_int16_bytes)


def _load(path: Path) -> PiperVoice:
    config = PiperConfig.from_dict(json.loads(path.with_name(f"{path.name}.json").read_bytes()))
    options = onnxruntime.SessionOptions()
    # The number of processes bounds the cores that are used.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return PiperVoice(session=session, config=config)
