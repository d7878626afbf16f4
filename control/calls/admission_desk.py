"""Answers what media workers ask about the sessions of the node."""

from control.api import sessions
from control.api.message import Model
from control.api.models import Done, Killed
from control.api.server import Worker
from control.calls.admissions import Admission, Admissions
from control.errors import LegError, LegErrorCode

PAGE = 50
"""Ids in one answer to ``sessions.list``, so that it stays well below what a message may have."""


class AdmissionDesk:
    """The sessions of all workers."""

    def __init__(self) -> None:
        self._admissions: Admissions[Worker] = Admissions()

    def __len__(self) -> int:
        return len(self._admissions)

    def on_request(self, worker: Worker, request: sessions.SessionRequest) -> Model:
        """Carry out `request`. Raises LegError."""
        match request:
            case sessions.OpenSession():
                self._open(worker, request)
            case sessions.CloseSession(session=session):
                self._admissions.close(worker, session)
            case sessions.DescribeSession(session=session, option=option):
                self._admissions.describe(worker, session, option)
            case sessions.ResetSessions():
                self._admissions.forget(worker)
            case sessions.KillSession(session=session):
                self._kill(session)
            case sessions.ListSessions(after=after):
                return self._list(after)
        return Done()

    def forget(self, worker: Worker) -> None:
        """`worker` is gone, and its sessions with it."""
        self._admissions.forget(worker)

    def _open(self, worker: Worker, request: sessions.OpenSession) -> None:
        admission = Admission(
            session=request.session,
            worker=worker,
            call_type=request.call_type,
            created_at=request.created_at,
            token=request.token,
            option=request.option,
        )
        if request.held:
            self._admissions.hold(admission)
        else:
            self._admissions.open(admission, request.max_calls)

    def _kill(self, session: str) -> None:
        workers = self._admissions.workers(session)
        if not workers:
            raise LegError(LegErrorCode.NO_SUCH_LEG, f"there is no session {session}")
        for worker in workers:
            worker.notify(Killed(session=session))

    def _list(self, after: str) -> sessions.SessionList:
        found, more = self._admissions.page(after, PAGE)
        entries = tuple(
            sessions.SessionEntry(
                session=admission.session,
                call_type=admission.call_type,
                created_at=admission.created_at,
                option=dict(admission.option or {}),
            )
            for admission in found
        )
        return sessions.SessionList(sessions=entries, more=more)
