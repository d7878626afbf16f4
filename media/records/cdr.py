"""Call detail records: what a session knows of its call, and the JSON made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, ClassVar, Protocol

from media.api.events import CallQuality
from media.api.masking import masked, masked_values
from media.api.options import Model

SAMPLES = 1000
"""Barge-ins of a call whose times are kept; further ones are counted."""


class RecordingFile(Protocol):
    """What a record wants of a recording; `media.recorder.Recording` is one."""

    path: Path | None
    frames: int
    rate: int


class TransferFacts(Protocol):
    """What a record wants of a transfer, times in ms since the epoch; `media.session.state.TransferRecord` is one."""

    callee: str
    start: int
    answer: int | None
    end: int | None
    code: int | None
    reason: str


@dataclass(slots=True)
class BargeInTimes:
    """How long playback went on after the caller had begun to speak into it."""

    count: int = 0
    ms: list[int] = field(default_factory=list)
    """Of the first SAMPLES."""

    def add(self, ms: int) -> None:
        """Playback stopped `ms` after the speech began."""
        self.count += 1
        if len(self.ms) < SAMPLES:
            self.ms.append(ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """What a session knows of its call when that has ended; times in ms since the epoch."""

    session_id: str
    call_type: str
    """``sip``, ``webrtc`` or ``websocket``."""
    start: int
    ringing: int | None = None
    answer: int | None = None
    end: int
    caller: str = ""
    callee: str = ""
    code: int | None = None
    """Final SIP status where there was one."""
    reason: str | None = None
    """As in the ``hangup`` event, and so `initiator` and `quality`."""
    initiator: str | None = None
    codec: str | None = None
    quality: CallQuality | None = None
    recording: RecordingFile | None = None
    extra: Mapping[str, Any] | None = None
    option: Model | None = None
    first_audio: int | None = None
    """When the far end was first sent sound of ours after the answer."""
    received: int = 0
    """RTP packets, as in the engine's `Stats`; and so `lost` and `sent`."""
    lost: int = 0
    sent: int = 0
    transfers: Sequence[TransferFacts] = ()
    token: str | None = None
    """Name of the token that opened the session; never the token."""
    barge_ins: BargeInTimes = field(default_factory=BargeInTimes)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingPart:
    """The recording of a call."""

    path: str
    """Relative to the folder of recordings."""
    duration_ms: int
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BargeIns:
    """How fast playback stopped when the caller spoke into it: from the begin of the speech, in ms."""

    count: int
    p50_ms: int | None = None
    max_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Packets:
    """RTP packets of the call's leg."""

    received: int
    lost: int
    sent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One transfer; times as in the record."""

    callee: str
    start_time: str
    answer_time: str | None = None
    end_time: str | None = None
    status_code: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDetailRecord:
    """One call. Times are RFC 3339 in UTC with milliseconds; what is not known is left out of the JSON."""

    event: ClassVar[str] = "callRecord"
    call_id: str
    """The session's id."""
    call_type: str
    start_time: str
    ring_time: str | None = None
    answer_time: str | None = None
    end_time: str
    duration_ms: int
    """From the start to the end."""
    bill_ms: int
    """From the answer to the end; 0 when it was not answered."""
    caller: str | None = None
    callee: str | None = None
    status_code: int | None = None
    hangup_reason: str | None = None
    hangup_initiator: str | None = None
    codec: str | None = None
    quality: CallQuality | None = None
    packets: Packets
    first_audio_ms: int | None = None
    """From the answer to the first sound of ours."""
    barge_ins: BargeIns
    refer: tuple[Transfer, ...] | None = None
    recording: RecordingPart | None = None
    dump_event_file: str | None = None
    """Relative to the folder of records."""
    extra: Mapping[str, Any] | None = None
    option: Mapping[str, Any] | None = None
    token: str | None = None
    worker: str
    version: str


def record(
    facts: CallFacts, *, recording: RecordingPart | None, dump: str | None, worker: str, version: str
) -> CallDetailRecord:
    """The record of a call that has ended; no secret is in it."""
    answer = facts.answer
    return CallDetailRecord(
        call_id=facts.session_id,
        call_type=facts.call_type,
        start_time=rfc3339(facts.start),
        ring_time=_rfc3339(facts.ringing),
        answer_time=_rfc3339(answer),
        end_time=rfc3339(facts.end),
        duration_ms=max(0, facts.end - facts.start),
        bill_ms=0 if answer is None else max(0, facts.end - answer),
        caller=_party(facts.caller),
        callee=_party(facts.callee),
        status_code=facts.code,
        hangup_reason=facts.reason,
        hangup_initiator=facts.initiator,
        codec=facts.codec,
        quality=facts.quality,
        packets=Packets(received=facts.received, lost=facts.lost, sent=facts.sent),
        first_audio_ms=_between(answer, facts.first_audio),
        barge_ins=_barge_ins(facts.barge_ins),
        refer=tuple(_transfer(one) for one in facts.transfers) or None,
        recording=recording,
        dump_event_file=dump,
        extra=None if facts.extra is None else masked_values(facts.extra),
        option=None if facts.option is None else masked(facts.option),
        token=facts.token,
        worker=worker,
        version=version,
    )


def rfc3339(ms: int) -> str:
    """`ms` since the epoch as ``2024-01-01T12:00:00.123Z``."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def _rfc3339(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


def _between(start: int | None, end: int | None) -> int | None:
    return None if start is None or end is None else max(0, end - start)


def _party(address: str) -> str | None:
    return masked_values({"address": address})["address"] if address else None


def _barge_ins(times: BargeInTimes) -> BargeIns:
    if not times.ms:
        return BargeIns(count=times.count)
    return BargeIns(count=times.count, p50_ms=round(median(times.ms)), max_ms=max(times.ms))


def _transfer(facts: TransferFacts) -> Transfer:
    return Transfer(
        callee=_party(facts.callee) or "",
        start_time=rfc3339(facts.start),
        answer_time=_rfc3339(facts.answer),
        end_time=_rfc3339(facts.end),
        status_code=facts.code,
        reason=facts.reason or None,
    )
