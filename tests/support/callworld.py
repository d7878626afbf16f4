"""What surrounds the calls of a control process, in memory: Kamailio, rtpengine, media workers, SIP peers, time."""

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import aiohttp
from aiohttp import web

from control.api import models
from control.api.server import Worker
from control.calls.channel import Location, SipChannel
from control.calls.service import CallService
from control.config import Calls, Control, Route, Settings
from control.errors import NgError, ResolveError, UnreachableError
from control.kamailio import events as kamailio
from control.kamailio.rpc import KamailioRpc
from control.rtpengine.media import Endpoint
from control.rtpengine.ng import NgClient, Reply
from control.sip import effects as fx
from tests.support.siptext import encode
from tests.support.siptext import field as header

SLOT = Endpoint("127.0.0.1", 19000)
OURS = kamailio.Address("udp", "127.0.0.1", 5060)
PEER = kamailio.Address("udp", "127.0.0.9", 5070)
PATIENCE = 5.0
"""Seconds that a test waits for what must happen."""

NoticeT = TypeVar("NoticeT", bound=models.Notice)
CommandT = TypeVar("CommandT", fx.Reply, fx.Send, fx.CancelInvite)


def sdp(
    formats: str = "0 8 101", *, direction: str = "sendrecv", kind: str = "audio", port: int = 4000
) -> bytes:
    """A description of the peer."""
    return (
        "v=0\r\no=- 77 1 IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 127.0.0.9\r\nt=0 0\r\n"
        f"m={kind} {port} RTP/AVP {formats}\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
    ).encode()


class Clock:
    """Moves the time of an event loop: timers go off at once instead of in minutes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ahead = 0.0
        real = loop.time
        loop.time = lambda: real() + self._ahead  # type: ignore[method-assign]
        # In debug mode a step that lets time pass would count as a slow one.
        loop.slow_callback_duration = float("inf")

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass and the timers go off."""
        self._ahead += seconds
        for _ in range(2):
            await asyncio.sleep(0)


