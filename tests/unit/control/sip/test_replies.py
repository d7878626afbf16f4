import pytest

from control.sip.dialog import ALLOW
from control.sip.effects import Digit, Headers, Reply
from control.sip.replies import answer, no_such_dialog, screen, screen_offer
from tests.support.siptext import OUR_TAG, SDP, request

DTMF_RELAY: Headers = (("Content-Type", "application/dtmf-relay"),)
DTMF: Headers = (("Content-Type", "application/dtmf"),)


def test_no_such_dialog_keeps_the_tag_it_was_asked_for() -> None:
    assert no_such_dialog(request("BYE", 2, to_tag="b.a.gone"), "1:2", "unused") == Reply(
        "1:2", 481, "Call/Transaction Does Not Exist", "b.a.gone"
    )
    assert no_such_dialog(request("BYE", 2, to_tag=""), "1:2", "b.a.new").to_tag == "b.a.new"


def test_options_tell_what_we_can() -> None:
    (reply,) = answer(request("OPTIONS", 2), "1:2", OUR_TAG)

    assert isinstance(reply, Reply)
    assert (reply.code, dict(reply.headers)) == (
        200,
        {"Allow": ALLOW, "Accept": "application/sdp", "Supported": ""},
    )


@pytest.mark.parametrize(
    ("method", "code", "headers"),
    [
        ("NOTIFY", 489, ()),
        ("PRACK", 481, ()),
        ("REFER", 603, ()),
        ("MESSAGE", 405, (("Allow", ALLOW),)),
        ("SUBSCRIBE", 405, (("Allow", ALLOW),)),
        ("PUBLISH", 405, (("Allow", ALLOW),)),
        ("FANCY", 405, (("Allow", ALLOW),)),
    ],
)
def test_refusals(method: str, code: int, headers: Headers) -> None:
    (reply,) = answer(request(method, 2), "1:2", OUR_TAG)

    assert isinstance(reply, Reply)
    assert (reply.code, reply.to_tag, reply.headers) == (code, OUR_TAG, headers)


@pytest.mark.parametrize(
    ("headers", "body", "digit"),
    [
        (DTMF_RELAY, b"Signal=5\r\nDuration=160\r\n", Digit("5", 160)),
        (DTMF_RELAY, b"Signal= #\r\nDuration= 250\r\n", Digit("#", 250)),
        (DTMF_RELAY, b"signal = d\nduration = 999999", Digit("D", 60_000)),
        (DTMF_RELAY, b"Signal=10\r\n", Digit("*", 160)),
        (DTMF_RELAY, b"Signal=11\r\n", Digit("#", 160)),
        (DTMF_RELAY, b"Signal=15\r\n", Digit("D", 160)),
        (DTMF, b"7", Digit("7", 160)),
        (DTMF, b" *\r\n", Digit("*", 160)),
    ],
)
def test_info_carries_digits(headers: Headers, body: bytes, digit: Digit) -> None:
    reply, report = answer(request("INFO", 2, headers=headers, body=body), "1:2", OUR_TAG)

    assert isinstance(reply, Reply)
    assert reply.code == 200
    assert report == digit


@pytest.mark.parametrize(
    ("headers", "body", "code", "hint"),
    [
        ((), b"", 200, ()),
        (DTMF_RELAY, b"Signal=\r\n", 400, ()),
        (DTMF_RELAY, b"Signal=16\r\n", 400, ()),
        (DTMF, b"\xff", 400, ()),
        (
            (("Content-Type", "application/media_control+xml"),),
            b"<x/>",
            415,
            (("Accept", "application/dtmf-relay, application/dtmf"),),
        ),
        ((("Info-Package", "foo"),), b"", 469, (("Recv-Info", ""),)),
    ],
)
def test_info_without_a_digit(headers: Headers, body: bytes, code: int, hint: Headers) -> None:
    (reply,) = answer(request("INFO", 2, headers=headers, body=body), "1:2", OUR_TAG)

    assert isinstance(reply, Reply)
    assert (reply.code, reply.headers) == (code, hint)


def test_required_extensions_are_refused() -> None:
    asked = request("OPTIONS", 2, headers=(("Require", "100rel, nothingSupportsThis"), ("Require", "timer")))

    (reply,) = answer(asked, "1:2", OUR_TAG)

    assert reply == screen(asked, "1:2", OUR_TAG) == screen_offer(asked, "1:2", OUR_TAG)
    assert isinstance(reply, Reply)
    assert (reply.code, reply.headers) == (420, (("Unsupported", "100rel, nothingSupportsThis, timer"),))
    assert screen(request("OPTIONS", 2, headers=(("Require", ""),)), "1:2", OUR_TAG) is None


def test_offers_must_be_session_descriptions() -> None:
    assert screen_offer(request("INVITE", 2), "1:2", OUR_TAG) is None
    assert screen_offer(request("INVITE", 2, sdp=SDP), "1:2", OUR_TAG) is None
    refusal = screen_offer(request("INVITE", 2, body=b"x"), "1:2", OUR_TAG)
    assert refusal
    assert (refusal.code, refusal.headers) == (415, (("Accept", "application/sdp"),))
