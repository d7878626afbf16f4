"""The recording of one session's call: from the answer (or the ringing, if asked for) to the end."""

import logging
from typing import Protocol

from control.errors import RecordingError
from media.api import events
from media.api.options import RecorderOption
from media.engine.taps import STEREO, Reader, Side, Sink
from media.recorder import Recorder, Recording
from media.session.clock import now_ms

log = logging.getLogger(__name__)

SENDER = "recorder"
TURN = 10
"""Ticks between gathers (200 ms); the same for all, whatever their ``ptime``, so that they are gathered together."""


class Owner(Protocol):
    """What a recording needs of its session."""

    id: str

    def send(self, event: events.Event) -> None:
        """Tell the bot."""

    def error(self, sender: str, message: str, code: int | None = None) -> None:
        """Tell the bot that something went wrong; the call goes on."""


class Tapped(Protocol):
    """What a recording needs of the engine."""

    def rate(self, slot: int) -> int:
        """8000 or 16000 Hz."""

    def subscribe(self, slot: int, sides: tuple[Side, ...], *, every: int, rate: int, sink: Sink) -> Reader:
        """As `Taps.subscribe`."""

    def unsubscribe(self, reader: Reader) -> None:
        """As `Taps.unsubscribe`."""


class CallRecording:
    """One session's recording; it is begun once and its errors never harm the call."""

    def __init__(self, owner: Owner, engine: Tapped, recorder: Recorder) -> None:
        self._owner, self._engine, self._recorder = owner, engine, recorder
        self._reader: Reader | None = None
        self._begun = self._answered = False
        self._complaints: list[tuple[str, int]] = []
        """To be told once the call is answered: errors before would look like its failure."""
        self.file: Recording | None = None
        """What is, or was, recorded: its path and duration are for the call's record."""

    def start(self, slot: int, option: RecorderOption | None) -> None:
        """Record `slot`, which has a stream; nothing changes when that was done before."""
        if option is None or not option.enable or self._begun:
            return
        self._begun = True
        rate = sample_rate(option, self._engine.rate(slot))
        try:
            file = self._recorder.record(option.recorder_file, self._owner.id, rate, self._failed)
        except RecordingError as error:
            self._complain(f"nothing is recorded: {error}", 400)
            return
        if option.format != "wav":
            self._complain(f'"recorder.format" "{option.format}" is not offered here: WAV is written', 501)
        self.file = file
        self._reader = self._engine.subscribe(slot, STEREO, every=TURN, rate=rate, sink=file.write)

    def answered(self) -> None:
        """The bot knows that the call stands."""
        self._answered = True
        for message, code in self._complaints:
            self._owner.error(SENDER, message, code)
        self._complaints.clear()

    def stop(self) -> None:
        """Finish the file; before the slot is released. Stopping twice does nothing."""
        if self._reader is not None and self.file is not None:
            self._engine.unsubscribe(self._reader)
            self.file.close()
            self._reader = None
            self._tell(self.file)

    def _tell(self, file: Recording) -> None:
        """Name the file to the bot; one that the disk has not taken yet stands in the call's record alone."""
        if file.name is not None:
            extra = {"file": file.name, "duration": str(file.frames * 1000 // file.rate)}
            self._owner.send(
                events.Other(track_id=self._owner.id, timestamp=now_ms(), sender=SENDER, extra=extra)
            )

    def _failed(self, problem: str) -> None:
        """The disk does not do its part. After the end of the call nobody is left to be told but the log."""
        log.warning("recording of %s: %s", self._owner.id, problem)
        if self._reader is not None:
            self._complain(problem, 500)

    def _complain(self, message: str, code: int) -> None:
        self._complaints.append((message, code))
        if self._answered:
            self.answered()


def sample_rate(option: RecorderOption, call: int) -> int:
    """Hz of the file: as asked for, 8000 or 16000; those of the call when nothing was said."""
    if "samplerate" not in option.model_fields_set:
        return call
    return 8000 if option.samplerate <= 8000 else 16000
