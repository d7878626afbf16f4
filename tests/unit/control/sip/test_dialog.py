import re
from dataclasses import replace

import pytest

from control.errors import SipError, UriError
from control.sip.dialog import Dialog, hop_behind_nat, make_tag, request_fields, source_uri
from control.sip.effects import Send
from control.sip.headers import Headers
from control.sip.uri import parse_uri
from tests.support.siptext import (
    CALL_ID,
    OUR_CONTACT,
    OUR_TAG,
    PEER_SOURCE,
    PEER_TAG,
    SDP,
    field,
    invite,
    request,
    response,
)

ROUTES = (
    ("Record-Route", "<sip:p1.example.com;lr>, <sip:p2.example.com;lr>"),
    ("Record-Route", "<sip:p3.example.com;lr>"),
)


def callee(source: str = PEER_SOURCE, contact: str = "<sip:alice@192.0.2.1:5062>") -> Dialog:
    return Dialog.from_invite(invite(7, contact=contact), OUR_TAG, OUR_CONTACT, source)


def our_invite() -> Send:
    headers = request_fields(
        "INVITE",
        local=f"<sip:bot@example.net>;tag={OUR_TAG}",
        remote="<sip:alice@example.com>",
        call_id=CALL_ID,
        cseq=3,
        contact=OUR_CONTACT,
    )
    return Send("INVITE", "sip:alice@gw.example.com", "", headers)


def caller(
    source: str = PEER_SOURCE, contact: str = "<sip:bob@192.0.2.1:5062>", tag: str = PEER_TAG
) -> Dialog:
    answer = response(our_invite(), 200, contact=contact, headers=ROUTES, tag=tag)
    return Dialog.from_response(
        answer,
        request_uri=parse_uri("sip:alice@gw.example.com"),
        local=field(our_invite(), "From") or "",
        local_tag=OUR_TAG,
        contact=OUR_CONTACT,
        source=source,
    )


def test_tags_name_their_control() -> None:
    assert make_tag("a", lambda: "0123") == "b.a.0123"
    assert re.fullmatch(r"b\.node_1\.[0-9a-f]{16}", make_tag("node_1"))
    assert make_tag("a") != make_tag("a")


def test_a_callee_keeps_the_order_of_routes() -> None:
    dialog = Dialog.from_invite(invite(7, headers=ROUTES), OUR_TAG, OUR_CONTACT, PEER_SOURCE)

    send = dialog.request("BYE", (("X-A", "1"),))

    assert send == Send(
        "BYE",
        "sip:alice@192.0.2.1:5062",
        "sip:p1.example.com;lr",
        (
            ("From", f"<sip:bot@example.net>;tag={OUR_TAG}"),
            ("To", f'"Alice" <sip:alice@example.com>;tag={PEER_TAG}'),
            ("Call-ID", CALL_ID),
            ("CSeq", "1 BYE"),
            ("Max-Forwards", "70"),
            ("Route", "<sip:p1.example.com;lr>"),
            ("Route", "<sip:p2.example.com;lr>"),
            ("Route", "<sip:p3.example.com;lr>"),
            ("X-A", "1"),
        ),
    )
    assert dialog.remote_cseq == 7


def test_a_caller_turns_the_routes_round() -> None:
    dialog = caller()

    send = dialog.request("INVITE", body=SDP)

    assert send.next_hop == "sip:p3.example.com;lr"
    assert [value for name, value in send.headers if name == "Route"] == [
        "<sip:p3.example.com;lr>",
        "<sip:p2.example.com;lr>",
        "<sip:p1.example.com;lr>",
    ]
    assert field(send, "CSeq") == "4 INVITE"
    assert field(send, "Contact") == f"<{OUR_CONTACT}>"
    assert field(send, "Content-Type") == "application/sdp"
    assert field(send, "To") == f"<sip:alice@example.com>;tag={PEER_TAG}"
    assert send.body == SDP


def test_an_ack_has_the_number_of_its_invite() -> None:
    dialog = caller()

    send = dialog.ack(3, (("Authorization", "x"),))

    assert (send.method, field(send, "CSeq"), field(send, "Authorization")) == ("ACK", "3 ACK", "x")
    assert field(send, "Content-Type") is None
    assert dialog.local_cseq == 3


def test_without_contact_the_target_is_where_the_invite_came_from_or_went_to() -> None:
    assert str(callee(contact="").target) == "sip:alice@example.com"
    assert str(caller(contact="").target) == "sip:alice@gw.example.com"
    assert str(caller(contact="<tel:+1>").target) == "sip:alice@gw.example.com"


def test_an_invite_that_makes_no_dialog_is_refused() -> None:
    with pytest.raises(SipError, match="481"):
        Dialog.from_invite(request("INVITE", 1), OUR_TAG, OUR_CONTACT, "")
    with pytest.raises(SipError, match="400"):
        callee(contact="<tel:+1>")


