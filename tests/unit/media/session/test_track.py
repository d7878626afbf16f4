"""What the bot is told of plays."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from control.errors import SpeechError
from media.api import events
from media.engine.arrays import FRAME
from media.engine.engine import Engine
from media.engine.segment import Segment, State
from media.session.play import Kind, Piece, Play
from media.session.track import ServerSideTrack, interruption
from media.speech.voice import Samples
from tests.support.callworld import Clock
from tests.support.farend import HOST, FarEnd, Stream


class Desk:
    """The owner of a track, on an engine of one slot."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.sent: list[events.Event] = []
        self.hung_up: list[str] = []
        self.track = ServerSideTrack(self, engine, "ours")
        self.clock = Clock(asyncio.get_running_loop())

    def send(self, event: events.Event) -> None:
        self.sent.append(event)

    def hang_up(self, reason: str) -> None:
        self.hung_up.append(reason)

    def slot(self) -> int:
        """A slot with a stream that nobody reads."""
        slot = self.engine.allocate()
        self.engine.connect(slot, Stream(20002))
        return slot

    @property
    def names(self) -> list[str]:
        return [event.event for event in self.sent]


@pytest_asyncio.fixture(name="desk")
async def _desk() -> AsyncIterator[Desk]:
    engine = Engine(HOST, 0, 1)
    yield Desk(engine)
    engine.close()


def silent(rate: int) -> AsyncGenerator[Samples, None]:
    raise AssertionError(f"nothing is made here, at {rate} Hz neither")


def play(
    kind: Kind = Kind.TTS, *, total: int = 0, played: int = 0, text: str = "", closed: bool = True
) -> Play:
    """A play of which `played` of `total` samples were heard."""
    segment = Segment()
    segment.append(np.zeros(total, np.int16))
    segment.queue(_At(played), 0)
    segment.begin(0)
    segment.closed = closed
    piece = Piece(text, silent, segment)
    return Play(kind, "p", 7, texts=[text], pieces=deque([piece]), started=True)


class _At:
    rate = 8000

    def __init__(self, position: int) -> None:
        self._position = position

    def wake(self, slot: int) -> None: ...

    def position(self, slot: int) -> int:
        return self._position


async def test_segments_wait_for_the_slot_and_then_are_played_in_order(desk: Desk) -> None:
    segments = [Segment(), Segment()]
    for segment in segments:
        desk.track.enqueue(segment)
        assert segment.state is State.NEW
    with FarEnd(desk.engine.port) as far:
        slot = desk.engine.allocate()
        desk.engine.connect(slot, Stream(far.port))
        desk.track.attach(slot)
        later = Segment()
        desk.track.enqueue(later)
        for segment in (*segments, later):
            assert segment.state is State.QUEUED
            segment.append(np.ones(FRAME, np.int16))
            segment.close()
        order = [event.segment for _ in range(3) for event in desk.engine.tick() if hasattr(event, "segment")]
    assert list(dict.fromkeys(order)) == [*segments, later]


async def test_stopping_drops_what_waits_and_what_plays(desk: Desk) -> None:
    early, late = Segment(), Segment()
    desk.track.enqueue(early)
    desk.track.stop()
    desk.track.attach(desk.slot())
    assert early.state is State.NEW
    desk.track.enqueue(late)
    desk.track.stop()
    assert late.state is State.STOPPED
    desk.track.close()
    desk.track.stop()


async def test_start_and_end_say_what_was_played(desk: Desk) -> None:
    heard = play(total=1600, played=1239)
    desk.track.play_started(heard)
    desk.track.play_ended(heard)
    start, end = desk.sent
    assert isinstance(start, events.TrackStart)
    assert isinstance(end, events.TrackEnd)
    assert (start.track_id, start.play_id) == (end.track_id, end.play_id) == ("ours", "p")
    assert (end.duration, end.ssrc) == (154, 7)
    assert desk.hung_up == []


async def test_auto_hangup_acts_at_the_end(desk: Desk) -> None:
    last = play()
    last.auto_hangup, last.wait_input = True, 1.0
    desk.track.play_ended(last)
    assert desk.hung_up == ["autohangup"]
    await desk.clock.advance(2)
    assert desk.names == ["trackEnd"]


async def test_silence_comes_when_nobody_does_anything(desk: Desk) -> None:
    last = play()
    last.wait_input = 2.5
    desk.track.play_ended(last)
    await desk.clock.advance(2.4)
    assert desk.names == ["trackEnd"]
    await desk.clock.advance(0.2)
    silence = desk.sent[-1]
    assert isinstance(silence, events.Silence)
    assert (silence.track_id, silence.duration) == ("ours", 2500)
    end = desk.sent[0]
    assert isinstance(end, events.TrackEnd)
    assert end.timestamp <= silence.start_time <= silence.timestamp
    await desk.clock.advance(60)
    assert desk.names == ["trackEnd", "silence"]


@pytest.mark.parametrize("what", ["input", "play", "close"])
async def test_no_silence_after_input_a_new_play_or_the_end(desk: Desk, what: str) -> None:
    last = play()
    last.wait_input = 1.0
    desk.track.play_ended(last)
    match what:
        case "input":
            desk.track.input_heard()
        case "play":
            desk.track.play_started(play())
        case "close":
            desk.track.close()
    await desk.clock.advance(5)
    assert "silence" not in desk.names


async def test_a_failure_names_its_command(desk: Desk) -> None:
    desk.track.play_failed(play(), SpeechError("no voice"))
    desk.track.play_failed(play(Kind.FILE), SpeechError("no file"))
    spoken, played = desk.sent
    assert isinstance(spoken, events.Error)
    assert isinstance(played, events.Error)
    assert (spoken.track_id, spoken.sender, spoken.error, spoken.code) == ("ours", "tts", "no voice", 500)
    assert played.sender == "play"


@pytest.mark.parametrize(
    ("played", "total", "position"),
    [
        (0, 8000, 0),
        (1999, 8000, 0),
        (2000, 8000, 1),
        (4000, 8000, 2),
        (7999, 8000, 3),
        (8000, 8000, 3),
        (0, 0, 0),
    ],
)
async def test_the_position_is_the_word_that_was_being_spoken(played: int, total: int, position: int) -> None:
    event = interruption("ours", play(total=total, played=played, text="one two three four"))
    assert (event.subtitle, event.position) == ("one two three four", position)
    assert (event.current, event.total_duration) == (played // 8, total // 8)
    assert (event.track_id, event.play_id) == ("ours", "p")


async def test_the_position_in_a_text_that_is_still_made_is_an_estimate() -> None:
    unfinished = play(total=8000, played=4000, text="one two three four five six seven eight", closed=False)
    assert (unfinished.position, interruption("ours", unfinished).total_duration) == (2, 1000)


async def test_the_position_counts_what_was_spoken_before() -> None:
    several = play(total=8000, played=4000, text="three four")
    several.gone_words, several.gone_ms = 2, 500
    several.texts.insert(0, "one two")
    event = interruption("ours", several)
    assert (event.subtitle, event.position) == ("one two three four", 3)
    assert (event.current, event.total_duration) == (1000, 1500)


async def test_speech_without_words_is_at_its_beginning() -> None:
    assert interruption("ours", play(total=8000, played=4000)).position == 0


async def test_a_file_has_no_words(desk: Desk) -> None:
    desk.track.play_interrupted(play(Kind.FILE, total=8000, played=800))
    event = desk.sent[0]
    assert isinstance(event, events.Interruption)
    assert (event.subtitle, event.position, event.current, event.total_duration) == (None, None, 100, 1000)
