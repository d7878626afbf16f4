"""States of a session, the steps between them, and what is known of its call."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from aiohttp import WSCloseCode

from media.engine.quality import Quality
from media.engine.stats import Stats
from media.records.cdr import BargeInTimes
from media.session.clock import now_ms


class State(Enum):
    """Where a session is in its life."""

    IDLE = "idle"
    """Connected; nothing was said yet."""
    WAITING = "waiting for a call"
    OFFERED = "offered a call"
    """The bot may ring, accept or reject."""
    ANSWERING = "answering"
    """Accepted; the call stands when the ACK is here."""
    DIALING = "dialing"
    TALKING = "talking"
    ENDED = "ended"


STEPS: dict[State, frozenset[State]] = {
    State.IDLE: frozenset({State.WAITING, State.OFFERED, State.DIALING, State.ENDED}),
    State.WAITING: frozenset({State.OFFERED, State.DIALING, State.ENDED}),
    State.OFFERED: frozenset({State.ANSWERING, State.ENDED}),
    State.ANSWERING: frozenset({State.TALKING, State.ENDED}),
    State.DIALING: frozenset({State.TALKING, State.ENDED}),
    State.TALKING: frozenset({State.ENDED}),
    State.ENDED: frozenset(),
}


class Parting(Enum):
    """What becomes of the call when a session ends, and of the bot."""

    HANG_UP = "hang up"
    LEAVE = "leave"
    """It is hung up, but one that came in and was not answered yet goes to another bot if it may."""
    RESTART = "restart"
    """As LEAVE; the worker stops, and the bot may come back."""
    FAULT = "fault"
    """As LEAVE; something that we did not foresee has gone wrong here."""
    KNOWN = "known"
    """Control has ended it."""


CLOSE_CODES: dict[Parting, int] = {
    Parting.RESTART: WSCloseCode.SERVICE_RESTART,
    Parting.FAULT: WSCloseCode.INTERNAL_ERROR,
}
"""How the bot's socket is closed; 1000 otherwise."""


@dataclass(slots=True)
class TransferRecord:
    """What is known of a transfer; times in ms since the epoch."""

    callee: str
    start: int = field(default_factory=now_ms)
    answer: int | None = None
    end: int | None = None
    code: int | None = None
    """SIP status that ended it."""
    reason: str = ""


@dataclass(slots=True)
class CallRecord:
    """What is known of the call; times in ms since the epoch."""

    start: int = field(default_factory=now_ms)
    ringing: int | None = None
    answer: int | None = None
    caller: str = ""
    callee: str = ""
    extra: dict[str, Any] | None = None
    bye_headers: dict[str, str] = field(default_factory=dict)
    code: int | None = None
    """SIP status that ended it."""
    codec: str | None = None
    quality: Quality | None = None
    stats: Stats | None = None
    first_audio: int | None = None
    """When the far end was first sent sound of ours."""
    barge_ins: BargeInTimes = field(default_factory=BargeInTimes)
    transfers: list[TransferRecord] = field(default_factory=list)
