"""The network against onnxruntime, which runs the same file."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from control.errors import SetupError
from media.engine import silero
from media.engine.arrays import Pcm
from media.engine.encoder import BASIS, Encoder
from media.engine.onnx import Floats
from media.engine.silero import ROWS, Silero, model_path
from tests.support import speech

STREAMS, WINDOWS = ROWS + 44, 30
"""More than one chunk of rows; 9000 windows for each rate."""


class Reference:
    """onnxruntime with the same model; `context` and state are its caller's to carry on."""

    def __init__(self, rate: int, streams: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(model_path()), options)
        self.rate = np.array(rate, np.int64)
        self.state = np.zeros((2, streams, 128), np.float32)

    def run(self, context: Pcm, window: Pcm) -> Floats:
        samples = np.concatenate([context, window], axis=1).astype(np.float32) / 32768
        given = {"input": samples, "state": self.state, "sr": self.rate}
        probability, self.state = self.session.run(None, given)
        answer: Floats = probability[:, 0]
        return answer


def material(samples: int) -> Pcm:
    """Speech at many places and levels, with noise of many levels, a row a stream."""
    rng = np.random.default_rng(4)
    spoken = speech.render("The quick brown fox jumps over the lazy dog, one hundred times a day.")
    spoken = np.tile(spoken, samples // len(spoken) + 2)
    starts = rng.integers(0, len(spoken) - samples, STREAMS)
    levels = rng.choice([0, 0.01, 0.1, 0.3, 1], (STREAMS, 1)) * 30000
    noise = rng.normal(0, 1, (STREAMS, samples)) * rng.choice([0, 3, 100, 1000], (STREAMS, 1))
    rows = np.stack([spoken[start : start + samples] for start in starts]) * levels + noise
    audio: Pcm = np.clip(rows, -32768, 32767).astype(np.int16)
    return audio


@pytest.mark.parametrize("rate", [8000, 16000])
def test_probabilities_are_those_of_onnxruntime(rate: int) -> None:
    network, reference = Silero(rate, STREAMS), Reference(rate, STREAMS)
    size = network.window
    assert size == rate * 32 // 1000
    slots = np.random.default_rng(5).permutation(STREAMS)
    audio = material(size * WINDOWS)
    context = np.zeros((STREAMS, network.context), np.int16)
    ours: list[Floats] = []
    theirs: list[Floats] = []
    for at in range(0, audio.shape[1], size):
        window = audio[:, at : at + size]
        ours.append(network.run(slots, context, window))
        theirs.append(reference.run(context, window))
        context = window[:, -network.context :]
    got, expected = np.concatenate(ours), np.concatenate(theirs)
    assert got.dtype == np.float32
    assert np.abs(got - expected).max() < 1e-4
    # The material tries both ends of the scale and the way between.
    counts, _ = np.histogram(expected, [0, 0.1, 0.4, 0.6, 0.9, 1])
    assert (counts > 100).all(), counts


def test_streams_do_not_depend_on_one_another() -> None:
    batch, alone = Silero(8000, 8), Silero(8000, 8)
    rng = np.random.default_rng(6)
    order = np.array([5, 2, 7])
    for _ in range(5):
        window = rng.normal(0, 3000, (3, 256)).astype(np.int16)
        context = rng.normal(0, 3000, (3, 32)).astype(np.int16)
        together = batch.run(order, context, window)
        single = [alone.run(order[n : n + 1], context[n : n + 1], window[n : n + 1])[0] for n in range(3)]
        np.testing.assert_allclose(together, single, atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_neither_the_order_of_a_batch_nor_its_blocks_matter(
    monkeypatch: pytest.MonkeyPatch, rate: int
) -> None:
    streams, rng = 60, np.random.default_rng(9)
    size = rate * silero.WINDOW_MS // 1000
    audio = material(size * 4)[:streams]
    usual = Silero(rate, streams)
    others = {rows: Silero(rate, streams) for rows in (1, 7, 16, 59, 60)}
    context = np.zeros((streams, usual.context), np.int16)
    for at in range(0, audio.shape[1], size):
        window = audio[:, at : at + size]
        expected = usual.run(np.arange(streams), context, window)
        for rows, network in others.items():
            monkeypatch.setattr(silero, "ROWS", rows)
            order = rng.permutation(streams)
            answer = network.run(order, context[order], window[order])
            np.testing.assert_allclose(answer, expected[order], atol=1e-5)
        context = window[:, -usual.context :]


def test_a_stream_that_was_reset_begins_anew() -> None:
    network = Silero(8000, 2)
    audio = material(256)
    context = np.zeros((1, 32), np.int16)
    slot, other = np.array([0]), np.array([1])
    first = network.run(slot, context, audio[:1])
    network.run(other, context, audio[:1])
    assert network.run(slot, context, audio[:1]) != pytest.approx(first, abs=1e-7)
    network.reset(0)
    assert network.run(slot, context, audio[:1]) == pytest.approx(first, abs=1e-7)
    assert network.run(other, context, audio[:1]) != pytest.approx(first, abs=1e-7)


def test_no_streams_at_all() -> None:
    none = np.zeros(0, np.int64)
    assert Silero(8000, 1).run(none, np.zeros((0, 32), np.int16), np.zeros((0, 256), np.int16)).shape == (0,)


def test_other_spectra_are_refused() -> None:
    weights = dict(silero._weights(128))
    basis = weights[BASIS]
    for other in (basis[:, :, ::-1], np.roll(basis, 1, axis=2)):
        with pytest.raises(SetupError, match=r"not those of silero-vad 6: install that version"):
            Encoder(weights | {BASIS: other}, 1)


def test_missing_weights_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(silero, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match=r"silero-vad is not installed: run `make setup`"):
        model_path()
    monkeypatch.setattr(silero, "model_path", lambda: tmp_path / "gone.onnx")
    silero._weights.cache_clear()
    with pytest.raises(SetupError, match=r"gone\.onnx, cannot be read"):
        Silero(8000, 1)


def test_another_file_is_not_taken_for_the_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "empty.onnx"
    file.write_bytes(b"\x3a\x00")
    monkeypatch.setattr(silero, "model_path", lambda: file)
    silero._weights.cache_clear()
    with pytest.raises(SetupError, match=r"empty\.onnx has no network with spectra of 128 samples"):
        Silero(8000, 1)
