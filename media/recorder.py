"""Recordings of calls: stereo WAV files under one folder, written by one thread for the whole worker.

The thread of the engine only appends samples to queues. All that can wait for a disk, opening files included, is done
by the writer, which visits every recording each PASS seconds. A file holds all but the last second of its call at any
moment, whatever becomes of the process.

No file is ever overwritten: a name that is taken gets a number, ``call.wav``, ``call-2.wav`` ...
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath

from control.errors import RecordingError
from media.engine.arrays import Pcm
from media.realtime import assist
from media.wav import MAX_BYTES, WavFile

log = logging.getLogger(__name__)

CHANNELS = 2
"""Left the caller, right what the caller was sent."""
PASS = 0.7
"""Seconds between two visits of the writer to a recording; half as many appends cost half as much."""
SLICES = 8
"""Parts of a pass, so that the disk and the engine's core get the work in small pieces."""
BACKLOG = 2
"""Seconds of a recording that may wait for the disk; what comes beyond is lost, and silence in the file."""
MODE, FOLDER_MODE = 0o640, 0o750
SUFFIX = ".wav"
_MAX_NAME = 240
"""Bytes of a file name, less than the 255 that file systems have, for the number."""
COPIES = 1000
"""Files of one name that there may be."""
_MAX_FRAMES = MAX_BYTES // (2 * CHANNELS)
STOP_SECONDS = 5.0
"""How long `Recorder.close` waits for the disk."""

Post = Callable[[Callable[[], None]], object]
"""Runs something in the thread of the sessions: ``loop.call_soon_threadsafe``."""


def file_parts(name: str | None, session: str, folder: Path) -> tuple[str, ...]:
    """Folders and file under `folder` that `name` means; without one ``{id}.wav``. Raises RecordingError.

    ``{id}`` stands for the session, ``.wav`` is added when missing, an absolute name must lie in `folder`.
    """
    path = PurePosixPath((name or "{id}.wav").replace("{id}", session))
    if path.is_absolute():
        if not path.is_relative_to(folder.absolute()):
            raise RecordingError(
                "recorderFile lies outside the folder of recordings: give a name relative to it"
            )
        path = path.relative_to(folder.absolute())
    if not path.parts or ".." in path.parts:
        raise RecordingError("recorderFile must name a file below the folder of recordings, without '..'")
    parts = path.parts if path.name.lower().endswith(SUFFIX) else (*path.parts[:-1], path.name + SUFFIX)
    for part in parts:
        try:
            size = len(part.encode())
        except UnicodeEncodeError:
            raise RecordingError("recorderFile holds characters that no file name has") from None
        if size > _MAX_NAME or "\0" in part:
            raise RecordingError(f"recorderFile has a part of more than {_MAX_NAME} bytes, or with a NUL")
    return parts


