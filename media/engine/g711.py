"""G.711 mu-law and A-law by table; the tables are computed from the standard's segments.

Both laws code sign, three bits of segment and four bits of step. Sample values are scaled to 16 bits:
mu-law (14 bit) by 4, A-law (13 bit) by 8. On the wire mu-law inverts all bits, A-law the even ones
(0x55), and in both a set sign bit means positive.
"""

import numpy as np

from media.engine.arrays import Bytes, Mask, Pcm

_BIAS = 33 << 2
"""Mu-law adds 33 (14-bit scale) before the segment is chosen, so that segment edges are powers of two."""
_CLIP = 8158 << 2
"""Largest mu-law magnitude that is not cut off (14-bit scale: 8158)."""

SILENCE_ULAW, SILENCE_ALAW = 0xFF, 0xD5


def _ulaw_decode() -> Pcm:
    code = ~np.arange(256, dtype=np.uint8)
    segment, step = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    magnitude = (((step << 3) + _BIAS) << segment) - _BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_decode() -> Pcm:
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    segment, step = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    low = (step << 4) + 8
    magnitude = np.where(segment == 0, low, (low + 256) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _segment(value: np.ndarray[tuple[int], np.dtype[np.int32]], first: int) -> Bytes:
    """Number of the highest set bit above bit `first`: the segment, 0..7."""
    edges = 1 << np.arange(first + 1, first + 8)
    return np.searchsorted(edges, value, side="right").astype(np.uint8)


def _ulaw_encode() -> Bytes:
    sample = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    magnitude = np.minimum(np.abs(sample), _CLIP) + _BIAS
    segment = _segment(magnitude, 7)
    code = segment << 4 | (magnitude >> (segment + 3) & 15).astype(np.uint8)
    return ~np.where(sample < 0, code | 0x80, code).astype(np.uint8)


def _alaw_encode() -> Bytes:
    sample = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    magnitude = np.where(sample < 0, ~sample, sample)
    segment = _segment(magnitude, 7)
    code = segment << 4 | (magnitude >> np.maximum(segment + 3, 4) & 15).astype(np.uint8)
    return np.where(sample < 0, code, code | 0x80).astype(np.uint8) ^ np.uint8(0x55)


ULAW_DECODE, ALAW_DECODE = _ulaw_decode(), _alaw_decode()
"""int16 (256,): sample of each byte."""
ULAW_ENCODE, ALAW_ENCODE = _ulaw_encode(), _alaw_encode()
"""uint8 (65536,): byte of each sample, indexed by the sample seen as uint16."""


def decode(payload: Bytes, alaw: Mask, out: Pcm) -> Pcm:
    """Decode uint8 (n, samples) into int16 `out` of the same shape; `alaw` (n,) tells the law of each row."""
    if not alaw.any():
        return np.take(ULAW_DECODE, payload, out=out, mode="clip")
    if alaw.all():
        return np.take(ALAW_DECODE, payload, out=out, mode="clip")
    out[alaw] = ALAW_DECODE.take(payload[alaw])
    out[~alaw] = ULAW_DECODE.take(payload[~alaw])
    return out


def encode(pcm: Pcm, alaw: Mask, out: Bytes) -> Bytes:
    """Encode int16 (n, samples) into uint8 `out` of the same shape; `alaw` (n,) tells the law of each row."""
    code = pcm.view(np.uint16)
    if not alaw.any():
        return np.take(ULAW_ENCODE, code, out=out, mode="clip")
    if alaw.all():
        return np.take(ALAW_ENCODE, code, out=out, mode="clip")
    out[alaw] = ALAW_ENCODE.take(code[alaw])
    out[~alaw] = ULAW_ENCODE.take(code[~alaw])
    return out
