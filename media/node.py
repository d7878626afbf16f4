"""The sessions of the node as one worker sees them: control knows all; without it the worker knows its own."""

import json
import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from control.api.client import LegClient
from control.api.models import Done
from control.api.sessions import (
    CloseSession,
    DescribeSession,
    KillSession,
    ListSessions,
    OpenSession,
    ResetSessions,
    SessionList,
)
from control.calls.admissions import Admission, Admissions
from control.errors import LegError, LegErrorCode
from control.tasks import Tasks
from media.api.calltype import CallType
from media.api.gate import Arrival, CallSummary, Refusal

log = logging.getLogger(__name__)

OWN = "own"
MAX_OPTION = 8192
"""Characters of JSON of an option that control is told; longer texts in it are cut."""
MAX_TEXT = 200


class NodeSessions:
    """Admits sessions, lists and kills them, over all workers of the node."""

    def __init__(self, legs: LegClient, tasks: Tasks) -> None:
        self._legs = legs
        self._tasks = tasks
        self._own: Admissions[str] = Admissions()

    async def admit(self, arrival: Arrival, now: int) -> Refusal | None:
        """Why the node has no room for this session, or None: then `closed` must follow in the end.

        `now` is in milliseconds since the Unix epoch. When control cannot be asked, what this worker knows must do.
        """
        token = arrival.token
        limit = None if token is None else token.max_calls
        admission = Admission(
            session=arrival.session_id,
            worker=OWN,
            call_type=str(arrival.call_type),
            created_at=now,
            token=None if token is None else token.name,
        )
        try:
            self._own.open(admission, limit)
        except LegError as error:
            return _refusal(error)
        admitted = False
        try:
            await self._legs.request(_announcement(admission, max_calls=limit), Done)
            admitted = True
        except LegError as error:
            if error.code in (LegErrorCode.CONFLICT, LegErrorCode.TOO_MANY):
                return _refusal(error)
            admitted = True
        finally:
            if not admitted:
                self.closed(arrival.session_id)
        return None

    def described(self, session: str, option: Mapping[str, Any]) -> None:
        """The option of a session's call is known; there is no secret in it."""
        shown = _bounded(option)
        self._own.describe(OWN, session, shown)
        self._tasks.spawn(self._tell(DescribeSession(session=session, option=shown)))

    def closed(self, session: str) -> None:
        """A session is over."""
        self._own.close(OWN, session)
        self._tasks.spawn(self._tell(CloseSession(session=session)))

    async def resume(self) -> None:
        """Control is (back) there: announce the sessions that are open."""
        await self._tell(ResetSessions())
        for admission in list(self._own):
            # It may have ended while control was told of those before it.
            if self._own.workers(admission.session):
                await self._tell(_announcement(admission, held=True))

    async def calls(self, own: Iterable[CallSummary]) -> list[CallSummary]:
        """All sessions of the node; those of this worker are `own`."""
        found = {}
        after, more = "", True
        try:
            while more:
                page = await self._legs.request(ListSessions(after=after), SessionList)
                for entry in page.sessions:
                    found[entry.session] = CallSummary(
                        id=entry.session,
                        call_type=CallType(entry.call_type),
                        created_at=entry.created_at,
                        option=entry.option,
                    )
                    after = entry.session
                more = page.more
        except LegError as error:
            log.debug("only the sessions of this worker can be listed: %s", error)
        return list((found | {call.id: call for call in own}).values())

    async def kill(self, session: str) -> bool:
        """End a session of another worker; whether there is one."""
        try:
            await self._legs.request(KillSession(session=session), Done)
        except LegError as error:
            log.debug("session %s cannot be killed: %s", session, error)
            return False
        return True

    async def _tell(self, message: OpenSession | CloseSession | DescribeSession | ResetSessions) -> None:
        try:
            await self._legs.request(message, Done)
        except LegError as error:
            # It is told again when it is back.
            log.debug("%s: %s", message.method, error)


def _announcement(
    admission: Admission[str], *, max_calls: int | None = None, held: bool = False
) -> OpenSession:
    return OpenSession(
        session=admission.session,
        call_type=admission.call_type,
        created_at=admission.created_at,
        token=admission.token,
        max_calls=max_calls,
        held=held,
        option=None if admission.option is None else dict(admission.option),
    )


def _refusal(error: LegError) -> Refusal:
    field = "id" if error.code is LegErrorCode.CONFLICT else "token"
    return Refusal(HTTPStatus(error.code), str(error), field)


def _bounded(option: Mapping[str, Any]) -> dict[str, Any]:
    """`option`, with long texts cut when it is too long; empty when that does not help."""
    shown = dict(option)
    if len(json.dumps(shown)) > MAX_OPTION:
        shown = {key: _cut(value) for key, value in shown.items()}
    return shown if len(json.dumps(shown)) <= MAX_OPTION else {}


def _cut(value: Any) -> Any:
    return f"{value[:MAX_TEXT]}…" if isinstance(value, str) and len(value) > MAX_TEXT else value
