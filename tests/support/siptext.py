"""SIP messages for tests of the state machines, made as text and parsed by the product."""

from control.sip.effects import Headers, Send
from control.sip.message import Request, Response, parse

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
SDP_TYPE: Headers = (("Content-Type", "application/sdp"),)
CALL_ID = "call-1@peer"
OUR_TAG = "b.a.0123456789abcdef"
PEER_TAG = "peer-tag"
OUR_CONTACT = "sip:bot@198.51.100.1:5060"
PEER_SOURCE = "udp:192.0.2.1:5060"


def encode(start_line: str, headers: Headers, body: bytes = b"") -> bytes:
    """The message as Kamailio hands it over."""
    lines = [start_line, *(f"{name}: {value}" for name, value in headers), f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def request(
    method: str,
    cseq: int,
    *,
    to_tag: str = OUR_TAG,
    from_tag: str = PEER_TAG,
    call_id: str = CALL_ID,
    contact: str = "<sip:alice@192.0.2.1:5062>",
    headers: Headers = (),
    sdp: bytes = b"",
    body: bytes = b"",
) -> Request:
    """A request of the peer; without `to_tag` it stands outside of any dialog."""
    fields = (
        ("Via", "SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK1"),
        ("From", f'"Alice" <sip:alice@example.com>;tag={from_tag}'),
        ("To", "<sip:bot@example.net>" + (f";tag={to_tag}" if to_tag else "")),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} {method}"),
        *((("Contact", contact),) if contact else ()),
        *headers,
        *(SDP_TYPE if sdp else ()),
    )
    message = parse(encode(f"{method} sip:bot@198.51.100.1:5060 SIP/2.0", fields, sdp or body))
    assert isinstance(message, Request)
    return message


def invite(
    cseq: int = 1, *, sdp: bytes = SDP, headers: Headers = (), contact: str = "<sip:alice@192.0.2.1:5062>"
) -> Request:
    """The first INVITE of a call."""
    return request("INVITE", cseq, to_tag="", sdp=sdp, headers=headers, contact=contact)


def field(send: Send, name: str) -> str | None:
    """The first header `name` of a request of ours."""
    return next((value for key, value in send.headers if key.lower() == name.lower()), None)


def response(
    sent: Send,
    code: int,
    reason: str = "",
    *,
    tag: str = PEER_TAG,
    contact: str = "<sip:bob@192.0.2.1:5062>",
    headers: Headers = (),
    sdp: bytes = b"",
) -> Response:
    """The peer's response to `sent`; `tag` is added to To unless it has one."""
    to = field(sent, "To") or ""
    fields = (
        ("Via", "SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK2"),
        ("From", field(sent, "From") or ""),
        ("To", to if ";tag=" in to or not tag else f"{to};tag={tag}"),
        ("Call-ID", field(sent, "Call-ID") or ""),
        ("CSeq", field(sent, "CSeq") or ""),
        *((("Contact", contact),) if contact else ()),
        *headers,
        *(SDP_TYPE if sdp else ()),
    )
    message = parse(encode(f"SIP/2.0 {code} {reason}", fields, sdp))
    assert isinstance(message, Response)
    return message


def challenge(
    sent: Send, code: int = 401, *, nonce: str = "n1", stale: bool = False, algorithm: str = "MD5"
) -> Response:
    """401 or 407 with a digest challenge."""
    name = "WWW-Authenticate" if code == 401 else "Proxy-Authenticate"
    value = f'Digest realm="example.com", nonce="{nonce}", algorithm={algorithm}, qop="auth"'
    return response(sent, code, headers=((name, value + (", stale=TRUE" if stale else "")),))
