"""``dtmf``"""

from typing import TYPE_CHECKING, ClassVar, Literal

from control.errors import CommandError, MediaError
from media.api.fields import Line, Ms
from media.commands.base import Queued
from media.session.state import State

if TYPE_CHECKING:
    from media.session.session import Session


class Dtmf(Queued):
    """Extension: press keys on our side of the call."""

    command: Literal["dtmf"] = "dtmf"
    states: ClassVar[tuple[State, ...]] = (State.TALKING,)
    for_caller: ClassVar[bool] = True
    digits: Line
    """``0`` to ``9``, ``*``, ``#`` and ``A`` to ``D``, one after the other."""
    duration: Ms = 160
    """Milliseconds of each key, 40 to 60000, rounded up to whole 20."""
    gap: Ms = 80
    """Milliseconds of silence after each key, 40 to 60000, rounded up to whole 20."""

    async def carry_out(self, session: "Session") -> None:
        """Press the keys; what is playing waits meanwhile."""
        if session.slot is None:
            return
        try:
            session.services.engine.press(session.slot, self.digits.upper(), self.duration, self.gap)
        except MediaError as error:
            raise CommandError(f'command "dtmf": {error}', 400) from error
