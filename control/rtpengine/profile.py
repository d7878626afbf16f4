"""What the ng commands about a call's media say for each kind of peer.

Towards our side the stream is plain RTP with an RTCP port of its own for all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Profile:
    """Fields of ``offer`` and ``answer`` by the side that the description of the reply is for."""

    to_us: Mapping[str, Any]
    to_peer: Mapping[str, Any]


_PLAIN: Final = MappingProxyType(
    {
        "flags": ["trust-address", "port-latching", "strict-source"],
        "replace": ["origin", "session-connection"],
        "ICE": "remove",
        "rtcp-mux": ["demux"],
    }
)
# A browser may change its address at any time (RFC 8445 section 2.4); SRTP tells who sends.
_BROWSER_FLAGS: Final = ["trust-address", "port-latching"]

SIP: Final = Profile(_PLAIN, _PLAIN)
"""Telephones, carriers, exchanges: RTP, or SRTP with keys in the SDP."""

BROWSER: Final = Profile(
    to_us=MappingProxyType({**_PLAIN, "flags": _BROWSER_FLAGS}),
    to_peer=MappingProxyType(
        {**_PLAIN, "flags": _BROWSER_FLAGS, "ICE": "force", "SDES": ["off"], "rtcp-mux": ["accept"]}
    ),
)
"""WebRTC peers that offer: ICE, DTLS-SRTP, RTP and RTCP on one port (RFC 8834, RFC 8827)."""
