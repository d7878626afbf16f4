import base64
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.webhooks.signature import TOLERANCE, sign, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
NOW = 1614265330

OPERATIONS = Path(__file__).parents[4] / "docs" / "operations.md"


def signed(**changes: str) -> dict[str, str]:
    return sign(SECRET, BODY, "msg_p5jXN8AQM9LWM0D4loKWxJek", NOW) | {
        name.replace("_", "-"): value for name, value in changes.items()
    }


def test_what_was_signed_is_right() -> None:
    assert verify(SECRET, signed(), BODY, NOW)


@pytest.mark.parametrize("body", [b"", BODY + b" ", BODY.upper()])
def test_another_body_is_wrong(body: bytes) -> None:
    assert not verify(SECRET, signed(), body, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook_id": "msg_other"},
        {"webhook_id": ""},
        {"webhook_timestamp": str(NOW + 1)},
        {"webhook_timestamp": ""},
        {"webhook_timestamp": "-1"},
        {"webhook_timestamp": "\u00b2"},
        {"webhook_timestamp": "9" * 400},
        {"webhook_signature": ""},
        {"webhook_signature": "v1,\u00e4\ud800"},
        {"webhook_signature": sign("another", BODY, "id", NOW)["webhook-signature"]},
    ],
)
def test_what_was_changed_is_wrong(changes: dict[str, str]) -> None:
    assert not verify(SECRET, signed(**changes), BODY, NOW)


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_all_headers_are_needed(missing: str) -> None:
    headers = signed()
    del headers[missing]
    assert not verify(SECRET, headers, BODY, NOW)


def test_one_right_signature_of_several_is_enough() -> None:
    headers = signed()
    headers["webhook-signature"] = "v1a,xyz v1,AAAA " + headers["webhook-signature"]
    assert verify(SECRET, headers, BODY, NOW)


@pytest.mark.parametrize(("late", "right"), [(TOLERANCE, True), (TOLERANCE + 1, False)])
def test_old_messages_and_those_of_the_future_are_wrong(late: int, right: bool) -> None:
    assert verify(SECRET, signed(), BODY, NOW + late) is right
    assert verify(SECRET, signed(), BODY, NOW - late) is right


@given(st.binary(), st.text(min_size=1), st.integers(0, 2**33))
def test_whatever_is_signed_is_right_for_this_secret_only(body: bytes, secret: str, now: int) -> None:
    secret = base64.b64encode(secret.encode("utf-8", "replace")).decode()
    headers = sign(secret, body, "id", now)
    assert verify(secret, headers, body, now)
    assert not verify(secret + "x", headers, body, now)


@pytest.fixture(scope="module")
def is_ours() -> Callable[[dict[str, str], bytes, str], bool]:
    """The function that the documentation gives to receivers."""
    code = re.search(r"```python\n(.*?def is_ours.*?)```", OPERATIONS.read_text("utf-8"), re.DOTALL)
    assert code is not None
    names: dict[str, Callable[[dict[str, str], bytes, str], bool]] = {}
    exec(code[1], names)
    return names["is_ours"]


@pytest.mark.parametrize("secret", [SECRET, "a long random text"])
def test_the_documented_check_is_right(
    is_ours: Callable[[dict[str, str], bytes, str], bool], secret: str
) -> None:
    now = int(time.time())
    headers = sign(secret, BODY, "msg_1", now)
    assert is_ours(headers, BODY, secret)
    assert not is_ours(headers, BODY + b" ", secret)
    assert not is_ours(headers, BODY, "another")
    assert not is_ours(sign(secret, BODY, "msg_1", now - 301), BODY, secret)
