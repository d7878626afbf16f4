import asyncio
import json
import logging
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import KamailioError
from control.kamailio import events
from control.kamailio.events import (
    AckEvent,
    Address,
    CancelEvent,
    Event,
    EventChannel,
    Frame,
    NetstringDecoder,
    ReplyEvent,
    RequestEvent,
    UacTimeoutEvent,
    UasTimeoutEvent,
    decode_event,
)

MESSAGE = b"INVITE sip:bot@192.0.2.1 SIP/2.0\r\n\r\n\xff"
SOURCE = Address("udp", "198.51.100.7", 5060)
DESTINATION = Address("udp", "192.0.2.1", 5060)


def netstring(content: bytes) -> bytes:
    return b"%d:%s," % (len(content), content)


def frame(**keys: Any) -> bytes:
    """The JSON of an event; `keys` are added, None takes one away."""
    plain = {"src": str(SOURCE), "dst": str(DESTINATION), "msg": b64encode(MESSAGE).decode()}
    return json.dumps({key: value for key, value in {**plain, **keys}.items() if value is not None}).encode()


# ---- netstrings ----


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(1, 9), min_size=1))
def test_netstrings_come_out_however_they_are_cut(contents: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(map(netstring, contents))
    decoder = NetstringDecoder()
    found: list[bytes] = []
    number = 0
    while stream:
        size = sizes[number % len(sizes)]
        found += decoder.feed(stream[:size])
        stream, number = stream[size:], number + 1
    assert found == contents


@given(st.text("0123456789:,ab", max_size=30))
def test_any_bytes_are_read_alike_however_they_are_cut(text: str) -> None:
    data = text.encode()
    try:
        whole = NetstringDecoder(limit=50).feed(data)
    except KamailioError:
        return
    decoder = NetstringDecoder(limit=50)
    assert [frame for byte in data for frame in decoder.feed(bytes([byte]))] == whole


@pytest.mark.parametrize(
    "data", [b"x", b":", b"12x", b"-1:", b"5 :", b"3:abcd", b"11:", b"0000000011:", b"99999999"]
)
def test_what_is_no_netstring(data: bytes) -> None:
    with pytest.raises(KamailioError, match="evapi"):
        NetstringDecoder(limit=10).feed(data)


def test_the_limit_is_allowed() -> None:
    assert NetstringDecoder(limit=10).feed(b"10:0123456789,0:,") == [b"0123456789", b""]


# ---- events ----


@pytest.mark.parametrize(
    ("content", "event"),
    [
        (
            frame(ev="request", tid="12:34", method="INVITE"),
            RequestEvent("12:34", "INVITE", SOURCE, DESTINATION, MESSAGE),
        ),
        (frame(ev="ack"), AckEvent(SOURCE, DESTINATION, MESSAGE)),
        (frame(ev="cancel"), CancelEvent(SOURCE, DESTINATION, MESSAGE)),
        (frame(ev="reply", code=180, cseq=7), ReplyEvent(180, 7, SOURCE, DESTINATION, MESSAGE)),
        (
            frame(ev="request_timeout", tid="1:2", method="BYE"),
            UasTimeoutEvent("1:2", "BYE", SOURCE, DESTINATION, MESSAGE),
        ),
        (
            frame(ev="reply_timeout", code=408, cseq=3, src=None, dst=None),
            UacTimeoutEvent(408, 3, MESSAGE),
        ),
    ],
)
def test_events(content: bytes, event: Event) -> None:
    assert decode_event(content) == event


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'"request"',
        frame(),
        frame(ev="else"),
        frame(ev="ack", src="udp:1.2.3.4"),
        frame(ev="ack", dst=7),
        frame(ev="ack", msg="*"),
        frame(ev="ack", msg=None),
        frame(ev="request", method="INVITE"),
        frame(ev="reply", code="x", cseq=1),
        frame(ev="reply", code=None, cseq=1),
        frame(ev=["ack"]),
    ],
)
def test_what_is_no_event(content: bytes) -> None:
    with pytest.raises(KamailioError, match="not an event we know"):
        decode_event(content)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_any_json_is_an_event_or_an_error(value: Any) -> None:
    with pytest.raises(KamailioError):
        decode_event(json.dumps(value).encode())


def test_an_address_reads_as_it_is_written() -> None:
    assert Address.parse(str(SOURCE)) == SOURCE


# ---- the channel ----


class Evapi:
    """Kamailio's side: takes connections, tells what they send, sends what it is told."""

    def __init__(self) -> None:
        self.streams: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server
        self.port = 0

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.streams.put_nowait((reader, writer))


@pytest.fixture
async def evapi() -> AsyncIterator[Evapi]:
    server = Evapi()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def received() -> asyncio.Queue[Event]:
    return asyncio.Queue()


