"""Waiting bots and waiting calls, sans-I/O.

A bot socket waits in the pool of its route. A call is offered to the session that has waited longest; when it does
not react, to the next one as well, and the first to accept wins. A call that finds nobody waits in turn.
"""

from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

SessionT = TypeVar("SessionT")
CallT = TypeVar("CallT")
ItemT = TypeVar("ItemT")


class Pools(Generic[SessionT, CallT]):
    """All pools by name; sessions and calls are any hashable values, each waits in one pool at most.

    A pool in which nobody waits leaves nothing behind: names come from bots.
    """

    def __init__(self) -> None:
        self._sessions: dict[SessionT, str] = {}
        """Pool of each session that waits, in the order in which they came."""
        self._calls: dict[CallT, str] = {}
        """The same of calls."""

    def join(self, name: str, session: SessionT) -> CallT | None:
        """Let `session` wait, or return the call that waited for it longest."""
        self.leave(session)
        call = _first(self._calls, name)
        if call is None:
            self._sessions[session] = name
        return call

    def offer(self, name: str, call: CallT) -> SessionT | None:
        """The session that has waited longest (it waits no more), or None: then `call` waits."""
        session = _first(self._sessions, name)
        if session is None:
            self._calls.setdefault(call, name)
        return session

    def leave(self, session: SessionT) -> bool:
        """Let `session` wait no longer; whether it did."""
        return self._sessions.pop(session, None) is not None

    def leave_all(self, gone: Callable[[SessionT], bool]) -> None:
        """Let all sessions that are `gone` wait no longer."""
        self._sessions = {session: name for session, name in self._sessions.items() if not gone(session)}

    def withdraw(self, call: CallT) -> bool:
        """Let `call` wait no longer; whether it did."""
        return self._calls.pop(call, None) is not None

    def waiting(self) -> dict[str, int]:
        """Number of sessions that wait, by pool; only pools in which one does."""
        return dict(Counter(self._sessions.values()))


def _first(waiting: dict[ItemT, str], name: str) -> ItemT | None:
    """Take out the item that has waited longest in the pool `name`."""
    item = next((item for item, pool in waiting.items() if pool == name), None)
    if item is not None:
        del waiting[item]
    return item
