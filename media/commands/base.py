"""What all commands have in common."""

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from control.errors import CommandError
from media.api.options import Model
from media.session.state import State

if TYPE_CHECKING:
    from media.session.session import Session

HEARING = (State.OFFERED, State.ANSWERING, State.DIALING, State.TALKING)
"""States in which there is somebody who hears us, or will."""


class BotCommand(Model):
    """A command, from the text that was read to what it does; what raises CommandError changes nothing."""

    command: str
    states: ClassVar[tuple[State, ...]] = tuple(set(State) - {State.ENDED})
    """When it fits."""
    for_caller: ClassVar[bool] = False
    """Whether it is about what the caller hears, and so fits only while the caller is with the bot."""
    plays: ClassVar[bool] = False
    """Whether ``interrupt`` makes it pointless while it waits."""

    def check(self, session: "Session") -> None:
        """Raise CommandError unless the command fits now."""
        session.require(self.command, *self.states)
        transfer = session.transfer
        if self.for_caller and transfer is not None and transfer.joined:
            raise CommandError(
                f'command "{self.command}" does not fit now: the caller talks to the target of a transfer; '
                '"hangup" with "refer" brings it back',
                409,
            )

    def unfit(self, why: str, code: int = 409) -> CommandError:
        """The refusal of a command that does not fit, and why."""
        return CommandError(f'command "{self.command}" does not fit now: {why}', code)


class Queued(BotCommand):
    """Carried out after all commands before it."""

    @abstractmethod
    async def carry_out(self, session: "Session") -> None:
        """Do it. Raises CommandError, and LegError when control refuses."""


class Urgent(BotCommand):
    """Overtakes every command that waits."""

    @abstractmethod
    def act(self, session: "Session") -> None:
        """Do it. Raises CommandError."""
