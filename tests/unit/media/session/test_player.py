"""The order of plays and how much of each was heard, with the playout of one slot and no clock."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import numpy as np
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from control.errors import MediaError, SpeechError
from media.engine.arrays import FRAME
from media.engine.playout import Playout
from media.engine.reports import Event, SegmentEnded, SegmentStarted
from media.engine.segment import Segment
from media.session.making import AHEAD_MS
from media.session.play import Audio, Kind, Play, Sentencewise, Source
from media.session.player import STALL_SECONDS, Player
from media.speech.voice import Samples, Word
from tests.support.callworld import Clock
from tests.support.sessions import idle


class Stage:
    """A player whose output is one slot of a playout; it is its own listener."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str | None]] = []
        self.heard: list[int] = []
        """Milliseconds heard of each play that ended, in order."""
        self.fades: list[int] = []
        """Of all stops, in order."""
        self.spoken: list[str] = []
        """Texts that were streamed, as they were cut."""
        self.orders: list[str] = []
        self.rate = 8000
        self.player = Player(self, self)
        self._playout = Playout(1)
        self._slots = np.zeros(1, np.int64)

    # Output

    def enqueue(self, segment: Segment) -> None:
        self._playout.enqueue(0, segment)

    def stop(self, fade_ms: int = 0) -> None:
        self.fades.append(fade_ms)
        self._playout.stop(0, fade_ms * 8)

    def finish(self) -> None:
        self._playout.finish(0)

    def pause(self) -> None:
        self.orders.append("pause")
        self._playout.pause(0)

    def resume(self) -> None:
        self.orders.append("resume")
        self._playout.resume(0)

    def mute(self, *, muted: bool) -> None:
        self.orders.append("mute" if muted else "unmute")
        self._playout.mute(0, muted=muted)

    # Listener

    def play_started(self, play: Play) -> None:
        self.log.append(("start", play.play_id))

    def play_ended(self, play: Play) -> None:
        self.log.append(("end", play.play_id))
        self.heard.append(play.played_ms)

    def play_interrupted(self, play: Play) -> None:
        self.log.append(("cut", play.play_id))

    def play_failed(self, play: Play, error: MediaError) -> None:
        self.log.append((f"fail: {error}", play.play_id))

    # The test's side

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            events: list[Event] = []
            self._playout.run(self._slots, events)
            for event in events:
                match event:
                    case SegmentStarted(segment=segment):
                        self.player.segment_started(segment)
                    case SegmentEnded(segment=segment):
                        self.player.segment_ended(segment)

    async def say(self, source: Callable[[], Audio], play_id: str | None = None, text: str = "x") -> Play:
        play = self.player.say(play_id)
        self.player.add(play, text, lambda _rate: source())
        self.player.settle(play)
        await idle()
        return play

    async def stream(self, text: str, *, end: bool = False) -> Play:
        """Words of a stream; each is a tick long, and made at once."""
        play = self.player.say("s", lambda _: Sentencewise(self._speak))
        assert play.stream is not None
        self.player.feed(play, play.stream, text, end=end)
        self.player.settle(play)
        await idle()
        return play

    def _speak(self, text: str) -> Source:
        self.spoken.append(text)
        return lambda _rate: audio(*[FRAME] * len(text.split()))()


@pytest_asyncio.fixture(name="stage")
async def _stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    await stage.player.close()


def audio(
    *lengths: int, gate: asyncio.Event | None = None, closed: list[bool] | None = None
) -> Callable[[], Audio]:
    """Chunks of so many samples; all but the first wait for `gate`."""

    async def chunks() -> AsyncGenerator[Samples, None]:
        try:
            for index, length in enumerate(lengths):
                if gate is not None and index:
                    await gate.wait()
                yield np.ones(length, np.int16)
        finally:
            if closed is not None:
                closed.append(True)

    return chunks


def failing(*lengths: int) -> Callable[[], Audio]:
    """Chunks of so many samples, then an error."""

    async def chunks() -> AsyncGenerator[Samples, None]:
        for length in lengths:
            yield np.ones(length, np.int16)
        raise SpeechError("no voice")

    return chunks


def made_by(make: Callable[[], Audio]) -> Source:
    """A source that needs no rate."""
    return lambda _rate: make()


def refusing() -> Audio:
    raise SpeechError("no provider")


