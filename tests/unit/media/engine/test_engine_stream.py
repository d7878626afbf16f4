"""Which streams the engine takes."""

from dataclasses import replace

import pytest

from control.errors import MediaError
from media.engine.sockets import packed
from media.engine.stream import Codec, check
from tests.support.farend import Stream

GOOD = Stream(20002)


def test_a_stream_in_the_terms_of_the_arrays() -> None:
    peer = check(GOOD)
    assert (peer.address, peer.port) == (packed("127.0.0.1"), 20002)
    assert (peer.payload_type, peer.event_payload_type) == (0, 101)
    assert peer.codec is Codec.PCMU
    assert check(replace(GOOD, codec="pcma", payload_type=8)).codec is Codec.PCMA
    assert check(replace(GOOD, event_payload_type=None)).event_payload_type == -1


def test_packets_come_from_where_they_go_to_unless_it_is_said() -> None:
    peer = check(GOOD)
    assert (peer.source_address, peer.source_port) == (peer.address, peer.port)
    peer = check(replace(GOOD, source_port=20004, source_address="127.0.0.9"))
    assert (peer.address, peer.port) == (packed("127.0.0.1"), 20002)
    assert (peer.source_address, peer.source_port) == (packed("127.0.0.9"), 20004)


@pytest.mark.parametrize(
    ("direction", "sends", "receives"),
    [
        ("sendrecv", True, True),
        ("sendonly", True, False),
        ("recvonly", False, True),
        ("inactive", False, False),
    ],
)
def test_directions(direction: str, sends: bool, receives: bool) -> None:
    peer = check(replace(GOOD, direction=direction))
    assert (peer.sends, peer.receives) == (sends, receives)


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (replace(GOOD, address="::1"), "'::1' is not IPv4"),
        (replace(GOOD, address="phone.example"), "is not IPv4"),
        (replace(GOOD, port=0), "port 0"),
        (replace(GOOD, port=65536), "port 65536"),
        (replace(GOOD, source_port=70000), "port 70000"),
        (replace(GOOD, source_address="::1"), "'::1' is not IPv4"),
        (replace(GOOD, codec="g729"), "'g729' is not one of pcmu, pcma"),
        (replace(GOOD, payload_type=128), "payload types 128 and 101"),
        (replace(GOOD, payload_type=-1), "payload types -1"),
        (replace(GOOD, event_payload_type=200), "and 200"),
        (replace(GOOD, event_payload_type=0), "different numbers"),
        (replace(GOOD, direction="both"), "'both'"),
    ],
)
def test_a_stream_it_cannot_use_is_refused_with_the_reason(stream: Stream, reason: str) -> None:
    with pytest.raises(MediaError, match=reason):
        check(stream)
