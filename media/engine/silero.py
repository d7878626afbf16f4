"""Silero VAD, the recurrent network that tells voice from everything else, for many streams at once.

One call computes a window for every row of a batch, as matrix products of float32. The weights are those of the
package silero-vad (version 6), whose file holds a network each for 8 and 16 kHz; both have this shape:

    samples → encoder (see there) → LSTM cell → one number

The package itself is never imported: it would want torch.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from control.errors import MediaError, SetupError
from media.engine.arrays import Ints, Pcm
from media.engine.encoder import BASIS, FEATURES, Encoder
from media.engine.onnx import Floats, Tensors, read_graphs

WINDOW_MS = 32
"""Length of a window."""
UNITS = 128
"""Size of the LSTM's two state vectors."""
ROWS = 224
"""Rows computed at once, at most: what lies between two steps should stay in a core's cache. No power of two, so that
the rows of a matrix do not compete for the same places in it."""


class Silero:
    """The network at one sampling rate, with the state of `capacity` streams, all forgotten.

    ``window`` samples are judged at a time; ``context``, an eighth of that, are the samples just before, which the
    network wants to see again. Raises SetupError when the weights are missing.
    """

    def __init__(self, rate: int, capacity: int) -> None:
        self.window = rate * WINDOW_MS // 1000
        self.context = self.window // 8
        weights = _weights(self.window // 2)
        self._encoder = Encoder(weights, ROWS)
        self._gates = _gates(weights)
        # What they meet is doubled twice; and half of the sum is what the sigmoid takes.
        self._out = weights["decoder.decoder.2.weight"].reshape(UNITS) / 8
        self._out_bias = weights["decoder.decoder.2.bias"].reshape(()) / 2
        self._shown: Floats = np.full((capacity, UNITS), 0, np.float32)
        """Twice the state that is shown (h); the other (c) is as it is."""
        self._cell: Floats = np.full((capacity, UNITS), 0, np.float32)
        self._input: Floats = np.full((ROWS, FEATURES + UNITS + 1), 1, np.float32)
        self._gate: Floats = np.full(4 * ROWS * UNITS, 0, np.float32)
        self._state, self._scratch = (np.full((ROWS, UNITS), 0, np.float32) for _ in range(2))

    def reset(self, slots: Ints | int) -> None:
        """Forget what was heard on `slots`."""
        self._shown[slots] = 0
        self._cell[slots] = 0

    def run(self, slots: Ints, context: Pcm, window: Pcm) -> Floats:
        """Probability of voice in the next window of each of `slots` (all different): float32 (n,).

        `window` int16 (n, window), `context` int16 (n, context).
        """
        total = len(slots)
        answer = np.empty(total, np.float32)
        # Blocks of one size, as far as possible.
        size = -(-total // -(-total // ROWS)) if total else 1
        for start in range(0, total, size):
            part = slice(start, start + size)
            self._encoder.run(context[part], window[part], self._input[: len(slots[part]), :FEATURES])
            self._remember(slots[part], answer[part])
        answer += self._out_bias
        _sigmoid(answer)
        return answer

    def _remember(self, slots: Ints, answer: Floats) -> None:
        """The LSTM cell: from the features in ``_input`` and the state of `slots` to the new state and the answer."""
        count = len(slots)
        given, cell, scratch = self._input[:count], self._state[:count], self._scratch[:count]
        given[:, FEATURES:-1] = np.take(self._shown, slots, axis=0, out=scratch, mode="clip")
        np.take(self._cell, slots, axis=0, out=cell, mode="clip")
        gates = self._gate[: 4 * count * UNITS].reshape(4, count, UNITS)
        np.matmul(given, self._gates, out=gates)
        np.tanh(gates, out=gates)
        gates[:3] += 1
        taken, forgotten, shown, new = gates
        cell *= forgotten
        taken *= new
        cell += taken
        cell *= 0.5
        self._cell[slots] = cell
        np.tanh(cell, out=cell)
        cell *= shown
        self._shown[slots] = cell
        cell += np.abs(cell, out=scratch)
        np.matmul(cell, self._out, out=answer)


def _sigmoid(halves: Floats) -> None:
    """1 / (1 + exp(-x)), in place, given x / 2."""
    np.tanh(halves, out=halves)
    halves *= 0.5
    halves += 0.5


def _gates(weights: Tensors) -> Floats:
    """Matrices (4, FEATURES + UNITS + 1, UNITS) of the gates: input, forget, output, cell; their last row is the bias.

    What they meet is doubled, so they are halved. Those of the three sigmoids are halved again: 1 / (1 + exp(-x)) is
    tanh(x / 2) / 2 + 1 / 2, so one tanh serves all, and what is left of each is the factor 1 / 2.
    """
    bias = weights["decoder.rnn.bias_ih"] + weights["decoder.rnn.bias_hh"]
    parts = [weights["decoder.rnn.weight_ih"] / 2, weights["decoder.rnn.weight_hh"] / 2, bias[:, None]]
    taken, forgotten, new, shown = np.concatenate(parts, axis=1).reshape(4, UNITS, -1)
    gates = np.stack([taken / 2, forgotten / 2, shown / 2, new])
    return np.ascontiguousarray(gates.transpose(0, 2, 1))


@cache
def _weights(size: int) -> Tensors:
    """The tensors of the network whose spectra are made of `size` samples."""
    path = model_path()
    try:
        graphs = read_graphs(path.read_bytes())
    except (OSError, MediaError) as error:
        raise SetupError(f"the weights of silero-vad, {path}, cannot be read: {error}") from error
    for tensors in graphs:
        if BASIS in tensors and tensors[BASIS].shape[-1] == size:
            return tensors
    raise SetupError(f"{path} has no network with spectra of {size} samples: install silero-vad 6")


def model_path() -> Path:
    """Where the package silero-vad keeps its ONNX file; raises SetupError when it is not installed."""
    spec = find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        raise SetupError("the package silero-vad is not installed: run `make setup`")
    return Path(spec.submodule_search_locations[0]) / "data" / "silero_vad.onnx"
