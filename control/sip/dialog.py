"""Dialogs: what two user agents must remember to send each other requests (RFC 3261 section 12).

The routes of a dialog are fixed when it is made (section 12.2); its remote target follows the Contact of
re-INVITE and UPDATE. All routers met are taken for loose ones (``;lr``): the request URI is always the
remote target, as Kamailio's own Record-Route demands.
"""

import ipaddress
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Self

from control.errors import SipError
from control.sip.effects import Headers, Send
from control.sip.message import Request, Response
from control.sip.uri import NameAddr, SipUri, parse_name_addr, parse_uri

ALLOW: Final = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE"
CAPABILITIES: Final[Headers] = (("Allow", ALLOW), ("Accept", "application/sdp"), ("Supported", ""))

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_TARGET_REFRESH: Final = ("INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER", "REGISTER")


def make_tag(control_name: str, random_hex: Callable[[], str] = lambda: secrets.token_hex(8)) -> str:
    """A new From or To tag, ``b.<control>.<random>``: Kamailio reads from it who owns a dialog."""
    return f"b.{control_name}.{random_hex()}"


def request_fields(
    method: str,
    *,
    local: str,
    remote: str,
    call_id: str,
    cseq: int,
    contact: str,
    routes: tuple[str, ...] = (),
) -> Headers:
    """The headers that every request of ours begins with; `local` holds our tag already.

    Contact is written where it refreshes the target or makes a binding.
    """
    fields = [
        ("From", local),
        ("To", remote),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} {method}"),
        ("Max-Forwards", "70"),
        *(("Route", route) for route in routes),
    ]
    if method in _TARGET_REFRESH:
        fields.append(("Contact", f"<{contact}>"))
    return tuple(fields)


def content(body: bytes, content_type: str = "application/sdp") -> Headers:
    """Content-Type when there is a body; Kamailio writes Content-Length."""
    return (("Content-Type", content_type),) if body else ()


def source_uri(source: str) -> SipUri:
    """The URI of a source address ``proto:host:port``. Raises UriError.

    ``ws`` stands for both kinds of WebSocket: Kamailio finds the open connection by its address.
    """
    protocol, _, address = source.partition(":")
    host, _, port = address.rpartition(":")
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    transport = "ws" if protocol == "wss" else protocol
    return replace(parse_uri(f"sip:{host}:{port}"), params=(("transport", transport),))


def hop_behind_nat(target: SipUri, source: SipUri | None) -> str:
    """Where requests to `target` must go when its host cannot be reached; "" when they go to `target`.

    That is `source`, the address its messages come from, for a WebSocket client, for a host under
    ``.invalid``, and for an address that is not global and not the source's own.
    """
    if source is None:
        return ""
    if source.param("transport") == "ws" or target.host.lower().endswith(".invalid"):
        return str(source)
    address = _address(target.host)
    if address is None or address.is_global or address == _address(source.host):
        return ""
    return str(source)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _echo(text: str) -> str:
    """An address of the far end as we send it back: as it was written, so that old peers know it again.

    Control characters, legal in quotes, have no way through Kamailio's commands: then URI and tag must do.
    """
    if not _CONTROL.search(text):
        return text
    address = parse_name_addr(text)
    return str(NameAddr("", address.uri, (("tag", address.tag),) if address.tag else ()))


