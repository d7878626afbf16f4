"""What an engine is: work on many streams, in the one thread of a child process."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

from control.errors import ProviderError
from media.speech.local.frames import Data, Done, Failed, Report, Told

__all__ = ["Data", "Done", "Engine", "Failed", "Parameters", "ProviderError", "Report", "Settings", "Told"]

Settings = Mapping[str, Any]
"""What is the same for all streams of a host; of JSON's types."""
Parameters = Mapping[str, Any]
"""What a stream is opened with; of JSON's types."""


class Engine(ABC):
    """Constructed once in a child, where it loads its model; raises ProviderError when it cannot.

    The child calls `data`, `finish`, `cancel` and `hold` only for streams that are open: after `open`, and before
    `cancel` or a report of Done or Failed. After any of these, and after an order that raised ProviderError, the engine
    must have forgotten the stream; until the report is taken from `step`, orders may still come. Any other exception,
    and any from `step`, ends the child, and all its streams fail.
    """

    @abstractmethod
    def __init__(self, settings: Settings) -> None:
        """Load the model. Raises ProviderError: 501 when a package is missing, 404 when the model is."""

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether `step` has work to do before anything else comes in: the child does not wait for orders then."""

    @abstractmethod
    def open(self, stream: int, parameters: Parameters) -> None:
        """Begin a stream; may load what it needs. Raises ProviderError (and forgets it) when it cannot be done."""

    @abstractmethod
    def data(self, stream: int, data: bytes) -> None:
        """Take what goes in, in the pieces in which the parent sent it. Cheap: work is done by `step`."""

    @abstractmethod
    def finish(self, stream: int) -> None:
        """Nothing more goes in: report Done when all of it is worked off."""

    @abstractmethod
    def cancel(self, stream: int) -> None:
        """Forget the stream."""

    @abstractmethod
    def step(self) -> Iterable[Report]:
        """Do a piece of work, for as many streams at once as possible, and report what came of it.

        Called after each batch of orders, and again and again while `busy`. Orders wait meanwhile, so a step takes
        100 ms or so at most, where the work can be divided. An engine that takes audio works off all that there is:
        then audio waits in the socket, and the parent feels it, when the child cannot follow. A generator is welcome:
        each report is sent when it is yielded.
        """

    def hold(self, stream: int, *, held: bool) -> None:  # noqa: B027
        """Whether to make no more Data for a stream: its reader is behind. Only engines that make audio need this."""
