import pytest

from control.calls.addresses import advertised, contact, interface
from control.config import Sip

PUBLIC = "198.51.100.1"


@pytest.mark.parametrize(("local", "name"), [("127.0.0.1", "int"), (PUBLIC, "pub")])
def test_the_interface_is_the_one_the_peer_can_reach(local: str, name: str) -> None:
    assert interface(local) == name


@pytest.mark.parametrize(
    ("local", "advertise", "told"),
    [
        ("127.0.0.1", "203.0.113.9", "127.0.0.1"),
        (PUBLIC, "203.0.113.9", "203.0.113.9"),
        (PUBLIC, None, PUBLIC),
    ],
)
def test_peers_outside_are_told_the_public_address(local: str, advertise: str | None, told: str) -> None:
    assert advertised(Sip(advertise=advertise), local) == told


def test_a_contact_leads_back_to_us() -> None:
    assert contact(Sip(port=5080), "bot", PUBLIC, "udp") == f"sip:bot@{PUBLIC}:5080"
    assert contact(Sip(), "", PUBLIC, "tcp") == f"sip:sidecall@{PUBLIC}:5060;transport=tcp"
