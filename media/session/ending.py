"""The last event of a session."""

from typing import TYPE_CHECKING

from media.api import events
from media.engine.quality import Quality
from media.records.cdr import CallFacts
from media.session.clock import now_ms
from media.session.state import TransferRecord

if TYPE_CHECKING:
    from media.session.session import Session


def hangup_event(session: "Session", initiator: str, reason: str) -> events.Hangup:
    """``hangup`` of a session that ends now."""
    call = session.call
    now = now_ms()
    return events.Hangup(
        track_id=session.id,
        timestamp=now,
        reason=reason,
        initiator=initiator,
        start_time=events.iso8601(call.start),
        hangup_time=events.iso8601(now),
        answer_time=_iso8601(call.answer),
        ringing_time=_iso8601(call.ringing),
        from_=events.attendee(call.caller) if call.caller else None,
        to=events.attendee(call.callee) if call.callee else None,
        extra=call.extra,
        quality=None if call.quality is None else _quality(call.quality),
    )


def referred_hangup(session: "Session", record: TransferRecord, initiator: str, reason: str) -> events.Hangup:
    """``hangup`` of the target of a transfer."""
    now = now_ms()
    return events.Hangup(
        track_id=session.track.id,
        timestamp=now,
        reason=reason,
        initiator=initiator,
        start_time=events.iso8601(record.start),
        hangup_time=events.iso8601(now),
        answer_time=_iso8601(record.answer),
        from_=events.attendee(session.call.caller) if session.call.caller else None,
        to=events.attendee(record.callee),
        refer=True,
    )


def _quality(quality: Quality) -> events.CallQuality:
    return events.CallQuality(
        mos=None if quality.mos is None else round(quality.mos, 2),
        jitter_ms=round(quality.jitter_ms, 1),
        max_jitter_ms=round(quality.max_jitter_ms, 1),
        loss_percent=round(100 * quality.loss_fraction, 2),
        rtt_ms=None if quality.rtt_ms is None else round(quality.rtt_ms, 1),
        peer_loss_percent=(
            None if quality.peer_loss_fraction is None else round(100 * quality.peer_loss_fraction, 2)
        ),
    )


def facts(session: "Session", hangup: events.Hangup) -> CallFacts:
    """What the call's record is made of."""
    call, stats, token = session.call, session.call.stats, session.arrival.token
    return CallFacts(
        session_id=session.id,
        call_type=session.arrival.call_type,
        start=call.start,
        ringing=call.ringing,
        answer=call.answer,
        end=hangup.timestamp,
        caller=call.caller,
        callee=call.callee,
        code=call.code,
        reason=hangup.reason,
        initiator=hangup.initiator,
        codec=call.codec,
        quality=hangup.quality,
        recording=session.caller.recording.file,
        extra=call.extra,
        option=session.option,
        first_audio=call.first_audio,
        received=stats.received if stats else 0,
        lost=stats.lost if stats else 0,
        sent=stats.sent if stats else 0,
        transfers=tuple(call.transfers),
        token=token.name if token is not None else None,
        barge_ins=call.barge_ins,
    )


def _iso8601(ms: int | None) -> str | None:
    return None if ms is None else events.iso8601(ms)