def create(folder: Path, parts: tuple[str, ...], mode: int = MODE) -> tuple[int, Path]:
    """A new file below `folder`, whose own and other folders are made; its descriptor and path.

    Follows no link below `folder`. Raises OSError.
    """
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    where = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            with suppress(FileExistsError):
                os.mkdir(part, FOLDER_MODE, dir_fd=where)
            outer, where = where, os.open(part, _FOLDER, dir_fd=where)
            os.close(outer)
        name = PurePosixPath(parts[-1])
        for number in range(1, COPIES + 1):
            numbered = name.name if number == 1 else f"{name.stem}-{number}{name.suffix}"
            try:
                return os.open(numbered, _NEW, mode, dir_fd=where), folder.joinpath(*parts[:-1], numbered)
            except FileExistsError:
                continue
        raise FileExistsError(0, f"there are {COPIES} files of this name")
    finally:
        os.close(where)


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Recording:
    """One file, in the making.

    `write` and `close` belong to the thread of the engine, `visit` to the writer. The first error is told
    by `fault`, in the engine's thread; recording goes on as soon as the disk lets it, at the right time.
    """

    def __init__(
        self,
        folder: Path,
        parts: tuple[str, ...],
        rate: int,
        mode: int,
        fault: Callable[[str], None],
        post: Post,
    ) -> None:
        self._folder, self._parts, self._mode = folder, parts, mode
        self._fault, self._post = fault, post
        self._queue: deque[tuple[int, Pcm]] = deque()
        self._queued = self._visited = 0  # frames; each is counted by one thread only
        self._closed = self._faulty = False
        self._file: WavFile | None = None
        self.rate = rate
        self.frames = 0
        """Duration so far, in samples of one channel."""
        self.path: Path | None = None
        """Where it is, once the writer has made it."""

    @property
    def name(self) -> str | None:
        """Its path below the folder of recordings; None before it is made."""
        return None if self.path is None else str(self.path.relative_to(self._folder))

    def write(self, pcm: Pcm, lost: int = 0) -> None:
        """Add int16 (n, 2), after `lost` frames of which nothing is known; never waits."""
        start = self.frames + lost
        self.frames = start + len(pcm)
        if self.frames > _MAX_FRAMES:
            self._tell("is full: a WAV file holds 4 GiB")
        elif self._queued - self._visited > BACKLOG * self.rate:
            self._tell(f"has silence from second {start / self.rate:.1f} on: the disk is too slow")
        else:
            self._queued += len(pcm)
            self._queue.append((start, pcm))

    def close(self) -> None:
        """No more comes: the writer finishes the file."""
        self._closed = True

    def visit(self) -> bool:
        """Write what waits; whether there is more to come. For the writer."""
        closed = self._closed  # read first: what was written before the close is in the queue
        while self._queue:
            self._attempt(self._flush)
        self._attempt(self._finish if closed else self._seal)
        if closed and self._file is not None:
            self._attempt(self._file.close)
        return not closed

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:
            self._tell(f"cannot be written: {error.strerror or error}")

    def _flush(self) -> None:
        """Write the first of the queue, and what follows it without a gap."""
        start, pcm = self._queue.popleft()
        parts, end = [pcm], start + len(pcm)
        while self._queue and self._queue[0][0] == end:
            parts.append(self._queue.popleft()[1])
            end += len(parts[-1])
        try:
            self._opened().write(start, b"".join([part.data for part in parts]))
        finally:
            self._visited += end - start

    def _seal(self) -> None:
        if self._file is not None:
            self._file.seal()

    def _finish(self) -> None:
        file = self._opened()
        file.extend(min(self.frames, _MAX_FRAMES))
        file.seal()

    def _opened(self) -> WavFile:
        if self._file is None:
            descriptor, self.path = create(self._folder, self._parts, self._mode)
            self._file = WavFile(descriptor, self.rate, CHANNELS)
            self._file.seal()
        return self._file

    def give_up(self) -> None:
        """Say that nothing more is written, after a fault of ours. For the writer."""
        self._tell("was given up: an internal error; the operator's log tells more")

    def _tell(self, problem: str) -> None:
        if not self._faulty:
            self._post(partial(self._told, f"the recording {'/'.join(self._parts)} {problem}"))

    def _told(self, message: str) -> None:
        """Both threads may have found a problem meanwhile."""
        if not self._faulty:
            self._faulty = True
            self._fault(message)


class Recorder:
    """All recordings of a worker, in files of `mode` below `folder`."""

    def __init__(self, folder: Path, post: Post, *, mode: int = MODE) -> None:
        self.folder = folder
        self._post, self._mode = post, mode
        self._arrivals: deque[Recording] = deque()
        self._slices: list[list[Recording]] = [[] for _ in range(SLICES)]
        self._arrived = self._turn = 0
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def record(self, name: str | None, session: str, rate: int, fault: Callable[[str], None]) -> Recording:
        """A recording called `name`, see `file_parts`, at `rate` Hz; `fault` hears of its first error.

        The file is made later. Raises RecordingError for a name that cannot be.
        """
        parts = file_parts(name, session, self.folder)
        recording = Recording(self.folder, parts, rate, self._mode, fault, self._post)
        self._arrivals.append(recording)
        return recording

    def start(self) -> None:
        """Let the writer begin."""
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish all files. Waits for the disk, but not for ever."""
        self._stop.set()
        if self._thread is None:
            self.finish()
            return
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            log.error("recordings in %s are not finished: the disk does not answer", self.folder)

    def _run(self) -> None:
        assist()
        while not self._stop.wait(PASS / SLICES):
            self.visit()
        self.finish()

    def visit(self) -> None:
        """Do one part of a pass."""
        while self._arrivals:
            self._slices[self._arrived % SLICES].append(self._arrivals.popleft())
            self._arrived += 1
        self._slices[self._turn] = [one for one in self._slices[self._turn] if _visited(one)]
        self._turn = (self._turn + 1) % SLICES

    def finish(self) -> None:
        """Finish all files, also those that were not closed."""
        for _ in range(SLICES):
            for recording in (*self._arrivals, *self._slices[self._turn]):
                recording.close()
            self.visit()


def _visited(recording: Recording) -> bool:
    """Whether there is more to come."""
    try:
        return recording.visit()
    except Exception:
        # A fault in one recording must not end the thread that writes them all.
        log.exception("a recording was given up")
        recording.give_up()
        return False
