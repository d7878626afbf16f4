"""What the SIP state machines ask for and report: the sum types between the sans-I/O core and its shell.

Machines never touch a socket or a clock. They return effects: *commands* for Kamailio and timers,
and *reports* for the call above. The shell carries out commands in order.
"""

from dataclasses import dataclass
from enum import Enum

Headers = tuple[tuple[str, str], ...]
"""Header fields in order: (name, value)."""


class Initiator(Enum):
    """Who ended a call."""

    CALLER = "caller"
    CALLEE = "callee"
    SYSTEM = "system"


class Timer(Enum):
    """Timers a machine may run; one of each at most."""

    ACK = "ack"
    """32 s (64*T1) from our 2xx until the ACK must be there (RFC 3261 section 13.3.1.4)."""
    ANSWER = "answer"
    """An incoming call nobody accepted, or an outgoing one that rings too long."""
    CANCEL = "cancel"
    """32 s (64*T1) from CANCEL until the INVITE counts as over without its final reply (section 9.1)."""
    REFRESH = "refresh"
    """Registration: time of the next REGISTER."""
    LOST = "lost"
    """Of the shells alone: what Kamailio had to say of a request was lost with the connection to it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer a request whose transaction Kamailio holds (``tm.reply``)."""

    transaction: str
    """``index:label`` of the suspended transaction, from the event."""
    code: int
    reason: str
    to_tag: str
    headers: Headers = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request (``tm.t_uac_start``); Kamailio adds Via and Content-Length."""

    method: str
    uri: str
    next_hop: str
    """URI the request is sent to; empty: the request URI itself."""
    headers: Headers
    body: bytes = b""
    fr_timer: float | None = None
    """Seconds until the final response, for INVITE until the first one; None: Kamailio's default."""
    fr_inv_timer: float | None = None
    """Seconds from the first response to an INVITE until its final one; None: Kamailio's default."""


@dataclass(frozen=True, slots=True)
class CancelInvite:
    """Cancel our pending INVITE (``tm.cancel``)."""

    call_id: str
    cseq: int


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Start (or restart) a timer."""

    timer: Timer
    seconds: float


@dataclass(frozen=True, slots=True)
class StopTimer:
    """Stop a timer; stopping one that does not run does nothing."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class Ringing:
    """The far end rings (outgoing call); `sdp` is its early media, if any."""

    code: int
    sdp: bytes = b""


@dataclass(frozen=True, slots=True)
class Answered:
    """The far end answered our INVITE; `sdp` is its answer."""

    sdp: bytes


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The ACK of our 2xx arrived: the incoming call stands."""


@dataclass(frozen=True, slots=True)
class Offered:
    """The far end offers a new session (re-INVITE or UPDATE).

    The call answers by the machine's ``answer_offer`` or ``refuse_offer`` with this transaction.
    """

    transaction: str
    sdp: bytes


@dataclass(frozen=True, slots=True)
class Digit:
    """A key pressed, reported by SIP INFO."""

    digit: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """The far end (or a timer) refused our INVITE."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The call is over; nothing follows."""

    initiator: Initiator
    reason: str
    code: int
    """SIP status that says how: 200 after BYE, 487 after CANCEL, 408 without ACK, ..."""


class RegistrationState(Enum):
    """Where a registration stands."""

    UNREGISTERED = "unregistered"
    """Not started."""
    REGISTERING = "registering"
    REGISTERED = "registered"
    """Also while it is refreshed."""
    FAILED = "failed"
    """Refused or unanswered; tried again later."""
    STOPPED = "stopped"
    """Ended by us; the registrar was told."""


@dataclass(frozen=True, slots=True)
class RegistrationChanged:
    """A registration went over to another state."""

    state: RegistrationState
    code: int
    """SIP status that caused it; 0 when none did."""
    reason: str
    expires: int = 0
    """Seconds that the registrar granted; 0 unless registered."""


Command = Reply | Send | CancelInvite | StartTimer | StopTimer
Report = Ringing | Answered | Confirmed | Offered | Digit | Rejected | Ended | RegistrationChanged
Effect = Command | Report
