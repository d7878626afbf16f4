from typing import Any

import pytest
from pydantic import ValidationError

from control.calls.trunks import Destination, choose_destination, trunk_of
from control.config import Calls, Registration, Settings, Trunk
from control.errors import LegError, LegErrorCode
from control.sip.digest import Credentials

CARRIER = Trunk(
    name="carrier",
    addresses=("192.0.2.0/24", "198.51.100.7"),
    gateway="sip:gw.example:5080;transport=tcp",
    username="u",
    password="p",
    realm="r",
    callees=("^\\+49", "@carrier\\.example$"),
)
PLAIN = Trunk(name="plain", gateway="sip:192.0.2.1", caller="sip:+4930@example.com", callees=("^\\+1",))
OWN = Credentials("bot", "secret")


def destination(
    callee: str, caller: str | None = None, credentials: Credentials | None = None, **calls: Any
) -> Destination:
    settings = Settings(trunks=(CARRIER, PLAIN), calls=Calls(**calls))
    return choose_destination(settings, callee, caller, credentials, domain="198.51.100.1")


@pytest.mark.parametrize(
    ("address", "name"),
    [("192.0.2.200", "carrier"), ("198.51.100.7", "carrier"), ("203.0.113.1", "wide"), ("10.0.0.1", None)],
)
def test_a_call_belongs_to_the_trunk_whose_network_it_comes_from(address: str, name: str | None) -> None:
    wide = Trunk(name="wide", addresses=("192.0.2.0/24", "203.0.113.0/24"))
    found = trunk_of((CARRIER, wide), address)
    assert (found and found.name) == name


@pytest.mark.parametrize(
    ("callee", "uri"),
    [
        ("+491234", "sip:+491234@gw.example:5080;transport=tcp"),
        ("tel:+491234", "sip:+491234@gw.example:5080;transport=tcp"),
        ("sip:+491234@elsewhere.example;x=y", "sip:+491234@gw.example:5080;transport=tcp"),
        ("sip:info@carrier.example", "sip:info@gw.example:5080;transport=tcp"),
    ],
)
def test_a_trunk_takes_the_callees_that_match(callee: str, uri: str) -> None:
    chosen = destination(callee, credentials=OWN)
    assert (str(chosen.uri), str(chosen.next_hop)) == (uri, "sip:gw.example:5080;transport=tcp")
    assert chosen.credentials == Credentials("u", "p", "r")
    assert chosen.trunk == "carrier"


@pytest.mark.parametrize(
    ("callee", "caller", "sender"),
    [
        ("+49", None, "<sip:u@gw.example>"),
        ("+49", "1000", "<sip:1000@gw.example>"),
        ("+49", '"Bot" <sip:b@c>', '"Bot" <sip:b@c>'),
        ("+1", None, "<sip:+4930@example.com>"),
        ("+1", "tel:+4940", "<tel:+4940>"),
        ("sip:x@y", None, "<sip:sidecall@198.51.100.1>"),
        ("sip:x@y", "1000", "<sip:1000@198.51.100.1>"),
        ("sip:x@y", "<sip:b@c>;tag=b.a.forged", "<sip:b@c>"),
        ("sip:x@y", "sip:b@c;user=phone", "<sip:b@c;user=phone>"),
    ],
)
def test_the_caller_is_the_bots_or_the_trunks_or_ours(callee: str, caller: str | None, sender: str) -> None:
    assert str(destination(callee, caller, allow=("sip:x@y",)).caller) == sender


def test_a_trunk_without_password_answers_no_challenge() -> None:
    assert destination("+1").credentials is None


def test_a_trunk_without_gateway_or_account_takes_no_calls_out() -> None:
    inbound = Trunk(name="in", addresses=("192.0.2.1",), callees=(".",))
    bare = Trunk(name="out", gateway="sip:192.0.2.9", callees=(".",))
    settings = Settings(trunks=(inbound, bare))
    chosen = choose_destination(settings, "12", None, None, domain="d")
    assert (chosen.trunk, str(chosen.caller)) == ("out", "<sip:sidecall@192.0.2.9>")


def test_a_uri_that_is_allowed_is_dialled_directly() -> None:
    chosen = destination(
        "sip:x@y.example:5070;transport=tcp", credentials=OWN, allow=("sip:x@y\\.example.*",)
    )
    assert str(chosen.uri) == str(chosen.next_hop) == "sip:x@y.example:5070;transport=tcp"
    assert (chosen.credentials, chosen.trunk) == (OWN, None)


@pytest.mark.parametrize(
    ("callee", "allow"),
    [
        ("sip:x@y", ()),
        ("sip:x@y.evil", ("sip:x@y",)),
        ("sip:xx@y", ("x@y",)),
        ("1000", (".*",)),
        ("tel:+33", (".*",)),
    ],
)
def test_nothing_else_is_allowed(callee: str, allow: tuple[str, ...]) -> None:
    with pytest.raises(LegError, match="not allowed") as caught:
        destination(callee, allow=allow)
    assert caught.value.code is LegErrorCode.FORBIDDEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:",
        "sip:host",
        "sips:a@b",
        "http://a",
        "sip:a@b?Replaces=1",
        "sip:a b@c",
        "<sip:a@b\r\nX: y>",
        "tel:x y",
    ],
)
@pytest.mark.parametrize("what", ["callee", "caller"])
def test_an_unusable_address_is_named(text: str, what: str) -> None:
    addresses = {"callee": "sip:x@y", "caller": "sip:x@y"} | {what: text}
    if what == "caller" and not text:
        return
    with pytest.raises(LegError, match=f"^{what}") as caught:
        destination(addresses["callee"], addresses["caller"], allow=(".*",))
    assert caught.value.code is LegErrorCode.INVALID_PARAMS


@pytest.mark.parametrize("text", ["gw.example", "sip:", "sip:me@gw.example", "tel:+49", "sips:gw.example"])
def test_a_gateway_or_registrar_that_is_no_sip_host_is_refused_at_start(text: str) -> None:
    with pytest.raises(ValidationError, match="gateway"):
        Trunk(name="t", gateway=text)
    with pytest.raises(ValidationError, match="registrar"):
        Registration(name="t", registrar=text, username="u", password="p")
