"""The rendered kamailio.cfg against what strangers send: broken messages, forged marks, floods."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from control.config import Trunk
from control.kamailio.events import ReplyEvent, RequestEvent, UacTimeoutEvent
from tests.support import ports
from tests.support.kamailio import Control, Peer, Server, request, response, running, settings, wire

pytestmark = pytest.mark.daemons


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(settings(tmp_path)) as server:
        yield server
        assert server.running


@pytest.fixture
async def control(server: Server) -> AsyncIterator[Control]:
    async with Control(server.settings) as control:
        yield control


@pytest.fixture
async def ann(server: Server) -> AsyncIterator[Peer]:
    async with Peer.at(2, server.address) as peer:
        yield peer


async def no_event_before(control: Control, ann: Peer, call_id: str = "afterwards") -> None:
    """The next event is that of a new INVITE of Ann's: what she sent before made none."""
    ann.send(request("INVITE", ann, call_id))
    event = await control.event(RequestEvent)
    assert f"Call-ID: {call_id}\r\n".encode() in event.message


def line(name: str, value: str) -> Callable[[str], str]:
    """Give the header field `name` another value, or take it away with an empty one."""

    def change(message: str) -> str:
        lines = [text for text in message.split("\n") if not text.startswith(f"{name}:")]
        return "\n".join([lines[0], *([f"{name}: {value}"] if value else []), *lines[1:]])

    return change


def start(old: str, new: str) -> Callable[[str], str]:
    """Change the request line."""

    def change(message: str) -> str:
        first, rest = message.split("\n", 1)
        return first.replace(old, new) + "\n" + rest

    return change


def also(text: str) -> Callable[[str], str]:
    """One more line before the others."""
    return lambda message: message.replace("\n", f"\n{text}\n", 1)


# Section numbers are those of RFC 4475; the answer 0 stands for silence.
BROKEN = {
    "3.1.2.1 separators without values": (also("Contact: <sip:a@b>;;,;,,"), 400),
    "3.1.2.2 body shorter than Content-Length": (line("Content-Length", "9999"), 400),
    "3.1.2.3 negative Content-Length": (line("Content-Length", "-999"), 0),
    "3.1.2.4 CSeq out of range": (line("CSeq", "36893488147419103232 INVITE"), 400),
    "3.1.2.4 Max-Forwards out of range": (line("Max-Forwards", "many"), 400),
    "3.1.2.6 quotation without end": (line("To", '"Mr. J. User <sip:j.user@example.com>'), 0),
    "3.1.2.7 request URI in brackets": (start("sip:", "<sip:"), 400),
    "3.1.2.8 blank in the request URI": (start("sip:bot", "sip:bot; lr"), 0),
    "3.1.2.16 unknown version": (start("SIP/2.0", "SIP/7.0"), 0),
    "3.1.2.17 CSeq of another method": (line("CSeq", "1 OPTIONS"), 400),
    "3.1.2.18 unknown method with another CSeq": (start("INVITE", "NEWMETHOD"), 400),
    "3.3.1 no From": (line("From", ""), 0),
    "3.3.1 no To": (line("To", ""), 0),
    "3.3.1 no Call-ID": (line("Call-ID", ""), 0),
    "3.3.1 no Via": (line("Via", ""), 0),
    "3.3.1 no CSeq": (line("CSeq", ""), 0),
    "3.3.2 unknown URI scheme": (start("sip:", "nobodyKnowsThisScheme:"), 400),
    "3.3.8 two Call-IDs": (also("Call-ID: other"), 0),
    "3.3.8 two CSeqs": (also("CSeq: 2 INVITE"), 0),
    "3.3.8 two Froms": (also("From: <sip:b@example.com>;tag=b"), 0),
    "3.3.9 two Content-Lengths": (also("Content-Length: 5"), 0),
    "two From tags": (line("From", "<sip:a@example.com>;tag=1;tag=2"), 400),
    "a header without colon": (also("Nonsense"), 0),
    "an empty header name": (also(": nonsense"), 0),
    "no scheme in the request URI": (start("sip:", ""), 400),
    "a method that would break an event": (
        lambda message: message.replace("INVITE sip", 'IN"VITE sip').replace(" INVITE\n", ' IN"VITE\n'),
        501,
    ),
    "no hops left": (line("Max-Forwards", "0"), 483),
    "too large": (also("X-Long: " + "x" * 17_000), 513),
    "a scanner": (also("User-Agent: friendly-scanner"), 0),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_broken_requests_are_refused_or_ignored(control: Control, ann: Peer, what: str) -> None:
    change, status = BROKEN[what]
    ann.send(change(request("INVITE", ann, "broken")))
    await no_event_before(control, ann)
    answers = [(await ann.receive()).split(" ")[1] for _ in range(ann.received.qsize())]
    assert answers == ([str(status)] if status else []) + ["100"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\r\n\r\n",
        b"\0" * 500,
        bytes(range(256)) * 40,
        b"\xff" * 60_000,
        b"INVITE sip:bot@127.0.0.1 SIP/2.0",
        b"INVITE sip:bot@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP ",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"a: " * 20_000,
    ],
    ids=range(10),
)
async def test_garbage_costs_nobody_anything(control: Control, ann: Peer, garbage: bytes) -> None:
    ann.send(garbage)
    await no_event_before(control, ann)
    assert await ann.status() == 100
    assert ann.received.empty()


