"""The engine of `sherpa`: one streaming recogniser, all streams decoded as one batch; runs in a child (see `local`)."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import sherpa_onnx

from media.speech.local.engine import Done, Engine, Parameters, Report, Settings, Told

RATE = 16_000
ENDPOINT = {
    "enable_endpoint_detection": True,
    "rule1_min_trailing_silence": 2.4,
    "rule2_min_trailing_silence": 0.7,
    "rule3_min_utterance_length": 20.0,
}
"""Seconds: silence without a word, silence after words, the longest utterance."""
_TAIL = RATE * 2 // 3
"""Silence after the last audio: a model looks that far ahead."""
_AFTER_TOKEN_MS = 200
"""A token is told with the time of its beginning."""


class SherpaEngine(Engine):
    """Settings: ``tokens``, and ``encoder``, ``decoder``, ``joiner`` (transducer) or ``ctc``: paths of files.

    Data is s16le at 16 kHz. Tells ``index, text, start, end, final``.
    """

    def __init__(self, settings: Settings) -> None:
        common: dict[str, Any] = {
            "tokens": settings["tokens"],
            "num_threads": 1,
            "sample_rate": RATE,
        } | ENDPOINT
        if "ctc" in settings:
            self._recogniser = sherpa_onnx.OnlineRecognizer.from_zipformer2_ctc(
                model=settings["ctc"], **common
            )
        else:
            parts = {name: settings[name] for name in ("encoder", "decoder", "joiner")}
            self._recogniser = sherpa_onnx.OnlineRecognizer.from_transducer(**parts, **common)
        self._streams: dict[int, _Stream] = {}

    @property
    def busy(self) -> bool:
        """Never: each step decodes all that there is."""
        return False

    def open(self, stream: int, parameters: Parameters) -> None:  # noqa: ARG002 there are none
        """Begin a stream."""
        self._streams[stream] = _Stream(self._recogniser)

    def data(self, stream: int, data: bytes) -> None:
        """Audio."""
        self._streams[stream].add(data)

    def finish(self, stream: int) -> None:
        """No more audio."""
        self._streams[stream].finish()

    def cancel(self, stream: int) -> None:
        """Forget the stream."""
        del self._streams[stream]

    def step(self) -> Iterable[Report]:
        """Decode all streams that have enough audio, again and again, until none has."""
        while ready := {number: each for number, each in self._streams.items() if each.ready}:
            self._recogniser.decode_streams([each.handle for each in ready.values()])
            for number, each in ready.items():
                for fields in each.told():
                    yield Told(number, fields)
        for number, each in list(self._streams.items()):
            if each.finished:
                for fields in each.last():
                    yield Told(number, fields)
                del self._streams[number]
                yield Done(number)


class _Stream:
    """One stream, whose text begins anew with each utterance."""

    def __init__(self, recogniser: Any) -> None:
        self._recogniser = recogniser
        self.handle = recogniser.create_stream()
        self.finished = False
        self._rest = b""
        self._samples = 0
        self._index = 0
        self._base = 0
        """ms of the stream at which the recogniser's times begin."""
        self._text = ""

    @property
    def ready(self) -> bool:
        """Whether there is enough audio for a step of the model."""
        return bool(self._recogniser.is_ready(self.handle))

    @property
    def _now(self) -> int:
        return self._samples * 1000 // RATE

    def add(self, data: bytes) -> None:
        """s16le, in any pieces."""
        data = self._rest + data
        whole = len(data) // 2 * 2
        self._rest = data[whole:]
        self._samples += whole // 2
        self.handle.accept_waveform(RATE, np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768)

    def finish(self) -> None:
        """Nothing follows."""
        self.handle.accept_waveform(RATE, np.zeros(_TAIL, np.float32))
        self.handle.input_finished()
        self.finished = True

    def told(self) -> Iterator[dict[str, Any]]:
        """What is new after a step; with an endpoint the text is final, and the next one begins."""
        over = bool(self._recogniser.is_endpoint(self.handle))
        yield from self._result(final=over)
        if over:
            self._recogniser.reset(self.handle)
            self._base = self._now
            self._text = ""

    def last(self) -> Iterator[dict[str, Any]]:
        """What is left when all is decoded."""
        yield from self._result(final=True)

    def _result(self, *, final: bool) -> Iterator[dict[str, Any]]:
        result = self._recogniser.get_result_all(self.handle)
        text = result.text.strip()
        if not text or (text == self._text and not final):
            return
        self._text = text
        times = [self._base + round(1000 * time) for time in result.timestamps] or [self._base]
        begin, end = min(times[0], self._now), min(times[-1] + _AFTER_TOKEN_MS, self._now)
        yield {"index": self._index, "text": text, "start": begin, "end": end, "final": final}
        self._index += final
