import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import bencodepy
import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from control.errors import NgError, NgTimeoutError
from control.rtpengine.ng import MAX_DATAGRAM, NgClient, NgTransactions

QUICK = (0.01, 0.01, 0.01)
"""Sends a command three times."""
NEVER = (600.0,)


def ok(request: bytes, **fields: Any) -> bytes:
    """A reply to `request`."""
    cookie, _, _ = request.partition(b" ")
    reply: bytes = bencodepy.encode({"result": "ok", **fields})
    return cookie + b" " + reply


class Peer(asyncio.DatagramProtocol):
    """A socket in rtpengine's place; the test says what it answers."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()
        self.client: Any = None
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.client = addr
        self.received.put_nowait(data)

    @property
    def port(self) -> int:
        port: int = self.transport.get_extra_info("sockname")[1]
        return port

    def send(self, data: bytes) -> None:
        self.transport.sendto(data, self.client)


async def listen(port: int = 0) -> Peer:
    loop = asyncio.get_running_loop()
    _, peer = await loop.create_datagram_endpoint(Peer, local_addr=("127.0.0.1", port))
    return peer


@asynccontextmanager
async def connected(schedule: tuple[float, ...]) -> AsyncIterator[tuple[NgClient, Peer]]:
    peer = await listen()
    client = await NgClient.open("127.0.0.1", peer.port, schedule=schedule)
    try:
        yield client, peer
    finally:
        client.close()
        peer.transport.close()


async def answered_ping(client: NgClient, peer: Peer) -> None:
    """A ping and its reply, behind all that `peer` has sent before."""
    command = asyncio.create_task(client.ping())
    peer.send(ok(await peer.received.get()))
    await command


# NgTransactions


def test_a_request_is_a_cookie_and_a_dictionary() -> None:
    request = NgTransactions().begin("offer", {"call-id": "c1", "sdp": b"v=0\xff", "flags": ["a"], "n": 1})
    cookie, _, body = request.datagram.partition(b" ")
    assert cookie == request.cookie
    assert bencodepy.decode(body) == {
        b"command": b"offer",
        b"call-id": b"c1",
        b"sdp": b"v=0\xff",
        b"flags": [b"a"],
        b"n": 1,
    }
    assert str(request) == "offer of call c1"


def test_cookies_are_unique_also_between_clients() -> None:
    first, second = NgTransactions(), NgTransactions()
    cookies = [transactions.begin("ping", {}).cookie for transactions in (first, first, second, second)]
    assert len(set(cookies)) == 4


def test_replies_find_their_requests_in_any_order() -> None:
    transactions = NgTransactions()
    requests = [transactions.begin("query", {"call-id": str(number)}) for number in range(3)]
    for request in reversed(requests):
        assert transactions.match(ok(request.datagram, call=request.call_id)) == (
            request,
            {"result": "ok", "call": request.call_id},
        )
    assert (len(transactions), transactions.strays) == (0, 0)


def test_keys_need_not_be_sorted() -> None:
    transactions = NgTransactions()
    request = transactions.begin("query", {})
    assert transactions.match(request.cookie + b" d6:result2:ok1:zi1e1:ai2ee") == (
        request,
        {"result": "ok", "z": 1, "a": 2},
    )


def test_values_that_are_not_utf8_stay_bytes() -> None:
    transactions = NgTransactions()
    request = transactions.begin("offer", {})
    matched = transactions.match(ok(request.datagram, sdp=b"\xff", tags={"t\xfc": 1}))
    assert matched == (request, {"result": "ok", "sdp": b"\xff", "tags": {"tü": 1}})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"d12:error-reason7:no room6:result5:errore", "refused offer of call c1: no room"),
        (b"d6:result10:load limite", "refused offer of call c1: load limit"),
        (b"de", "refused offer of call c1: None"),
        (b"le", "answered offer of call c1 with no dictionary"),
        (b"d6:result", "answered offer of call c1 with bytes that are not bencode"),
        (b"", "not bencode"),
    ],
)
def test_refusals_say_which_command_and_call(body: bytes, message: str) -> None:
    transactions = NgTransactions()
    request = transactions.begin("offer", {"call-id": "c1"})
    matched = transactions.match(request.cookie + b" " + body)
    assert matched is not None
    assert isinstance(matched[1], NgError)
    assert message in str(matched[1])


def test_late_and_foreign_datagrams_are_counted() -> None:
    transactions = NgTransactions()
    answered, forgotten = transactions.begin("ping", {}), transactions.begin("ping", {})
    assert transactions.match(ok(answered.datagram))
    transactions.forget(forgotten)
    for datagram in (ok(answered.datagram), ok(forgotten.datagram), b"", b"foreign d6:result2:oke"):
        assert transactions.match(datagram) is None
    assert transactions.strays == 4


@pytest.mark.parametrize("value", [None, 1.5, {"x": None}, "\udcff", {1: "x"}])
def test_values_that_bencode_does_not_have(value: object) -> None:
    transactions = NgTransactions()
    with pytest.raises(NgError, match="offer of call 'c1' cannot be encoded"):
        transactions.begin("offer", {"call-id": "c1", "value": value})
    assert len(transactions) == 0


def test_a_command_must_fit_a_datagram() -> None:
    transactions = NgTransactions()
    with pytest.raises(NgError, match="more than 65507"):
        transactions.begin("offer", {"sdp": b"x" * MAX_DATAGRAM})
    assert len(transactions) == 0


@given(st.binary(max_size=60) | st.recursive(st.integers() | st.binary(), st.lists).map(bencodepy.encode))
def test_any_answer_is_a_reply_or_a_refusal(body: bytes) -> None:
    transactions = NgTransactions()
    request = transactions.begin("ping", {})
    matched = transactions.match(request.cookie + b" " + body)
    assert matched is not None
    assert isinstance(matched[1], dict | NgError)


# NgClient


async def test_a_command_returns_its_reply() -> None:
    async with connected(NEVER) as (client, peer):
        command = asyncio.create_task(client.command("query", **{"call-id": "c1"}))
        peer_request = await peer.received.get()
        peer.send(ok(peer_request, created=5))
        assert await command == {"result": "ok", "created": 5}
        assert client.in_flight == 0


async def test_many_commands_are_in_flight_at_once() -> None:
    async with connected(NEVER) as (client, peer):
        commands = [asyncio.create_task(client.command("query", number=number)) for number in range(50)]
        requests = [await peer.received.get() for _ in commands]
        assert client.in_flight == 50
        for request in reversed(requests):
            number = bencodepy.decode(request.partition(b" ")[2])[b"number"]
            peer.send(ok(request, number=number))
        assert [(await command)["number"] for command in commands] == list(range(50))


async def test_a_lost_command_is_sent_again_with_the_same_cookie() -> None:
    async with connected((0.01, 0.01, 600.0)) as (client, peer):
        command = asyncio.create_task(client.ping())
        first, second, third = [await peer.received.get() for _ in range(3)]
        assert first == second == third
        for _ in range(2):
            peer.send(ok(third))
        await command
        await answered_ping(client, peer)
        assert client.strays == 1


async def test_no_reply_is_a_timeout() -> None:
    async with connected(QUICK) as (client, peer):
        with pytest.raises(NgTimeoutError, match=r"did not answer offer of call c1 in 0\.03 s"):
            await client.command("offer", **{"call-id": "c1"})
        assert peer.received.qsize() == 3
        assert client.in_flight == 0


async def test_a_refusal_is_raised() -> None:
    async with connected(NEVER) as (client, peer):
        command = asyncio.create_task(client.command("query", **{"call-id": "c1"}))
        request = await peer.received.get()
        cookie = request.partition(b" ")[0]
        peer.send(cookie + b" d12:error-reason15:Unknown call-id6:result5:errore")
        with pytest.raises(NgError, match="refused query of call c1: Unknown call-id"):
            await command


async def test_a_warning_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with connected(NEVER) as (client, peer):
        command = asyncio.create_task(client.command("delete", **{"call-id": "c1"}))
        peer_request = await peer.received.get()
        with caplog.at_level(logging.WARNING):
            peer.send(ok(peer_request, warning="Call-ID not found"))
            await command
    assert "rtpengine warns about delete of call c1: Call-ID not found" in caplog.messages


async def test_a_cancelled_command_leaves_nothing_and_its_reply_is_a_stray() -> None:
    async with connected(NEVER) as (client, peer):
        command = asyncio.create_task(client.ping())
        request = await peer.received.get()
        command.cancel()
        with pytest.raises(asyncio.CancelledError):
            await command
        assert client.in_flight == 0
        peer.send(ok(request))
        await answered_ping(client, peer)
        assert client.strays == 1


async def test_a_reply_and_the_last_timer_in_one_turn_of_the_loop() -> None:
    peer = await listen()
    client = await NgClient.open("127.0.0.1", peer.port, schedule=(0.0,))
    command = asyncio.create_task(client.ping())
    try:
        await asyncio.sleep(0)
        cookie = next(iter(client._flights))
        # Runs in the loop's next turn, before the timer that is due in it and before the command goes on.
        asyncio.get_running_loop().call_soon(client.datagram_received, cookie + b" d6:result4:ponge", None)
        await command
    finally:
        client.close()
        peer.transport.close()


async def test_a_reply_to_a_command_cancelled_in_the_same_turn() -> None:
    async with connected(NEVER) as (client, peer):
        command = asyncio.create_task(client.ping())
        request = await peer.received.get()
        command.cancel()
        client.datagram_received(ok(request), None)
        with pytest.raises(asyncio.CancelledError):
            await command


async def test_close_fails_what_is_under_way_and_all_that_follows() -> None:
    async with connected(NEVER) as (client, peer):
        commands = [asyncio.create_task(client.ping()) for _ in range(2)]
        for _ in commands:
            await peer.received.get()
        client.close()
        client.close()
        for command in commands:
            with pytest.raises(NgError, match="the client was closed"):
                await command
        with pytest.raises(NgError, match="is closed"):
            await client.ping()


async def test_a_lost_socket_is_a_closed_client(caplog: pytest.LogCaptureFixture) -> None:
    async with connected(NEVER) as (client, peer):
        command = asyncio.create_task(client.ping())
        await peer.received.get()
        client.connection_lost(OSError("gone"))
        with pytest.raises(NgError, match="closed"):
            await command
    assert "the socket is lost: gone" in caplog.text


async def test_an_address_that_cannot_be_used() -> None:
    with pytest.raises(NgError, match="rtpengine at 255.255.255.255:22222 cannot be reached"):
        await NgClient.open("255.255.255.255", 22222)


@pytest.mark.parametrize(
    "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def test_a_command_survives_that_rtpengine_starts_late(new_loop: Any) -> None:
    async def scenario() -> None:
        peer = await listen()
        port = peer.port
        peer.transport.close()
        await asyncio.sleep(0)
        client = await NgClient.open("127.0.0.1", port, schedule=(0.01,) * 2000)
        refused = asyncio.Event()
        report = client.error_received

        def error_received(error: Exception) -> None:
            report(error)
            refused.set()

        client.error_received = error_received  # type: ignore[method-assign]
        command = asyncio.create_task(client.ping())
        await refused.wait()
        peer = await listen(port)
        peer_request = await peer.received.get()
        peer.send(ok(peer_request))
        await command
        client.close()
        peer.transport.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())
