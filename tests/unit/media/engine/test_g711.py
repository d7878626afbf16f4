"""G.711 tables against the standard's segments, worked out sample by sample."""

from bisect import bisect_right

import numpy as np
import pytest

from media.engine import g711
from media.engine.arrays import Bytes, Pcm

SAMPLES = np.arange(-32768, 32768)


def ulaw_value(code: int) -> int:
    """Value of a mu-law byte (G.711 table 2), scaled from 14 to 16 bits."""
    code ^= 0xFF
    segment, step = code >> 4 & 7, code & 15
    value = ((2 * step + 33 << segment) - 33) * 4
    return -value if code & 0x80 else value


def alaw_value(code: int) -> int:
    """Value of an A-law byte (G.711 table 1), scaled from 13 to 16 bits."""
    code ^= 0x55
    segment, step = code >> 4 & 7, code & 15
    value = (2 * step + 1 if segment == 0 else 2 * step + 33 << segment - 1) * 8
    return value if code & 0x80 else -value


ULAW_EDGES = [max(0, ((2 * step + 32) << segment) - 33) * 4 for segment in range(8) for step in range(16)]
"""Decision values of mu-law (G.711 table 2, column 3) in 16 bits: where each positive code begins."""
ALAW_EDGES = [
    (2 * step if segment == 0 else (2 * step + 32) << segment - 1) * 8
    for segment in range(8)
    for step in range(16)
]
"""Decision values of A-law (G.711 table 1, column 3) in 16 bits."""


def encoded(table: Bytes, sample: int) -> int:
    return int(table[sample & 0xFFFF])


def test_decoding_follows_the_formula() -> None:
    assert [int(value) for value in g711.ULAW_DECODE] == [ulaw_value(code) for code in range(256)]
    assert [int(value) for value in g711.ALAW_DECODE] == [alaw_value(code) for code in range(256)]


def test_encoding_follows_the_decision_values() -> None:
    for sample in range(-32768, 32768):
        sign = 0 if sample < 0 else 0x80
        step = bisect_right(ULAW_EDGES, abs(sample)) - 1
        assert encoded(g711.ULAW_ENCODE, sample) == sign | ~step & 0x7F
        # A-law has no zero: its negative half begins at -1.
        step = bisect_right(ALAW_EDGES, sample if sample >= 0 else -1 - sample) - 1
        assert encoded(g711.ALAW_ENCODE, sample) == (sign | step) ^ 0x55


@pytest.mark.parametrize(
    ("table", "sample", "code"),
    [
        (g711.ULAW_ENCODE, 0, 0xFF),
        (g711.ULAW_ENCODE, -1, 0x7F),
        (g711.ULAW_ENCODE, 32767, 0x80),
        (g711.ULAW_ENCODE, -32768, 0x00),
        (g711.ULAW_ENCODE, 8158 * 4, 0x80),
        (g711.ULAW_ENCODE, 4063 * 4, 0x8F),
        (g711.ULAW_ENCODE, 4063 * 4 - 1, 0x90),
        (g711.ULAW_ENCODE, 30 * 4, 0xF0),
        (g711.ALAW_ENCODE, 0, 0xD5),
        (g711.ALAW_ENCODE, -1, 0x55),
        (g711.ALAW_ENCODE, 32767, 0xAA),
        (g711.ALAW_ENCODE, -32768, 0x2A),
        (g711.ALAW_ENCODE, 2048 * 8, 0xA5),
        (g711.ALAW_ENCODE, 1032 * 8, 0xB5),
    ],
)
def test_known_codes(table: Bytes, sample: int, code: int) -> None:
    assert encoded(table, sample) == code


@pytest.mark.parametrize(
    ("encode", "decode"),
    [(g711.ULAW_ENCODE, g711.ULAW_DECODE), (g711.ALAW_ENCODE, g711.ALAW_DECODE)],
)
class TestBothLaws:
    def test_every_code_survives(self, encode: Bytes, decode: Pcm) -> None:
        again = encode[decode.view(np.uint16)]
        same = again == np.arange(256)
        # Mu-law has two zeros; a sample cannot tell them apart.
        assert [int(code) for code in np.flatnonzero(~same)] in ([], [0x7F])
        assert (decode[again] == decode).all()

    def test_encoding_is_monotonic(self, encode: Bytes, decode: Pcm) -> None:
        assert (np.diff(decode[encode[SAMPLES & 0xFFFF]].astype(np.int64)) >= 0).all()

    def test_sign_is_symmetric(self, encode: Bytes, decode: Pcm) -> None:
        assert (decode[:128] == -decode[128:]).all()
        inner = np.arange(1, 32768, 2)
        assert (encode[inner] ^ 0x80 == encode[-inner & 0xFFFF]).all()


@pytest.mark.parametrize("laws", [[False, False, False], [True, True, True], [True, False, True]])
def test_rows_are_coded_by_their_own_law(laws: list[bool]) -> None:
    pcm = np.random.default_rng(1).integers(-32768, 32768, (3, 160)).astype(np.int16)
    alaw = np.array(laws)
    code = g711.encode(pcm, alaw, np.full((3, 160), 0, np.uint8))
    back = g711.decode(code, alaw, np.full((3, 160), 0, np.int16))
    for row, is_alaw in enumerate(laws):
        encode = g711.ALAW_ENCODE if is_alaw else g711.ULAW_ENCODE
        decode = g711.ALAW_DECODE if is_alaw else g711.ULAW_DECODE
        assert (code[row] == encode[pcm[row].view(np.uint16)]).all()
        assert (back[row] == decode[code[row]]).all()


def test_silence_bytes() -> None:
    assert encoded(g711.ULAW_ENCODE, 0) == g711.SILENCE_ULAW
    assert encoded(g711.ALAW_ENCODE, 0) == g711.SILENCE_ALAW