async def test_a_play_starts_with_its_first_sample_and_ends_with_its_last(stage: Stage) -> None:
    play = await stage.say(audio(FRAME, FRAME), "a")
    assert (stage.log, play.started, stage.player.current) == ([], False, play)
    stage.tick()
    assert stage.log == [("start", "a")]
    assert (play.played_ms, play.total_ms) == (20, 40)
    stage.tick()
    assert stage.log == [("start", "a"), ("end", "a")]
    assert stage.heard == [40]
    assert stage.player.current is None


async def test_the_same_id_goes_on_without_a_gap(stage: Stage) -> None:
    first = await stage.say(audio(FRAME), "a", "one")
    second = await stage.say(audio(2 * FRAME), "a", "two")
    assert first is second
    assert first.texts == ["one", "two"]
    stage.tick(3)
    assert stage.log == [("start", "a"), ("end", "a")]
    assert stage.heard == [60]


async def test_no_id_continues_no_id(stage: Stage) -> None:
    assert await stage.say(audio(FRAME)) is await stage.say(audio(FRAME))
    stage.tick(2)
    assert stage.log == [("start", None), ("end", None)]


async def test_after_its_end_the_same_id_is_a_new_play(stage: Stage) -> None:
    first = await stage.say(audio(FRAME), "a")
    stage.tick()
    second = await stage.say(audio(FRAME), "a")
    stage.tick()
    assert first is not second
    assert first.ssrc != second.ssrc
    assert stage.log == [("start", "a"), ("end", "a")] * 2


@pytest.mark.parametrize(("before", "after"), [("a", "b"), ("a", None), (None, "a")])
async def test_another_id_cuts_first(stage: Stage, before: str | None, after: str | None) -> None:
    await stage.say(audio(10 * FRAME), before)
    stage.tick(3)
    await stage.say(audio(FRAME), after)
    stage.tick()
    assert stage.log == [
        *[("start", before), ("cut", before), ("end", before)],
        *[("start", after), ("end", after)],
    ]
    assert stage.heard == [60, 20]


async def test_speech_and_files_replace_each_other_even_under_one_id(stage: Stage) -> None:
    await stage.say(audio(10 * FRAME), "a")
    stage.tick()
    file = stage.player.play(lambda _rate: audio(10 * FRAME)(), "a")
    again = stage.player.play(lambda _rate: audio(10 * FRAME)(), "a")
    assert file.kind is again.kind is Kind.FILE
    await idle()
    stage.tick()
    await stage.say(audio(FRAME), "a")
    stage.tick()
    assert [what for what, _ in stage.log] == [
        *["start", "cut", "end"],
        "cut",
        *["start", "cut", "end"],
        *["start", "end"],
    ]


async def test_a_cut_play_that_was_not_heard_has_neither_start_nor_end(stage: Stage) -> None:
    play = await stage.say(audio(FRAME), "a")
    assert stage.player.interrupt() is play
    stage.tick(2)
    assert stage.log == [("cut", "a")]
    assert stage.player.interrupt() is None


async def test_a_cut_play_makes_no_more_audio(stage: Stage) -> None:
    gate, closed = asyncio.Event(), list[bool]()
    play = await stage.say(audio(FRAME, FRAME, gate=gate, closed=closed), "a")
    play.auto_hangup, play.wait_input = True, 3.0
    stage.tick()
    stage.player.interrupt()
    gate.set()
    await idle()
    stage.tick(3)
    assert closed == [True]
    assert (play.played_ms, play.total_ms) == (20, 20)
    assert not play.auto_hangup
    assert stage.log == [("start", "a"), ("cut", "a"), ("end", "a")]


