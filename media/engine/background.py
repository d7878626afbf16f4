"""A second source under what is played: music or ambience that goes on for ever and gives way to speech."""

import numpy as np

from control.errors import MediaError
from media.engine.arrays import Ints, Mask, Pcm
from media.engine.gain import check_factor
from media.engine.ramp import Levels, between, saturated

ATTACK_MS = 50
"""In this time the background falls to its lower level when speech begins."""
RELEASE_MS = 300
"""In this time it is back when speech has ended."""
_TICK_MS = 20
_NONE = -1


class Loop:
    """Audio that is repeated without end: int16 (n,), n > 0, mono, at `rate` Hz; shared by any number of slots.

    Raises MediaError for other arrays. The samples are copied.
    """

    def __init__(self, pcm: Pcm, rate: int) -> None:
        if pcm.dtype != np.int16 or pcm.ndim != 1 or not len(pcm):
            raise MediaError(
                f"a background takes at least one int16 sample of one channel, not {pcm.dtype} {pcm.shape}"
            )
        self.rate = rate
        frame = rate // 50
        endless = np.resize(pcm, len(pcm) + frame - 1)
        self.windows = np.ndarray((len(pcm),), f"V{2 * frame}", endless.data, strides=(2,))
        """The frame at each position, as one item."""

    def __len__(self) -> int:
        return len(self.windows)


class Background:
    """The background of all slots; those without one cost nothing.

    Slots are handled together if they share a loop: a loop in use costs a few µs in each tick.
    """

    def __init__(self, capacity: int, rate: int) -> None:
        self._rate, self._frame = rate, rate // 50
        self._number = np.full(capacity, _NONE, np.int64)
        self._loops: dict[int, Loop] = {}
        self._at, self._length = np.full(capacity, 0, np.int64), np.full(capacity, 1, np.int64)
        self._level, self._gain, self._duck = (np.full(capacity, 0, np.float32) for _ in range(3))
        self._ending = np.full(capacity, fill_value=False)
        self.idle = True
        """Whether `run` has nothing to do for any slot."""

    def set(self, slot: int, loop: Loop | None, gain: float, duck: float) -> None:
        """Play `loop` at level `gain`, at `duck` under speech; None lets it end with the next frame.

        The same loop goes on where it is. Another one replaces it at once and begins at its beginning.
        Raises MediaError for another sample rate, and for levels other than 0 <= `duck` <= `gain` <= 16.
        """
        if loop is None:
            self._gain[slot] = self._duck[slot] = 0
            self._ending[slot] = self._number[slot] != _NONE
            return
        check_factor("the level of a background", gain)
        check_factor("its level under speech", duck)
        if duck > gain:
            raise MediaError(f"a background cannot be louder under speech ({duck}) than without ({gain})")
        if loop.rate != self._rate:
            raise MediaError(
                f"a background of {loop.rate} Hz cannot be played at {self._rate} Hz: convert it"
            )
        if self._loops.get(int(self._number[slot])) is not loop:
            self._level[slot], self._at[slot], self._length[slot] = 0, 0, len(loop)
            self._number[slot] = self._number_of(loop)
            self._forget_unused()
        self._gain[slot], self._duck[slot], self._ending[slot] = gain, duck, False

    def reset(self, slot: int) -> None:
        """No background, at once."""
        if self._number[slot] != _NONE:
            self._drop(slot)

    def active(self, slots: Ints) -> Mask:
        """Which of `slots` have a background."""
        answer: Mask = self._number[slots] != _NONE
        return answer

    def run(self, slots: Ints, pcm: Pcm, speech: Mask) -> None:
        """Mix into int16 (n, frame), the frames of `slots` in order; `speech` bool (n,): where something plays."""
        rows = np.flatnonzero(self.active(slots))
        if not len(rows):
            return
        used = slots[rows]
        level = self._level[used]
        end = self._next_level(used, level, speech[rows])
        mixed = self._music(used) * between(level, end, self._frame)
        mixed += pcm[rows]
        pcm[rows] = saturated(mixed)
        self._level[used] = end
        self._at[used] = (self._at[used] + self._frame) % self._length[used]
        ended = used[self._ending[used]]
        if len(ended):
            self._drop(ended)

    def _next_level(self, slots: Ints, level: Levels, speech: Mask) -> Levels:
        gain, duck = self._gain[slots], self._duck[slots]
        depth = gain - duck
        step = np.where(speech, -depth * (_TICK_MS / ATTACK_MS), depth * (_TICK_MS / RELEASE_MS))
        moved: Levels = np.clip(level + step.astype(np.float32), duck, gain)
        return moved

    def _music(self, slots: Ints) -> Pcm:
        """The next frame of the background of each of `slots`: int16 (n, frame)."""
        at, number = self._at[slots], self._number[slots]
        if len(self._loops) == 1:
            (loop,) = self._loops.values()
            return loop.windows[at].view(np.int16).reshape(-1, self._frame)
        music = np.empty(len(slots), f"V{2 * self._frame}")
        for each, loop in self._loops.items():
            mine = number == each
            music[mine] = loop.windows[at[mine]]
        return music.view(np.int16).reshape(-1, self._frame)

    def _number_of(self, loop: Loop) -> int:
        for number, known in self._loops.items():
            if known is loop:
                return number
        number = max(self._loops, default=_NONE) + 1
        self._loops[number] = loop
        self.idle = False
        return number

    def _drop(self, slots: int | Ints) -> None:
        self._number[slots], self._ending[slots], self._level[slots] = _NONE, False, 0
        self._forget_unused()

    def _forget_unused(self) -> None:
        used = set(self._number.tolist())
        self._loops = {number: loop for number, loop in self._loops.items() if number in used}
        self.idle = not self._loops
