import base64
import hashlib
import hmac

import pytest
from pydantic import ValidationError

from control.config import Ice, IceServer
from media.api.iceservers import ice_servers

STUN = IceServer(urls=("stun:stun.example.com",))
TURN = IceServer(
    urls=("turn:a.example.com", "turns:b.example.com:443?transport=tcp"), username="u", credential="c"
)


def test_nothing_is_told_unless_configured() -> None:
    assert ice_servers(Ice(), "shop", 1000) == []


def test_servers_are_told_as_they_are_configured() -> None:
    assert ice_servers(Ice(servers=(STUN, TURN)), "shop", 1000) == [
        {"urls": ["stun:stun.example.com"]},
        {
            "urls": ["turn:a.example.com", "turns:b.example.com:443?transport=tcp"],
            "username": "u",
            "credential": "c",
        },
    ]


def test_short_lived_credentials() -> None:
    settings = Ice(servers=(STUN,), turn_urls=("turn:t.example.com",), turn_secret="north", turn_ttl=600)
    found = ice_servers(settings, "shop", 1_700_000_000.9)[1]
    digest = hmac.new(b"north", b"1700000600:shop", hashlib.sha1).digest()
    assert found == {
        "urls": ["turn:t.example.com"],
        "username": "1700000600:shop",
        "credential": base64.b64encode(digest).decode(),
    }
    assert "north" not in repr(settings)


@pytest.mark.parametrize("url", ["stun.example.com", "http://a", "turn:", "stun: a"])
def test_what_is_no_url_of_a_server(url: str) -> None:
    with pytest.raises(ValidationError):
        IceServer(urls=(url,))


def test_turn_needs_its_secret() -> None:
    with pytest.raises(ValidationError, match="turn_secret"):
        Ice(turn_urls=("turn:t.example.com",))
