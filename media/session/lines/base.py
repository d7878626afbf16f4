"""What all kinds of calls have in common."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from control.api import models
from control.errors import CommandError, LegError
from control.rtpengine.media import Stream
from media.api import events
from media.commands.accept import Accept
from media.commands.base import BotCommand
from media.commands.invite import Invite
from media.commands.reject import Reject
from media.commands.ringing import Ringing
from media.session.clock import now_ms
from media.session.state import CallRecord, Parting, State

if TYPE_CHECKING:
    from media.session.session import Session


class Line(ABC):
    """The far end of a session.

    The commands here are carried out one after the other; what raises CommandError or LegError leaves the session as
    it was.
    """

    gone_after: float | None = None
    """Seconds without a packet after which the far end is gone, when the bot says nothing of it; None: never."""

    def __init__(self, session: "Session") -> None:
        self.session = session

    async def arrive(self) -> None:
        """The bot's socket is open; by default the bot speaks first."""
        return

    @abstractmethod
    async def invite(self, command: Invite) -> None:
        """Make the call."""

    async def ringing(self, command: Ringing) -> None:
        """Ring; calls that cannot come in refuse."""
        raise self._nothing_comes_in(command)

    async def accept(self, command: Accept) -> None:
        """Answer; calls that cannot come in refuse."""
        raise self._nothing_comes_in(command)

    async def reject(self, command: Reject) -> None:
        """Refuse the call; calls that cannot come in refuse this."""
        raise self._nothing_comes_in(command)

    def audio(self, data: bytes) -> None:
        """A binary frame of the bot; calls whose audio goes another way say so."""
        self.session.error("command", f"{len(data)} binary bytes: this call takes commands as text only", 400)

    def noticed(self, notice: models.Notice) -> None:  # noqa: B027 not every kind has a leg
        """What control reports of the session's leg."""

    def media_started(self) -> None:  # noqa: B027 not every kind waits for it
        """The first packet of the far end is here."""

    def farewell(self, reason: str, parting: Parting) -> models.Message | None:
        """What control must be told when the session ends now."""
        session = self.session
        if parting is Parting.KNOWN:
            return None
        if session.leg is None:
            return models.Leave(session=session.id)
        return models.Hangup(leg=session.leg, reason=reason, headers=session.call.bye_headers)

    def answered(self, sdp: str, stream: Stream | None = None) -> None:
        """The call stands; `stream` as control gives it, None where media flows already."""
        session = self.session
        session.step(State.TALKING)
        session.call.answer = now_ms()
        if stream is not None and not session.connect(stream):
            return
        session.send(events.Answer(track_id=session.id, timestamp=now_ms(), sdp=sdp))
        session.caller.answered()
        session.begin_playing()
        session.send(_set_up(session.call, session.call.answer))

    def refused(self, code: int, reason: str) -> None:
        """The far end, or control, has refused the call that we make."""
        session = self.session
        session.call.code = code
        session.send(events.Reject(track_id=session.id, timestamp=now_ms(), reason=reason, code=code))

    def _nothing_comes_in(self, command: BotCommand) -> CommandError:
        kind = self.session.arrival.call_type
        return CommandError(
            f'command "{command.command}": no calls come in on a session of type "{kind}"; use "invite"', 409
        )


def _set_up(call: CallRecord, answer: int) -> events.Metrics:
    """How long the call took from its begin to the answer, and to the ringing."""
    ringing = {} if call.ringing is None else {"ringing": call.ringing - call.start}
    return events.Metrics(
        timestamp=now_ms(), key="completed.call.setup", duration=answer - call.start, data=ringing
    )


def status(error: LegError) -> int:
    """The code of an ``error`` or ``reject`` event for a refusal of control."""
    return int(error.code) if error.code > 0 else 503
