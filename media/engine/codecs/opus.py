"""Opus (RFC 6716, RFC 7587) by libopus: any packet in, as mono at the coder's rate; mono voice of 20 ms out.

Functions and constants: libopus' ``opus.h`` and ``opus_defines.h``.
"""

from ctypes import c_char_p, c_int, c_int32, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from control.errors import MediaError
from media.engine.arrays import Bytes, Pcm
from media.engine.codecs.base import MAX_MS, MAX_PACKET, Payload, load

_OK = 0
_MONO = 1
_APPLICATION_VOIP = 2048
_SIGNAL_VOICE = 3001
_SET_BITRATE, _SET_VBR, _SET_COMPLEXITY = 4002, 4006, 4010
_SET_INBAND_FEC, _SET_PACKET_LOSS_PERC, _SET_SIGNAL = 4012, 4014, 4024
ECONOMY = 1
"""Complexity while work is to be saved."""
_UNITS_PER_SECOND = 400
"""The shortest frame is 2.5 ms; all others are multiples of it."""
_MAX_UNITS = MAX_MS * _UNITS_PER_SECOND // 1000
_ARBITRARY = 3
"""Frame count code for which a second byte holds the number of frames (RFC 6716 section 3.2.5)."""


def _frame_units(config: int) -> int:
    """Duration of a frame by the upper five bits of the first byte (RFC 6716 table 2)."""
    if config < 12:
        return (4, 8, 16, 24)[config & 3]
    if config < 16:
        return (4, 8)[config & 1]
    return 1 << (config & 3)


