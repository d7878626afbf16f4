"""The torture messages are reconstructions of what RFC 4475 describes; its section names stand as ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import SipParseError
from control.sip.message import MAX_HEADERS, MAX_MESSAGE, Headers, Request, Response, parse

FIELDS = {
    "Via": "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx",
    "From": "<sip:caller@example.com>;tag=f1",
    "To": "<sip:callee@example.net>",
    "Call-ID": "c1@example.com",
    "CSeq": "1 INVITE",
    "Contact": "<sip:caller@192.0.2.1>",
    "Max-Forwards": "70",
}


def text(
    start: str = "INVITE sip:callee@example.net SIP/2.0", body: str = "", **changes: str | None
) -> bytes:
    """A good INVITE with some fields replaced, added or (None) left out; ``_`` stands for ``-`` in names."""
    fields: dict[str, str | None] = {
        **FIELDS,
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    lines = [start, *(f"{name}: {value}" for name, value in fields.items() if value is not None)]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("utf-8", "surrogateescape")


def request(data: bytes) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    return message


def response(data: bytes) -> Response:
    message = parse(data)
    assert isinstance(message, Response)
    return message


def test_a_request() -> None:
    message = request(text(body="hello", Content_Length="5", Content_Type="Text/Plain; charset=utf-8"))

    assert (message.method, message.uri, message.body) == ("INVITE", "sip:callee@example.net", b"hello")
    assert (message.call_id, message.cseq) == ("c1@example.com", (1, "INVITE"))
    assert (message.from_tag, message.to_tag) == ("f1", None)
    assert str(message.to.uri) == "sip:callee@example.net"
    assert message.contact is not None
    assert message.contact.uri.user == "caller"
    assert message.vias == ("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx",)
    assert message.record_routes == ()
    assert message.content_type == "text/plain"
    assert message.sdp == b""


def test_a_response() -> None:
    message = response(
        text(
            "SIP/2.0 200 OK",
            To="<sip:callee@example.net>;tag=t1",
            Record_Route="<sip:p1;lr>, <sip:p2;lr>",
            Contact=None,
        )
    )

    assert (message.code, message.reason, message.to_tag, message.contact) == (200, "OK", "t1", None)
    assert message.record_routes == ("<sip:p1;lr>", "<sip:p2;lr>")


def test_messages_can_be_made_from_their_parts() -> None:
    assert Request("BYE", "sip:a@b.c") == Request("BYE", "sip:a@b.c", Headers(), b"")
    assert Response(200, "OK", Headers((("To", "x"),)), b"").headers.get("to") == "x"


@pytest.mark.parametrize("name", ["call_id", "cseq", "from_", "to"])
def test_an_unchecked_message_without_its_fields_says_which(name: str) -> None:
    with pytest.raises(SipParseError, match="is missing or empty"):
        getattr(Request("BYE", "sip:a@b.c"), name)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3600", 3600), ("18 (busy);duration=60", 18), ("99999999999", None), ("soon", None), (None, None)],
)
def test_seconds(value: str | None, seconds: int | None) -> None:
    assert response(text("SIP/2.0 503 Busy", Retry_After=value)).seconds("Retry-After") == seconds


WSINV = (
    "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\r\n"
    "TO :\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\r\n"
    'from   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8\r\n'
    "MaX-fOrWaRdS: 0068\r\n"
    "Call-ID: wsinv.ndaksdj@192.0.2.1\r\n"
    "Content-Length   : 4\r\n"
    "cseq: 0009\r\n  INVITE\r\n"
    "Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw\r\n"
    "s :\r\n"
    "NewFangledHeader:   newfangled value\r\n continued newfangled value\r\n"
    "UnknownHeaderWithUnusualValue: ;;,,;;,;\r\n"
    "Content-Type: application/sdp\r\n"
    "Route:\r\n <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\r\n"
    "v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n"
    " SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239\r\n"
    'm:"Quoted string \\"\\"" <sip:jdrosen@example.com> ; newparam =\r\n      newvalue ;\r\n'
    "  secondparam ; q = 0.33\r\n"
    "\r\n"
    "v=0\n"
)


def test_wsinv() -> None:
    message = request(WSINV.encode())

    assert message.cseq == (9, "INVITE")
    assert message.to_tag == "1918181833n"
    assert message.from_.display == 'J Rosenberg \\"'
    assert message.from_tag == "98asjd8"
    assert len(message.vias) == 3
    assert message.headers.get("Subject") == ""
    assert message.headers.get("newfangledheader") == "newfangled value continued newfangled value"
    assert message.contact is not None
    assert message.contact.display == 'Quoted string ""'
    assert message.contact.param("q") == "0.33"
    assert message.sdp == b"v=0\n"


def test_intmeth() -> None:
    method = "!interesting-Method0123456789_*+`.%indeed'~"
    message = request(
        text(
            f"{method} sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
            ":&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0",
            Via="SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~",
            To='"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:1_unusual.URI~(to-be!sure)&isn\'t+it$/crazy?,/;;*@example.com>',
            From="token1~` token2'+_ token3*%!.- <sip:mundane@example.com>"
            ";fromParam''~+*_!.-%=\"работающий\";tag=_token~1'+`*%!-.",
            Call_ID="intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
            CSeq=f"139122385 {method}",
        )
    )

    assert message.cseq == (139122385, method)
    assert message.from_tag == "_token~1'+`*%!-."
    assert message.to.display == "BEL:\x07 NUL:\x00 DEL:\x7f"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(
            text(
                "INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0",
                To="sip:%75se%72@example.com",
                From="<sip:I%20have%20spaces@example.net>;tag=938",
                Contact="<sip:cal%6Cer@192.0.2.2:5060;%6C%72;n%61me=v%61lue%25%34%31>",
            ),
            id="esc01",
        ),
        pytest.param(
            text(
                "REGISTER sip:example.com SIP/2.0",
                To="sip:null-%00-null@example.com",
                From="sip:null-%00-null@example.com;tag=839923423",
                CSeq="14398234 REGISTER",
                Contact="<sip:%00@192.0.2.1>, <sip:%00%00@192.0.2.1>",
            ),
            id="escnull",
        ),
        pytest.param(
            text(
                "RE%47IST%45R sip:registrar.example.com SIP/2.0",
                CSeq="29344 RE%47IST%45R",
                To='"%Z%45" <sip:resource@example.com>',
            ),
            id="esc02",
        ),
        pytest.param(text(From="caller<sip:caller@example.com>;tag=323"), id="lwsdisp"),
        pytest.param(
            text(
                "INVITE sip:user@example.com SIP/2.0",
                From="sip:" + "amazinglylongcallername" * 5 + "@example.net;tag=" + "12982424" * 10,
                Via="SIP/2.0/TCP sip33.example.com, "
                + ", ".join(f"SIP/2.0/TCP sip{n}.example.com;branch=z{n}" for n in range(34)),
                Call_ID="longreq." + "one" * 20 + "longcallid",
            ),
            id="longreq",
        ),
        pytest.param(
            text("OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0", CSeq="8 OPTIONS"), id="semiuri"
        ),
        pytest.param(
            text(
                "OPTIONS sip:user@example.com SIP/2.0",
                CSeq="8 OPTIONS",
                Via="SIP/2.0/UDP t1.example.com;branch=1, SIP/2.0/UNKNOWN t5.example.com:5071;branch=5",
            ),
            id="transports",
        ),
        pytest.param(
            text("OPTIONS sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0", CSeq="1 OPTIONS"),
            id="escruri",
        ),
        pytest.param(
            text("OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0", CSeq="1 OPTIONS"), id="unkscm"
        ),
        pytest.param(text("OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0", CSeq="1 OPTIONS"), id="novelsc"),
        pytest.param(
            text(To="isbn:2983792873", From="<http://www.example.com>;tag=1", Contact="<name:John_Smith>"),
            id="unksm2",
        ),
        pytest.param(text("REGISTER sip:example.com SIP/2.0", CSeq="1 REGISTER", Contact="*"), id="star"),
        pytest.param(text(Max_Forwards="0"), id="zeromf"),
        pytest.param(text(Date="Fri, 01 Jan 2010 16:00:00 EST"), id="baddate"),
        pytest.param(
            text(
                Via="SIP/2.0/UDP 192.0.2.9",
                From="<sip:UserA@example.com>",
                Contact=None,
                CSeq="0 INVITE",
                Max_Forwards=None,
            ),
            id="inv2543",
        ),
        pytest.param(
            text(Via="SIP/2.0/UDP [2001:db8::9:1]:5060;received=[2001:db8::9:255];branch=z9"),
            id="ipv6-in-via",
        ),
        pytest.param(b"\r\n\r\n" + text(), id="leading-crlf"),
        pytest.param(text().replace(b"\r\n", b"\n"), id="bare-lf"),
    ],
)
def test_valid_torture(data: bytes) -> None:
    assert request(data).call_id


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(
            "SIP/2.0 200 = 2**3 * 5**2 но сто девяносто девять - простое",
            "= 2**3 * 5**2 но сто девяносто девять - простое",
            id="unreason",
        ),
        pytest.param("SIP/2.0 200 ", "", id="noreason"),
        pytest.param("sip/2.0 200", "", id="no-space"),
    ],
)
def test_valid_status_lines(line: str, reason: str) -> None:
    assert response(text(line)).reason == reason


def test_dblreq_drops_what_follows_the_message() -> None:
    first = text("REGISTER sip:example.com SIP/2.0", CSeq="8 REGISTER", Content_Length="0")

    assert request(first + text()).body == b""


@pytest.mark.parametrize(
    ("data", "why"),
    [
        pytest.param(text(Via="SIP/2.0/UDP 192.0.2.15;;,;,,"), "bad Via", id="badinv01-via"),
        pytest.param(text(Contact='"Joe" <sip:joe@example.org>;;;;'), "bad Contact", id="badinv01-contact"),
        pytest.param(text(Content_Length="9999"), "only 0 bytes follow", id="clerr"),
        pytest.param(text(Content_Length="-999"), "not a number", id="ncl"),
        pytest.param(text(Content_Length=""), "not a number", id="empty-length"),
        pytest.param(text(CSeq="36893488147419103232 INVITE"), "below 2", id="scalar02"),
        pytest.param(
            text("SIP/2.0 503 Service Unavailable", CSeq="9292394834772304023312 INVITE"),
            "below 2",
            id="scalarlg",
        ),
        pytest.param(text(To='"Mr. J. User <sip:j.user@example.com>'), "bad To", id="quotbal"),
        pytest.param(text("INVITE <sip:user@example.com> SIP/2.0"), "bad Request-URI", id="ltgtruri"),
        pytest.param(text("INVITE sip:user@example.com; lr SIP/2.0"), "single spaces", id="lwsruri"),
        pytest.param(text("INVITE  sip:user@example.com  SIP/2.0"), "single spaces", id="lwsstart"),
        pytest.param(text("INVITE sip:user@example.com SIP/2.0  "), "single spaces", id="trws"),
        pytest.param(
            text(Contact="sip:user@example.com?Route=%3Csip:sip.example.com%3E"), "bad Contact", id="regbadct"
        ),
        pytest.param(text(To='"Watson, Thomas" < sip:t.watson@example.org >'), "bad To", id="badaspec"),
        pytest.param(text(From="Bell, Alexander <sip:a.g.bell@example.com>;tag=43"), "bad From", id="baddn"),
        pytest.param(text("INVITE sip:user@example.com SIP/7.0"), "version", id="badvers"),
        pytest.param(text("OPTIONS sip:user@example.com SIP/2.0"), "CSeq has method", id="mismatch01"),
        pytest.param(text("NEWMETHOD sip:user@example.com SIP/2.0"), "CSeq has method", id="mismatch02"),
        pytest.param(text("SIP/2.0 4294967301 better not break"), "code from 100 to 699", id="bigcode"),
        pytest.param(text("SIP/2.0 700 No"), "code from 100 to 699", id="class-7"),
        pytest.param(text(Call_ID=None), "Call-ID is missing", id="insuf-call-id"),
        pytest.param(text(From=None), "From is missing", id="insuf-from"),
        pytest.param(text(To=""), "To is missing", id="insuf-to"),
        pytest.param(text(CSeq=None), "CSeq is missing", id="insuf-cseq"),
        pytest.param(text(Via=None), "Via is missing", id="insuf-via"),
        pytest.param(text(i="second"), "more than one Call-ID", id="multi01"),
        pytest.param(text(f="<sip:x@example.com>;tag=2"), "more than one From", id="multi01-from"),
        pytest.param(text(Content_Length="0", l="0"), "more than one Content-Length", id="mcl01"),
        pytest.param(text(Call_ID="a\0b"), "Call-ID .* control", id="nul-in-call-id"),
        pytest.param(text(CSeq="INVITE"), "CSeq", id="cseq-without-number"),
        pytest.param(text(CSeq="-1 INVITE"), "CSeq", id="cseq-negative"),
        pytest.param(text(CSeq="٣ INVITE"), "CSeq", id="cseq-arabic"),
        pytest.param(text(Via="HTTP/1.1 host"), "Via", id="via-of-http"),
        pytest.param(text(Route="sip:"), "bad Route", id="bad-route"),
        pytest.param(text(Record_Route="<sip:p1;lr>,"), "bad Record-Route", id="bad-record-route"),
        pytest.param(text("IN VITE"), "single spaces", id="start-line"),
        pytest.param(text("IN{V sip:a@b.c SIP/2.0"), "not a token", id="method"),
        pytest.param(text(X_A="a\rVia: b"), "lone CR", id="lone-cr"),
        pytest.param(text().replace(b"Call-ID:", b"Call ID:"), "not a header field", id="space-in-name"),
        pytest.param(text().replace(b"Call-ID:", b"Call-ID"), "not a header field", id="no-colon"),
        pytest.param(b" " + text(), "white space before", id="space-first"),
        pytest.param(text().replace(b"\r\nVia", b"\r\n Via"), "white space before", id="fold-first"),
        pytest.param(b"", "no empty line", id="empty"),
        pytest.param(text().removesuffix(b"\r\n"), "no empty line", id="cut"),
        pytest.param(text(body="x" * MAX_MESSAGE), "are more than", id="huge"),
        pytest.param(
            text(X_A="\r\n".join(["1", *(f"X-{n}: 1" for n in range(MAX_HEADERS))])),
            "header fields",
            id="many",
        ),
    ],
)
def test_invalid_torture(data: bytes, why: str) -> None:
    with pytest.raises(SipParseError, match=why):
        parse(data)


def test_a_space_before_the_colon_hides_no_header() -> None:
    assert request(text(X_A="1\r\nX-Sidecall : b.a.1")).headers.get("x-sidecall") == "b.a.1"


def test_bytes_that_are_no_utf8_survive() -> None:
    message = request(text(Subject="caf\udce9", body="\udcff"))

    assert (message.headers.get("Subject") or "").encode("utf-8", "surrogateescape") == b"caf\xe9"
    assert message.body == b"\xff"


@pytest.mark.parametrize(
    ("content_type", "sdp"),
    [
        ('multipart/mixed; boundary="a b"', b"v=0\r\n"),
        ("multipart/mixed;boundary=other", b""),
        ("multipart/mixed", b""),
        ("APPLICATION/SDP", None),
        ("text/plain", b""),
    ],
)
def test_the_session_description_is_found(content_type: str, sdp: bytes | None) -> None:
    body = (
        "--a b\r\nContent-Type: application/isup\r\n\r\n\x01\r\n"
        "--a b\r\nX: 1\r\nc: Application/SDP\r\n\r\nv=0\r\n\r\n--a b--\r\n"
    )

    assert request(text(body=body, Content_Type=content_type)).sdp == (body.encode() if sdp is None else sdp)


@given(st.binary(max_size=200))
def test_noise_is_refused(data: bytes) -> None:
    with pytest.raises(SipParseError):
        parse(data)


@given(st.data())
def test_a_damaged_message_is_parsed_or_refused(data: st.DataObject) -> None:
    message = bytearray(WSINV.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(message) - 1))
        message[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        parsed = parse(bytes(message))
    except SipParseError:
        return
    for name in ("call_id", "cseq", "from_tag", "to_tag", "contact", "record_routes", "vias", "sdp"):
        getattr(parsed, name)
