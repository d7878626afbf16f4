"""A raw SIP peer over UDP that does exactly what a test says: for cases that SIPp cannot express."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from tests.support.bot import PATIENCE
from tests.support.ports import Address
from tests.support.sipwire import Headers, Message, uri_of


class Phone(asyncio.DatagramProtocol):
    """A SIP socket; open it by `phone`. Received messages wait until a test asks for them."""

    transport: asyncio.DatagramTransport

    def __init__(self, address: Address, proxy: Address) -> None:
        self.address = address
        self.proxy = proxy
        """Where requests are sent."""
        self.inbox: list[Message] = []
        self._taken: set[int] = set()
        self._news = asyncio.Event()
        self._closed = asyncio.Event()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Keep the message."""
        if data.strip():
            self.inbox.append(Message.parse(data))
            self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let `close` return."""
        self._closed.set()

    async def close(self) -> None:
        """Close the socket."""
        self.transport.close()
        await self._closed.wait()

    @property
    def contact(self) -> str:
        """Our Contact header value."""
        return f"<sip:phone@{self.address}>"

    def send(self, data: bytes, to: Address | None = None) -> None:
        """Send a datagram as it is."""
        self.transport.sendto(data, to or self.proxy)

    async def receive(self, wanted: Callable[[Message], bool], within: float = PATIENCE) -> Message:
        """Return the first message that is `wanted` and was not returned before; wait for it if need be."""
        try:
            async with asyncio.timeout(within):
                while True:
                    for index, message in enumerate(self.inbox):
                        if index not in self._taken and wanted(message):
                            self._taken.add(index)
                            return message
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            seen = [f"{message.start} ({message.get('CSeq')})" for message in self.inbox]
            raise AssertionError(f"not received within {within} s; received {seen}") from None

    async def request(self, method: str, within: float = PATIENCE) -> Message:
        """Return the next request with `method`."""
        return await self.receive(lambda message: not message.code and message.method == method, within)

    def reply(
        self,
        request: Message,
        code: int,
        reason: str = "Whatever",
        *,
        tag: str = "",
        headers: Headers | None = None,
        sdp: str = "",
    ) -> None:
        """Answer a request; `tag` goes into To when it has none yet."""
        to = request.get("To")
        if tag and not request.tag("To"):
            to += f";tag={tag}"
        fields: Headers = [("Via", via) for via in request.all("Via")]
        fields += [("Record-Route", route) for route in request.all("Record-Route")]
        fields += [("From", request.get("From")), ("To", to), ("Call-ID", request.get("Call-ID"))]
        fields += [("CSeq", request.get("CSeq")), ("Contact", self.contact), *(headers or [])]
        if sdp:
            fields.append(("Content-Type", "application/sdp"))
        self.send(Message(f"SIP/2.0 {code} {reason}", fields, sdp).encode())

    def call(self, uri: str) -> "Dialog":
        """Prepare a call to `uri`; nothing is sent yet."""
        tag = secrets.token_hex(6)
        return Dialog(
            phone=self,
            call_id=f"{secrets.token_hex(8)}@{self.address.host}",
            local=f"<sip:phone@{self.address}>;tag={tag}",
            remote=f"<{uri}>",
            target=uri,
        )


@dataclass(slots=True)
class Dialog:
    """One call of a phone, from our end (RFC 3261 section 12)."""

    phone: Phone
    call_id: str
    local: str
    """From of our requests."""
    remote: str
    """To of our requests; gets the far end's tag with its first response."""
    target: str
    """Request-URI of our in-dialog requests."""
    routes: list[str] = field(default_factory=list)
    cseq: int = 0
    last: bytes = b""
    """The request that was sent last, to send it again."""
    branch: str = ""

    @classmethod
    def of(cls, phone: Phone, invite: Message, tag: str = "callee") -> Self:
        """Return the callee's side of the dialog that `invite` starts; answer with the same `tag`."""
        return cls(
            phone=phone,
            call_id=invite.get("Call-ID"),
            local=f"{invite.get('To')};tag={tag}",
            remote=invite.get("From"),
            target=uri_of(invite.get("Contact")),
            routes=invite.all("Record-Route"),
        )

    def send(
        self,
        method: str,
        *,
        body: str = "",
        kind: str = "application/sdp",
        headers: Headers | None = None,
        cseq: int | None = None,
    ) -> None:
        """Send a request; ACK and CANCEL take the number of the INVITE as `cseq`."""
        if cseq is None:
            self.cseq += 1
        if method != "CANCEL":
            self.branch = f"z9hG4bK{secrets.token_hex(8)}"
        fields: Headers = [
            ("Via", f"SIP/2.0/UDP {self.phone.address};branch={self.branch};rport"),
            *(("Route", route) for route in self.routes),
            ("Max-Forwards", "70"),
            ("From", self.local),
            ("To", self.remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq or self.cseq} {method}"),
            ("Contact", self.phone.contact),
            *(headers or []),
        ]
        if body:
            fields.append(("Content-Type", kind))
        self.last = Message(f"{method} {self.target} SIP/2.0", fields, body).encode()
        self.phone.send(self.last)

    def retransmit(self) -> None:
        """Send the last request once more, bit by bit the same."""
        self.phone.send(self.last)

    async def response(self, code: int, method: str = "INVITE", within: float = PATIENCE) -> Message:
        """Return the next response `code` to our `method`; any other final response is an AssertionError."""

        def ours(message: Message) -> bool:
            same = message.get("Call-ID") == self.call_id and message.method == method
            return same and (message.code == code or message.code >= 200)

        message = await self.phone.receive(ours, within)
        assert message.code == code, f"{method} was answered by {message.start!r}, not {code}"
        if message.tag("To") and method == "INVITE":
            self.remote = message.get("To")
        if code < 300 and message.get("Contact") and method == "INVITE":
            self.target = uri_of(message.get("Contact"))
            self.routes = message.all("Record-Route")[::-1]
        return message

    async def establish(self, offer: str) -> str:
        """Call, wait for the answer, acknowledge it, and return the SDP of the far end."""
        self.send("INVITE", body=offer)
        answer = await self.response(200)
        self.ack()
        return answer.body

    def ack(self) -> None:
        """Acknowledge the last INVITE's 2xx."""
        self.send("ACK", cseq=self.cseq)

    async def bye(self) -> None:
        """End the call and wait for the 200."""
        self.send("BYE")
        await self.response(200, "BYE")


@asynccontextmanager
async def phone(address: Address, proxy: Address) -> AsyncIterator[Phone]:
    """Open a phone on `address` that sends its requests to `proxy`, while the block runs."""
    loop = asyncio.get_running_loop()
    transport, opened = await loop.create_datagram_endpoint(lambda: Phone(address, proxy), local_addr=address)
    opened.transport = transport
    try:
        yield opened
    finally:
        await opened.close()
