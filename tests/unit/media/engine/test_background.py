"""Music under speech: against a slow model, and as heard."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.errors import MediaError
from media.engine.arrays import Pcm
from media.engine.background import Background, Loop
from media.engine.playout import Playout
from media.engine.segment import Segment

RNG = np.random.default_rng(3)
F = np.float32
ALL = (0, 1, 3)


def noise(length: int) -> Pcm:
    return RNG.integers(-32768, 32767, length, np.int16, endpoint=True)


def loops(rate: int) -> list[Loop]:
    return [Loop(noise(length), rate) for length in (1, 50, 1000)]


SOUNDS = {rate: loops(rate) for rate in (8000, 16000)}


def sample(loop: Loop, at: int) -> int:
    return int(np.frombuffer(loop.windows[at % len(loop)].tobytes(), "<i2")[0])


@dataclass
class Model:
    """The background of one slot, sample by sample."""

    frame: int
    loop: Loop | None = None
    at: int = 0
    level: Any = field(default_factory=lambda: F(0))
    gain: Any = field(default_factory=lambda: F(0))
    duck: Any = field(default_factory=lambda: F(0))
    ending: bool = False

    def set(self, loop: Loop | None, gain: float, duck: float) -> None:
        if loop is None:
            self.gain = self.duck = F(0)
            self.ending = True
            return
        if loop is not self.loop:
            self.loop, self.at, self.level = loop, 0, F(0)
        self.gain, self.duck, self.ending = F(gain), F(duck), False

    def run(self, pcm: list[int], speech: bool) -> list[int]:
        if self.loop is None:
            return pcm
        depth = self.gain - self.duck
        step = F(-depth * F(20 / 50)) if speech else F(depth * F(20 / 300))
        end = min(max(self.level + step, self.duck), self.gain)
        mixed = []
        for k, x in enumerate(pcm):
            factor = (
                end if end == self.level else self.level + (end - self.level) * (F(k + 1) / F(self.frame))
            )
            value = F(sample(self.loop, self.at + k)) * factor + F(x)
            mixed.append(max(-32768, min(32767, int(np.rint(value)))))
        self.level = end
        self.at += self.frame
        if self.ending:
            self.loop, self.level, self.ending = None, F(0), False
        return mixed


LEVELS = st.sampled_from([(1, 1), (1, 0.25), (0.3, 0.1), (2, 0), (0, 0)])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.sampled_from(ALL), st.sampled_from([None, 0, 1, 2]), LEVELS),
        st.tuples(st.just("reset"), st.sampled_from(ALL), st.none(), LEVELS),
        st.tuples(st.just("run"), st.integers(0, 7), st.integers(0, 7), LEVELS),
    ),
    max_size=25,
)


@pytest.mark.parametrize("rate", [8000, 16000])
@settings(deadline=None, max_examples=60)
@given(steps=STEPS)
def test_whatever_is_done_it_is_mixed_as_the_model_says(rate: int, steps: list[Any]) -> None:
    background, frame = Background(5, rate), rate // 50
    models = {slot: Model(frame) for slot in ALL}
    for what, one, two, (gain, duck) in [*steps, ("run", 7, 5, (1, 1))]:
        if what == "set":
            loop = None if two is None else SOUNDS[rate][two]
            background.set(one, loop, gain, duck)
            models[one].set(loop, gain, duck)
        elif what == "reset":
            background.reset(one)
            models[one] = Model(frame)
        else:
            slots = [slot for bit, slot in enumerate(ALL) if one >> bit & 1]
            speech = [bool(two >> row & 1) for row in range(len(slots))]
            pcm = noise(len(slots) * frame).reshape(-1, frame)
            expected = [models[slot].run(pcm[row].tolist(), speech[row]) for row, slot in enumerate(slots)]
            background.run(np.array(slots, np.int64), pcm, np.array(speech, np.bool_))
            assert pcm.tolist() == expected
        assert background.idle == all(model.loop is None for model in models.values())


class Line:
    """One slot with a constant background."""

    def __init__(self, gain: float, duck: float) -> None:
        self.playout = Playout(1)
        self.playout.background(0, Loop(np.full(37, 10000, np.int16), 8000), gain, duck)

    def run(self, ticks: int) -> list[int]:
        return [int(x) for _ in range(ticks) for x in self.playout.run(np.zeros(1, np.int64), [])[0].tolist()]


def test_it_gives_way_to_speech_quickly_and_comes_back_slowly() -> None:
    line = Line(1, 0.2)
    line.run(20)
    quiet = Segment()
    quiet.append(np.zeros(1600, np.int16))
    quiet.close()
    line.playout.enqueue(0, quiet)
    ducked, back = line.run(10), line.run(20)
    assert ducked.index(2000) in range(350, 480)  # 50 ms, in steps of a frame
    assert ducked[-1] == 2000
    assert back.index(10000) in range(2300, 2480)
    assert max(abs(b - a) for a, b in pairwise([*ducked, *back])) <= 25
    assert quiet.played == 1600


def test_it_goes_on_in_a_pause_and_is_silent_when_muted() -> None:
    line = Line(0.5, 0.5)
    speech = Segment()
    speech.append(np.full(1600, 1000, np.int16))
    line.playout.enqueue(0, speech)
    line.run(2)
    line.playout.pause(0)
    assert line.run(2)[160:] == [5000] * 160
    line.playout.mute(0, muted=True)
    assert line.run(2)[160:] == [0] * 160


def test_it_ends_within_a_frame_without_a_click() -> None:
    line = Line(1, 1)
    line.run(2)
    line.playout.background(0, None)
    line.playout.background(0, None)
    out = line.run(2)
    assert out[159:] == [0] * 161
    assert max(abs(b - a) for a, b in pairwise([10000, *out])) <= 64


def test_ending_what_is_not_there_does_nothing() -> None:
    background = Background(1, 8000)
    background.set(0, None, 1, 1)
    background.reset(0)
    assert background.idle


@pytest.mark.parametrize(
    ("rate", "gain", "duck", "said"),
    [
        (16000, 1, 1, "16000 Hz cannot be played at 8000 Hz"),
        (8000, 17, 1, "level of a background must be 0 to 16"),
        (8000, 1, -1, "under speech must be 0 to 16"),
        (8000, 0.1, 0.3, "cannot be louder under speech"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    rate: int, gain: float, duck: float, said: str
) -> None:
    background = Background(1, 8000)
    with pytest.raises(MediaError, match=said):
        background.set(0, Loop(noise(10), rate), gain, duck)
    assert background.idle


@pytest.mark.parametrize("pcm", [np.zeros(0, np.int16), np.zeros(5, np.float32), np.zeros((5, 2), np.int16)])
def test_a_loop_is_int16_mono_and_not_empty(pcm: Pcm) -> None:
    with pytest.raises(MediaError, match="at least one int16 sample"):
        Loop(pcm, 8000)
