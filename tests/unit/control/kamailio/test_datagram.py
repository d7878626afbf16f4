import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import KamailioError
from control.kamailio.datagram import MAX_COMMAND, Answer, decode, encode

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
BYTES = st.binary().map(lambda data: data.replace(b"\0", b""))


def octets(datagram: bytes) -> Any:
    """The parameters as Kamailio reads them: its parser copies bytes and knows no character set."""
    params = json.loads(datagram.decode("latin-1"))["params"]
    return [value.encode("latin-1") if isinstance(value, str) else value for value in params]


@given(st.lists(TEXT | BYTES | st.integers(0, 2**31)))
def test_parameters_arrive_as_they_are(params: list[str | bytes | int]) -> None:
    expected = [value.encode() if isinstance(value, str) else value for value in params]
    assert octets(encode(1, "m", tuple(params))) == expected


def test_no_escape_is_left_to_kamailio_for_what_it_decodes_wrongly() -> None:
    assert b"\\u" not in encode(1, "m", ("é \U0001f600 \udcff", b"\xf0\x9f", "\t\r\n\x7f"))


def test_form_of_a_command() -> None:
    command = json.loads(encode(7, "tm.cancel", ("abc", "1")))
    assert command == {"jsonrpc": "2.0", "id": 7, "method": "tm.cancel", "params": ["abc", "1"]}


@pytest.mark.parametrize("value", ["a\0b", b"a\0b"])
def test_nul_is_refused(value: str | bytes) -> None:
    with pytest.raises(KamailioError, match="NUL"):
        encode(1, "m", (value,))


def test_what_kamailio_would_read_in_part_is_refused() -> None:
    spare = MAX_COMMAND - len(encode(1, "m", (b"",)))
    assert len(encode(1, "m", (b"x" * spare,))) == MAX_COMMAND
    with pytest.raises(KamailioError, match="too long"):
        encode(1, "m", (b"x" * (spare + 1),))


@pytest.mark.parametrize(
    ("datagram", "answer"),
    [
        (b'{"jsonrpc":"2.0","result":{"a":1},"id":5}', Answer(5, {"a": 1})),
        (b'{"jsonrpc":"2.0","id":5}', Answer(5)),
        (
            b'{"error":{"code":500,"message":"Reply\tfailed \xff"},"id":6}',
            Answer(6, fault=(500, "Reply\tfailed �")),
        ),
    ],
)
def test_answers(datagram: bytes, answer: Answer) -> None:
    assert decode(datagram) == answer


@pytest.mark.parametrize(
    "datagram", [b"", b"{", b"[]", b"7", b"{}", b'{"id":null}', b'{"id":1,"error":1}', b'{"id":1,"error":{}}']
)
def test_what_is_no_answer(datagram: bytes) -> None:
    with pytest.raises(KamailioError, match="not a JSON-RPC answer"):
        decode(datagram)


@given(st.binary())
def test_any_bytes_are_an_answer_or_an_error(datagram: bytes) -> None:
    try:
        decode(datagram)
    except KamailioError:
        return
    assert isinstance(json.loads(datagram.decode("utf-8", "replace")), dict)
