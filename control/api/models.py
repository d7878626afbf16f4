"""Messages of the leg API: what a media worker may ask of control, and what control tells it.

One WebSocket per worker at ``ws://CONTROL/legs``, JSON-RPC 2.0 both ways. A worker says `Hello` first. Requests have
a result; notifications have none. A leg is one call between us and one peer, over SIP or with a browser; it belongs
to one *session*, the bot connection that handles it.

======================  ========================================================================
worker → control        result
======================  ========================================================================
``worker.hello``        `Welcome`: legs of this worker that still stand
``pool.join``           `Done`: the session waits for an incoming call of that pool
``pool.leave``          `Done`: the session takes no call any more
``leg.claim``           `Incoming`: the waiting call with that dialog id now belongs to the session
``leg.ring``            `Media`: 180, or 183 when an endpoint is given
``leg.accept``          `Media`: 200 is on its way
``leg.reject``          `Done`
``leg.invite``          `Invited`
``leg.connect``         `Connected`: the browser's offer is answered
``leg.reconnect``       `Connected`: so is a later one of the same browser
``leg.hangup``          `Done`: BYE, CANCEL or a refusal is on its way
``session.open``        `Done`: the node has room for the session
``session.close``       `Done`
``session.describe``    `Done`: lists show the option
``session.reset``       `Done`: the worker is about to announce all sessions that it holds
``session.kill``        `Done`: its worker was told
``sessions.list``       `SessionList`: one page
======================  ========================================================================

======================  ========================================================================
control → worker        meaning
======================  ========================================================================
``leg.incoming``        `Incoming`: a call is offered to a waiting session
``leg.ringing``         `Ringing`: the callee rings; early media if there is a stream
``leg.answered``        `Answered`: the call stands (2xx received, or ACK of our 2xx)
``leg.media``           `MediaChanged`: the peer renegotiated (hold, resume, other codec)
``leg.digit``           `Digit`: a key reported by SIP INFO
``leg.rejected``        `Rejected`: the callee, a timer or we refused an outgoing call
``leg.ended``           `Ended`: always the last message about a leg
``session.killed``      `Killed`: an operator wants the session to end
======================  ========================================================================
"""

from typing import ClassVar, Literal

from pydantic import Field

from control.api.message import Message as Message
from control.api.message import Model as Model
from control.api.sessions import SessionRequest
from control.rtpengine.media import Endpoint, Stream

# Results


class Done(Model):
    """The request was carried out; there is nothing to say about it."""


class Welcome(Model):
    """Answer to `Hello`."""

    control: str
    """Name of the control process."""
    legs: tuple[str, ...]
    """Legs of this worker that control still holds; the worker ends every other."""


class Media(Model):
    """What was negotiated."""

    stream: Stream | None = None
    """Where the slot sends to and what it expects; None when no media flows yet."""
    sdp: str = ""
    """The description given to the peer."""


class Invited(Model):
    """An outgoing call is on its way."""

    leg: str
    caller: str
    callee: str


class Connected(Model):
    """A browser's offer was answered."""

    leg: str
    stream: Stream
    sdp: str
    """The complete answer for the browser."""


# Requests of a worker


class Hello(Message):
    """First message of a worker on each connection."""

    method: ClassVar[str] = "worker.hello"
    worker: str
    """Name of the worker."""
    instance: str
    """Changes when the worker process starts anew."""
    legs: tuple[str, ...] = ()
    """Legs it holds; control ends every other leg of this worker."""


class Join(Message):
    """Wait for an incoming call."""

    method: ClassVar[str] = "pool.join"
    session: str
    pool: str


class Leave(Message):
    """Take no call: a pool forgets the session, a call offered to it goes to another, one it dials is cancelled."""

    method: ClassVar[str] = "pool.leave"
    session: str
    full: str | None = None
    """The pool that the session would wait in if its worker had not too much to do: its calls get 503, not 480."""


class Claim(Message):
    """Take the incoming call announced by a webhook."""

    method: ClassVar[str] = "leg.claim"
    session: str
    leg: str
    """The dialogId of the webhook."""


