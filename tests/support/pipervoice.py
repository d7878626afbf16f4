"""A tiny voice for Piper: a tone instead of speech, whose length depends on the text as a real voice's does."""

import json
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper
from piper.phoneme_ids import DEFAULT_PHONEME_ID_MAP

SAMPLES = 160
"""Of each phoneme (and of each of the marks between them) at length_scale 1."""
TONE, STEP = 500.0, 250.0
"""Hz of speaker 0, and how much higher each further one is."""


def ids(phonemes: int) -> int:
    """How many ids a text of so many phonemes has: each is followed by a pad; begin, pad and end come beside."""
    return 2 * phonemes + 3


def write(
    path: Path, *, rate: int = 16_000, speakers: int = 1, phonemes: str = "text", **description: Any
) -> None:
    """Write the voice `path` (.onnx) and its description, which `description` is put over."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_model(rate, speakers).SerializeToString())
    fields = {
        "audio": {"sample_rate": rate},
        "espeak": {"voice": "en-us"},
        "phoneme_type": phonemes,
        "num_symbols": 256,
        "num_speakers": speakers,
        "speaker_id_map": {f"speaker{number}": number for number in range(speakers)} if speakers > 1 else {},
        "inference": {"noise_scale": 0.667, "length_scale": 1.0, "noise_w": 0.8},
        "phoneme_id_map": DEFAULT_PHONEME_ID_MAP,
    }
    path.with_name(f"{path.name}.json").write_text(json.dumps(fields | description), "utf-8")


def _model(rate: int, speakers: int) -> onnx.ModelProto:
    """sin(2 pi (TONE + STEP sid) t) for SAMPLES * length_scale * ids samples."""
    node, constant = helper.make_node, helper.make_tensor
    radians = 2 * 3.141592653589793 / rate
    constants = [
        constant("one", TensorProto.INT64, [1], [1]),
        constant("zero", TensorProto.INT64, [], [0]),
        constant("step", TensorProto.INT64, [], [1]),
        constant("samples", TensorProto.FLOAT, [1], [float(SAMPLES)]),
        constant("tone", TensorProto.FLOAT, [1], [TONE * radians]),
        constant("loudness", TensorProto.FLOAT, [1], [0.25]),
        constant("axes", TensorProto.INT64, [3], [0, 1, 2]),
        constant("nothing", TensorProto.INT64, [0], []),
    ]
    nodes = [
        node("Cast", ["input_lengths"], ["ids"], to=TensorProto.FLOAT),
        node("Gather", ["scales", "one"], ["length"]),
        node("Mul", ["ids", "samples"], ["plain"]),
        node("Mul", ["plain", "length"], ["many"]),
        node("Cast", ["many"], ["count"], to=TensorProto.INT64),
        node("Reshape", ["count", "nothing"], ["end"]),
        node("Range", ["zero", "end", "step"], ["numbers"]),
        node("Cast", ["numbers"], ["times"], to=TensorProto.FLOAT),
        node("Mul", ["times", "pitch"], ["phase"]),
        node("Sin", ["phase"], ["wave"]),
        node("Mul", ["wave", "loudness"], ["quiet"]),
        node("Unsqueeze", ["quiet", "axes"], ["output"]),
    ]
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.INT64, [1, "ids"]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
    ]
    if speakers > 1:
        inputs.append(helper.make_tensor_value_info("sid", TensorProto.INT64, [1]))
        constants.append(constant("higher", TensorProto.FLOAT, [1], [STEP * radians]))
        pitch = [
            node("Cast", ["sid"], ["number"], to=TensorProto.FLOAT),
            node("Mul", ["number", "higher"], ["above"]),
            node("Add", ["above", "tone"], ["pitch"]),
        ]
    else:
        pitch = [node("Identity", ["tone"], ["pitch"])]
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, 1, "time"])
    graph = helper.make_graph([*pitch, *nodes], "voice", inputs, [output], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
