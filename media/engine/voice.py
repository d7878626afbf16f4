"""Voice activity detection of all slots: from the frames of a tick to the beginning and end of speech."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import webrtcvad

from media.engine.arrays import FRAME, RATE, Bytes, Ints, Mask, Pcm
from media.engine.decode import FRAMES
from media.engine.gate import Gate
from media.engine.reports import Event
from media.engine.silero import Silero
from media.engine.utterance import Utterances

THRESHOLDS = (0.25, 0.35, 0.5, 0.7)
"""Probability above which Silero's answer is voice, for each aggressiveness."""
AGGRESSIVENESS = 2
"""When none is asked for."""
GAP = 5
"""Ticks in a row without audio after which the caller is taken to send none; shorter ones may be delays."""
_CELLS, _WINDOWS = 8, 5
"""Frames and windows of a ring: as many samples of either, so that neither ever wraps."""
_WINDOW = _CELLS * FRAME // _WINDOWS
"""What a window lasts, in the unit of all times here, 1/8000 s; a frame lasts FRAME."""
_HEARD = np.arange(_CELLS + 1, dtype=np.int64) * FRAME
"""How much of a ring has been heard when the next frame belongs to each cell."""
_NEXT, _FILL = np.divmod(_HEARD, _WINDOW)
"""The next window then, and how much of it is there."""
_READY = np.diff(_NEXT) > 0
"""Whether the frame of a cell completes a window."""


class Detector(StrEnum):
    """What tells voice from everything else."""

    SILERO = "silero"
    WEBRTC = "webrtc"
    """Cheaper for a single call, and of no use where there is noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceOptions:
    """How to listen to one call; durations in ms."""

    detector: Detector = Detector.SILERO
    aggressiveness: int | None = None
    """0 (takes much for voice) to 3 (little): Silero's threshold, see THRESHOLDS, or WebRTC's mode."""
    threshold: float | None = None
    """Silero's threshold, whatever the aggressiveness."""
    speech_padding: int = 250
    """Voice must last so long to be speech."""
    silence_padding: int = 100
    """Pauses shorter than this belong to the speech."""
    silence_timeout: int = 0
    """A silence is reported each time it has lasted so long again; 0: never."""
    interrupt: bool = False
    """Report `Interrupting`."""
    interrupt_after: int = 60
    """Voice must last so long to interrupt."""


