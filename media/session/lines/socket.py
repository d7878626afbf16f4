"""Calls whose audio is in binary frames of the bot's own socket; neither control nor rtpengine takes part."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from control.api import models
from media.commands.invite import Invite
from media.engine.wire import Form
from media.session.clock import now_ms
from media.session.lines.base import Line
from media.session.state import Parting, State

if TYPE_CHECKING:
    from media.session.session import Session

EARLY_BYTES = 320_000
"""Audio kept that comes before ``invite``: 10 s of PCM."""
FORMS = {form.value: form for form in Form}


class SocketLine(Line):
    """A slot of the engine that is fed from the socket and sends into it."""

    def __init__(self, session: "Session") -> None:
        super().__init__(session)
        self._early = bytearray()
        self._hear: Callable[[bytes], int] | None = None
        """Takes the audio that comes, from ``invite`` on."""
        self._losing = False
        """Whether audio is being lost and the bot was told."""

    async def invite(self, command: Invite) -> None:
        """Begin the audio; the call stands at once."""
        session, option = self.session, command.option
        session.caller.take_slot()
        session.step(State.DIALING)
        session.call.start = now_ms()
        session.remember(option)
        session.call.caller, session.call.callee = option.caller or "", option.callee or ""
        form = FORMS.get((option.codec or "").lower(), Form.PCM)
        self._hear = session.caller.attach(form, session.audio_sink)
        self.answered("")
        early, self._early = bytes(self._early), bytearray()
        if early:
            self.audio(early)

    def audio(self, data: bytes) -> None:
        """Hear `data`; before ``invite`` it is kept."""
        if self._hear is not None:
            lost = self._hear(data)
            if lost or self._losing:
                self._lost(lost)
        else:
            room = EARLY_BYTES - len(self._early)
            self._early += data[:room]
            self._lost(max(0, len(data) - room))

    def _lost(self, count: int) -> None:
        """Tell the bot once for each run of losses."""
        if count and not self._losing:
            self.session.error("media", "audio comes faster than it can be heard: the rest is dropped", 429)
        self._losing = bool(count)

    def farewell(self, reason: str, parting: Parting) -> models.Message | None:  # noqa: ARG002
        """None: control knows nothing of the call."""
        return None
