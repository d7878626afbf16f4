import asyncio
import ipaddress
import socket

import pytest
from pyroute2.netlink.exceptions import NetlinkError

from control import network
from control.config import Settings, Sip
from control.errors import ConfigError, ResolveError


class NoRoute:
    """An IPRoute on a host without a default route."""

    def __enter__(self) -> "NoRoute":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def route(self, command: str, dst: str) -> list[dict[str, str]]:
        raise NetlinkError(101, "Network is unreachable")


class NoSource(NoRoute):
    """An IPRoute whose answer names no source."""

    def route(self, command: str, dst: str) -> list[dict[str, str]]:
        return [{}]


def settings(address: str) -> Settings:
    return Settings(sip=Sip(address=address))


async def test_primary_address_is_an_address_also_within_a_running_loop() -> None:
    assert ipaddress.IPv4Address(network.primary_address())


def test_the_preferred_source_towards_loopback_is_loopback() -> None:
    assert network._preferred_source("127.1.2.3") == "127.0.0.1"


@pytest.mark.parametrize("netlink", [NoRoute, NoSource])
def test_a_host_without_a_default_route_has_only_loopback(
    monkeypatch: pytest.MonkeyPatch, netlink: type[NoRoute]
) -> None:
    monkeypatch.setattr(network, "IPRoute", netlink)
    assert network.primary_address() == "127.0.0.1"
    assert network.sip_addresses(settings("auto")) == ["127.0.0.1"]


def test_auto_is_loopback_and_the_primary_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "primary_address", lambda: "198.51.100.7")
    assert network.sip_addresses(settings("auto")) == ["127.0.0.1", "198.51.100.7"]


def test_an_address_stands_alone() -> None:
    assert network.sip_addresses(settings("192.0.2.1")) == ["192.0.2.1"]


@pytest.mark.parametrize("address", ["0.0.0.0", "::1", "224.0.0.1", "sip.example.com", ""])
def test_what_is_no_address_of_a_host_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"sip\.address: .*auto"):
        network.sip_addresses(settings(address))


@pytest.mark.parametrize(
    ("destination", "addresses", "source"),
    [
        ("127.0.0.9", ["127.0.0.1", "192.0.2.1"], "127.0.0.1"),
        ("203.0.113.5", ["127.0.0.1", "192.0.2.1"], "192.0.2.1"),
        ("192.0.2.1", ["127.0.0.1", "192.0.2.1"], "192.0.2.1"),
        ("203.0.113.5", ["127.0.0.1"], "127.0.0.1"),
        ("127.0.0.1", ["192.0.2.1"], "192.0.2.1"),
    ],
)
def test_source_for(destination: str, addresses: list[str], source: str) -> None:
    assert network.source_for(destination, addresses) == source


async def test_an_address_resolves_to_itself() -> None:
    assert await network.resolve("192.0.2.77", 5060, "tcp") == "192.0.2.77"
    assert await network.resolve("localhost", 5060, "udp") == "127.0.0.1"


@pytest.mark.parametrize(("transport", "kind"), [("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM)])
async def test_a_name_resolves_to_its_first_address(
    monkeypatch: pytest.MonkeyPatch, transport: str, kind: int
) -> None:
    async def getaddrinfo(host: str, port: int, *, family: int, type: int) -> list[object]:  # noqa: A002
        assert (host, port, family, type) == ("pbx.example", 5070, socket.AF_INET, kind)
        return [(family, type, 0, "", ("192.0.2.1", port)), (family, type, 0, "", ("192.0.2.2", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    assert await network.resolve("pbx.example", 5070, transport) == "192.0.2.1"


async def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(ResolveError, match=r"nowhere\.example: .*not known"):
        await network.resolve("nowhere.example", 5060, "udp")


async def test_a_name_that_cannot_be_one() -> None:
    with pytest.raises(ResolveError, match="no IPv4 address"):
        await network.resolve("a" * 70 + ".example", 5060, "udp")
