"""What a tick reports: the sum type between the engine and the session."""

from dataclasses import dataclass

from media.engine.segment import Segment


@dataclass(frozen=True, slots=True)
class MediaStarted:
    """The first RTP packet of the call arrived."""

    slot: int


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """The peer pressed a key: one of ``0123456789*#ABCD``."""

    slot: int
    digit: str


@dataclass(frozen=True, slots=True)
class DigitSent:
    """The last packet of a key that was to be sent left in this tick, its pause follows."""

    slot: int
    digit: str


@dataclass(frozen=True, slots=True)
class SegmentStarted:
    """The first sample of a segment was sent in this tick (or its turn came and it is empty)."""

    slot: int
    segment: Segment


@dataclass(frozen=True, slots=True)
class SegmentEnded:
    """The last sample of a closed segment was sent in this tick."""

    slot: int
    segment: Segment


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The peer speaks."""

    slot: int
    ago: int
    """Since the voice began; in 1/8000 s at any sampling rate, as all times of speech and silence."""


@dataclass(frozen=True, slots=True)
class Interrupting:
    """The peer speaks long enough to interrupt; once in an utterance, which may yet end without being speech."""

    slot: int
    ago: int
    """Since the voice began; in 1/8000 s."""


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The peer has stopped to speak: the end of the last `SpeechStarted`."""

    slot: int
    silence: int
    """Since the voice ended; in 1/8000 s."""
    speech: int
    """From the beginning of the voice to its end; in 1/8000 s."""


@dataclass(frozen=True, slots=True)
class SilencePassed:
    """The peer has not spoken for the timeout of its detection, or for a multiple of it."""

    slot: int
    silence: int
    """Since the voice ended, or since the detection was turned on; in 1/8000 s."""


Event = (
    MediaStarted
    | DigitPressed
    | DigitSent
    | SegmentStarted
    | SegmentEnded
    | SpeechStarted
    | Interrupting
    | SpeechStopped
    | SilencePassed
)