@dataclass(slots=True)
class Dialog:
    """One dialog, ours is the local side. Made by `from_invite` or `from_response`."""

    call_id: str
    local_tag: str
    remote_tag: str
    local: str
    """From of our requests as text, with our tag."""
    remote: str
    """To of our requests as text, with the remote tag (if the far end has one: RFC 2543 had none)."""
    target: SipUri
    """Remote target: the request URI of our requests."""
    routes: tuple[str, ...]
    contact: str
    """URI of our Contact."""
    local_cseq: int
    """CSeq of our last request."""
    remote_cseq: int | None = None
    """CSeq of the far end's last request."""
    source: SipUri | None = None
    """Where the far end's messages come from."""

    @classmethod
    def from_invite(cls, request: Request, local_tag: str, contact: str, source: str) -> Self:
        """The callee's dialog (section 12.1.1). Raises SipError for a request that cannot make one.

        `source` is ``proto:host:port``, "" when unknown. Without a Contact (RFC 2543) From is the target.
        """
        if request.to_tag:
            raise SipError("INVITE: its To has a tag, so it belongs to a dialog that exists; answer 481")
        target = (request.contact or request.from_).uri
        if not target.host:
            raise SipError(
                f"INVITE: Contact {target} is no SIP URI, so no request can be sent to it; answer 400"
            )
        return cls(
            call_id=request.call_id,
            local_tag=local_tag,
            remote_tag=request.from_tag or "",
            local=f"{_echo(request.headers.get('To') or '')};tag={local_tag}",
            remote=_echo(request.headers.get("From") or ""),
            target=target,
            routes=tuple(map(_echo, request.record_routes)),
            contact=contact,
            local_cseq=0,
            remote_cseq=request.cseq[0],
            source=source_uri(source) if source else None,
        )

    @classmethod
    def from_response(
        cls, response: Response, *, request_uri: SipUri, local: str, local_tag: str, contact: str, source: str
    ) -> Self:
        """The caller's dialog (section 12.1.2), from a response to its INVITE to `request_uri`."""
        contact_address = response.contact
        return cls(
            call_id=response.call_id,
            local_tag=local_tag,
            remote_tag=response.to_tag or "",
            local=local,
            remote=_echo(response.headers.get("To") or ""),
            target=contact_address.uri if contact_address and contact_address.uri.host else request_uri,
            routes=tuple(map(_echo, reversed(response.record_routes))),
            contact=contact,
            local_cseq=response.cseq[0],
            source=source_uri(source) if source else None,
        )

    @property
    def contact_header(self) -> tuple[str, str]:
        """Our Contact as a header."""
        return "Contact", f"<{self.contact}>"

    @property
    def next_hop(self) -> str:
        """URI that our requests are sent to: the first route; "" for the remote target itself."""
        if self.routes:
            return str(parse_name_addr(self.routes[0]).uri)
        return hop_behind_nat(self.target, self.source)

    def request(
        self, method: str, headers: Headers = (), body: bytes = b"", content_type: str = "application/sdp"
    ) -> Send:
        """The next request of ours (section 12.2.1.1)."""
        self.local_cseq += 1
        return self._send(method, self.local_cseq, headers, body, content_type)

    def ack(self, cseq: int, headers: Headers = ()) -> Send:
        """The ACK of a 2xx to the INVITE `cseq` (section 13.2.2.4)."""
        return self._send("ACK", cseq, headers, b"", "")

    def _send(self, method: str, cseq: int, headers: Headers, body: bytes, content_type: str) -> Send:
        fields = request_fields(
            method,
            local=self.local,
            remote=self.remote,
            call_id=self.call_id,
            cseq=cseq,
            contact=self.contact,
            routes=self.routes,
        )
        return Send(
            method, str(self.target), self.next_hop, fields + headers + content(body, content_type), body
        )

    def matches(self, request: Request) -> bool:
        """Whether the far end sent `request` within this dialog (section 12.2.2)."""
        return (
            request.call_id == self.call_id
            and request.to_tag == self.local_tag
            and (request.from_tag or "") == self.remote_tag
        )

    def accept_cseq(self, request: Request) -> bool:
        """Whether `request` is not older than the last one, which is noted; an old one gets 500."""
        number = request.cseq[0]
        if self.remote_cseq is not None and number < self.remote_cseq:
            return False
        self.remote_cseq = number
        return True

    def refresh(self, message: Request | Response, source: str = "") -> None:
        """Take over the remote target of an accepted re-INVITE or UPDATE; the routes stay as they are."""
        if message.contact and message.contact.uri.host:
            self.target = message.contact.uri
        if source:
            self.source = source_uri(source)
