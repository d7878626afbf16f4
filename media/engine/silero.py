"""Silero VAD, the recurrent network that tells voice from everything else, for many streams at once.

One call computes a window for every row of a batch, as matrix products of float32. The weights are those of the
package silero-vad (version 6), whose file holds a network each for 8 and 16 kHz; both have this shape:

    samples → magnitudes of 4 spectra → 4 convolutions → LSTM cell → one number

The package itself is never imported: it would want torch.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from control.errors import MediaError, SetupError
from media.engine.arrays import Ints, Pcm
from media.engine.onnx import Floats, Tensors, read_graphs

WINDOW_MS = 32
"""Length of a window."""
UNITS = 128
"""Size of the LSTM's two state vectors."""
ROWS = 256
"""Rows computed at once: their intermediate results stay in the processor's cache."""
_SPECTRA = 4
_FULL_SCALE = 32768
_BASIS = "stft.forward_basis_buffer"


class Silero:
    """The network at one sampling rate, with the state of `capacity` streams, all forgotten.

    ``window`` samples are judged at a time; ``context``, an eighth of that, are the samples just before, which the
    network wants to see again. Raises SetupError when the weights are missing.
    """

    def __init__(self, rate: int, capacity: int) -> None:
        self.window = rate * WINDOW_MS // 1000
        self.context = self.window // 8
        weights = _weights(self.window // 2)
        self._size = self.window // 2
        self._hop = self._size // 2
        self._mirrored = self._size // 4
        self._bins = self._size // 2 + 1
        # Samples are int16: the basis takes them to [-1, 1). A power of two, so nothing is rounded.
        self._basis = np.ascontiguousarray(weights[_BASIS][:, 0, :].T / _FULL_SCALE)
        self._taps = [_taps(weights[f"encoder.{layer}.reparam_conv.weight"]) for layer in range(4)]
        self._biases = [weights[f"encoder.{layer}.reparam_conv.bias"] for layer in range(4)]
        self._gates, self._gate_bias = _cell(weights)
        self._out = weights["decoder.decoder.2.weight"].reshape(UNITS)
        self._out_bias = weights["decoder.decoder.2.bias"].reshape(())
        self._hidden: Floats = np.full((capacity, UNITS), 0, np.float32)
        self._cell: Floats = np.full((capacity, UNITS), 0, np.float32)
        self._make_buffers()

    def _make_buffers(self) -> None:
        def rows(width: int) -> Floats:
            return np.full((ROWS, width), 0, np.float32)

        self._samples = rows(self.context + self.window + self._mirrored)
        self._spectrum, self._magnitude = rows(2 * self._bins), rows(_SPECTRA * self._bins)
        self._first, self._second, self._third = rows(4 * 128), rows(2 * 64), rows(64)
        self._input, self._gate, self._state = rows(2 * UNITS), rows(4 * UNITS), rows(UNITS)

    def reset(self, slots: Ints | int) -> None:
        """Forget what was heard on `slots`."""
        self._hidden[slots] = 0
        self._cell[slots] = 0

    def run(self, slots: Ints, context: Pcm, window: Pcm) -> Floats:
        """Probability of voice in the next window of each of `slots` (all different): float32 (n,).

        `window` int16 (n, window), `context` int16 (n, context).
        """
        answer = np.empty(len(slots), np.float32)
        for start in range(0, len(slots), ROWS):
            part = slice(start, start + ROWS)
            self._run(slots[part], context[part], window[part], answer[part])
        return answer

    def _run(self, slots: Ints, context: Pcm, window: Pcm, answer: Floats) -> None:
        count = len(slots)
        samples = self._samples[:count]
        end = self.context + self.window
        samples[:, : self.context] = context
        samples[:, self.context : end] = window
        samples[:, end:] = samples[:, end - self._mirrored - 1 : end - 1][:, ::-1]
        self._encode(count)
        cell_input, gate, cell = self._input[:count], self._gate[:count], self._state[:count]
        cell_input[:, UNITS:] = self._hidden[slots]
        np.take(self._cell, slots, axis=0, out=cell, mode="clip")
        np.matmul(cell_input, self._gates, out=gate)
        gate += self._gate_bias
        np.tanh(gate, out=gate)
        taken, forgotten, new, shown = (gate[:, n * UNITS : (n + 1) * UNITS] for n in range(4))
        for sigmoid in (taken, forgotten, shown):
            sigmoid *= 0.5
            sigmoid += 0.5
        cell *= forgotten
        taken *= new
        cell += taken
        self._cell[slots] = cell
        np.tanh(cell, out=cell)
        cell *= shown
        self._hidden[slots] = cell
        np.maximum(cell, 0, out=cell)
        np.matmul(cell, self._out, out=answer)
        answer += self._out_bias
        _sigmoid(answer)

    def _encode(self, count: int) -> None:
        """From ``_samples`` to the left half of ``_input``."""
        samples, magnitude = self._samples[:count], self._magnitude[:count]
        spectrum, bins = self._spectrum[:count], self._bins
        for step in range(_SPECTRA):
            np.matmul(samples[:, step * self._hop :][:, : self._size], self._basis, out=spectrum)
            np.multiply(spectrum, spectrum, out=spectrum)
            np.add(spectrum[:, :bins], spectrum[:, bins:], out=magnitude[:, step * bins : (step + 1) * bins])
        np.sqrt(magnitude, out=magnitude)
        first, second, third = self._first[:count], self._second[:count], self._third[:count]
        _convolve(magnitude, 4, self._taps[0], self._biases[0], 1, first)
        _convolve(first, 4, self._taps[1], self._biases[1], 2, second)
        _convolve(second, 2, self._taps[2], self._biases[2], 2, third)
        _convolve(third, 1, self._taps[3], self._biases[3], 1, self._input[:count, :UNITS])


def _convolve(data: Floats, steps: int, taps: Floats, bias: Floats, stride: int, out: Floats) -> None:
    """Convolution by 3 taps with a zero at both ends, and the positive part of it.

    `data` (n, steps · channels) → `out` (n, steps / stride, rounded up · filters); `taps` (3 · channels, filters).
    """
    channels, filters = len(taps) // 3, len(bias)
    for number, centre in enumerate(range(0, steps, stride)):
        low, high = max(centre - 1, 0), min(centre + 2, steps)
        tap = low - centre + 1
        result = out[:, number * filters : (number + 1) * filters]
        used = taps[tap * channels : (tap + high - low) * channels]
        np.matmul(data[:, low * channels : high * channels], used, out=result)
        result += bias
        np.maximum(result, 0, out=result)


def _sigmoid(values: Floats) -> None:
    values *= 0.5
    np.tanh(values, out=values)
    values *= 0.5
    values += 0.5


def _taps(weight: Floats) -> Floats:
    """(filters, channels, 3) as a matrix (3 · channels, filters)."""
    return np.ascontiguousarray(weight.transpose(2, 1, 0).reshape(-1, len(weight)))


def _cell(weights: Tensors) -> tuple[Floats, Floats]:
    """Matrix (2 · UNITS, 4 · UNITS) and bias of the LSTM's gates: input, forget, cell, output.

    Those of the three sigmoids are halved: 1 / (1 + exp(-x)) is tanh(x / 2) / 2 + 1 / 2, so one tanh serves all.
    """
    both = [weights["decoder.rnn.weight_ih"], weights["decoder.rnn.weight_hh"]]
    matrix = np.concatenate(both, axis=1).T
    bias = weights["decoder.rnn.bias_ih"] + weights["decoder.rnn.bias_hh"]
    half = np.full(4 * UNITS, 0.5, np.float32)
    half[2 * UNITS : 3 * UNITS] = 1
    return np.ascontiguousarray(matrix * half), bias * half


@cache
def _weights(size: int) -> Tensors:
    """The tensors of the network whose spectra are made of `size` samples."""
    path = model_path()
    try:
        graphs = read_graphs(path.read_bytes())
    except (OSError, MediaError) as error:
        raise SetupError(f"the weights of silero-vad, {path}, cannot be read: {error}") from error
    for tensors in graphs:
        if _BASIS in tensors and tensors[_BASIS].shape[-1] == size:
            return tensors
    raise SetupError(f"{path} has no network with spectra of {size} samples: install silero-vad 6")


def model_path() -> Path:
    """Where the package silero-vad keeps its ONNX file; raises SetupError when it is not installed."""
    spec = find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        raise SetupError("the package silero-vad is not installed: run `make setup`")
    return Path(spec.submodule_search_locations[0]) / "data" / "silero_vad.onnx"
