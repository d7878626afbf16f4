"""Commands that make, answer and end calls, and what control reports of them."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from control.api import models
from control.errors import CommandError, LegError, LegErrorCode
from control.rtpengine.media import Stream
from media.api import commands, events
from media.engine.quality import Quality
from media.session import playback
from media.session.clock import now_ms
from media.session.state import Parting, State

if TYPE_CHECKING:
    from media.session.session import Session

JOIN_SECONDS = 0.5
"""A bot that names no route and says nothing for so long waits for a call."""
DEFAULT_POOL = "default"


async def arrive(session: "Session") -> None:
    """Claim the call the bot was told of, or let it wait for one, unless it speaks first."""
    arrival = session.arrival
    if arrival.claims:
        await _claim(session)
    if session.state is not State.IDLE:
        return
    if arrival.pool is None:
        with suppress(TimeoutError):
            async with asyncio.timeout(JOIN_SECONDS):
                await session.commanded()
                return
    session.step(State.WAITING)
    await join_pool(session)


async def join_pool(session: "Session") -> None:
    """Wait in the pool of the bot's route; when control is away, the worker calls this again once it is back."""
    request = models.Join(session=session.id, pool=session.arrival.pool or DEFAULT_POOL)
    try:
        await session.services.legs.request(request, models.Done)
    except LegError as error:
        if error.code is not LegErrorCode.NOT_CONNECTED:
            _give_up(session, "sip", error)


def full(session: "Session") -> models.Leave:
    """What control must be told of a waiting session whose worker has too much to do."""
    return models.Leave(session=session.id, full=session.arrival.pool or DEFAULT_POOL)


async def _claim(session: "Session") -> None:
    request = models.Claim(session=session.id, leg=session.id)
    try:
        offered(session, await session.services.legs.request(request, models.Incoming))
    except LegError as error:
        if error.code is not LegErrorCode.NO_SUCH_LEG:
            _give_up(session, "sip", error)


def status(error: LegError) -> int:
    """The code of an ``error`` or ``reject`` event for a refusal of control."""
    return int(error.code) if error.code > 0 else 503


def _give_up(session: "Session", sender: str, error: LegError) -> None:
    """Control's refusal leaves nothing to wait for."""
    session.error(sender, str(error), status(error))
    session.finish("system", "failed", Parting.LEAVE)


async def invite(session: "Session", command: commands.Invite) -> None:
    """Dial out."""
    session.require("invite", State.IDLE, State.WAITING)
    option = command.option
    if not option.callee:
        raise CommandError('command "invite": field "option.callee" is missing')
    endpoint = session.endpoint()
    waited = session.state is State.WAITING
    session.step(State.DIALING)
    _remember(session, option)
    session.call.caller, session.call.callee = option.caller or "", option.callee
    sip = option.sip or commands.SipOption()
    request = models.Invite(
        session=session.id,
        caller=option.caller,
        callee=option.callee,
        endpoint=endpoint,
        username=sip.username,
        password=sip.password,
        realm=sip.realm,
        headers=sip.headers or {},
    )
    try:
        if waited:
            await session.services.legs.request(models.Leave(session=session.id), models.Done)
        invited = await session.services.legs.request(request, models.Invited)
    except LegError as error:
        _refused(session, status(error), str(error))
        session.finish("system", "rejected")
        return
    session.leg = invited.leg
    session.call.caller, session.call.callee = invited.caller, invited.callee


async def ringing(session: "Session", command: commands.Ringing) -> None:
    """Ring: 180, or 183 with early media."""
    session.require("ringing", State.OFFERED)
    early = bool(command.early_media or command.ringtone)
    request = models.Ring(
        leg=session.leg or "", session=session.id, endpoint=session.endpoint() if early else None
    )
    media = await session.services.legs.request(request, models.Media)
    session.call.ringing = session.call.ringing or now_ms()
    if media.stream is not None:
        if not session.connect(media.stream):
            return
        session.begin_playing()
        if session.slot is not None:
            session.recording.start(session.slot, command.recorder)
    if command.ringtone:
        session.ringtone = playback.play(session, commands.Play(url=command.ringtone))


async def accept(session: "Session", command: commands.Accept) -> None:
    """Answer; the ``answer`` event follows when the caller has acknowledged."""
    session.require("accept", State.OFFERED)
    _remember(session, command.option)
    request = models.Accept(leg=session.leg or "", session=session.id, endpoint=session.endpoint())
    session.step(State.ANSWERING)
    try:
        media = await session.services.legs.request(request, models.Media)
    except LegError as error:
        _give_up(session, "command", error)
        return
    if session.ringtone is not None and session.player.current is session.ringtone:
        session.player.interrupt()
    if media.stream is not None:
        session.connect(media.stream)


