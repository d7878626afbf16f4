"""Descriptions in the replies of rtpengine."""

from control.errors import NgError, SdpError
from control.rtpengine.ng import Reply
from control.sip.offer_answer import Choice, choose
from control.sip.sdp import SessionDescription, parse


def sdp_of(reply: Reply) -> bytes:
    """The description as it is."""
    sdp = reply.get("sdp", b"")
    return sdp.encode() if isinstance(sdp, str) else bytes(sdp)


def description_of(reply: Reply, codec: str) -> tuple[SessionDescription, Choice]:
    """The description, and the numbers that `codec` has in it; rtpengine must have kept it. Raises NgError."""
    try:
        description = parse(sdp_of(reply))
        return description, choose(description, (codec,))
    except SdpError as error:
        raise NgError(f"rtpengine gave a description that we cannot use: {error}") from error
