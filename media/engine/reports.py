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
class SegmentStarted:
    """The first sample of a segment was sent in this tick (or its turn came and it is empty)."""

    slot: int
    segment: Segment


@dataclass(frozen=True, slots=True)
class SegmentEnded:
    """The last sample of a closed segment was sent in this tick."""

    slot: int
    segment: Segment


Event = MediaStarted | DigitPressed | SegmentStarted | SegmentEnded
