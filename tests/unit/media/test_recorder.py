"""Recordings: right in time, true at any moment, kept in their folder, and no harm to calls when the disk fails."""

import errno
import os
import signal
import subprocess
import sys
import threading
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from control.errors import RecordingError
from media import recorder as module
from media.engine.arrays import Pcm
from media.engine.smooth import Smoother
from media.engine.taps import STEREO, Taps
from media.recorder import BACKLOG, PASS, SLICES, Recorder, Recording, file_parts

RATE = 8000


class Desk:
    """A recorder whose writer works when told to, and what it complained of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[str] = []
        self.recorder = Recorder(folder, lambda call: call())

    def record(self, name: str | None = None, session: str = "s.1", rate: int = RATE) -> Recording:
        return self.recorder.record(name, session, rate, self.faults.append)

    def turn(self) -> None:
        """The writer visits everything."""
        for _ in range(SLICES):
            self.recorder.visit()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "recordings")


def pcm(frames: int, value: int = 1000) -> Pcm:
    out: Pcm = np.full((frames, 2), value, np.int16)
    out[:, 1] = -value
    return out


def read(recording: Recording) -> Pcm:
    assert recording.path is not None
    samples, rate = soundfile.read(recording.path, dtype="int16", always_2d=True)
    assert rate == recording.rate
    with wave.open(str(recording.path)) as file:
        assert file.readframes(1 << 30) == samples.tobytes()
    return np.asarray(samples, np.int16)


def descriptors() -> int:
    """Open files of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_what_was_written_is_there_with_every_visit(desk: Desk) -> None:
    recording = desk.record()
    told = np.random.default_rng(1).integers(-32768, 32768, (4000, 2)).astype(np.int16)
    desk.turn()
    assert not desk.folder.exists()
    for start in range(0, 4000, 400):
        recording.write(told[start : start + 400])
        desk.turn()
        np.testing.assert_array_equal(read(recording), told[: start + 400])
    recording.close()
    desk.turn()
    np.testing.assert_array_equal(read(recording), told)
    assert recording.path == desk.folder / "s.1.wav"
    assert recording.path.stat().st_mode & 0o777 == 0o640
    assert desk.faults == []
    assert recording.frames == 4000


def test_samples_that_are_lost_are_silence(desk: Desk) -> None:
    recording = desk.record()
    recording.write(pcm(10), 0)
    recording.write(pcm(10), 25)
    desk.turn()
    np.testing.assert_array_equal(read(recording), np.concatenate([pcm(10), np.zeros((25, 2)), pcm(10)]))


def test_a_call_without_a_sound_is_an_empty_file(desk: Desk) -> None:
    recording = desk.record()
    recording.close()
    desk.turn()
    assert len(read(recording)) == 0


def test_visits_are_spread_over_a_pass(desk: Desk) -> None:
    recordings = [desk.record(f"{n}") for n in range(3 * SLICES)]
    for recording in recordings:
        recording.write(pcm(10))
    for done in range(SLICES):
        assert sum(recording.path is not None for recording in recordings) == 3 * done
        desk.recorder.visit()


def test_finishing_closes_all_files(desk: Desk) -> None:
    before = descriptors()
    recordings = [desk.record(f"{n}") for n in range(SLICES + 3)]
    for recording in recordings[::2]:
        recording.write(pcm(10))
        desk.recorder.visit()
    desk.recorder.close()
    assert [len(read(recording)) for recording in recordings] == [10, 0] * 5 + [10]
    assert descriptors() == before


# Both sides of a call in time


@pytest.mark.parametrize("source", [8000, 16000])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_bursts_of_both_sides_stand_where_they_were(desk: Desk, source: int, rate: int) -> None:
    """Clicks on the caller's side, which goes by way of the smoother, and on ours, at known ticks."""
    taps, smoother, frame = Taps(3), Smoother(3, source), source // 50
    taps.begin(1, source)
    smoother.enable(1)
    recording = desk.record(rate=rate)
    reader = taps.subscribe(1, STEREO, every=10, rate=rate, sink=recording.write)
    heard, said = {7: 40, 60: 3, 199: 100}, {8: 40, 30: 17, 150: 0, 200: 100}
    tone = (np.hanning(41) * 20000).astype(np.int16)
    for tick in range(240):
        frames: Pcm = np.zeros((3, 2, frame), np.int16)
        out: Pcm = np.zeros((1, frame), np.int16)
        for line, bursts in ((frames[1, 0], heard), (out[0], said)):
            if tick in bursts:
                line[bursts[tick] : bursts[tick] + 41] = tone
        fresh = np.array([0, 0 if 100 <= tick < 130 else 1, 0], np.uint8)
        smoother.push(frames, fresh)
        sending = np.array([1] if tick % 2 == 0 or tick in said else [], np.int64)
        taps.step(source, smoother.slots, smoother.pull(), sending, out[: len(sending)])
        taps.deliver()
        if tick % 16 == 0:
            desk.turn()
    taps.unsubscribe(reader)
    recording.close()
    desk.turn()
    samples = read(recording)
    late = {(8000, 16000): 28, (16000, 8000): 13}.get((source, rate), 0)
    smoothed = 1  # ticks
    for channel, bursts, delay in ((0, heard, smoothed), (1, said, 0)):
        found = peaks(samples[:, channel].astype(int))
        due = [((tick + delay) * frame + at + 20) * rate / source + late for tick, at in bursts.items()]
        assert found == pytest.approx(due, abs=1)
    assert 0 <= len(samples) - 240 * rate // 50 <= 64


