"""A tap: a copy of what one side of a call says, sent to the socket of a media slot."""

import secrets
from dataclasses import replace
from typing import Any, Final

from control.errors import NgError
from control.rtpengine.media import MediaLeg
from control.rtpengine.replies import description_of
from control.rtpengine.stream import Stream, stream_of
from control.sip.offer_answer import build_answer
from control.sip.sdp import Direction

_PLAIN: Final[dict[str, Any]] = {
    "interface": "int",
    "replace": ["origin", "session-connection"],
    "transport protocol": "RTP/AVP",
    "ICE": "remove",
    "rtcp-mux": ["demux"],
}


class Tap:
    """In the call of `leg`, under a `tag` that nothing else in it has or had."""

    def __init__(self, leg: MediaLeg, tag: str) -> None:
        self.stream: Stream | None = None
        """What the slot hears, once `open` is done."""
        self._leg = leg
        self._tag = tag
        self._exists = False

    async def open(self, of: str, codec: str) -> Stream:
        """Listen to the side with the tag `of`, which speaks `codec`. Raises NgError; then `close` is to be called."""
        endpoint = self._leg.endpoint
        if endpoint is None:
            raise NgError(f"tap {self._tag}: the leg has no slot that could listen")
        self._exists = True
        reply = await self._leg.command(
            "subscribe request", **{"from-tag": of, "to-tag": self._tag}, **_PLAIN
        )
        theirs, choice = description_of(reply, codec)
        session = str(secrets.randbits(31))
        ours = build_answer(theirs, choice, endpoint.address, endpoint.port, Direction.RECVONLY, session, 1)
        await self._leg.command("subscribe answer", **{"to-tag": self._tag, "sdp": bytes(ours)})
        stream = stream_of(theirs, theirs, choice)
        self.stream = replace(
            stream, direction=Direction.RECVONLY, source_port=stream.port, source_address=stream.address
        )
        return self.stream

    async def close(self) -> None:
        """Listen no more. Raises NgError."""
        if not self._exists:
            return
        self._exists = False
        # The tag and its ports would outlive the subscription.
        await self._leg.command("unsubscribe", **{"to-tag": self._tag})
        await self._leg.command("delete", **{"from-tag": self._tag, "delete-delay": 0})
