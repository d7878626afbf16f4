"""What a token lets a bot do."""

import pytest

from control.config import Token
from media.api.gate import Arrival


def arrival(pool: str | None = None, **limits: object) -> Arrival:
    return Arrival(
        session_id="s", pool=pool, token=Token.model_validate({"name": "shop", "token": "t"} | limits)
    )


@pytest.mark.parametrize(
    ("pool", "pools", "may"),
    [
        (None, None, True),
        ("sales", None, True),
        ("sales", ("sales",), True),
        ("other", ("sales",), False),
        (None, ("sales",), False),
        (None, ("default",), True),
        ("sales", (), False),
    ],
)
def test_pools(pool: str | None, pools: tuple[str, ...] | None, may: bool) -> None:
    assert arrival(pool, pools=pools).may_wait is may


def test_without_a_token_of_limits_nothing_is_limited() -> None:
    assert Arrival(session_id="s").may_wait
    assert Arrival(session_id="s").may_dial("sip:anybody@anywhere")
    assert arrival().may_dial("sip:anybody@anywhere")


@pytest.mark.parametrize(
    ("callee", "may"),
    [
        ("+4930123", True),
        ("tel:+4930123", True),
        ("sip:+4930123@carrier.example", True),
        ('"Bob" <sip:+4930123@carrier.example>', True),
        ("sip:desk@pbx.example", True),
        ("+1900123", False),
        ("x+4930123", False),
        ("sip:+1900123@carrier.example", False),
        ("sip:+1900123@carrier.example;x=+4930123", False),
        ('"+4930123" <sip:+1900123@carrier.example>', False),
        ("sip:desk@pbx.example.evil.example", False),
        ("", False),
        ("<", False),
    ],
)
def test_callees(callee: str, may: bool) -> None:
    limited = arrival(callees=(r"\+49\d+", r"sip:.*@pbx\.example"))
    assert limited.may_dial(callee) is may
    assert not arrival(callees=()).may_dial(callee)
