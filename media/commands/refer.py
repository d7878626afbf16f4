"""``refer``"""

from typing import TYPE_CHECKING, ClassVar, Literal

from media.api.fields import Line
from media.api.options import ReferOption
from media.commands.base import Queued
from media.session.state import State
from media.session.transfer import Transfer

if TYPE_CHECKING:
    from media.session.session import Session


class Refer(Queued):
    """Transfer the caller: we call the target, and connect the two."""

    command: Literal["refer"] = "refer"
    states: ClassVar[tuple[State, ...]] = (State.TALKING,)
    caller: Line
    """Who calls the target; empty keeps the original caller."""
    callee: Line
    """The target: SIP URI, ``tel:`` URI or number."""
    options: ReferOption = ReferOption()
    """How the target is called."""

    async def carry_out(self, session: "Session") -> None:
        """Call the target; what becomes of it is told by events with ``refer``."""
        await Transfer.begin(session, self)
