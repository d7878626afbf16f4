"""What sessions need of their worker."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from control.api.client import LegClient
from control.config import Settings
from control.tasks import Tasks
from media.engine.engine import Engine
from media.recorder import Recorder
from media.records.service import Records
from media.sounds import Sounds
from media.speech.cache import SpeechCache
from media.speech.eou.http import RemoteDetector
from media.speech.service import Speech
from media.speechtimes import SpeechTimes

if TYPE_CHECKING:
    from media.session.session import Session


@dataclass(frozen=True, slots=True)
class Services:
    """What a worker offers to its sessions."""

    settings: Settings
    engine: Engine
    legs: LegClient
    speech: Speech
    speech_times: SpeechTimes
    turn_detector: RemoteDetector
    sounds: Sounds
    spoken: SpeechCache
    recorder: Recorder
    records: Records
    tasks: Tasks
    """Owns what must outlive a session, such as the last request about its leg."""


class Directory(Protocol):
    """Who must know of a session's slots and end."""

    def took_slot(self, session: "Session", slot: int) -> None:
        """`slot` of the engine belongs to `session` from now on."""

    def gave_slot(self, slot: int) -> None:
        """`slot` belongs to nobody any more."""

    def described(self, session: "Session") -> None:
        """The option of `session`'s call is known."""

    def ended(self, session: "Session") -> None:
        """`session` is over."""
