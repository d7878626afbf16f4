import asyncio
import logging
from typing import Any, cast

import pytest

from control.calls import channel as module
from control.calls.channel import Location, SipChannel, Timers
from control.errors import KamailioError, ResolveError, SipError, UnreachableError
from control.kamailio.events import Address
from control.kamailio.rpc import KamailioRpc
from control.sip.effects import CancelInvite, Reply, Send, StartTimer, StopTimer, Timer
from control.sip.uri import parse_uri
from tests.support.callworld import Clock

PUBLIC = "198.51.100.1"
REPLY = Reply("1:2", 180, "Ringing", "b.a.1", (("X-A", "1"),), b"body")
CANCEL = CancelInvite("call", 7)


def send(next_hop: str = "", uri: str = "sip:a@127.0.0.9") -> Send:
    return Send("OPTIONS", uri, next_hop, (("X-A", "1"),), b"body", 1.5, 2.5)


class FakeRpc:
    """Keeps the commands; raises `fault` when there is one."""

    def __init__(self) -> None:
        self.commands: list[tuple[Any, ...]] = []
        self.fault: Exception | None = None

    def _take(self, *command: Any) -> None:
        self.commands.append(command)
        if self.fault is not None:
            raise self.fault

    async def reply(self, *arguments: Any) -> None:
        self._take("reply", *arguments)

    async def start(self, *arguments: Any) -> None:
        self._take("start", *arguments)

    async def cancel(self, *arguments: Any) -> None:
        self._take("cancel", *arguments)


@pytest.fixture
def rpc() -> FakeRpc:
    return FakeRpc()


@pytest.fixture
def channel(rpc: FakeRpc) -> SipChannel:
    return SipChannel(cast(KamailioRpc, rpc), ("127.0.0.1", PUBLIC), 5080)


async def test_commands_go_to_kamailio(rpc: FakeRpc, channel: SipChannel) -> None:
    for command in (REPLY, send(), CANCEL):
        await channel.carry_out(command)
    assert rpc.commands == [
        ("reply", "1:2", 180, "Ringing", "b.a.1", (("X-A", "1"),), b"body"),
        (
            "start",
            "OPTIONS",
            "sip:a@127.0.0.9",
            "sip:127.0.0.9:5060",
            Address("udp", "127.0.0.1", 5080),
            (("X-A", "1"),),
            b"body",
            1.5,
            2.5,
        ),
        ("cancel", "call", 7),
    ]


async def test_a_request_goes_to_its_next_hop(rpc: FakeRpc, channel: SipChannel) -> None:
    await channel.carry_out(send("sip:192.0.2.9:5070;transport=tcp;lr"))
    assert rpc.commands[0][2:5] == (
        "sip:a@127.0.0.9",
        "sip:192.0.2.9:5070;transport=tcp",
        Address("tcp", PUBLIC, 5080),
    )


@pytest.mark.parametrize("fault", [KamailioError("gone", 481), SipError("bad header")])
@pytest.mark.parametrize("command", [REPLY, CANCEL])
async def test_a_reply_or_cancel_that_comes_too_late_is_no_fault(
    rpc: FakeRpc,
    channel: SipChannel,
    caplog: pytest.LogCaptureFixture,
    fault: Exception,
    command: Reply | CancelInvite,
) -> None:
    caplog.set_level(logging.INFO)
    rpc.fault = fault
    await channel.carry_out(command)
    assert str(fault) in caplog.text


@pytest.mark.parametrize("fault", [KamailioError("away"), SipError("bad header")])
async def test_a_request_that_kamailio_does_not_take_is_unreachable(
    rpc: FakeRpc, channel: SipChannel, fault: Exception
) -> None:
    rpc.fault = fault
    with pytest.raises(UnreachableError, match=f"OPTIONS sip:a@127.0.0.9: {fault}"):
        await channel.carry_out(send())


@pytest.mark.parametrize(
    "unusable",
    [send("sip:127.0.0.9;transport=tls"), send("no uri"), send(uri="tel:+49"), send("sip:[::1]")],
)
async def test_a_request_that_has_no_way_is_unreachable(
    rpc: FakeRpc, channel: SipChannel, unusable: Send
) -> None:
    with pytest.raises(UnreachableError):
        await channel.carry_out(unusable)
    assert rpc.commands == []


@pytest.mark.parametrize(
    ("uri", "location"),
    [
        ("sip:127.0.0.9", Location("udp", "127.0.0.9", 5060, "127.0.0.1")),
        ("sip:x@192.0.2.9:5070", Location("udp", "192.0.2.9", 5070, PUBLIC)),
        ("sip:192.0.2.9;transport=TCP", Location("tcp", "192.0.2.9", 5060, PUBLIC)),
    ],
)
async def test_where_a_request_goes(channel: SipChannel, uri: str, location: Location) -> None:
    assert await channel.locate(parse_uri(uri)) == location


async def test_a_name_is_looked_up(channel: SipChannel, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(host: str, port: int, transport: str) -> str:
        if host != "gw.example":
            raise ResolveError(f"{host}: no IPv4 address found")
        return "192.0.2.77"

    monkeypatch.setattr(module, "resolve", resolve)
    assert (await channel.locate(parse_uri("sip:gw.example"))).uri == "sip:192.0.2.77:5060"
    with pytest.raises(UnreachableError, match="nowhere.example: no IPv4 address found"):
        await channel.carry_out(send("sip:nowhere.example"))


def test_our_domain_is_the_address_that_others_reach(channel: SipChannel) -> None:
    assert channel.domain == PUBLIC


async def test_a_timer_goes_off_once() -> None:
    clock = Clock(asyncio.get_running_loop())
    fired: asyncio.Queue[Timer] = asyncio.Queue()
    timers = Timers(fired.put_nowait)
    timers.carry_out(StartTimer(Timer.ACK, 32))
    await clock.advance(32)
    assert await fired.get() is Timer.ACK
    timers.carry_out(StopTimer(Timer.ACK))
    timers.carry_out(StartTimer(Timer.ACK, 1))
    await clock.advance(1)
    assert await fired.get() is Timer.ACK


async def test_a_timer_that_is_started_again_starts_anew() -> None:
    clock = Clock(asyncio.get_running_loop())
    fired: asyncio.Queue[Timer] = asyncio.Queue()
    timers = Timers(fired.put_nowait)
    for timer, seconds in ((Timer.ACK, 10), (Timer.ACK, 30), (Timer.ANSWER, 20)):
        timers.carry_out(StartTimer(timer, seconds))
    await clock.advance(25)
    assert await fired.get() is Timer.ANSWER
    await clock.advance(10)
    assert await fired.get() is Timer.ACK


async def test_a_stopped_timer_does_not_go_off() -> None:
    clock = Clock(asyncio.get_running_loop())
    fired: asyncio.Queue[Timer] = asyncio.Queue()
    timers, others = Timers(fired.put_nowait), Timers(fired.put_nowait)
    timers.carry_out(StartTimer(Timer.ACK, 1))
    timers.carry_out(StartTimer(Timer.ANSWER, 1))
    timers.carry_out(StopTimer(Timer.ACK))
    timers.close()
    others.carry_out(StartTimer(Timer.CANCEL, 2))
    await clock.advance(2)
    assert await fired.get() is Timer.CANCEL
    assert fired.empty()