@pytest.fixture
async def channel(evapi: Evapi, received: asyncio.Queue[Event]) -> AsyncIterator[EventChannel]:
    channel = EventChannel(evapi.port, 1, "node-1", received.put_nowait)
    channel.start()
    yield channel
    await channel.close()


async def test_heartbeats_go_out_again_and_again(
    monkeypatch: pytest.MonkeyPatch, evapi: Evapi, channel: EventChannel
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.01)
    reader, _ = await evapi.streams.get()
    heartbeat = b"10:H 1 node-1,"
    assert await reader.readexactly(3 * len(heartbeat)) == 3 * heartbeat


async def test_it_is_connected_when_a_heartbeat_is_answered(evapi: Evapi, channel: EventChannel) -> None:
    reader, writer = await evapi.streams.get()
    await reader.readexactly(14)
    assert not channel.connected.is_set()
    writer.write(netstring(b'{"ev":"alive"}'))
    async with asyncio.timeout(5):
        await channel.connected.wait()


async def test_events_come_in_order(
    evapi: Evapi, channel: EventChannel, received: asyncio.Queue[Event]
) -> None:
    _, writer = await evapi.streams.get()
    writer.write(b"".join(netstring(frame(ev="reply", code=code, cseq=1)) for code in range(100, 120)))
    codes = []
    for _ in range(20):
        event = await received.get()
        assert isinstance(event, ReplyEvent)
        codes.append(event.code)
    assert codes == list(range(100, 120))


async def test_an_event_that_cannot_be_read_costs_no_other(
    evapi: Evapi,
    channel: EventChannel,
    received: asyncio.Queue[Event],
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, writer = await evapi.streams.get()
    writer.write(netstring(b"{}") + netstring(frame(ev="ack")))
    assert isinstance(await received.get(), AckEvent)
    assert "an event is lost" in caplog.text


async def test_a_handler_that_fails_costs_no_other_event(evapi: Evapi) -> None:
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    seen: asyncio.Queue[Event] = asyncio.Queue()

    def on_event(event: Event) -> None:
        if isinstance(event, CancelEvent):
            raise ZeroDivisionError
        seen.put_nowait(event)

    channel = EventChannel(evapi.port, 0, "a", on_event)
    channel.start()
    _, writer = await evapi.streams.get()
    writer.write(netstring(frame(ev="cancel")) + netstring(frame(ev="ack")))
    assert isinstance(await seen.get(), AckEvent)
    assert isinstance(failures[0]["exception"], ZeroDivisionError)
    await channel.close()


@pytest.mark.parametrize("breakage", [b"", b"garbage"])
async def test_it_connects_again(
    evapi: Evapi, channel: EventChannel, received: asyncio.Queue[Event], breakage: bytes
) -> None:
    _, writer = await evapi.streams.get()
    if breakage:
        writer.write(breakage)
    else:
        writer.close()
    _, second = await evapi.streams.get()
    second.write(netstring(frame(ev="ack")))
    assert isinstance(await received.get(), AckEvent)


async def test_it_waits_for_a_kamailio_that_comes_later(
    monkeypatch: pytest.MonkeyPatch,
    evapi: Evapi,
    received: asyncio.Queue[Event],
    caplog: pytest.LogCaptureFixture,
) -> None:
    delays: list[float] = []
    sleep = asyncio.sleep

    async def impatient(delay: float) -> None:
        delays.append(delay)
        if len(delays) == 7:
            await evapi.start(evapi.port)
        await sleep(0)

    await evapi.stop()
    monkeypatch.setattr(asyncio, "sleep", impatient)
    caplog.set_level(logging.DEBUG)
    channel = EventChannel(evapi.port, 0, "a", received.put_nowait)
    channel.start()
    assert not channel.connected.is_set()
    async with asyncio.timeout(5):
        await evapi.streams.get()
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    levels = [record.levelname for record in caplog.records if "trying again" in record.message]
    assert levels == ["WARNING"] + ["DEBUG"] * 6
    await channel.close()


async def test_no_event_comes_after_close(evapi: Evapi) -> None:
    seen: list[Event] = []

    def on_event(event: Event) -> None:
        seen.append(event)
        closing.append(asyncio.get_running_loop().create_task(channel.close()))

    closing: list[asyncio.Task[None]] = []
    channel = EventChannel(evapi.port, 0, "a", on_event)
    channel.start()
    reader, writer = await evapi.streams.get()
    assert await reader.readexactly(8) == b"5:H 0 a,"
    writer.write(netstring(frame(ev="ack")))
    assert await reader.read() == b""
    writer.write(netstring(frame(ev="ack")))
    await closing[0]
    await channel.close()
    assert not channel.connected.is_set()
    assert len(seen) == 1


async def test_events_that_arrived_before_close_are_dropped() -> None:
    seen: list[Frame] = []
    connection = events._Connection(seen.append)
    connection._deliver(frame(ev="ack"))
    connection.closing = True
    await asyncio.sleep(0)
    assert seen == []
