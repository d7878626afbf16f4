"""The reader of weights, on models written here."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import MediaError
from media.engine.onnx import read_graphs

FLOAT, INT64 = 1, 7


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return varint(field << 3 | 2) + varint(len(body)) + body


def tensor(name: str, dims: bytes, raw: bytes, kind: int = FLOAT) -> tuple[bytes, ...]:
    return dims, number(2, kind), message(8, name.encode()), message(9, raw)


def raw(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


def test_tensors_of_the_main_graph_and_of_each_branch() -> None:
    branch = message(1, message(5, message(5, *tensor("w", number(1, 2), raw(3, 4)))))
    model = number(1, 9) + message(
        7,
        message(5, *tensor("first", number(1, 2) + number(1, 1), raw(1, 2))),
        message(1, message(5, message(6, branch)), message(4, b"If")),
    )
    main, inner = read_graphs(model)
    assert {name: values.tolist() for name, values in main.items()} == {"first": [[1.0], [2.0]]}
    assert {name: values.tolist() for name, values in inner.items()} == {"w": [3.0, 4.0]}
    assert inner["w"].dtype == np.float32


def test_packed_dimensions_and_scalars() -> None:
    model = message(
        7,
        message(5, *tensor("packed", message(1, b"\x02\x01"), raw(1, 2))),
        message(5, *tensor("scalar", b"", raw(7))),
    )
    (graph,) = read_graphs(model)
    assert graph["packed"].shape == (2, 1)
    assert graph["scalar"].shape == ()


def test_other_tensors_and_fields_are_passed_over() -> None:
    fixed = varint(30 << 3 | 1) + bytes(8) + varint(31 << 3 | 5) + bytes(4)
    model = message(7, fixed, message(5, *tensor("count", number(1, 1), bytes(8), INT64)))
    assert read_graphs(model) == [{}]


@pytest.mark.parametrize(
    "data",
    [
        b"\x80",
        message(7, message(5, *tensor("w", number(1, 3), raw(1, 2)))),
        message(7)[:-1] + b"\x09\x01",
        varint(7 << 3 | 3),
        number(7, 1),
        message(7, message(5, message(2, b"1"))),
        message(7, message(5, message(8, b"\xff"), number(2, FLOAT), message(9, b""))),
    ],
    ids=["cut", "wrong size", "cut field", "wire type", "no graph", "no type", "name"],
)
def test_what_is_no_model_is_an_error(data: bytes) -> None:
    with pytest.raises(MediaError, match="no ONNX model"):
        read_graphs(data)


@given(st.binary(max_size=64))
def test_any_bytes_give_tensors_or_a_media_error(data: bytes) -> None:
    for noise in (data, message(7, data), message(7, message(5, data)), message(7, message(1, data))):
        try:
            read_graphs(noise)
        except MediaError as error:
            assert "no ONNX model" in str(error)  # noqa: PT017 - either outcome is right