class FakeNg(NgClient):
    """An rtpengine that takes every command and relays on ports of its own."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.fields: dict[str, Any] = {}
        """Of the last command of each name."""
        self.calls: set[str] = set()
        self.sides: dict[str, dict[str, bytes]] = {}
        """Call → tag → what that side described last."""
        self.blocked: set[str] = set()
        """Tags of sides that nobody hears."""
        self.fault: NgError | None = None
        """What every command but `delete` raises."""
        self.faults: dict[str, NgError] = {}
        """What single commands raise."""
        self.gate = asyncio.Event()
        """Commands wait until it is set."""
        self.gate.set()
        self.asked = asyncio.Event()
        """Set when a command came."""
        self._tap_port = 23_000

    async def command(self, command: str, /, **fields: Any) -> Reply:
        self.commands.append(command)
        self.fields[command] = fields
        self.asked.set()
        await self.gate.wait()
        if fault := self.faults.get(command):
            raise fault
        if command == "delete":
            self._delete(fields["call-id"], fields.get("from-tag"))
            return {"result": "ok"}
        if self.fault is not None:
            raise self.fault
        if command == "ping":
            return {"result": "pong"}
        sides = self.sides.setdefault(fields["call-id"], {})
        match command:
            case "offer" | "answer":
                self.calls.add(fields["call-id"])
                sides[fields["from-tag" if command == "offer" else "to-tag"]] = fields["sdp"]
                sides.setdefault(fields["to-tag"], b"")
                return {
                    "result": "ok",
                    "sdp": re.sub(rb"m=audio [1-9]\d*", b"m=audio 21000", self._relayed(command, fields)),
                }
            case "subscribe request":
                self._tap_port += 2
                sides[fields["to-tag"]] = b""
                port = b"m=audio %d" % self._tap_port
                return {"result": "ok", "sdp": re.sub(rb"m=audio [1-9]\d*", port, sides[fields["from-tag"]])}
            case "block media":
                self.blocked.add(fields["from-tag"])
            case "unblock media":
                self.blocked.discard(fields["from-tag"])
        return {"result": "ok"}

    def _relayed(self, command: str, fields: dict[str, Any]) -> bytes:
        """What is told to the other side; one that offered only other codecs is answered by transcoding."""
        described: bytes = fields["sdp"]
        offered = self.sides[fields["call-id"]][fields["from-tag"]]
        codec = re.search(rb"m=audio \d+ \S+ (\d+)", described)
        formats = re.search(rb"m=audio \d+ \S+ (.*)\r\n", offered)
        if command == "answer" and codec and formats and codec[1] not in formats[1].split():
            return offered
        return described

    def _delete(self, call: str, tag: str | None) -> None:
        if tag is not None:
            self.sides.get(call, {}).pop(tag, None)
            self.blocked.discard(tag)
        else:
            self.calls.discard(call)
            self.sides.pop(call, None)


class FakeChannel(SipChannel):
    """Keeps what goes to Kamailio."""

    def __init__(self) -> None:
        super().__init__(cast(KamailioRpc, None), ("127.0.0.1", "198.51.100.1"), 5060)
        self.sent: list[fx.Reply | fx.Send | fx.CancelInvite] = []
        self.unreachable: set[str] = set()
        """Methods of requests that cannot be sent."""
        self.gate = asyncio.Event()
        """`locate` waits until it is set."""
        self.gate.set()
        self.located = asyncio.Event()
        self._news = asyncio.Condition()
        self._taken = 0

    async def carry_out(self, command: fx.Reply | fx.Send | fx.CancelInvite) -> None:
        self.sent.append(command)
        async with self._news:
            self._news.notify_all()
        if isinstance(command, fx.Send) and command.method in self.unreachable:
            raise UnreachableError(f"{command.method}: Kamailio is away")

    async def locate(self, uri: Any) -> Location:
        self.located.set()
        await self.gate.wait()
        if uri.host.endswith(".invalid"):
            raise ResolveError(f"{uri.host}: no IPv4 address found")
        return Location("udp", uri.host, uri.port or 5060, "127.0.0.1")

    async def next(self, kind: type[CommandT]) -> CommandT:
        """The command after the last one that this returned; it must be of `kind`."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: len(self.sent) > self._taken)
        command = self.sent[self._taken]
        self._taken += 1
        assert isinstance(command, kind), command
        return command

    async def reply(self, code: int) -> fx.Reply:
        """The next command, a reply with `code`."""
        reply = await self.next(fx.Reply)
        assert reply.code == code, reply
        return reply

    async def send(self, method: str) -> fx.Send:
        """The next command, a request of `method`."""
        send = await self.next(fx.Send)
        assert send.method == method, send
        return send

    @property
    def rest(self) -> list[fx.Reply | fx.Send | fx.CancelInvite]:
        """What no test has asked for yet."""
        return self.sent[self._taken :]

    def forget(self) -> None:
        """Let `rest` be empty."""
        self._taken = len(self.sent)


class FakeWorker(Worker):
    """A media worker that keeps what it is told."""

    def __init__(self, name: str = "m") -> None:
        super().__init__(name, f"instance-{name}")
        self.notices: asyncio.Queue[models.Message] = asyncio.Queue()

    def notify(self, message: models.Message) -> None:
        self.notices.put_nowait(message)

    async def next(self, kind: type[NoticeT]) -> NoticeT:
        """The next notice, which must be of `kind`."""
        async with asyncio.timeout(PATIENCE):
            notice = await self.notices.get()
        assert isinstance(notice, kind), notice
        return notice

    @property
    def silent(self) -> bool:
        """Whether it was told nothing that the test did not ask for."""
        return self.notices.empty()


_numbers = itertools.count(1)


