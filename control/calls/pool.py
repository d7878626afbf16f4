"""Waiting bots and waiting calls, sans-I/O.

A bot socket waits in the pool of its route. A call is offered to the session that has waited longest; when it does
not react, to the next one as well, and the first to accept wins. A call that finds nobody waits in turn.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

SessionT = TypeVar("SessionT")
CallT = TypeVar("CallT")


@dataclass(slots=True)
class _Pool(Generic[SessionT, CallT]):
    sessions: deque[SessionT] = field(default_factory=deque)
    calls: deque[CallT] = field(default_factory=deque)


class Pools(Generic[SessionT, CallT]):
    """All pools by name; sessions and calls are any hashable values, each waits in one pool at most."""

    def __init__(self) -> None:
        self._pools: dict[str, _Pool[SessionT, CallT]] = {}

    def join(self, name: str, session: SessionT) -> CallT | None:
        """Let `session` wait, or return the call that waited for it longest."""
        pool = self._pools.setdefault(name, _Pool())
        if pool.calls:
            return pool.calls.popleft()
        pool.sessions.append(session)
        return None

    def offer(self, name: str, call: CallT) -> SessionT | None:
        """The session that has waited longest (it waits no more), or None: then `call` waits."""
        pool = self._pools.setdefault(name, _Pool())
        if pool.sessions:
            return pool.sessions.popleft()
        pool.calls.append(call)
        return None

    def leave(self, session: SessionT) -> bool:
        """Let `session` wait no longer; whether it did."""
        return any(_remove(pool.sessions, session) for pool in self._pools.values())

    def leave_all(self, gone: Callable[[SessionT], bool]) -> None:
        """Let all sessions that are `gone` wait no longer."""
        for pool in self._pools.values():
            pool.sessions = deque(session for session in pool.sessions if not gone(session))

    def withdraw(self, call: CallT) -> bool:
        """Let `call` wait no longer; whether it did."""
        return any(_remove(pool.calls, call) for pool in self._pools.values())

    def waiting(self) -> dict[str, int]:
        """Number of sessions that wait, by pool."""
        return {name: len(pool.sessions) for name, pool in self._pools.items()}


ItemT = TypeVar("ItemT")


def _remove(queue: deque[ItemT], item: ItemT) -> bool:
    try:
        queue.remove(item)
    except ValueError:
        return False
    return True
