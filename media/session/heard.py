"""What the engine reports of a session's slot, and who takes care of it."""

from typing import TYPE_CHECKING

from media.engine import reports
from media.session.clock import now_ms
from media.session.state import State

if TYPE_CHECKING:
    from media.session.session import Session


def heard(session: "Session", event: reports.Event) -> None:
    """Pass on `event`; what nobody waits for is dropped."""
    if event.slot != session.slot:
        if session.transfer is not None:
            session.transfer.heard(event)
        return
    match event:
        case reports.DigitPressed(digit=digit):
            session.caller.pressed(digit)
        case reports.SegmentStarted(segment=segment):
            if session.state is State.TALKING:
                session.call.first_audio = session.call.first_audio or now_ms()
            session.player.segment_started(segment)
        case reports.SegmentEnded(segment=segment):
            session.player.segment_ended(segment)
        case reports.Interrupting():
            if session.caller.hearing.stir():
                session.interrupt()
        case reports.SpeechStarted() | reports.SpeechStopped() | reports.SilencePassed():
            session.caller.hearing.report(event)
        case reports.MediaStarted():
            session.line.media_started()
        case reports.DigitSent():
            pass