def peaks(line: np.ndarray) -> list[int]:
    """Where the bursts are at their highest."""
    loud = np.flatnonzero(line > 2000)
    groups = np.split(loud, np.flatnonzero(np.diff(loud) > 50) + 1)
    return [int(group[np.argmax(line[group])]) for group in groups]


# Disks


def refusing(code: int) -> Callable[..., int]:
    def pwrite(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    return pwrite


def test_a_full_disk_is_told_once_and_time_stays_true(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    recording, other = desk.record(), desk.record("other")
    recording.write(pcm(100, 1))
    desk.turn()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", refusing(errno.ENOSPC))
        for _ in range(3):
            recording.write(pcm(100, 2))
            desk.turn()
    assert desk.faults == ["the recording s.1.wav cannot be written: No space left on device"]
    recording.write(pcm(100, 3))
    other.write(pcm(5))
    desk.turn()
    expected = np.concatenate([pcm(100, 1), np.zeros((300, 2)), pcm(100, 3)])
    np.testing.assert_array_equal(read(recording), expected)
    assert len(read(other)) == 5
    assert len(desk.faults) == 1


def test_a_file_that_could_not_be_begun_is_begun_later_under_its_name(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = desk.record()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", refusing(errno.EIO))
        recording.write(pcm(100))
        desk.turn()
    recording.write(pcm(100))
    recording.close()
    desk.turn()
    np.testing.assert_array_equal(read(recording), np.concatenate([np.zeros((100, 2)), pcm(100)]))
    assert [path.name for path in desk.folder.iterdir()] == ["s.1.wav"]


def test_the_end_of_a_call_lets_go_of_a_file_whatever_the_disk_says(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descriptors()
    recording = desk.record()
    recording.write(pcm(100))
    desk.turn()
    recording.write(pcm(100))
    recording.close()
    monkeypatch.setattr(os, "pwrite", refusing(errno.EIO))
    desk.turn()
    assert descriptors() == before
    assert len(read(recording)) == 100
    assert len(desk.faults) == 1


def test_a_folder_that_cannot_be_made(desk: Desk) -> None:
    desk.folder.write_text("a file")
    recording = desk.record()
    recording.write(pcm(100))
    desk.turn()
    recording.close()
    desk.turn()
    assert desk.faults == ["the recording s.1.wav cannot be written: File exists"]
    assert recording.path is None


def test_a_slow_disk_costs_a_gap_and_no_memory(desk: Desk) -> None:
    recording = desk.record()
    seconds = 3 * BACKLOG
    for second in range(seconds):
        recording.write(pcm(RATE, second + 1))
    assert desk.faults == [
        f"the recording s.1.wav has silence from second {BACKLOG + 1:.1f} on: the disk is too slow"
    ]
    desk.turn()
    recording.write(pcm(RATE, 99))
    recording.close()
    desk.turn()
    values = read(recording)[::RATE, 0].tolist()
    assert values == [1, 2, 3, *[0] * (seconds - 3), 99]
    assert len(desk.faults) == 1


def test_a_write_that_hangs_holds_up_nobody_but_the_writer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk.folder.mkdir()
    hangs, go_on = threading.Event(), threading.Event()
    pwrite = os.pwrite

    def slow(*arguments: object) -> int:
        hangs.set()
        assert go_on.wait(20)
        return pwrite(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "pwrite", slow)
    monkeypatch.setattr(module, "STOP_SECONDS", 0.01)
    desk.recorder.start()
    recording = desk.record()
    recording.write(pcm(RATE))
    assert hangs.wait(20)
    for _ in range(5):
        recording.write(pcm(RATE))
    assert len(desk.faults) == 1
    desk.recorder.close()
    assert "are not finished" in caplog.text
    go_on.set()
    (writer,) = (thread for thread in threading.enumerate() if thread.name == "recorder")
    writer.join(20)
    assert len(read(recording)) == 6 * RATE


def test_a_file_ends_at_four_gigabytes(desk: Desk) -> None:
    recording = desk.record()
    recording.write(pcm(10), 0xFFFFFFFF // 4)
    assert desk.faults == ["the recording s.1.wav is full: a WAV file holds 4 GiB"]


def test_a_fault_of_ours_ends_one_recording_and_not_the_writer(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = desk.record("broken"), desk.record("sound")
    broken.write(pcm(20)[::2])  # not contiguous
    sound.write(pcm(10))
    desk.turn()
    assert "a recording was given up" in caplog.text
    assert desk.faults == [
        "the recording broken.wav was given up: an internal error; the operator's log tells more"
    ]
    assert len(read(sound)) == 10


PART = round(RATE * PASS / SLICES)
"""Frames between two turns of the writer."""
KILLED = """
import sys
import numpy as np
from pathlib import Path
from media.recorder import Recorder

recorder = Recorder(Path(sys.argv[1]), lambda call: call())
recording = recorder.record(None, "s.1", 8000, print)
for number in range(1, 30_000):
    recording.write(np.full((int(sys.argv[2]), 2), number, np.int16))
    print(number, flush=True)
    recorder.visit()
"""


@pytest.mark.parametrize("parts", [30, 100, 101, 102, 333])
def test_a_killed_worker_leaves_all_but_the_last_second(tmp_path: Path, parts: int) -> None:
    argv = [sys.executable, "-c", KILLED, str(tmp_path), str(PART)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(parts):
            child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
        written = parts + len(child.stdout.readlines())
    file = tmp_path / "s.1.wav"
    with wave.open(str(file)) as whole:
        data = whole.readframes(1 << 30)
    samples, rate = soundfile.read(file, dtype="int16")
    assert (rate, samples.tobytes()) == (RATE, data)
    assert len(samples) >= written * PART - RATE
    assert samples[::PART, 1].tolist() == list(range(1, len(samples) // PART + 1))


# Names


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (None, ("s.1.wav",)),
        ("", ("s.1.wav",)),
        ("{id}", ("s.1.wav",)),
        ("call", ("call.wav",)),
        ("call.WAV", ("call.WAV",)),
        ("call.mp3", ("call.mp3.wav",)),
        ("2026/{id}/x-{id}.wav", ("2026", "s.1", "x-s.1.wav")),
        ("./a//b.wav", ("a", "b.wav")),
        ("/calls/a/b.wav", ("a", "b.wav")),
        ("…", ("….wav",)),
        ("...", ("....wav",)),
    ],
)
def test_names(name: str | None, parts: tuple[str, ...]) -> None:
    assert file_parts(name, "s.1", Path("/calls")) == parts


@pytest.mark.parametrize(
    "name",
    [
        *("..", "../x", "a/../../x", "/etc/passwd", "/calls/../etc/x", "/callsx/y", "/calls", "/", "."),
        *("a\0b", "a" * 300, "x/" + "ä" * 200 + "/y", "\ud800"),
    ],
)
def test_names_that_lead_elsewhere_or_nowhere(name: str) -> None:
    with pytest.raises(RecordingError, match="recorderFile"):
        file_parts(name, "s.1", Path("/calls"))


def test_a_session_id_is_no_way_out() -> None:
    assert file_parts(None, "..", Path("/calls")) == ("...wav",)
    with pytest.raises(RecordingError):
        file_parts("{id}/x", "..", Path("/calls"))


def test_a_name_that_is_taken_gets_a_number(desk: Desk) -> None:
    desk.folder.mkdir()
    (desk.folder / "day").mkdir()
    (desk.folder / "day" / "call.wav").write_text("precious")
    (desk.folder / "day" / "call-2.wav").symlink_to("/dev/null")
    recordings = [desk.record("day/call") for _ in range(2)]
    for recording in recordings:
        recording.write(pcm(10))
    desk.turn()
    assert [str(recording.path) for recording in recordings] == [
        str(desk.folder / "day" / f"call-{number}.wav") for number in (3, 4)
    ]
    assert (desk.folder / "day" / "call.wav").read_text() == "precious"


def test_too_many_of_one_name(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COPIES", 2)
    recordings = [desk.record("call") for _ in range(3)]
    for recording in recordings:
        recording.close()
    desk.turn()
    assert [recording.path is not None for recording in recordings] == [True, True, False]
    assert desk.faults == ["the recording call.wav cannot be written: there are 2 files of this name"]


def test_links_below_the_folder_are_not_followed(desk: Desk, tmp_path: Path) -> None:
    desk.folder.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (desk.folder / "out").symlink_to(tmp_path / "elsewhere")
    recording = desk.record("out/call")
    recording.close()
    desk.turn()
    assert len(desk.faults) == 1
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_pipe_in_the_way_stops_nobody(desk: Desk) -> None:
    desk.folder.mkdir()
    os.mkfifo(desk.folder / "s.1.wav")
    os.mkfifo(desk.folder / "day")
    through, beside = desk.record("day/call"), desk.record()
    through.close()
    beside.close()
    desk.turn()
    assert desk.faults == ["the recording day/call.wav cannot be written: Not a directory"]
    assert beside.path == desk.folder / "s.1-2.wav"