def test_control_characters_of_the_peer_are_not_echoed() -> None:
    asked = invite(7, headers=(("Record-Route", '"\\\x07" <sip:p1;lr>;x'),))
    fields = tuple(
        (name, value.replace("Alice", "\\\0") if name == "From" else value) for name, value in asked.headers
    )

    dialog = Dialog.from_invite(replace(asked, headers=Headers(fields)), OUR_TAG, OUR_CONTACT, PEER_SOURCE)

    assert dialog.remote == f"<sip:alice@example.com>;tag={PEER_TAG}"
    assert dialog.routes == ("<sip:p1;lr>",)
    assert caller(tag="").remote == "<sip:alice@example.com>"


def test_a_peer_without_tags_still_gets_a_dialog() -> None:
    dialog = caller(tag="")

    assert dialog.remote_tag == ""
    assert field(dialog.request("BYE"), "To") == "<sip:alice@example.com>"


def test_the_target_is_refreshed_but_never_the_routes() -> None:
    dialog = caller()
    routes = dialog.routes

    dialog.refresh(
        request("UPDATE", 9, contact="<sip:alice@192.0.2.77>", headers=(("Record-Route", "<sip:new;lr>"),)),
        "udp:192.0.2.77:5060",
    )

    assert str(dialog.target) == "sip:alice@192.0.2.77"
    assert dialog.routes == routes
    assert dialog.source == source_uri("udp:192.0.2.77:5060")

    dialog.refresh(request("UPDATE", 10, contact=""))
    dialog.refresh(request("UPDATE", 10, contact="<tel:+1>"))

    assert str(dialog.target) == "sip:alice@192.0.2.77"
    assert dialog.source == source_uri("udp:192.0.2.77:5060")


def test_old_numbers_are_refused() -> None:
    dialog = callee()

    assert dialog.accept_cseq(request("INFO", 9))
    assert not dialog.accept_cseq(request("INFO", 8))
    assert dialog.accept_cseq(request("INFO", 9))

    dialog = caller()
    assert dialog.accept_cseq(request("INFO", 1))
    assert not dialog.accept_cseq(request("INFO", 0))


def test_only_the_peer_matches() -> None:
    dialog = callee()

    assert dialog.matches(request("BYE", 8))
    assert not dialog.matches(request("BYE", 8, call_id="other"))
    assert not dialog.matches(request("BYE", 8, to_tag="b.a.other"))
    assert not dialog.matches(request("BYE", 8, from_tag="other"))


@pytest.mark.parametrize(
    ("target", "source", "hop"),
    [
        ("sip:a@192.168.1.9:5060", "udp:203.0.113.9:40000", "sip:203.0.113.9:40000;transport=udp"),
        ("sip:a@192.168.1.9:5060", "tcp:203.0.113.9:40000", "sip:203.0.113.9:40000;transport=tcp"),
        ("sip:a@100.64.0.9", "udp:203.0.113.9:40000", "sip:203.0.113.9:40000;transport=udp"),
        ("sip:a@192.168.1.9", "udp:192.168.1.9:5060", ""),
        ("sip:a@127.0.0.1:5070", "udp:127.0.0.1:5070", ""),
        ("sip:a@8.8.8.8", "udp:9.9.9.9:5060", ""),
        ("sip:a@example.com", "udp:9.9.9.9:5060", ""),
        ("sip:a@[fd00::1]", "udp:[2001:4860::1]:5060", "sip:[2001:4860::1]:5060;transport=udp"),
        ("sip:a@[fd00:0::1]", "udp:fd00::1:5060", ""),
        ("sip:a@x3k.invalid;transport=ws", "ws:9.9.9.9:50000", "sip:9.9.9.9:50000;transport=ws"),
        ("sip:a@8.8.8.8", "wss:9.9.9.9:50000", "sip:9.9.9.9:50000;transport=ws"),
        ("sip:a@x3k.INVALID", "tls:9.9.9.9:50000", "sip:9.9.9.9:50000;transport=tls"),
    ],
)
def test_targets_behind_nat_are_reached_where_they_came_from(target: str, source: str, hop: str) -> None:
    assert hop_behind_nat(parse_uri(target), source_uri(source)) == hop


def test_an_unknown_source_is_no_hop() -> None:
    dialog = callee("", contact="<sip:a@192.168.1.9>")

    assert dialog.next_hop == ""
    dialog.source = source_uri("udp:203.0.113.9:40000")
    assert dialog.next_hop == "sip:203.0.113.9:40000;transport=udp"
    assert caller("").source is None


def test_a_bad_source_is_an_error() -> None:
    with pytest.raises(UriError):
        source_uri("udp:nonsense")
