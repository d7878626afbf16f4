"""The ports of a node: which, whether free, who holds them."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from control import ports
from control.config import Api, Control, Media, Rtpengine, Settings, Sip
from control.ports import Endpoint
from tests.support.ports import port as spare_port

HOST = "127.0.0.1"
ME = f"{Path('/proc/self/comm').read_text('ascii').strip()} (pid {os.getpid()})"


@pytest.fixture
def held_udp() -> Iterator[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        yield sock.getsockname()[1]


@pytest.fixture
def held_tcp() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


def test_a_whole_node() -> None:
    found = ports.endpoints(Settings(media=Media(workers=2)), ("127.0.0.1", "192.0.2.1"))
    assert {(point.key, point.transport, point.address, point.port) for point in found} == {
        ("api.port", "tcp", HOST, 8080),
        ("media.rtp_port", "udp", HOST, 19000),
        ("media.rtp_port", "udp", HOST, 19001),
        ("media.rtp_port", "udp", HOST, 19002),
        ("media.rtp_port", "udp", HOST, 19003),
        ("control.port", "tcp", HOST, 8090),
        ("sip.port", "udp", HOST, 5060),
        ("sip.port", "tcp", HOST, 5060),
        ("sip.port", "udp", "192.0.2.1", 5060),
        ("sip.port", "tcp", "192.0.2.1", 5060),
        ("kamailio.evapi_port", "tcp", HOST, 8448),
        ("rtpengine.ng_port", "udp", HOST, 22222),
        ("rtpengine.cli_port", "tcp", HOST, 22224),
        ("rtpengine.http_port", "tcp", HOST, 22225),
    }


def test_a_node_without_telephony() -> None:
    assert {point.key for point in ports.endpoints(Settings(), ())} == {"api.port", "media.rtp_port"}


def collisions(settings: Settings) -> list[str]:
    return list(ports.collisions(ports.endpoints(settings, (HOST,)), ports.relayed_ports(settings)))


def test_the_defaults_do_not_collide() -> None:
    assert collisions(Settings()) == []


def test_two_settings_on_one_port() -> None:
    assert collisions(Settings(api=Api(port=8090), control=Control(port=8090))) == [
        "api.port and control.port are both 8090/tcp: move one of them"
    ]


def test_udp_and_tcp_do_not_collide() -> None:
    settings = Settings(api=Api(port=19000), media=Media(rtp_port=19000))
    assert collisions(settings) == []


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (Settings(sip=Sip(port=20000)), "sip.port"),
        (Settings(media=Media(rtp_port=19999, workers=2)), "media.rtp_port"),
        (Settings(rtpengine=Rtpengine(port_min=18000, port_max=19000)), "media.rtp_port"),
    ],
)
def test_a_port_among_those_of_rtpengine(settings: Settings, key: str) -> None:
    [fault] = collisions(settings)
    assert fault.startswith(f"{key}: ")
    assert "lies between rtpengine.port_min and port_max" in fault


def test_free_ports_give_no_fault() -> None:
    port = spare_port()
    assert (
        list(ports.occupied([Endpoint("a.port", "udp", HOST, port), Endpoint("b.port", "tcp", HOST, port)]))
        == []
    )


def test_a_held_udp_port_names_its_holder(held_udp: int) -> None:
    [fault] = ports.occupied([Endpoint("sip.port", "udp", HOST, held_udp)])
    assert fault == f"sip.port: {held_udp}/udp on {HOST} in use by {ME}: stop it or set another sip.port"


def test_a_held_tcp_port_names_its_holder(held_tcp: int) -> None:
    [fault] = ports.occupied([Endpoint("api.port", "tcp", HOST, held_tcp)])
    assert f"in use by {ME}" in fault


def test_ports_of_one_setting_and_holder_share_a_sentence(held_udp: int, held_tcp: int) -> None:
    points = [Endpoint("x.port", "udp", HOST, held_udp), Endpoint("x.port", "tcp", HOST, held_tcp)]
    [fault] = ports.occupied(points)
    assert f"{held_udp}/udp on {HOST}, {held_tcp}/tcp on {HOST} in use by" in fault


def test_a_listener_that_shares_its_port_still_holds_it() -> None:
    with socket.create_server((HOST, 0), reuse_port=True) as server:
        [fault] = ports.occupied([Endpoint("api.port", "tcp", HOST, server.getsockname()[1])])
    assert "in use" in fault


def test_an_address_of_another_machine() -> None:
    [fault] = ports.occupied([Endpoint("sip.port", "udp", "192.0.2.77", spare_port())])
    assert fault.endswith("not an address of this machine: set another sip.address")


def test_an_address_that_does_not_resolve() -> None:
    [fault] = ports.occupied([Endpoint("api.port", "tcp", "no address", spare_port())])
    assert "set another api.address" in fault


def test_a_port_below_1024_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    [fault] = ports.occupied([Endpoint("sip.port", "udp", HOST, 506)])
    assert fault.endswith("open only to root below 1024: set another sip.port")


def test_nobody_holds_a_free_port() -> None:
    assert ports.holder(Endpoint("x.port", "udp", HOST, spare_port())) is None


def test_is_bound(held_udp: int) -> None:
    assert ports.is_bound(held_udp)
    assert not ports.is_bound(spare_port())
