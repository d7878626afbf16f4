"""What the bot is told of the caller's voice: ``speaking`` and ``silence`` on the caller's track.

The engine counts in samples of the caller's audio. The wall clock is read when speech begins; all times up to the next
beginning follow from it by samples, so that they fit together exactly.
"""

from dataclasses import replace
from typing import Protocol

from media.api import events
from media.api.options import VadOption
from media.engine.arrays import RATE
from media.engine.engine import Engine
from media.engine.reports import SilencePassed, SpeechStarted, SpeechStopped
from media.engine.voice import Detector, VoiceOptions
from media.session.clock import now_ms
from media.session.track import ServerSideTrack

VoiceEvent = SpeechStarted | SpeechStopped | SilencePassed

_PER_MS = RATE // 1000


class Owner(Protocol):
    """What hearing needs of its session."""

    id: str

    def send(self, event: events.Event) -> None:
        """Tell the bot."""

    def error(self, sender: str, message: str, code: int | None = None) -> None:
        """Tell the bot that something went wrong; the call goes on."""


class VoiceHearer(Protocol):
    """Who else follows the caller's voice; times in ms since the epoch."""

    def speaking(self, start: int) -> None:
        """Voice has begun, at `start`."""

    def silent(self, since: int) -> None:
        """Voice has ended, at `since`."""

    def stirred(self) -> None:
        """There is a voice that may yet be a noise; `speaking` follows if it is none."""


UNASKED = VadOption(speech_padding=120)
"""How voice is detected for what needs it, when the bot does not ask to be told of it."""
STIR_MS = 60
"""Voice that lasts so long may become speech: hearers are told."""


class Hearing:
    """Voice detection of one session."""

    def __init__(self, owner: Owner, engine: Engine, track: ServerSideTrack) -> None:
        self._owner = owner
        self._engine = engine
        self._track = track
        self._option: VadOption | None = None
        self._tells = self._cuts = False
        """Whether the bot is told, and whether voice cuts what is playing at once."""
        self.hearers: list[VoiceHearer] = []
        self._complaint: str | None = None
        """To be told once the call is answered: errors before would look like its failure."""
        self._speaking = False
        self._speech = self._silence = 0
        """When the last speech began, and when the silence did: ms since the epoch."""

    def listen(self, slot: int, option: VadOption | None, unasked: VadOption | None = None) -> None:
        """The caller's audio comes to `slot`; nothing changes when that is known already.

        Without an `option` of the bot's, `unasked` says how to detect voice for `hearers`; None: it is not needed.
        """
        self._tells = option is not None and option.enable
        option = option if self._tells else unasked
        if option is None or option is self._option:
            return
        self._option = option
        self._complaint = None
        if option.type.lower() not in set(Detector):
            self._complaint = (
                f'"vad.type" {option.type!r} is not offered here: {Detector.SILERO} is used; '
                f"there are {', '.join(Detector)}"
            )
        self._cuts = self._tells and option.interrupt
        options = voice_options(option)
        if unasked is not None and not self._cuts:
            options = replace(options, interrupt=True, interrupt_after=STIR_MS)
        self._engine.enable_voice(slot, options)
        self._silence = now_ms()

    @property
    def speaking_ms(self) -> int | None:
        """How long the caller has been speaking; None when silent."""
        return now_ms() - self._speech if self._speaking else None

    def answered(self) -> None:
        """The bot knows that the call stands."""
        if self._complaint is not None:
            self._owner.error("vad", self._complaint, 501)
            self._complaint = None

    def stir(self) -> bool:
        """Voice has lasted for a moment; whether that cuts what is playing."""
        for hearer in self.hearers:
            hearer.stirred()
        return self._cuts

    def report(self, event: VoiceEvent) -> None:
        """The engine heard something, or nothing for a while."""
        match event:
            case SpeechStarted(ago=ago):
                self._speaking = True
                self._track.caller_spoke(still=True)
                self._speech = now_ms() - ago // _PER_MS
                self._tell(
                    events.Speaking(track_id=self._owner.id, timestamp=now_ms(), start_time=self._speech)
                )
                for hearer in self.hearers:
                    hearer.speaking(self._speech)
            case SpeechStopped(silence=silence, speech=speech):
                self._speaking = False
                self._track.caller_spoke(still=False)
                self._silence = self._speech + speech // _PER_MS
                self._silent(silence, self._speech, speech // _PER_MS)
                for hearer in self.hearers:
                    hearer.silent(self._silence)
            case SilencePassed(silence=silence):
                self._silent(silence)

    def _tell(self, event: events.Event) -> None:
        if self._tells:
            self._owner.send(event)

    def _silent(self, samples: int, start: int | None = None, duration: int | None = None) -> None:
        """Silence for so many samples, after speech of `duration` ms that began at `start`."""
        self._tell(
            events.Silence(
                track_id=self._owner.id,
                timestamp=now_ms(),
                start_time=self._silence,
                duration=samples // _PER_MS,
                speech_start=start,
                speech_duration=duration,
            )
        )


def voice_options(option: VadOption) -> VoiceOptions:
    """`option` as the engine takes it; unknown types become the default."""
    kind = option.type.lower()
    return VoiceOptions(
        detector=Detector(kind) if kind in set(Detector) else Detector.SILERO,
        aggressiveness=option.aggressiveness,
        threshold=option.voice_threshold,
        speech_padding=option.speech_padding,
        silence_padding=option.silence_padding,
        silence_timeout=option.silence_timeout or 0,
        interrupt=option.interrupt,
        interrupt_after=option.interrupt_after,
    )
