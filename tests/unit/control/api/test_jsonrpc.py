import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.api.jsonrpc import Call, Incoming, Malformed, Notification, Outcome, Peer, Stray
from control.errors import LegError, LegErrorCode

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=4)
MESSAGE_KEYS = ("jsonrpc", "id", "method", "params", "result", "error", "more")


def outcome(error: Any) -> Incoming:
    """What an answer with this error comes to."""
    return Peer().receive(json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}))


@given(st.text(), OBJECTS)
def test_a_request_arrives_as_it_was_made(method: str, params: dict[str, Any]) -> None:
    number, text = Peer().request(method, params)
    assert Peer().receive(text) == Call(number, method, params)


@given(st.text(), OBJECTS)
def test_a_notification_arrives_as_it_was_made(method: str, params: dict[str, Any]) -> None:
    assert Peer().receive(Peer.notification(method, params)) == Notification(method, params)


@given(OBJECTS)
def test_a_result_comes_back_to_its_request(result: dict[str, Any]) -> None:
    ours, theirs = Peer(), Peer()
    number, text = ours.request("a", {})
    call = theirs.receive(text)
    assert isinstance(call, Call)
    assert ours.receive(theirs.result(call.id, result)) == Outcome(number, result=result)


@given(st.sampled_from(LegErrorCode), st.text())
def test_a_refusal_comes_back_to_its_request(code: LegErrorCode, words: str) -> None:
    answer = Peer().receive(Peer.error(7, LegError(code, words)))
    assert isinstance(answer, Outcome)
    assert answer.error is not None
    assert (answer.id, answer.error.code, str(answer.error)) == (7, code, words)


def test_each_request_has_an_id_of_its_own() -> None:
    peer = Peer()
    assert len({peer.request("a", {})[0] for _ in range(10)}) == 10


def test_the_wire_format_is_that_of_the_specification() -> None:
    assert json.loads(Peer().request("a.b", {"c": 1})[1]) == {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "a.b",
        "params": {"c": 1},
    }
    assert json.loads(Peer.error(None, LegError(LegErrorCode.PARSE_ERROR, "no"))) == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": -32700, "message": "no"},
    }


@given(st.text(st.characters()))
def test_every_text_can_be_carried_as_utf8(words: str) -> None:
    Peer.notification("a", {"words": words}).encode()


def test_a_lone_surrogate_can_be_carried_as_utf8() -> None:
    text = Peer.notification("a", {"words": "\ud800"})
    assert Peer().receive(text.encode()) == Notification("a", {"words": "\ud800"})


@pytest.mark.parametrize(
    ("text", "code", "number"),
    [
        ("", -32700, None),
        ("{", -32700, None),
        (b"\xff\xfe\xfd", -32700, None),
        ("[" * 100_000, -32700, None),
        ("1" * 5000, -32700, None),
        ("7", -32600, None),
        ('[{"jsonrpc": "2.0", "method": "a"}]', -32600, None),
        ('{"method": "a", "id": 1}', -32600, None),
        ('{"jsonrpc": "1.0", "method": "a", "id": 1}', -32600, None),
        ('{"jsonrpc": "2.0"}', -32600, None),
        ('{"jsonrpc": "2.0", "id": 1}', -32600, 1),
        ('{"jsonrpc": "2.0", "id": 1, "method": 2}', -32600, 1),
        ('{"jsonrpc": "2.0", "id": "x", "method": "a", "params": [1]}', -32600, "x"),
        ('{"jsonrpc": "2.0", "id": 1.5, "method": "a"}', -32600, None),
        ('{"jsonrpc": "2.0", "id": true, "method": "a"}', -32600, None),
        ('{"jsonrpc": "2.0", "id": {}, "method": "a"}', -32600, None),
    ],
)
def test_what_is_no_message_is_answered(text: str | bytes, code: int, number: str | int | None) -> None:
    malformed = Peer().receive(text)
    assert isinstance(malformed, Malformed)
    answer = json.loads(malformed.answer)
    assert (answer["error"]["code"], answer["id"]) == (code, number)
    assert answer["error"]["message"]


def test_params_may_be_left_out() -> None:
    assert Peer().receive('{"jsonrpc": "2.0", "id": "x", "method": "a"}') == Call("x", "a", {})


@pytest.mark.parametrize("number", ["null", '"x"', "true", "1.5", "[]"])
@pytest.mark.parametrize("body", ['"result": {}', '"error": {"code": -32600, "message": "bad"}'])
def test_a_response_to_nothing_of_ours_takes_no_answer(number: str, body: str) -> None:
    assert isinstance(Peer().receive(f'{{"jsonrpc": "2.0", "id": {number}, {body}}}'), Stray)


@pytest.mark.parametrize("error", ["text", 1, [], {}, {"code": 404}, {"message": None}])
def test_an_error_without_explanation_is_still_one(error: Any) -> None:
    answer = outcome(error)
    assert isinstance(answer, Outcome)
    assert isinstance(answer.error, LegError)


@pytest.mark.parametrize("code", [1, "404", None, [], -32099])
def test_an_unknown_error_code_is_an_internal_error(code: Any) -> None:
    answer = outcome({"code": code, "message": "x"})
    assert isinstance(answer, Outcome)
    assert answer.error is not None
    assert answer.error.code is LegErrorCode.INTERNAL_ERROR


@given(st.text() | st.binary())
def test_nothing_can_hurt(data: str | bytes) -> None:
    Peer().receive(data)


@given(st.fixed_dictionaries({"jsonrpc": st.just("2.0")}, optional=dict.fromkeys(MESSAGE_KEYS[1:], VALUES)))
def test_two_peers_never_answer_each_other_for_ever(message: dict[str, Any]) -> None:
    peer, answers = Peer(), 0
    received = peer.receive(json.dumps(message))
    while isinstance(received, Malformed):
        answers += 1
        assert answers < 3
        received = peer.receive(received.answer)