async def test_slow_audio_does_not_end_the_play(stage: Stage) -> None:
    gate = asyncio.Event()
    await stage.say(audio(FRAME, 100, gate=gate), "a")
    stage.tick(10)
    assert stage.log == [("start", "a")]
    gate.set()
    await idle()
    stage.tick()
    assert stage.log == [("start", "a"), ("end", "a")]
    assert stage.heard == [(FRAME + 100) // 8]


async def test_texts_are_made_in_order_and_one_at_a_time(stage: Stage) -> None:
    gate, made = asyncio.Event(), list[bool]()
    await stage.say(audio(FRAME, FRAME, gate=gate, closed=made), "a")
    play = await stage.say(audio(FRAME, closed=made), "a")
    assert (len(play.waiting), made) == (1, [])
    gate.set()
    await idle()
    assert (len(play.waiting), made) == (0, [True, True])
    stage.tick(3)
    assert stage.heard == [60]


async def test_a_text_without_sound_starts_and_ends(stage: Stage) -> None:
    await stage.say(audio(), "a")
    assert stage.log == [("start", "a"), ("end", "a")]
    stage.tick(2)
    assert stage.heard == [0]
    assert len(stage.log) == 2


async def test_a_text_without_sound_behind_another_changes_nothing(stage: Stage) -> None:
    await stage.say(audio(FRAME), "a")
    await stage.say(audio(), "a")
    assert stage.log == []
    stage.tick(3)
    assert stage.log == [("start", "a"), ("end", "a")]
    assert stage.heard == [20]


async def test_what_fails_is_told_and_the_next_text_is_played(stage: Stage) -> None:
    await stage.say(failing(FRAME), "a")
    await stage.say(lambda: refusing(), "a")
    await stage.say(audio(FRAME), "a")
    assert stage.log == [("fail: no voice", "a"), ("fail: no provider", "a")]
    stage.tick(3)
    assert stage.log[2:] == [("start", "a"), ("end", "a")]
    assert stage.heard == [40]


async def test_what_fails_at_once_starts_and_ends(stage: Stage) -> None:
    await stage.say(failing(), "a")
    assert stage.log == [("fail: no voice", "a"), ("start", "a"), ("end", "a")]


async def test_a_strange_segment_is_nobodys(stage: Stage) -> None:
    await stage.say(audio(FRAME), "a")
    stage.player.segment_started(Segment())
    stage.player.segment_ended(Segment())
    assert stage.log == []


@given(
    lengths=st.lists(st.integers(0, 700), min_size=1, max_size=6),
    ticks=st.integers(0, 30),
)
@settings(max_examples=60, deadline=None)
def test_an_interruption_counts_exactly_the_samples_that_left(lengths: list[int], ticks: int) -> None:
    async def run() -> tuple[Play, Stage]:
        stage = Stage()
        play = await stage.say(audio(*lengths), "a")
        stage.tick(ticks)
        stage.player.interrupt()
        await stage.player.close()
        return play, stage

    play, stage = asyncio.run(run())
    total = sum(lengths)
    assert play.total_ms == total // 8
    assert play.played_ms == min(ticks * FRAME, total) // 8
    over = ticks * FRAME >= total
    assert ("cut", "a") not in stage.log if over else stage.log[-1][0] in ("cut", "end")
    assert stage.log.count(("start", "a")) == stage.log.count(("end", "a")) == (ticks > 0 or total == 0)


# Streamed texts


async def test_a_stream_speaks_what_is_complete_and_waits_for_its_end(stage: Stage) -> None:
    play = await stage.stream("One two. Three")
    assert stage.spoken == ["One two. "]
    stage.tick(5)
    assert stage.log == [("start", "s")]
    assert await stage.stream(" four", end=True) is play
    assert stage.spoken == ["One two. ", "Three four"]
    stage.tick(2)
    assert stage.log == [("start", "s"), ("end", "s")]
    assert (play.subtitle, stage.heard) == ("One two. Three four", [80])


async def test_what_follows_the_end_of_a_stream_is_spoken_at_once(stage: Stage) -> None:
    await stage.stream("One two", end=True)
    await stage.stream("three")
    assert stage.spoken == ["One two", "three"]
    stage.tick(3)
    assert stage.log == [("start", "s"), ("end", "s")]


async def test_marks_alone_are_nothing_to_say(stage: Stage) -> None:
    await stage.stream("你好。")
    await stage.stream("」\n \U0001f600\n", end=True)
    assert stage.spoken == ["你好。"]


async def test_a_stalled_stream_says_the_rest_and_ends(stage: Stage) -> None:
    clock = Clock(asyncio.get_running_loop())
    await stage.stream("One two. Three")
    await clock.advance(60)
    assert stage.log == []
    stage.tick(2)
    await clock.advance(STALL_SECONDS - 1)
    await stage.stream(" four")
    await clock.advance(STALL_SECONDS - 1)
    assert stage.log == [("start", "s")]
    await clock.advance(1)
    await idle()
    (what, _) = stage.log[-1]
    assert "no text came for 10 s" in what
    assert stage.spoken == ["One two. ", "Three four"]
    stage.tick(2)
    assert stage.log[-1] == ("end", "s")
    await clock.advance(60)
    assert len(stage.log) == 3


@pytest.mark.parametrize("how", ["interrupt", "replace", "end", "close"])
async def test_nobody_waits_for_a_stream_that_is_over(stage: Stage, how: str) -> None:
    clock = Clock(asyncio.get_running_loop())
    await stage.stream("One")
    match how:
        case "interrupt":
            stage.player.interrupt(graceful=True)
        case "replace":
            await stage.say(audio(FRAME), "other")
        case "end":
            await stage.stream("", end=True)
        case "close":
            await stage.player.close()
    await clock.advance(60)
    assert not any(what.startswith("fail") for what, _ in stage.log)


# Several pieces at once, and no more than is needed


async def test_pieces_are_made_at_once_and_heard_in_order(stage: Stage) -> None:
    gate, made = asyncio.Event(), list[bool]()
    play = stage.player.say("a")
    play.at_once = 2
    for source in (
        audio(FRAME, FRAME, gate=gate),
        audio(2 * FRAME, closed=made),
        audio(3 * FRAME, gate=gate),
    ):
        stage.player.add(play, "x", made_by(source))
    assert len(play.waiting) == 1
    await idle()
    assert (made, len(play.waiting)) == ([True], 0)
    stage.tick(5)
    assert play.played_ms == 20
    gate.set()
    await idle()
    stage.tick(6)
    assert stage.log == [("start", "a"), ("end", "a")]
    assert stage.heard == [140]


async def test_a_text_of_hours_is_made_as_it_is_heard(stage: Stage) -> None:
    taken = 0

    async def long() -> AsyncGenerator[Samples, None]:
        nonlocal taken
        for _ in range(200):
            taken += 1
            yield np.ones(8000, np.int16)

    play = await stage.say(long, "a")
    await idle(500)
    assert taken == AHEAD_MS // 1000 + 2
    for _ in range(190):
        stage.tick(50)
        await idle(4)
        assert play.total_ms - play.played_ms <= AHEAD_MS + 1000
    await idle(50)
    stage.tick(1000)
    assert (taken, stage.heard) == (200, [200_000])


async def test_the_first_piece_never_waits_for_those_behind_it(stage: Stage) -> None:
    gate = asyncio.Event()
    play = stage.player.say("a")
    play.at_once = 2
    second = [8000] * 40
    stage.player.add(play, "x", lambda _rate: audio(FRAME, *[8000] * 5, gate=gate)())
    stage.player.add(play, "y", lambda _rate: audio(*second)())
    await idle(300)
    assert play.total_ms == 30_020
    gate.set()
    await idle(50)
    assert play.total_ms == 35_020
    for _ in range(50):
        stage.tick(50)
        await idle(4)
    assert stage.heard == [45_020]


async def test_a_graceful_interrupt_stops_what_is_made_ahead(stage: Stage) -> None:
    closed = list[bool]()
    gate = asyncio.Event()
    play = stage.player.say("a")
    play.at_once = 2
    stage.player.add(play, "x", lambda _rate: audio(FRAME, FRAME, gate=gate)())
    stage.player.add(play, "y", lambda _rate: audio(FRAME, FRAME, gate=gate, closed=closed)())
    stage.player.add(play, "z", lambda _rate: audio(FRAME)())
    await idle()
    stage.tick()
    stage.player.interrupt(graceful=True)
    await idle()
    assert closed == [True]
    gate.set()
    await idle()
    stage.tick(3)
    assert stage.log == [("start", "a"), ("cut", "a"), ("end", "a")]
    assert stage.heard == [40]


async def test_the_position_is_what_the_provider_says(stage: Stage) -> None:
    async def marked() -> AsyncGenerator[Samples | Word, None]:
        yield Word(0, 0)
        yield Word(1, 60)
        yield Word(2, 1000)
        yield np.ones(20 * FRAME, np.int16)

    play = await stage.say(marked, text="one two three four five")
    stage.tick(2)
    assert play.position == 0
    stage.tick(3)
    assert play.position == 1
    stage.tick(12)
    assert play.position == 1
