"""The caller's track of a session: the slot that the far end's audio comes to, and all that listens to it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from control.errors import CommandError, EngineFullError, SpeechError
from control.rtpengine.media import Endpoint, Stream
from control.sip.sdp import Direction
from media.api import events
from media.api.calltype import CallType
from media.api.options import CallOption, RecorderOption
from media.engine.wire import Form
from media.session.attention import Attention
from media.session.clock import now_ms
from media.session.hearing import Hearing
from media.session.inactivity import Inactivity
from media.session.recording import CallRecording
from media.session.subscription import Subscription

if TYPE_CHECKING:
    from media.session.session import Session

_HOLDING = (Direction.RECVONLY, Direction.INACTIVE)
"""Our directions when the far end has put us on hold."""


class Caller:
    """One slot for the whole session, from the first command that needs it to the end.

    What the bot asked for (voice detection, recording ...) is set up once there is a stream; what cannot be had is
    told when the call is answered, because errors before would look like its failure.
    """

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._engine = session.services.engine
        self.slot: int | None = None
        self.since: int | None = None
        """When its track began, in ms since the epoch."""
        self.muted = False
        self.held = False
        """Whether the far end has put us on hold."""
        self.hearing = Hearing(session, self._engine, session.track)
        self.attention = Attention(session, self.hearing)
        self.recording = CallRecording(session, self._engine, session.services.recorder)
        self._equipped: CallOption | None = None
        self._subscription: Subscription | None = None
        self._inactivity: Inactivity | None = None

    def take_slot(self) -> int:
        """The slot of the session, allocated when it has none yet. Raises CommandError when none is left."""
        if self.slot is None:
            try:
                self.slot = self._engine.allocate()
            except EngineFullError as error:
                raise CommandError(str(error), 503) from error
            self._session.directory.took_slot(self._session, self.slot)
        return self.slot

    def endpoint(self) -> Endpoint:
        """The socket that the call's media comes to; takes a slot. Raises CommandError when none is left."""
        self.take_slot()
        return Endpoint(self._engine.address, self._engine.port)

    def connect(self, stream: Stream) -> None:
        """Let media flow as `stream` says. Raises MediaError when the engine cannot use it."""
        if self.slot is not None:
            self._engine.connect(self.slot, stream)
            self._session.call.codec = stream.codec
            self.begin()
            self._hold(held=stream.direction in _HOLDING)

    def attach(self, form: Form, sink: Callable[[bytes], None]) -> Callable[[bytes], int]:
        """The audio goes to `sink` in `form`; what takes the audio that comes, see `Engine.feeder`."""
        slot = self.take_slot()
        self._engine.attach(slot, form, sink)
        self._session.call.codec = form.value
        self.begin()
        return self._engine.feeder(slot)

    def begin(self) -> None:
        """Media can flow: the track begins, and is heard as the bot wishes."""
        session = self._session
        if self.since is None:
            self.since = now_ms()
            session.send(events.TrackStart(track_id=session.id, timestamp=self.since))
        if self.slot is not None:
            self._equip(self.slot, session.option)

    def _equip(self, slot: int, option: CallOption) -> None:
        """Give the slot what the bot asked for, once."""
        self.hearing.listen(slot, option.vad, self.attention.voice(option))
        self.attention.attend(slot, option)
        if option is not self._equipped:
            self._equipped = option
            self._engine.denoise(slot, on=option.denoise)
            self._engine.detect_tones(slot, on=option.dtmf is not None and option.dtmf.inband)

    def answered(self) -> None:
        """The call stands and the bot knows it."""
        session, option = self._session, self._session.option
        self.hearing.answered()
        self.record(option.recorder)
        self.recording.answered()
        try:
            session.services.speech.check("tts", option.tts)
        except SpeechError as error:
            session.error("tts", str(error), error.code)
        if self.slot is None:
            return
        self.attention.answered(self.slot, option)
        if option.subscribe and session.arrival.call_type is not CallType.WEBSOCKET:
            self._subscription = Subscription(self._engine, self.slot, session.audio_sink)
        seconds = option.inactivity_timeout
        if seconds is None:
            seconds = session.line.gone_after
        if seconds:
            self._inactivity = Inactivity(seconds, self._packets, self._inactive)

    def record(self, option: RecorderOption | None) -> None:
        """Record from now on, if `option` says so and nothing is recorded yet."""
        if self.slot is not None and self.since is not None:
            self.recording.start(self.slot, option)

    def mute(self, *, muted: bool) -> None:
        """Hear nothing of the caller, or hear again; nothing before it can be heard."""
        if self.slot is not None and self.since is not None:
            self.muted = muted
            self._engine.mute_in(self.slot, muted=muted)

    def pressed(self, digit: str) -> None:
        """The caller pressed a key; one who is muted did not."""
        session = self._session
        if not self.muted:
            session.track.input_heard()
            session.send(events.Dtmf(track_id=session.id, timestamp=now_ms(), digit=digit))
            self.attention.pressed(digit)

    def pressed_by_signal(self, digit: str) -> None:
        """The same by SIP INFO: its tone in the audio would be the same key once more."""
        self.pressed(digit)
        if self.slot is not None and self.since is not None:
            self._engine.detect_tones(self.slot, on=False)

    def release(self) -> None:
        """Give the slot back and end the track; what was counted goes into the session's record."""
        session, slot = self._session, self.slot
        if self._inactivity is not None:
            self._inactivity.stop()
        if self._subscription is not None:
            self._subscription.stop()
        self.recording.stop()
        self.attention.stop()
        if slot is None:
            return
        if self.since is not None:
            session.call.quality = self._engine.quality(slot)
            session.call.stats = self._engine.stats(slot)
        ssrc = self._engine.ssrc(slot)
        self._engine.release(slot)
        session.directory.gave_slot(slot)
        self.slot = None
        if self.since is not None:
            now = now_ms()
            session.send(
                events.TrackEnd(track_id=session.id, timestamp=now, duration=now - self.since, ssrc=ssrc)
            )

    def _hold(self, *, held: bool) -> None:
        """Tell the bot when the far end puts us on hold or comes back; a transfer is neither."""
        session = self._session
        if session.transfer is None and held is not self.held:
            self.held = held
            session.send(events.Hold(track_id=session.id, timestamp=now_ms(), on_hold=held))

    def _packets(self) -> int | None:
        if self.held or self.slot is None:
            return None
        return self._engine.stats(self.slot).received

    def _inactive(self) -> None:
        session = self._session
        session.send(events.Inactivity(track_id=session.id, timestamp=now_ms()))
        session.finish("system", "inactivityTimeout")