class Voice:
    """Detection on the slots where it is on; the others cost nothing. `rate` of the audio: 8000 or 16000.

    Silero judges windows of 32 ms, frames have 20: a slot has 5 windows in 8 ticks. Slots start at different points
    of that pattern, so each tick has as many windows as any other. Where no audio comes (DTX, hold, an outage) time
    goes on as silence, and nothing is computed.
    """

    def __init__(self, capacity: int, rate: int = RATE) -> None:
        self._rate = rate
        self._silero = Silero(rate, capacity)
        self._window, self._context = self._silero.window, self._silero.context
        self._pieces = _WINDOWS * self._window // self._context
        self._utterances = Utterances(capacity)
        self._gate = Gate(capacity)
        self._economical = False
        self._on, self._network = (np.full(capacity, fill_value=False) for _ in range(2))
        self._slots: Ints = np.flatnonzero(self._on)
        self._simple: dict[int, webrtcvad.Vad] = {}
        self._threshold = np.full(capacity, 0, np.float32)
        self._missed, self._cell = (np.full(capacity, 0, np.int64) for _ in range(2))
        # Ticks without audio; where the next frame belongs.
        self._rings: Pcm = np.full((capacity, _WINDOWS * self._window), 0, np.int16)
        self._frames_of = self._rings.reshape(capacity * _CELLS, -1)
        self._windows_of = self._rings.reshape(-1, self._window)
        self._pieces_of = self._rings.reshape(-1, self._context)
        self._taken = np.full((capacity, self._window), 0, np.int16)
        self._before = np.full((capacity, self._context), 0, np.int16)
        self._tick = 0

    def enable(self, slot: int, options: VoiceOptions) -> None:
        """Listen to `slot` from the next tick on, as if nothing had been heard before."""
        aggressiveness = AGGRESSIVENESS if options.aggressiveness is None else options.aggressiveness
        threshold = THRESHOLDS[aggressiveness] if options.threshold is None else options.threshold
        self._simple.pop(slot, None)
        self._network[slot] = options.detector is Detector.SILERO
        lead = 0
        if self._network[slot]:
            self._threshold[slot] = threshold
            self._gate.reset(slot)
            self._forget(slot)
            cell = (slot + self._tick) % _CELLS
            self._cell[slot], lead = cell, int(_FILL[cell])
        else:
            self._simple[slot] = webrtcvad.Vad(aggressiveness)
        self._missed[slot] = 0
        self._utterances.reset(
            slot,
            options.speech_padding,
            options.silence_padding,
            options.silence_timeout,
            lead,
            options.interrupt_after if options.interrupt else None,
        )
        self._switch(slot, on=True)

    def disable(self, slot: int) -> None:
        """Listen no more."""
        self._simple.pop(slot, None)
        if self._on[slot]:
            self._switch(slot, on=False)

    def economise(self, *, on: bool) -> None:
        """Whether Silero is spared windows of nothing but noise, see `Gate`: a little less exact, and much cheaper."""
        self._economical = on

    def _switch(self, slot: int, *, on: bool) -> None:
        self._on[slot] = on
        self._slots = np.flatnonzero(self._on)

    def _forget(self, slots: Ints | int) -> None:
        """Forget the audio, not the time, of slots that Silero listens to."""
        self._rings[slots] = 0
        self._silero.reset(slots)

    def run(self, frames: Pcm, fresh: Bytes, events: list[Event]) -> None:
        """Take the frames of this tick; append what was heard.

        `frames` int16 (capacity, FRAMES, rate / 50), of which the first ``fresh[slot]`` of a slot are new.
        """
        self._tick += 1
        slots = self._slots
        if not len(slots):
            return
        count = fresh[slots]
        silent = count == 0
        if silent.any():
            self._wait(slots[silent], events)
        self._missed[slots[~silent]] = 0
        for number in range(FRAMES):
            heard = slots[count > number]
            if not len(heard):
                break
            network = self._network[heard]
            self._judge(heard[network], frames[:, number], events)
            if self._simple:
                self._judge_simply(heard[~network], frames[:, number], events)

    def _wait(self, slots: Ints, events: list[Event]) -> None:
        """`slots` have no audio in this tick."""
        missed = self._missed[slots] + 1
        self._missed[slots] = missed
        gone = missed >= GAP
        if not gone.any():
            return
        first = slots[missed == GAP]
        self._forget(first[self._network[first]])
        slots, span = slots[gone], np.where(missed[gone] == GAP, GAP * FRAME, FRAME)
        self._utterances.advance(slots, span, _no_voice(len(slots)), 0, events)

    def _judge(self, slots: Ints, frames: Pcm, events: list[Event]) -> None:
        """One frame for each of `slots`, which Silero listens to; `frames` (capacity, samples)."""
        cell = self._cell[slots]
        self._frames_of[slots * _CELLS + cell] = frames[slots]
        self._cell[slots] = (cell + 1) % _CELLS
        complete = _READY[cell]
        ready, cell = slots[complete], cell[complete]
        if not len(ready):
            return
        number, per_window = _NEXT[cell], self._pieces // _WINDOWS
        before = ready * self._pieces + (number * per_window - 1) % self._pieces
        context = np.take(self._pieces_of, before, axis=0, out=self._before[: len(ready)], mode="clip")
        index = ready * _WINDOWS + number
        window = np.take(self._windows_of, index, axis=0, out=self._taken[: len(ready)], mode="clip")
        judge = self._spare if self._economical else self._ask
        self._utterances.advance(ready, _WINDOW, judge(ready, context, window), _FILL[cell + 1], events)

    def _ask(self, slots: Ints, context: Pcm, window: Pcm) -> Mask:
        """Whether the window of each of `slots` is voice."""
        voice: Mask = self._silero.run(slots, context, window) > self._threshold[slots]
        return voice

    def _spare(self, slots: Ints, context: Pcm, window: Pcm) -> Mask:
        """The same; windows that are but noise are not asked about."""
        power = self._gate.power(window)
        asked = ~self._utterances.idle(slots) | self._gate.opens(slots, power)
        voice = _no_voice(len(slots))
        if asked.any():
            voice[asked] = self._ask(slots[asked], context[asked], window[asked])
        self._gate.learn(slots[~voice], power[~voice])
        return voice

    def _judge_simply(self, slots: Ints, frames: Pcm, events: list[Event]) -> None:
        """One frame for each of `slots`, which WebRTC's detector listens to; it takes call by call."""
        answers = [
            self._simple[slot].is_speech(frames[slot].tobytes(), self._rate) for slot in slots.tolist()
        ]
        self._utterances.advance(slots, FRAME, np.array(answers, np.bool_), 0, events)


def _no_voice(count: int) -> Mask:
    return np.full(count, fill_value=False)
