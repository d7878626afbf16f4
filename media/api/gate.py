"""What the API port and the sessions behind it need of each other."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from control.config import Token
from control.errors import UriError
from control.sip.uri import parse_name_addr, parse_uri
from media.api.calltype import CallType

if TYPE_CHECKING:
    from media.api.outbox import Outbox

DEFAULT_POOL = "default"
SERVER_SIDE_TRACK = "server-side-track"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What a bot asked for when it connected."""

    session_id: str
    call_type: CallType = CallType.SIP
    claims: bool = False
    """Whether the bot gave the id, which may then be that of a call it was told of."""
    pool: str | None = None
    """The ``route`` parameter; None when it was not given."""
    track_id: str = SERVER_SIDE_TRACK
    """Name of the track that carries what we play."""
    dump: bool = True
    """Whether the events of the session are to be kept."""
    ping: int = 20
    """Seconds between WebSocket pings; 0 sends none."""
    token: Token | None = None
    """Name and limits of the token it came with; None when that has neither."""

    @property
    def may_wait(self) -> bool:
        """Whether its token lets it wait for calls in its pool."""
        allowed = None if self.token is None else self.token.pools
        return allowed is None or (self.pool or DEFAULT_POOL) in allowed

    def may_dial(self, callee: str) -> bool:
        """Whether its token lets it call `callee`, a URI or a number, by ``invite`` or ``refer``."""
        allowed = None if self.token is None else self.token.callees
        if allowed is None:
            return True
        try:
            uri = parse_name_addr(callee).uri if "<" in callee else parse_uri(callee)
        except UriError:
            return any(re.fullmatch(pattern, callee) for pattern in allowed)
        return any(re.fullmatch(pattern, text) for pattern in allowed for text in (uri.user, str(uri)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSummary:
    """A session as ``GET /call/lists`` shows it."""

    id: str
    call_type: CallType
    created_at: int
    """Milliseconds since the Unix epoch."""
    option: Mapping[str, Any]
    """The call option as the bot gave it, without its secrets; empty before there is one."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a bot is not served, before its socket is open."""

    status: HTTPStatus
    message: str
    field: str | None = None
    """The parameter or header that is at fault."""


class BotSession(Protocol):
    """What the API port needs of a session."""

    def open(self) -> None:
        """The socket is open: begin."""

    def receive(self, text: str) -> None:
        """A text frame came in."""

    def receive_binary(self, data: bytes) -> None:
        """A binary frame came in."""

    def pinged(self, payload: str) -> None:
        """A WebSocket ping with this payload was sent; for the dump."""

    def error(self, sender: str, message: str, code: int | None = None) -> None:
        """Tell the bot that something was wrong; the call goes on."""

    def describe(self) -> CallSummary:
        """What lists show."""

    def kill(self) -> None:
        """End the call because an operator wants it."""

    async def disconnected(self) -> None:
        """The socket is closed, whoever closed it: leave nothing behind."""


class Gate(Protocol):
    """Opens sessions; may refuse before the upgrade."""

    async def refusal(self, arrival: Arrival) -> Refusal | None:
        """Why this bot cannot be served now; None admits it, and `session` must follow at once."""

    def session(self, arrival: Arrival, outbox: "Outbox") -> BotSession:
        """A session for a bot whose socket is about to open."""

    async def calls(self) -> Sequence[CallSummary]:
        """Every session of this node."""

    async def kill(self, session_id: str) -> bool:
        """End a session of this node; whether there was one."""

    @property
    def keep_time(self) -> Callable[[], None]:
        """To be called between two messages of bots: does what must not wait until all are read."""

    async def precache(self, body: bytes) -> int:
        """Make the speech of a ``tts`` command and keep it; its ms. Raises CommandError and SpeechError."""

    def ready(self) -> str | None:
        """Why this worker cannot take calls, or None when it can."""

    def metrics(self) -> tuple[bytes, str]:
        """Prometheus exposition and its content type."""
