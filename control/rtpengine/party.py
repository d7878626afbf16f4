"""The peer of a media leg, and where its audio may go."""

from dataclasses import dataclass
from typing import Literal, Protocol

from control.rtpengine.stream import Stream
from control.sip.offer_answer import Choice
from control.sip.sdp import SessionDescription

Interface = Literal["pub", "int"]
"""Name of an interface of rtpengine: towards everybody, or towards this machine."""


@dataclass(frozen=True, slots=True)
class Party:
    """The peer as it described itself last."""

    description: SessionDescription
    choice: Choice
    stream: Stream
    """What the slot was told of it."""


class Relay(Protocol):
    """Where the peer's audio goes instead of to the slot."""

    async def relay(self, peer: SessionDescription, choice: Choice) -> tuple[bytes, Stream]:
        """Like `MediaLeg.relay_to_slot`."""