async def reject(session: "Session", command: commands.Reject) -> None:
    """Refuse."""
    session.require("reject", State.OFFERED)
    request = models.Reject(
        leg=session.leg or "", session=session.id, code=command.code or 603, reason=command.reason
    )
    await session.services.legs.request(request, models.Done)
    session.finish("callee", "rejected", Parting.KNOWN)


def hangup(session: "Session", command: commands.Hangup) -> None:
    """End the call, whatever it is doing."""
    session.call.bye_headers |= command.headers or {}
    session.finish(command.initiator or "system", command.reason or "system")


def offered(session: "Session", incoming: models.Incoming) -> None:
    """A call is offered to the session."""
    if session.state not in (State.IDLE, State.WAITING):
        return
    session.step(State.OFFERED)
    session.leg = incoming.leg
    session.call.start = now_ms()
    session.call.caller, session.call.callee = incoming.caller, incoming.callee
    session.send(
        events.Incoming(
            track_id=session.id,
            timestamp=now_ms(),
            caller=incoming.caller,
            callee=incoming.callee,
            sdp=incoming.sdp,
            dialog_id=incoming.leg,
            headers=incoming.headers,
        )
    )


def noticed(session: "Session", notice: models.Notice) -> None:
    """What control reports of the session's leg."""
    if isinstance(notice, models.Incoming):
        offered(session, notice)
        return
    if notice.leg != session.leg:
        return
    match notice:
        case models.Ringing(stream=stream):
            session.call.ringing = session.call.ringing or now_ms()
            if stream is not None:
                session.connect(stream)
            session.send(
                events.Ringing(track_id=session.id, timestamp=now_ms(), early_media=stream is not None)
            )
        case models.Answered(stream=stream, sdp=sdp):
            _answered(session, stream, sdp)
        case models.MediaChanged(stream=stream):
            session.connect(stream)
        case models.Digit(digit=digit):
            if session.slot is not None:
                session.services.engine.detect_tones(
                    session.slot, on=False
                )  # its tones are the same key once more
            playback.digit(session, digit)
        case models.Rejected(code=code, reason=reason):
            _refused(session, code, reason)
        case models.Ended(initiator=initiator, reason=reason):
            session.finish(initiator, reason, Parting.KNOWN)


def _answered(session: "Session", stream: Stream, sdp: str) -> None:
    session.step(State.TALKING)
    session.call.answer = now_ms()
    if session.connect(stream):
        session.send(events.Answer(track_id=session.id, timestamp=session.call.answer, sdp=sdp))
        session.hearing.answered()
        playback.answered(session)
        if session.slot is not None:
            session.recording.start(session.slot, session.option.recorder)
        session.recording.answered()
        session.begin_playing()


def _refused(session: "Session", code: int, reason: str) -> None:
    session.send(events.Reject(track_id=session.id, timestamp=now_ms(), reason=reason, code=code))


def _remember(session: "Session", option: commands.CallOption) -> None:
    """Keep what later commands and the end of the call need."""
    session.option = option
    session.call.extra = option.extra
    if option.sip is not None and option.sip.hangup_headers:
        session.call.bye_headers = dict(option.sip.hangup_headers)


def farewell(
    session: "Session", reason: str, parting: Parting
) -> models.Leave | models.Reject | models.Hangup | None:
    """What control must be told when `session` ends now."""
    if parting is Parting.KNOWN:
        return None
    pending = session.state in (State.OFFERED, State.ANSWERING)
    if session.leg is None or (pending and parting is not Parting.HANG_UP):
        return models.Leave(session=session.id)
    if session.state is State.OFFERED:
        # Unlike a hangup, it spares the call that another bot has accepted meanwhile.
        return models.Reject(leg=session.leg, session=session.id, reason=reason)
    return models.Hangup(leg=session.leg, reason=reason, headers=session.call.bye_headers)


def hangup_event(session: "Session", ended: int, initiator: str, reason: str) -> events.Hangup:
    """The last event of a session."""
    call = session.call
    return events.Hangup(
        track_id=session.id,
        timestamp=ended,
        reason=reason,
        initiator=initiator,
        start_time=events.iso8601(call.start),
        hangup_time=events.iso8601(ended),
        answer_time=_iso8601(call.answer),
        ringing_time=_iso8601(call.ringing),
        from_=events.attendee(call.caller) if call.caller else None,
        to=events.attendee(call.callee) if call.callee else None,
        extra=call.extra,
        quality=None if call.quality is None else _quality(call.quality),
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


def _iso8601(ms: int | None) -> str | None:
    return None if ms is None else events.iso8601(ms)
