"""Which sessions a node has, over all its workers, sans-I/O: ids are unique, tokens have limits, lists are whole.

Workers are any hashable values. A session belongs to one worker; a worker that comes back after we (or it) were away
announces those it holds, and these stand even where they break a rule: their bots are connected.
"""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from control.errors import LegError, LegErrorCode

WorkerT = TypeVar("WorkerT", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission(Generic[WorkerT]):
    """A session that a worker has."""

    session: str
    worker: WorkerT
    call_type: str
    created_at: int
    """Milliseconds since the Unix epoch."""
    token: str | None = None
    """Name of the token it came with."""
    option: Mapping[str, Any] | None = None
    """Of the call, without secrets; None while it is not known."""


class Admissions(Generic[WorkerT]):
    """The sessions of a node."""

    def __init__(self) -> None:
        self._by_id: dict[str, dict[WorkerT, Admission[WorkerT]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_id.values()))

    def __iter__(self) -> Iterator[Admission[WorkerT]]:
        """All, in the order of their ids."""
        for session in sorted(self._by_id):
            yield from self._by_id[session].values()

    def open(self, admission: Admission[WorkerT], max_calls: int | None = None) -> None:
        """Admit a session. Raises LegError: CONFLICT when its id is open, TOO_MANY when its token has enough."""
        if admission.session in self._by_id:
            raise LegError(LegErrorCode.CONFLICT, f"a session with id {admission.session} is open")
        if max_calls is not None and self._held_by(admission.token) >= max_calls:
            what = f"token {admission.token}: {max_calls} calls at the same time are all it may have"
            raise LegError(LegErrorCode.TOO_MANY, what)
        self.hold(admission)

    def hold(self, admission: Admission[WorkerT]) -> None:
        """Know a session that is open already, whatever the rules say."""
        self._by_id.setdefault(admission.session, {})[admission.worker] = admission

    def describe(self, worker: WorkerT, session: str, option: Mapping[str, Any]) -> None:
        """The option of a session is known now; one that is over does nothing."""
        found = self._by_id.get(session, {})
        if worker in found:
            found[worker] = replace(found[worker], option=option)

    def close(self, worker: WorkerT, session: str) -> None:
        """A session is over; one that is not known does nothing."""
        found = self._by_id.get(session, {})
        if found.pop(worker, None) is not None and not found:
            del self._by_id[session]

    def forget(self, worker: WorkerT) -> None:
        """All sessions of `worker` are over."""
        for session in [admission.session for admission in self if admission.worker == worker]:
            self.close(worker, session)

    def workers(self, session: str) -> tuple[WorkerT, ...]:
        """Who has this session; more than one when rules could not be kept while we were away."""
        return tuple(self._by_id.get(session, ()))

    def page(self, after: str, most: int) -> tuple[list[Admission[WorkerT]], bool]:
        """The sessions of up to `most` ids that sort behind `after`, and whether there are more."""
        ids = sorted(session for session in self._by_id if session > after)
        found = [admission for session in ids[:most] for admission in self._by_id[session].values()]
        return found, len(ids) > most

    def _held_by(self, token: str | None) -> int:
        return sum(1 for found in self._by_id.values() for held in found.values() if held.token == token)