@dataclass
class Peer:
    """A SIP peer: what it sends arrives as Kamailio's events, made of bytes."""

    service: CallService
    call_id: str = ""
    tag: str = ""
    """Its own."""
    our_tag: str = ""
    cseq: int = 0
    source: kamailio.Address = PEER
    headers: fx.Headers = ()
    """More fields of each request."""

    def __post_init__(self) -> None:
        number = next(_numbers)
        self.call_id = self.call_id or f"call-{number}"
        self.tag = self.tag or f"peer-{number}"

    def message(
        self,
        method: str,
        *,
        body: bytes = b"",
        content_type: str = "application/sdp",
        uri: str = "sip:bot@127.0.0.1:5060",
        contact: str = "<sip:alice@127.0.0.9:5070>",
        headers: fx.Headers = (),
        cseq: int | None = None,
    ) -> bytes:
        """A request of the peer."""
        if cseq is None and method not in ("ACK", "CANCEL"):
            self.cseq += 1
        fields = (
            ("Via", f"SIP/2.0/UDP 127.0.0.9:5070;branch=z9hG4bK{next(_numbers)}"),
            ("From", f"<sip:alice@127.0.0.9>;tag={self.tag}"),
            ("To", "<sip:bot@127.0.0.1>" + (f";tag={self.our_tag}" if self.our_tag else "")),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq or self.cseq} {method}"),
            *((("Contact", contact),) if contact else ()),
            *self.headers,
            *headers,
            *((("Content-Type", content_type),) if body else ()),
        )
        return encode(f"{method} {uri} SIP/2.0", fields, body)

    def request(self, method: str, **parts: Any) -> str:
        """Send a request that wants a reply; the transaction."""
        transaction = f"{next(_numbers)}:1"
        message = self.message(method, **parts)
        self.service.on_event(kamailio.RequestEvent(transaction, method, self.source, OURS, message))
        return transaction

    def invite(self, body: bytes | None = None, **parts: Any) -> str:
        """Send the first INVITE."""
        return self.request("INVITE", body=sdp() if body is None else body, **parts)

    def ack(self, body: bytes = b"", cseq: int | None = None) -> None:
        """Acknowledge our 2xx."""
        message = self.message("ACK", body=body, cseq=cseq)
        self.service.on_event(kamailio.AckEvent(self.source, OURS, message))

    def cancel(self) -> None:
        """Cancel the last INVITE."""
        self.service.on_event(kamailio.CancelEvent(self.source, OURS, self.message("CANCEL")))

    def answers(
        self, sent: fx.Send, code: int, reason: str = "", *, body: bytes = b"", headers: fx.Headers = ()
    ) -> None:
        """Respond to a request of ours, which may be the INVITE that begins the dialog."""
        to = header(sent, "To") or ""
        fields = (
            ("Via", "SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKours"),
            ("From", header(sent, "From") or ""),
            ("To", to if ";tag=" in to else f"{to};tag={self.tag}"),
            ("Call-ID", header(sent, "Call-ID") or ""),
            ("CSeq", header(sent, "CSeq") or ""),
            ("Contact", "<sip:bob@127.0.0.9:5070>"),
            *headers,
            *((("Content-Type", "application/sdp"),) if body else ()),
        )
        self.call_id = header(sent, "Call-ID") or ""
        self.our_tag = (header(sent, "From") or "").partition(";tag=")[2]
        message = encode(f"SIP/2.0 {code} {reason}", fields, body)
        number = int((header(sent, "CSeq") or "").split(" ")[0])
        self.service.on_event(kamailio.ReplyEvent(code, number, PEER, OURS, message))


def given_up(sent: fx.Send, code: int = 408) -> kamailio.UacTimeoutEvent:
    """Kamailio's news that nobody answered `sent`."""
    number = int((header(sent, "CSeq") or "").split(" ")[0])
    via = ("Via", "SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKours")
    message = encode(f"{sent.method} {sent.uri} SIP/2.0", (via, *sent.headers), sent.body)
    return kamailio.UacTimeoutEvent(code, number, message)


