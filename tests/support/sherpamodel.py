"""A tiny streaming transducer for sherpa-onnx: it understands "hello" where loud audio begins.

Its shape is that of the LSTM transducers of icefall. The encoder tells how loud four frames are, unless those before
were loud; the joiner says "hello" when that is much, whatever was said before.
"""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

_FLOAT, _INT = TensorProto.FLOAT, TensorProto.INT64
_FRAMES, _FEATURES, _CONTEXT, _VOCABULARY = 4, 80, 2, 3
_THRESHOLD = -9.0
"""Mean logarithm of mel energies: silence has about -16, loud audio -5."""


def write(folder: Path) -> None:
    """Write the model into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokens.txt").write_text("<blk> 0\n▁hello 1\n<unk> 2\n", "utf-8")
    encoder: dict[str, str | int] = {
        "model_type": "lstm",
        "num_encoder_layers": 1,
        "T": _FRAMES,
        "decode_chunk_len": _FRAMES,
    }
    _save(folder / "encoder.onnx", _encoder(), encoder | {"rnn_hidden_size": 1, "d_model": 1})
    _save(folder / "decoder.onnx", _decoder(), {"vocab_size": _VOCABULARY, "context_size": _CONTEXT})
    _save(folder / "joiner.onnx", _joiner(), {"joiner_dim": 1})


def _save(path: Path, graph: onnx.GraphProto, metadata: dict[str, str | int]) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {key: str(value) for key, value in metadata.items()})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _encoder() -> onnx.GraphProto:
    """Loudness over the threshold, less 100 times that of the step before where that was loud; it is the new state."""
    value, constant = helper.make_tensor_value_info, helper.make_tensor
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2], keepdims=1),
        helper.make_node("Sub", ["mean", "threshold"], ["over"]),
        helper.make_node("Transpose", ["h"], ["before"], perm=[1, 0, 2]),
        helper.make_node("Relu", ["before"], ["loud"]),
        helper.make_node("Mul", ["loud", "hundred"], ["begun"]),
        helper.make_node("Sub", ["over", "begun"], ["encoder_out"]),
        helper.make_node("Transpose", ["over"], ["next_h"], perm=[1, 0, 2]),
        helper.make_node("Identity", ["c"], ["next_c"]),
    ]
    constants = [constant("threshold", _FLOAT, [1], [_THRESHOLD]), constant("hundred", _FLOAT, [1], [100.0])]
    states = [value(name, _FLOAT, [1, "N", 1]) for name in ("h", "c")]
    after = [value(name, _FLOAT, [1, "N", 1]) for name in ("next_h", "next_c")]
    inputs = [value("x", _FLOAT, ["N", _FRAMES, _FEATURES]), *states]
    outputs = [value("encoder_out", _FLOAT, ["N", 1, 1]), *after]
    return helper.make_graph(nodes, "encoder", inputs, outputs, constants)


def _decoder() -> onnx.GraphProto:
    """Always 0."""
    value, constant = helper.make_tensor_value_info, helper.make_tensor
    nodes = [
        helper.make_node("Gather", ["y", "last"], ["token"], axis=1),
        helper.make_node("Cast", ["token"], ["number"], to=_FLOAT),
        helper.make_node("Mul", ["number", "zero"], ["decoder_out"]),
    ]
    constants = [constant("last", _INT, [1], [_CONTEXT - 1]), constant("zero", _FLOAT, [1], [0.0])]
    inputs, outputs = [value("y", _INT, ["N", _CONTEXT])], [value("decoder_out", _FLOAT, ["N", 1])]
    return helper.make_graph(nodes, "decoder", inputs, outputs, constants)


def _joiner() -> onnx.GraphProto:
    """Logits: 0 for blank, what the encoder says for the word, less for what is unknown."""
    value, constant = helper.make_tensor_value_info, helper.make_tensor
    nodes = [
        helper.make_node("Add", ["encoder_out", "decoder_out"], ["word"]),
        helper.make_node("Mul", ["decoder_out", "zero"], ["blank"]),
        helper.make_node("Sub", ["blank", "hundred"], ["unknown"]),
        helper.make_node("Concat", ["blank", "word", "unknown"], ["logit"], axis=1),
    ]
    constants = [constant("hundred", _FLOAT, [1], [100.0]), constant("zero", _FLOAT, [1], [0.0])]
    inputs = [value(name, _FLOAT, ["N", 1]) for name in ("encoder_out", "decoder_out")]
    outputs = [value("logit", _FLOAT, ["N", _VOCABULARY])]
    return helper.make_graph(nodes, "joiner", inputs, outputs, constants)