async def test_options_without_hops_are_a_keepalive(control: Control, ann: Peer) -> None:
    ann.send(line("Max-Forwards", "0")(request("OPTIONS", ann, "alive")))
    assert await ann.status() == 200


# ---- forged marks ----


@pytest.mark.parametrize(
    "mark",
    [
        "X-Sidecall: b.a.1",
        "x-sidecall-fr: 1",
        "X-SIDECALL-Sub :1",
        "X-Sidecall\t : b.a.1",
        "X-Sidecall\r\n : b.a.1",
        "X-Odd: \0\nX-Sidecall: b.a.1",
        "X-Sidecallous: anything",
    ],
)
@pytest.mark.parametrize("method", ["INVITE", "INFO", "ACK"])
async def test_forged_marks_never_reach_control(control: Control, ann: Peer, method: str, mark: str) -> None:
    tag = "" if method == "INVITE" else "b.a.1"
    ann.send(also(mark)(request(method, ann, "forged", to_tag=tag)))
    await no_event_before(control, ann)
    answers = [await ann.status() for _ in range(ann.received.qsize())]
    assert answers in ([100], [400, 100])


async def test_replies_with_marks_are_ignored(server: Server, control: Control, ann: Peer) -> None:
    headers = (
        ("From", "<sip:bot@example.com>;tag=b.a.1"),
        ("To", "<sip:ann@example.com>"),
        ("Call-ID", "marked"),
        ("CSeq", "1 OPTIONS"),
        ("Max-Forwards", "70"),
    )
    await control.rpc.start("OPTIONS", f"sip:{ann.address}", "", server.address, headers, fr_timer=0.4)
    sent = await ann.receive()
    ann.send(response(sent, "200 OK", headers="X-Sidecall : b.a.1\n"))
    await control.event(UacTimeoutEvent)
    await control.rpc.start("OPTIONS", f"sip:{ann.address}", "", server.address, headers, fr_timer=0.4)
    while (again := await ann.receive()) == sent:
        continue
    ann.send(response(again, "200 OK"))
    await control.event(ReplyEvent)


async def test_replies_to_nothing_of_ours_are_not_relayed(
    server: Server, control: Control, ann: Peer
) -> None:
    async with Peer.at(3, server.address) as victim:
        vias = f"Via: SIP/2.0/UDP {server.address.host}:{server.address.port};branch=z9hG4bK-1\n"
        reply = response(request("INVITE", victim, "stray"), "200 OK")
        ann.send(reply.replace("Via:", f"{vias}Via:", 1))
        await no_event_before(control, ann)
        assert victim.received.empty()


# ---- floods ----


def banning_loopback(text: str) -> str:
    """Let the flood guard see the peers of this test, which are all on loopback."""
    return text.replace("\tif (src_ip == 127.0.0.0/8) return;\n", "")


async def banned(control: Control) -> set[str]:
    """Addresses that are ignored now."""
    found = await control.rpc.call("htable.dump", "banned")
    return {slot["name"] for row in found for slot in row["slot"]}


async def test_a_flood_bans_the_flooder_and_nobody_else(tmp_path: Path) -> None:
    trunk = Trunk(name="busy", addresses=(f"{ports.host(4)}/32",))
    async with (
        running(settings(tmp_path, flood_limit=20, trunks=[trunk]), banning_loopback) as server,
        Control(server.settings) as control,
        Peer.at(2, server.address) as ann,
        Peer.at(3, server.address) as flooder,
        Peer.at(4, server.address) as carrier,
    ):
        for _ in range(30):
            await carrier.options()
        for number in range(100):
            flooder.send(request("OPTIONS", flooder, f"flood-{number}"))
        assert (await ann.options()).startswith("SIP/2.0 200 ")
        assert 0 < flooder.received.qsize() < 100
        assert await banned(control) == {ports.host(3)}
        flooder.send(request("INVITE", flooder, "still-here"))
        await no_event_before(control, ann)
        answers = [flooder.received.get_nowait() for _ in range(flooder.received.qsize())]
        assert answers
        assert not any(b"still-here" in answer for answer in answers)


async def test_loopback_is_never_banned(tmp_path: Path) -> None:
    async with (
        running(settings(tmp_path, flood_limit=5)) as server,
        Control(server.settings) as control,
        Peer.at(2, server.address) as ann,
    ):
        for _ in range(40):
            await ann.options()
        assert await banned(control) == set()


async def test_a_hundred_connections_that_say_nothing(server: Server, control: Control, ann: Peer) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(asyncio.open_connection(server.address.host, server.address.port))
            for _ in range(100)
        ]
    await no_event_before(control, ann)
    reader, writer = await asyncio.open_connection(server.address.host, server.address.port)
    writer.write(wire(request("OPTIONS", ann, "tcp", transport="TCP")))
    assert (await reader.readline()).startswith(b"SIP/2.0 200 ")
    for _, other in [*(task.result() for task in tasks), (reader, writer)]:
        other.close()
        await other.wait_closed()
