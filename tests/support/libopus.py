"""libopus for tests: what other senders encode, and what the library says of a packet."""

import ctypes
from typing import Any

import numpy as np

from media.engine.arrays import Pcm

VOIP, AUDIO, LOW_DELAY = 2048, 2049, 2051
_REQUESTS = {"bitrate": 4002, "bandwidth": 4008, "fec": 4012, "loss": 4014, "dtx": 4016, "signal": 4024}
WIDEBAND = 1103
_VOICE = 3001
_ROOM = 4000

_opus = ctypes.CDLL("libopus.so.0")
_opus.opus_encoder_create.restype = _opus.opus_repacketizer_create.restype = ctypes.c_void_p


def samples(packet: bytes, rate: int) -> int:
    """opus_packet_get_nb_samples; below 0: an error."""
    return int(_opus.opus_packet_get_nb_samples(packet, len(packet), rate))


class Encoder:
    """An encoder at `rate` with mono or stereo input."""

    def __init__(
        self, rate: int, channels: int = 1, *, bitrate: int = 32000, application: int = VOIP, **settings: int
    ) -> None:
        """`settings`: ``bandwidth``, ``fec``, ``loss``, ``dtx``."""
        self.rate, self.channels = rate, channels
        self._state = ctypes.c_void_p(_opus.opus_encoder_create(rate, channels, application, None))
        for name, value in ({"bitrate": bitrate, "signal": _VOICE} | settings).items():
            assert _opus.opus_encoder_ctl(self._state, _REQUESTS[name], value) == 0

    def __del__(self) -> None:
        _opus.opus_encoder_destroy(self._state)

    def encode(self, pcm: Pcm) -> bytes:
        """Encode int16 (samples,) or (samples, 2); one frame."""
        data = np.ascontiguousarray(pcm).tobytes()
        out = ctypes.create_string_buffer(_ROOM)
        size = _opus.opus_encode(self._state, data, len(pcm), out, _ROOM)
        assert size > 0
        return out.raw[:size]

    def stream(self, pcm: Pcm, ms: int) -> list[bytes]:
        """Packets of `ms`, 10 to 60, from as much of `pcm` as fills them; frames of 10 or 20 ms where it must be."""
        whole = ms if ms in {10, 20, 40, 60} else 10
        step = self.rate * whole // 1000
        frames = [self.encode(pcm[at : at + step]) for at in range(0, len(pcm) - step + 1, step)]
        per_packet = ms // whole
        groups = [frames[at : at + per_packet] for at in range(0, len(frames) - per_packet + 1, per_packet)]
        return [join(group) if per_packet > 1 else group[0] for group in groups]


def join(frames: list[bytes]) -> bytes:
    """Put packets of the same configuration into one (code 1, 2 or 3)."""
    state: Any = ctypes.c_void_p(_opus.opus_repacketizer_create())
    out = ctypes.create_string_buffer(_ROOM)
    try:
        for frame in frames:
            assert _opus.opus_repacketizer_cat(state, frame, len(frame)) == 0
        size = _opus.opus_repacketizer_out(state, out, _ROOM)
    finally:
        _opus.opus_repacketizer_destroy(state)
    assert size > 0
    return out.raw[:size]
