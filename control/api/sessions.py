"""Messages of the leg API about bots' sessions, with or without a leg: all workers of a node know of all."""

from typing import Any, ClassVar

from pydantic import Field

from control.api.message import Message, Model


class SessionEntry(Model):
    """A session in a list."""

    session: str
    call_type: str
    created_at: int
    """Milliseconds since the Unix epoch."""
    option: dict[str, Any] = Field(default_factory=dict)
    """Of the call, without secrets; empty before there is one."""


class SessionList(Model):
    """Sessions of the node, in the order of their ids."""

    sessions: tuple[SessionEntry, ...]
    more: bool = False
    """Whether there are more: ask again, after the last one."""


class OpenSession(Message):
    """A bot is about to be served. LegError CONFLICT when its id is open on this node, TOO_MANY above `max_calls`."""

    method: ClassVar[str] = "session.open"
    session: str
    call_type: str
    created_at: int
    """Milliseconds since the Unix epoch."""
    token: str | None = None
    """Name of the bot's token."""
    max_calls: int | None = None
    """Sessions that this token may have at the same time."""
    held: bool = False
    """Whether it is open already: then it is not refused."""
    option: dict[str, Any] | None = None


class CloseSession(Message):
    """A session is over."""

    method: ClassVar[str] = "session.close"
    session: str


class DescribeSession(Message):
    """The option of a session's call is known."""

    method: ClassVar[str] = "session.describe"
    session: str
    option: dict[str, Any]


class ResetSessions(Message):
    """Forget the sessions of this worker: it announces those it holds, with `OpenSession`."""

    method: ClassVar[str] = "session.reset"


class KillSession(Message):
    """End a session of any worker. LegError NO_SUCH_LEG when there is none."""

    method: ClassVar[str] = "session.kill"
    session: str


class ListSessions(Message):
    """One page of the node's sessions."""

    method: ClassVar[str] = "sessions.list"
    after: str = ""


SessionRequest = OpenSession | CloseSession | DescribeSession | ResetSessions | KillSession | ListSessions