_FRAME_UNITS = tuple(_frame_units(toc >> 3) for toc in range(256))
_PACKET_UNITS = tuple(
    0 if toc & 3 == _ARBITRARY else units << (toc & 3 > 0) for toc, units in enumerate(_FRAME_UNITS)
)
"""Duration of a packet by its first byte; 0 where the second one decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpusOptions:
    """How to encode."""

    bitrate: int = 24_000
    """Bits per second."""
    complexity: int = 5
    """0 (cheap) to 10 (good)."""
    variable: bool = True
    """Whether packets are as long as the sound needs (VBR), or all the same (CBR)."""
    fec: bool = True
    """Whether packets may carry the frame before once more, coarsely; they do while loss is expected."""


@cache
def library() -> Any:
    """The library with its functions declared; raises SetupError when it is missing."""
    size, pcm = (c_int, [c_int]), c_void_p
    return load(
        "libopus.so.0",
        "libopus0",
        {
            "opus_decoder_get_size": size,
            "opus_encoder_get_size": size,
            "opus_decoder_init": (c_int, [c_void_p, c_int32, c_int]),
            "opus_encoder_init": (c_int, [c_void_p, c_int32, c_int, c_int]),
            "opus_encoder_ctl": (c_int, [c_void_p, c_int, c_int]),
            "opus_decode": (c_int, [c_void_p, c_char_p, c_int32, pcm, c_int, c_int]),
            "opus_encode": (c_int32, [c_void_p, pcm, c_int, c_void_p, c_int32]),
        },
    )


class Opus:
    """A `Coder`. Raises SetupError when the library is missing, MediaError when it refuses a rate or an option."""

    def __init__(self, rate: int, options: OpusOptions | None = None) -> None:
        libopus = library()
        self._unit, self._frame = rate // _UNITS_PER_SECOND, rate // 50
        self._decode, self._encode, self._control = (
            libopus.opus_decode,
            libopus.opus_encode,
            libopus.opus_encoder_ctl,
        )
        # libopus keeps no other memory than this: nothing is to be freed.
        self._states = [
            np.zeros(libopus.opus_decoder_get_size(_MONO), np.uint8),
            np.zeros(libopus.opus_encoder_get_size(_MONO), np.uint8),
        ]
        self._decoder, self._encoder = (state.ctypes.data for state in self._states)
        status = libopus.opus_decoder_init(self._decoder, rate, _MONO)
        status = status or libopus.opus_encoder_init(self._encoder, rate, _MONO, _APPLICATION_VOIP)
        if status != _OK:
            raise MediaError(f"libopus has no coder at {rate} Hz (status {status}): use 8000 or 16000")
        self._configure(options or OpusOptions())
        self._out: Pcm = np.zeros(rate * MAX_MS // 1000, np.int16)
        self._in: Pcm = np.zeros(self._frame, np.int16)
        self._packet: Bytes = np.zeros(MAX_PACKET, np.uint8)
        self._out_at, self._in_at = self._out.ctypes.data, self._in.ctypes.data
        self._packet_at = self._packet.ctypes.data
        self.errors = 0

    def _configure(self, options: OpusOptions) -> None:
        self._set(_SET_SIGNAL, _SIGNAL_VOICE, "signal")
        self._set(_SET_BITRATE, options.bitrate, "bitrate")
        self._complexity = options.complexity
        self._set(_SET_COMPLEXITY, options.complexity, "complexity")
        self._set(_SET_VBR, int(options.variable), "variable")
        self._set(_SET_INBAND_FEC, int(options.fec), "fec")

    def _set(self, request: int, value: int, name: str) -> None:
        status = self._control(self._encoder, request, value)
        if status != _OK:
            raise MediaError(f"libopus refuses {name} {value} (status {status}): see OpusOptions")

    def expect_loss(self, percent: int) -> None:
        """Prepare what is encoded for `percent` of it being lost; 0, as at first: without FEC.

        At 24 kbit/s libopus begins to repeat frames at about 10 percent.
        """
        self._set(_SET_PACKET_LOSS_PERC, min(100, max(0, percent)), "expected loss")

    def economise(self, *, on: bool) -> None:
        """Encode at half the cost and a little worse (half a decibel), or as the options have it again."""
        complexity = min(ECONOMY, self._complexity) if on else self._complexity
        self._set(_SET_COMPLEXITY, complexity, "complexity")

    def decode(self, payload: Payload) -> Pcm:
        """As `Coder.decode`; a malformed packet lasts as long as it says, or 20 ms.

        A packet of one byte (DTX) gives comfort noise.
        """
        data = bytes(payload)
        count = self._decode_into(data, len(self._out), 0) if data else 0
        if count > 0:
            return self._out[:count]
        self.errors += 1
        return self.conceal(self.samples(data) or self._frame)

    def conceal(self, samples: int, following: Payload | None = None) -> Pcm:
        """As `Coder.conceal`: what `following` repeats of the lost packet, otherwise a continuation."""
        samples = min(samples, len(self._out))
        count = 0
        if following is not None and len(following):
            # Where the packet repeats nothing, or not all, libopus continues the sound.
            count = self._decode_into(bytes(following), samples, 1)
        if count <= 0:
            count = self._decode_into(None, samples, 0)
        if count <= 0:
            self._out[:samples] = 0
        return self._out[:samples]

    def _decode_into(self, data: bytes | None, room: int, fec: int) -> int:
        """Samples decoded; below 0: an error."""
        size = len(data) if data else 0
        count: int = self._decode(self._decoder, data, size, self._out_at, room, fec)
        return count

    def encode(self, frame: Pcm) -> bytes:
        """As `Coder.encode`."""
        self._in[:] = frame
        size = self._encode(self._encoder, self._in_at, self._frame, self._packet_at, MAX_PACKET)
        if size <= 0:
            self.errors += 1
            return b""
        return self._packet[:size].tobytes()

    def samples(self, payload: Payload) -> int:
        """As `Coder.samples`: by the first two bytes (RFC 6716 section 3.1)."""
        size = len(payload)
        if not size:
            return 0
        first = int(payload[0])
        units = _PACKET_UNITS[first]
        if first & 3 == _ARBITRARY:
            units = (int(payload[1]) & 63) * _FRAME_UNITS[first] if size > 1 else 0
        return units * self._unit if units <= _MAX_UNITS else 0
