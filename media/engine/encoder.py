"""The first part of Silero VAD: from the samples of a window to what its LSTM cell is fed with.

    samples → magnitudes of 4 spectra → 4 convolutions → 128 numbers

All is laid out feature by feature: a column is a window, so that weights are the left operand of each product and
every other operation runs over long contiguous rows. Three identities save work; none is an approximation:

- The window of the spectra is symmetric: cosines see x[n] + x[N - n], sines x[n] - x[N - n], half as many numbers.
- Neighbouring steps of the first convolution share a product: with taps A, B, C and steps x₀ to x₃,
  y₀ = B(x₀ + x₁) + (C - B)x₁ and y₁ = B(x₀ + x₁) + (A - B)x₀ + Cx₂; y₂ and y₃ are like them from the other end.
- x + |x| is twice the positive part of x; the weights behind it are halved.

Biases are columns of the weights, met by rows of ones.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from control.errors import SetupError
from media.engine.arrays import Pcm
from media.engine.onnx import Floats, Tensors

FEATURES = 128
"""Numbers for each window."""
BASIS = "stft.forward_basis_buffer"
"""Name of the tensor that holds cosines and sines of the spectra: (2 · bins, 1, size)."""
_SPECTRA = 4
_FIRST, _SECOND, _THIRD = 128, 64, 64
"""Filters of the convolutions; the last has FEATURES."""
_FULL_SCALE = 32768
_EXACT = 1e-7
"""How far the basis may be from windowed cosines and sines: as far as float32 is."""


class Encoder:
    """The weights of one network, and room for `rows` windows at once; raises SetupError when they do not fit."""

    def __init__(self, weights: Tensors, rows: int) -> None:
        self._cosine, self._sine = _spectrum(weights[BASIS][:, 0, :].astype(np.float64))
        self._hop = self._cosine.shape[1]
        self._begin_convolution(weights)
        early, late = _taps(weights, 1, slice(1, 3)), _taps(weights, 1, slice(0, 3))
        self._second = np.roll(early, 1, axis=1), late
        self._third = _taps(weights, 2, slice(1, 3))
        self._fourth = np.ascontiguousarray(_taps(weights, 3, slice(1, 2)).T)
        self._memory = _Memory(*(np.full(size * rows, 0, np.float32) for size in _sizes(self._hop)))
        self._views = _Views(self._memory, self._hop, 0)

    def _begin_convolution(self, weights: Tensors) -> None:
        weight = weights["encoder.0.reparam_conv.weight"].astype(np.float64)[:, _order(self._hop)]
        bias = weights["encoder.0.reparam_conv.bias"][:, None]
        left, middle, right = (weight[:, :, tap] for tap in range(3))
        self._shared = _matrix(middle, bias)
        self._outer = _matrix(right - middle), _matrix(left - middle)
        self._inner = _matrix(left - middle, right), _matrix(left, right - middle)

    def run(self, context: Pcm, window: Pcm, out: Floats) -> None:
        """Write twice the features of each window to `out` (n, FEATURES), whose rows may be apart.

        `window` int16 (n, 4 · hop), `context` int16 (n, hop / 2): the samples just before; n is `rows` at most.
        """
        if self._views.count != len(window):
            self._views = _Views(self._memory, self._hop, len(window))
        views = self._views
        self._lay_out(context, window, views.samples)
        self._transform(views)
        self._convolve(views)
        np.matmul(views.third.T, self._fourth, out=views.fourth)
        np.abs(views.fourth, out=views.scratch_fourth)
        np.add(views.fourth, views.scratch_fourth, out=out)

    def _lay_out(self, context: Pcm, window: Pcm, samples: Floats) -> None:
        """Sample number b · hop + j goes to (j, b); the end of the window is mirrored behind it."""
        hop, half = self._hop, self._hop // 2
        samples[:half, 0] = context.T
        samples[half:, 0] = window[:, :half].T
        for block in range(1, _SPECTRA):
            samples[:, block] = window[:, block * hop - half : (block + 1) * hop - half].T
        samples[:half, _SPECTRA] = window[:, -half:].T
        samples[half:-1, _SPECTRA] = samples[half - 2 :: -1, _SPECTRA]
        samples[-1, _SPECTRA] = samples[-1, _SPECTRA - 1]

    def _transform(self, views: "_Views") -> None:
        """Magnitudes; spectrum number s is that of the blocks s and s + 1."""
        samples, real, imaginary = views.samples, views.real, views.imaginary
        ahead, back = samples[1:, :_SPECTRA], samples[:0:-1, 1:]
        np.add(ahead, back, out=views.sums[:-1])
        views.sums[-1] = samples[0, 1:]
        np.subtract(ahead, back, out=views.differences)
        np.matmul(self._cosine, _flat(views.sums), out=real)
        np.matmul(self._sine, _flat(views.differences), out=imaginary)
        np.multiply(real, real, out=real)
        np.multiply(imaginary, imaginary, out=imaginary)
        np.add(real[2:], imaginary, out=real[2:])
        np.sqrt(views.power, out=views.magnitudes)

    def _convolve(self, views: "_Views") -> None:
        even, odd = views.magnitudes[0], views.magnitudes[1]
        first, steps = views.first, views.steps
        np.add(even, odd, out=views.pairs[:, :-1])
        np.matmul(self._shared, views.pairs, out=views.shared)
        np.matmul(self._outer[0], odd[0], out=steps[0, 0])
        np.matmul(self._inner[0], even.reshape(-1, views.count), out=steps[0, 1])
        np.matmul(self._inner[1], odd.reshape(-1, views.count), out=steps[1, 0])
        np.matmul(self._outer[1], even[1], out=steps[1, 1])
        np.add(steps, views.shared[:, None], out=steps)
        _rectify(first[1:-1], views.scratch)
        np.matmul(self._second[0], first[: 2 * _FIRST + 1], out=views.second[:_SECOND])
        np.matmul(self._second[1], first[_FIRST + 1 :], out=views.second[_SECOND:-1])
        _rectify(views.second[:-1], views.scratch)
        np.matmul(self._third, views.second, out=views.third[:-1])
        _rectify(views.third[:-1], views.scratch)


@dataclass(frozen=True, slots=True)
class _Memory:
    """The stages read one of the first two parts and write the other, in turn; the last has rows of ones."""

    here: Floats
    there: Floats
    lasting: Floats


def _sizes(hop: int) -> tuple[int, int, int]:
    """Numbers that each part of the memory has for a window."""
    pairs = 2 * (hop + 2)
    return 8 * hop, 8 * hop, pairs + (4 * _FIRST + 2) + (2 * _SECOND + 1) + (_THIRD + 1)


class _Views:
    """The memory as the stages see it with `count` windows; the last axis is the window."""

    def __init__(self, memory: _Memory, hop: int, count: int) -> None:
        bins, self.count = hop + 1, count
        self.samples = _view(memory.here, hop, _SPECTRA + 1, count)
        self.sums = _view(memory.there, hop, _SPECTRA, count)
        self.differences = _view(memory.there[self.sums.size :], hop - 1, _SPECTRA, count)
        self.real = _view(memory.here, bins, _SPECTRA * count)
        self.imaginary = _view(memory.here[self.real.size :], bins - 2, _SPECTRA * count)
        # Of spectra 0 and 2, then of 1 and 3.
        self.power = self.real.reshape(bins, 2, 2, count).transpose(2, 1, 0, 3)
        self.magnitudes = _view(memory.there, 2, 2, bins, count)
        self.shared = _view(memory.here, 2, _FIRST, count)
        self.scratch = _view(memory.here, 4 * _FIRST, count)
        self.fourth = _view(memory.here, count, FEATURES)
        self.scratch_fourth = _view(memory.there, count, FEATURES)
        lasting = memory.lasting
        self.pairs = _view(lasting, 2, bins + 1, count)
        self.first = _view(lasting[self.pairs.size :], 4 * _FIRST + 2, count)
        self.steps = self.first[1:-1].reshape(2, 2, _FIRST, count)
        behind = self.pairs.size + self.first.size
        self.second = _view(lasting[behind:], 2 * _SECOND + 1, count)
        self.third = _view(lasting[behind + self.second.size :], _THIRD + 1, count)
        self.pairs[:, -1] = self.first[0] = self.first[-1] = self.second[-1] = self.third[-1] = 1


def _view(memory: Floats, *shape: int) -> Floats:
    return memory[: prod(shape)].reshape(shape)


def _flat(values: Floats) -> Floats:
    return values.reshape(len(values), -1)


def _rectify(values: Floats, scratch: Floats) -> None:
    """Twice the positive part."""
    sizes = np.abs(values, out=scratch[: len(values)])
    np.add(values, sizes, out=values)


def _order(hop: int) -> npt.NDArray[np.int64]:
    """The bins as they stand in our spectra: those without a sine first."""
    return np.array([0, hop, *range(1, hop)])


def _spectrum(basis: npt.NDArray[np.float64]) -> tuple[Floats, Floats]:
    """`basis` (2 · bins, size) for the sums and differences of samples; raises SetupError when it cannot be folded."""
    size = basis.shape[1]
    hop = size // 2
    phase = 2 * np.pi / size * np.outer(range(hop + 1), range(size))
    expected = np.concatenate([basis[0] * np.cos(phase), -basis[0] * np.sin(phase)])
    unlike = np.abs(basis - expected).max(), np.abs(basis[0, 1:] - basis[0, :0:-1]).max(), abs(basis[0, 0])
    if max(unlike) > _EXACT:
        raise SetupError("the spectra of this network are not those of silero-vad 6: install that version")
    order = _order(hop)
    folded = np.arange(1, hop + 1)
    cosine, sine = basis[: hop + 1][order], basis[hop + 1 :][order]
    # Samples are int16: to [-1, 1).
    return _matrix(cosine[:, folded] / _FULL_SCALE), _matrix(sine[2:, folded[:-1]] / _FULL_SCALE)


def _taps(weights: Tensors, layer: int, used: slice) -> Floats:
    """Weights of a layer behind the first for the steps that `used` taps see, and its bias as last column."""
    weight = weights[f"encoder.{layer}.reparam_conv.weight"][:, :, used]
    bias = weights[f"encoder.{layer}.reparam_conv.bias"]
    return _matrix(weight.transpose(0, 2, 1).reshape(len(weight), -1) / 2, bias[:, None])


def _matrix(*parts: npt.NDArray[np.floating]) -> Floats:
    """`parts` side by side."""
    return np.ascontiguousarray(np.concatenate(parts, axis=1), np.float32)