@dataclass
class World:
    """A call service and its surroundings."""

    service: CallService
    channel: FakeChannel
    ng: FakeNg
    worker: FakeWorker = field(default_factory=FakeWorker)

    def peer(self, **parts: Any) -> Peer:
        """A new SIP peer."""
        return Peer(self.service, **parts)

    async def ask(self, request: models.Request, worker: Worker | None = None) -> Any:
        """What a worker gets for a request of its sessions."""
        return await self.service.on_request(worker or self.worker, request)

    async def join(self, session: str = "s1", pool: str = "default", worker: Worker | None = None) -> None:
        """Let a bot wait."""
        await self.ask(models.Join(session=session, pool=pool), worker)

    async def offered(self, session: str = "s1", **invite: Any) -> tuple[Peer, models.Incoming, str]:
        """A call that is offered to `session`: the caller, the offer, the INVITE's transaction."""
        await self.join(session)
        peer = self.peer()
        transaction = peer.invite(**invite)
        return peer, await self.worker.next(models.Incoming), transaction

    async def standing(self, session: str = "s1", **invite: Any) -> tuple[Peer, str]:
        """An incoming call that is answered and acknowledged: the caller and the leg."""
        peer, incoming, _ = await self.offered(session, **invite)
        await self.ask(models.Accept(leg=incoming.leg, session=session, endpoint=SLOT))
        peer.our_tag = (await self.channel.reply(200)).to_tag
        peer.ack()
        await self.worker.next(models.Answered)
        return peer, incoming.leg

    async def dialled(self, session: str = "s1", **options: Any) -> tuple[Peer, models.Invited, fx.Send]:
        """An outgoing call on its way: the callee, the result, the INVITE."""
        parts: dict[str, Any] = {"callee": "sip:bob@127.0.0.9", "endpoint": SLOT}
        invited = await self.ask(models.Invite(session=session, **parts | options))
        return self.peer(), invited, await self.channel.send("INVITE")

    async def talking(self, session: str = "s1", **options: Any) -> tuple[Peer, str, fx.Send]:
        """An outgoing call that was answered: the callee, the leg, the INVITE."""
        peer, invited, sent = await self.dialled(session, **options)
        peer.answers(sent, 200, body=sdp())
        await self.worker.next(models.Answered)
        return peer, invited.leg, sent

    async def referred(
        self, leg: str, session: str = "s1", **options: Any
    ) -> tuple[Peer, models.Invited, fx.Send]:
        """A third party that is called for the peer of `leg`: the party, the result, the INVITE."""
        parts: dict[str, Any] = {"callee": "sip:bob@127.0.0.9"}
        invited = await self.ask(models.Refer(leg=leg, session=session, **parts | options))
        await self.worker.next(models.MediaChanged)
        return self.peer(), invited, await self.channel.send("INVITE")

    async def connected(self, leg: str, session: str = "s1", **options: Any) -> tuple[Peer, str]:
        """A third party that talks to the peer of `leg`: the party, its leg."""
        party, invited, sent = await self.referred(leg, session, **options)
        party.answers(sent, 200, body=sdp())
        await self.worker.next(models.MediaChanged)
        await self.worker.next(models.Answered)
        return party, invited.leg

    async def settle(self) -> None:
        """Wait until the service has nothing under way."""
        await self.service.tasks.settle()

    async def end(self) -> None:
        """Stop all, without waiting for the far ends."""
        with suppress(NgError):
            self.ng.gate.set()
            self.channel.gate.set()
            await self.service.close(0.01)


def settings(*routes: Route, **sections: Any) -> Settings:
    """Settings with a pool for user `bot`, and direct calls to 127.0.0.9 and to hosts that do not exist."""
    parts: dict[str, Any] = {
        "control": Control(name="a"),
        "calls": Calls(allow=("sip:bob@127\\.0\\.0\\.9", "sip:.*\\.invalid")),
        "routes": routes or (Route(callee="^bot$", pool="default"),),
    }
    return Settings(**parts | sections)


def calls(**changes: Any) -> Calls:
    """The calls section of `settings`, changed."""
    return settings().calls.model_copy(update=changes)


def world(config: Settings, http: aiohttp.ClientSession) -> World:
    """A service that runs on `config`; call `World.end` afterwards."""
    channel, ng = FakeChannel(), FakeNg()
    return World(CallService(config, channel, ng, http), channel, ng)


Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
"""Type of the fixture `serve`."""
MakeWorld = Callable[[Settings], Awaitable[World]]
"""Type of the fixture `make_world`."""
