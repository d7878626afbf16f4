"""What keys sound in pieces of audio (ITU-T Q.24), for many streams at once as matrix products.

The Goertzel algorithm gives the spectrum at a few chosen frequencies; for all streams together that is a product
with a table of cosines and sines. Pieces are weighted with a Hann window: its side lobes are so low that the tones
of a key do not disturb each other's measurement, whatever their levels.
"""

import numpy as np
import numpy.typing as npt

from media.engine.arrays import Ints, Mask, Pcm
from media.engine.tones import HIGH, LOW, MILLIWATT

Floats = npt.NDArray[np.float32]
Phasors = npt.NDArray[np.complex64]

HOPS = 4
"""Measurements of a frame of 20 ms: one every 5 ms."""
NO_KEY = -1
LEVEL = -36.0
"""dBm0 below which a tone is not heard; AT&T wants -25 dBm0 heard (Q.24 table A.1), here of both tones."""
TWIST = (-10.0, 6.0)
"""dB by which the high tone may be louder than the low one: Q.24 wants -8 to +4 accepted."""
TOLERANCE = 0.022
"""Relative deviation of a frequency: 1.5 % must be accepted, 3.5 % rejected."""
SKEW = 0.035
"""What the two deviations may differ by: 3 % where both are at their limits, and 4 % where a voice passes for *: its
third and fourth harmonics are those tones, but for the ratio."""
SHARE = 0.88
"""Part of all power that the two tones must have; 15 dB of signal to noise leave 0.97."""
STEADY = 3.0
"""dB by which a tone's power may change within 5 ms."""
HARMONIC = -20.0
"""dB of the high tone's second harmonic, which voices have and keys have not, above both tones together."""
_SCREEN_SHARE, _SCREEN_SLACK = 0.55, 2.0
"""The first look takes more for a key: tones beside their frequency seem to be weaker."""

_BINS = np.linspace(0, 0.9, 91)
_RESPONSE = (np.sinc(_BINS) / (1 - _BINS**2)) ** 2
"""Power that a Hann window leaves of a sine so many bins (1 / its duration) beside the frequency measured."""


class KeyMeter:
    """Measures audio of one `rate` in pieces of 20 ms."""

    def __init__(self, rate: int) -> None:
        self._size = rate // 50
        self._hop = self._size // HOPS
        tones = np.array(LOW + HIGH)
        self._window: Floats = np.hanning(self._size + 1)[:-1].astype(np.float32)
        self._basis = _basis(np.concatenate([tones, 2 * tones[4:]]), self._size, rate)
        self._screen = np.concatenate([self._basis[:, :16:2], self._basis[:, 1:16:2]], axis=1)
        self._columns = self._basis.shape[1] // 2
        self._advance = np.exp(-2j * np.pi * tones * self._hop / rate).astype(np.complex64)
        # A key's tones turn by so much from piece to piece; what a radian more means; bins of a deviation of 1.
        self._per_radian = (rate / (2 * np.pi * self._hop) / tones).astype(np.float32)
        self._bins = (tones * (self._size / rate)).astype(np.float32)
        weights = self._window.astype(np.float64)
        # |spectrum|² of a sine, times this, is its energy under the window.
        self._gain = np.float32(2 * (weights**2).sum() / weights.sum() ** 2)
        self._level = np.float32((MILLIWATT * 10 ** (LEVEL / 20)) ** 2 / 2 * (weights**2).sum())

    def screen(self, frames: Pcm) -> Mask:
        """Which of `frames` int16 (n, frame) may hold a key: a first look, cheap and generous; bool (n,)."""
        samples = frames.astype(np.float32)
        samples *= self._window
        energy = np.einsum("ij,ij->i", samples, samples)
        spectrum = np.ascontiguousarray(np.matmul(samples, self._screen).T)
        spectrum *= spectrum
        power = spectrum[:8] + spectrum[8:]
        low, high = power[:4].max(axis=0), power[4:].max(axis=0)
        slack = _decibels(_SCREEN_SLACK)
        maybe: Mask = (low + high) * self._gain > energy * _SCREEN_SHARE
        maybe &= np.minimum(low, high) * self._gain > self._level / slack
        maybe &= (high > low * (_decibels(TWIST[0]) / slack)) & (high < low * (_decibels(TWIST[1]) * slack))
        return maybe

    def keys(self, samples: Pcm) -> Ints:
        """The key that sounds in each 20 ms that end 5, 10, 15 and 20 ms into a frame: int64 (n, HOPS).

        `samples` int16 (n, 2 * frame): the frame before, and the frame. Indices of KEYPAD, or NO_KEY.
        """
        weighted = np.empty((len(samples), HOPS + 1, self._size), np.float32)
        for piece in range(HOPS + 1):
            start = piece * self._hop
            np.multiply(samples[:, start : start + self._size], self._window, out=weighted[:, piece])
        energy = np.einsum("ijk,ijk->ij", weighted, weighted)[:, 1:]
        parts = np.matmul(weighted.reshape(-1, self._size), self._basis)
        spectrum: Phasors = parts.view(np.complex64).reshape(-1)
        power = _square(spectrum) * self._gain
        # Where the measurements of each piece begin, the first one of a frame left out: it only gives a phase.
        piece = self._columns * np.arange(len(samples) * (HOPS + 1)).reshape(-1, HOPS + 1)[:, 1:]
        low, low_power, low_off = self._strongest(spectrum, power, piece, 0)
        high, high_power, high_off = self._strongest(spectrum, power, piece, 4)
        both = low_power + high_power
        good = (both > energy * SHARE) & (np.abs(low_off - high_off) < SKEW)
        good &= (high_power > low_power * _decibels(TWIST[0])) & (
            high_power < low_power * _decibels(TWIST[1])
        )
        good &= power[piece + high + 4] < both * _decibels(HARMONIC)
        return np.where(good, 4 * low + high - 4, NO_KEY)

    def _strongest(
        self, spectrum: Phasors, power: Floats, piece: Ints, first: int
    ) -> tuple[Ints, Floats, Floats]:
        """The loudest tone of the group from `first` on in each piece; its power; relative deviation of its frequency.

        The frequency follows from how far the phase went on since the piece before. Power is 0 where it is no tone
        of a key.
        """
        which = power[piece[..., None] + np.arange(first, first + 4)].argmax(axis=2) + first
        now, before = piece + which, piece + which - self._columns
        turn = np.angle(spectrum[now] * spectrum[before].conj() * self._advance[which])
        off = turn * self._per_radian[which]
        loud, loud_before = power[now], power[before]
        change = _decibels(STEADY)
        good = (np.abs(off) < TOLERANCE) & (loud > self._level)
        good &= (loud < loud_before * change) & (loud_before < loud * change)
        bins = np.abs(off) * self._bins[which]
        return which, np.where(good, loud / np.interp(bins, _BINS, _RESPONSE), 0), off


def _basis(frequencies: npt.NDArray[np.int64], size: int, rate: int) -> Floats:
    """What samples are multiplied with to give a spectrum: float32 (size, 2 * frequencies), complex by pairs."""
    angle = 2 * np.pi * np.outer(np.arange(size), frequencies) / rate
    turning: Phasors = np.exp(-1j * angle).astype(np.complex64)
    return turning.view(np.float32)


def _square(value: Phasors) -> Floats:
    square: Floats = np.square(value.real) + np.square(value.imag)
    return square


def _decibels(value: float) -> np.float32:
    """A ratio of powers."""
    return np.float32(10 ** (value / 10))
