"""Reads weights out of an ONNX file: the few protobuf fields that lead to tensors (onnx.proto3)."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from control.errors import MediaError

Floats = npt.NDArray[np.float32]
Tensors = dict[str, Floats]

_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_ATTRIBUTE = 5
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH = 5, 6
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9
_FLOAT = 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZE = {_FIXED64: 8, _FIXED32: 4}


def read_graphs(data: bytes) -> list[Tensors]:
    """The float32 tensors of each graph by name: the main graph first, then the branches of its nodes.

    Raises MediaError when `data` is no ONNX model.
    """
    graphs: list[Tensors] = []
    try:
        for field, value in _fields(data):
            if field == _MODEL_GRAPH:
                _read_graph(_message(value), graphs)
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise MediaError(
            f"this is no ONNX model: {error}; install the package it comes from again"
        ) from error
    return graphs


def _read_graph(graph: bytes, graphs: list[Tensors]) -> None:
    found: Tensors = {}
    graphs.append(found)
    for field, value in _fields(graph):
        if field == _GRAPH_INITIALIZER:
            found.update(_read_tensor(_message(value)))
        elif field == _GRAPH_NODE:
            for name, attribute in _fields(_message(value)):
                if name == _NODE_ATTRIBUTE:
                    _read_attribute(_message(attribute), found, graphs)


def _read_attribute(attribute: bytes, found: Tensors, graphs: list[Tensors]) -> None:
    for field, value in _fields(attribute):
        if field == _ATTRIBUTE_TENSOR:
            found.update(_read_tensor(_message(value)))
        elif field == _ATTRIBUTE_GRAPH:
            _read_graph(_message(value), graphs)


def _read_tensor(tensor: bytes) -> Tensors:
    """The tensor by its name; nothing when it holds no raw float32."""
    dims: list[int] = []
    name, kind, raw = "", 0, None
    for field, value in _fields(tensor):
        if field == _TENSOR_DIMS:
            dims.extend([value] if isinstance(value, int) else _packed(value))
        elif field == _TENSOR_TYPE:
            kind = _number(value)
        elif field == _TENSOR_NAME:
            name = _message(value).decode()
        elif field == _TENSOR_RAW:
            raw = _message(value)
    if kind != _FLOAT or raw is None:
        return {}
    return {name: np.frombuffer(raw, "<f4").astype(np.float32).reshape(dims)}


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protobuf message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(message, at)
        elif wire in _FIXED_SIZE:
            size = _FIXED_SIZE[wire]
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if at + size > len(message):
            raise ValueError(f"a field of {size} bytes ends behind the end")
        yield number, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _packed(message: bytes) -> Iterator[int]:
    at = 0
    while at < len(message):
        value, at = _varint(message, at)
        yield value


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("a message stands where a number belongs")  # noqa: TRY004 - bad data, not a bad call
    return value


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number stands where a message belongs")  # noqa: TRY004 - as above
    return value