class Ring(Message):
    """Tell the caller that we ring."""

    method: ClassVar[str] = "leg.ring"
    leg: str
    session: str
    endpoint: Endpoint | None = None
    """Socket for early media; None sends 180 without a description."""


class Accept(Message):
    """Answer an incoming call; of several sessions it was offered to, the first wins."""

    method: ClassVar[str] = "leg.accept"
    leg: str
    session: str
    endpoint: Endpoint


class Reject(Message):
    """Refuse an incoming call."""

    method: ClassVar[str] = "leg.reject"
    leg: str
    session: str
    code: int = Field(default=603, ge=400, le=699)
    reason: str = ""


class Invite(Message):
    """Dial out."""

    method: ClassVar[str] = "leg.invite"
    session: str
    callee: str
    caller: str | None = None
    endpoint: Endpoint
    username: str | None = None
    password: str | None = Field(default=None, repr=False)
    realm: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    timeout: float | None = None
    """Seconds that the callee may ring; those of the settings when None."""


class Connect(Message):
    """Answer a browser (WebRTC): there is no SIP, its offer came through the bot."""

    method: ClassVar[str] = "leg.connect"
    session: str
    endpoint: Endpoint
    offer: str
    """The browser's complete description."""
    ipv6: bool = False
    """Whether candidates with IPv6 are used."""


class Reconnect(Message):
    """Answer a later offer of a browser: ICE restart, hold, another microphone."""

    method: ClassVar[str] = "leg.reconnect"
    leg: str
    session: str
    offer: str


class Refer(Message):
    """Dial out on behalf of the peer of a leg, and connect the two when the callee answers."""

    method: ClassVar[str] = "leg.refer"
    leg: str
    """The leg that is transferred."""
    session: str
    callee: str
    caller: str | None = None
    username: str | None = None
    password: str | None = Field(default=None, repr=False)
    realm: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    timeout: float = 30.0
    """Seconds that the callee may ring."""
    early_media: bool = False
    """Whether the peer hears what the callee plays while it rings."""


class Hangup(Message):
    """End a leg in whatever state it is: BYE, CANCEL or a final refusal."""

    method: ClassVar[str] = "leg.hangup"
    leg: str
    reason: str = ""
    headers: dict[str, str] = Field(default_factory=dict)


# Notifications of control


class Notice(Message):
    """Something happened to a leg; base of all notifications."""

    leg: str
    session: str
    """The bot connection it is meant for."""


class Killed(Notice):
    """An operator wants the session to end; `leg` is empty, it need not have one."""

    method: ClassVar[str] = "session.killed"
    leg: str = ""


class Incoming(Notice):
    """An incoming call, offered to (or claimed by) a session."""

    method: ClassVar[str] = "leg.incoming"
    caller: str
    callee: str
    sdp: str
    headers: dict[str, str] = Field(default_factory=dict)
    """Extension headers (X-*) of the INVITE; untrusted."""


class Ringing(Notice):
    """The callee rings."""

    method: ClassVar[str] = "leg.ringing"
    stream: Stream | None = None


class Answered(Notice):
    """The call stands."""

    method: ClassVar[str] = "leg.answered"
    stream: Stream
    sdp: str
    """Outgoing: the callee's answer. Incoming: ours."""


class MediaChanged(Notice):
    """The peer renegotiated; the slot must follow."""

    method: ClassVar[str] = "leg.media"
    stream: Stream


class Digit(Notice):
    """A key reported by SIP INFO."""

    method: ClassVar[str] = "leg.digit"
    digit: str


class Rejected(Notice):
    """An outgoing call was refused."""

    method: ClassVar[str] = "leg.rejected"
    code: int
    reason: str


class Ended(Notice):
    """The leg is gone; nothing follows."""

    method: ClassVar[str] = "leg.ended"
    initiator: Literal["caller", "callee", "system"]
    reason: str
    code: int


Request = (
    Join | Leave | Claim | Ring | Accept | Reject | Invite | Connect | Reconnect | Hangup | SessionRequest
)  # fmt: skip
"""What a worker may ask once it has said `Hello`."""
