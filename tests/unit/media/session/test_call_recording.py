"""The recording of a session: when it begins and ends, in which file, and what the bot is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from media.api import events
from media.api.options import RecorderOption
from media.engine.arrays import Pcm
from media.engine.taps import Reader, Side, Sink, Taps
from media.recorder import SLICES, Recorder
from media.session.recording import TURN, CallRecording, sample_rate

SLOT = 1


class Desk:
    """The owner of a recording, and an engine that has taps only."""

    id = "s.1"

    def __init__(self, folder: Path, rate: int = 8000) -> None:
        self.errors: list[tuple[str, str, int | None]] = []
        self.told: list[events.Event] = []
        self.turns: list[int] = []
        self.folder = folder
        self.taps = Taps(2)
        self.taps.begin(SLOT, rate)
        self.recorder = Recorder(folder, lambda call: call())
        self.recording = CallRecording(self, self, self.recorder)
        self._rate = rate

    def send(self, event: events.Event) -> None:
        self.told.append(event)

    def error(self, sender: str, message: str, code: int | None = None) -> None:
        self.errors.append((sender, message, code))

    def rate(self, slot: int) -> int:
        assert slot == SLOT
        return self._rate

    def subscribe(self, slot: int, sides: tuple[Side, ...], *, every: int, rate: int, sink: Sink) -> Reader:
        self.turns.append(every)
        return self.taps.subscribe(slot, sides, every=every, rate=rate, sink=sink)

    def unsubscribe(self, reader: Reader) -> None:
        self.taps.unsubscribe(reader)

    def tick(self, count: int) -> None:
        frame = self._rate // 50
        slots = np.array([SLOT])
        even: Pcm = np.full((1, frame), 111, np.int16)
        for _ in range(count):
            self.taps.step(self._rate, slots, even, slots, -even)
            self.taps.deliver()
        for _ in range(SLICES):
            self.recorder.visit()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def option(**fields: Any) -> RecorderOption:
    return RecorderOption.model_validate(fields)


def test_a_call_is_recorded_to_its_last_sample(desk: Desk) -> None:
    desk.tick(3)
    desk.recording.start(SLOT, option(recorderFile="calls/{id}"))
    desk.recording.answered()
    desk.tick(33)
    desk.recording.start(SLOT, option(recorderFile="other"))
    desk.recording.stop()
    desk.recording.stop()
    desk.tick(1)
    assert desk.recording.file is not None
    assert desk.recording.file.path == desk.folder / "calls" / "s.1.wav"
    assert desk.recording.file.frames == 33 * 160
    samples, rate = soundfile.read(desk.recording.file.path, dtype="int16")
    assert rate == 8000
    assert samples.tolist() == [[111, -111]] * (33 * 160)
    (told,) = desk.told
    assert isinstance(told, events.Other)
    assert (told.sender, told.extra) == ("recorder", {"file": "calls/s.1.wav", "duration": "660"})
    assert desk.errors == []
    assert not (desk.folder / "other.wav").exists()


@pytest.mark.parametrize("given", [None, option(enable=False)])
def test_nothing_is_recorded_unasked(desk: Desk, given: RecorderOption | None) -> None:
    desk.recording.start(SLOT, given)
    desk.recording.answered()
    desk.tick(30)
    desk.recording.stop()
    assert desk.recording.file is None
    assert list(desk.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "call", "rate"),
    [
        ({}, 8000, 8000),
        ({}, 16000, 16000),
        ({"samplerate": 16000}, 8000, 16000),
        ({"samplerate": 8000}, 16000, 8000),
        ({"sampleRate": 48000}, 8000, 16000),
    ],
)
def test_the_rate_is_as_asked_for_or_that_of_the_call(fields: dict[str, Any], call: int, rate: int) -> None:
    assert sample_rate(option(**fields), call) == rate


def test_all_recordings_have_their_turns_at_the_same_interval(desk: Desk) -> None:
    desk.recording.start(SLOT, option(ptime=20))
    assert desk.turns == [TURN]


def test_a_name_that_leads_elsewhere_is_told_after_the_answer_and_once(desk: Desk) -> None:
    desk.recording.start(SLOT, option(recorderFile="../../etc/passwd"))
    assert desk.errors == []
    desk.recording.answered()
    desk.recording.start(SLOT, option(recorderFile="../../etc/passwd"))
    desk.recording.answered()
    ((sender, message, code),) = desk.errors
    assert (sender, code) == ("recorder", 400)
    assert message.startswith("nothing is recorded: recorderFile must")
    desk.recording.stop()


def test_another_format_is_told_and_recorded_as_wav(desk: Desk) -> None:
    desk.recording.answered()
    desk.recording.start(SLOT, option(format="ogg"))
    assert desk.errors == [("recorder", '"recorder.format" "ogg" is not offered here: WAV is written', 501)]
    desk.tick(20)
    assert (desk.folder / "s.1.wav").exists()


def test_a_disk_that_fails_is_told_once_and_only_during_the_call(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    during, after = Desk(tmp_path / "file"), Desk(tmp_path / "file")
    for desk in (during, after):
        desk.recording.start(SLOT, option())
        desk.recording.answered()
    during.tick(20)
    during.tick(20)
    during.recording.stop()
    after.recording.stop()
    after.tick(1)
    assert during.errors == [
        ("recorder", "the recording s.1.wav cannot be written: File exists", 500),
    ]
    assert after.errors == []
