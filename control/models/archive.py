"""Unpacking archives that may be evil: tar (gzip, bzip2, plain) and zip.

Only plain files come out, below one folder, none twice, and no more bytes or files than allowed. Links, devices
and names that lead elsewhere are refused. What archives say about their sizes is not believed.
"""

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from control.errors import SetupError

MAX_FILES = 10_000
_CHUNK = 1_048_576
_TAR_READ = 1_048_576
"""Bytes that tarfile may read at once: what it takes into memory is the headers."""
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    ValueError,
    LookupError,
    ArithmeticError,
    RuntimeError,
)
"""What the libraries raise at nonsense, down to a RecursionError at a long chain of headers."""


class Seekable(Protocol):
    """What bytes come from, from any place on."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""

    def seek(self, offset: int, whence: int, /) -> int:
        """Go to `offset`."""

    def tell(self) -> int:
        """Where it is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A plain file in an archive."""

    name: str
    """Its path, as the archive has it."""
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, folder: Path, max_bytes: int) -> None:
    """Put all files of `archive` into `folder`, which exists. Raises SetupError; `folder` is then to be removed.

    A single folder at the top of the archive is left out: what is in it comes into `folder`.
    """
    left = max_bytes
    count = 0
    try:
        with closing(_entries(archive, folder, max_bytes)) as entries:
            for count, entry in enumerate(entries, 1):
                if count > MAX_FILES:
                    raise SetupError(f"the archive has more than {MAX_FILES} files")
                left -= _put(entry, folder, left)
    except _BROKEN as error:
        raise _unreadable(error) from error
    if not count:
        raise SetupError("the archive holds no file")
    _lift(folder)


def _put(entry: Entry, folder: Path, left: int) -> int:
    """Write one file; its bytes. Raises SetupError when there are more than `left`."""
    target = folder.joinpath(*_parts(entry.name))
    written = 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _open(entry) as source, target.open("xb") as file:
            while data := _read(source, min(_CHUNK, left - written + 1)):
                written += len(data)
                if written > left:
                    raise SetupError("what is in the archive is larger than max_bytes of this model")
                file.write(data)
    except (FileExistsError, NotADirectoryError) as error:
        raise SetupError(f"the archive has {entry.name[:100]!r} twice, or as file and folder") from error
    return written


# What cannot be unpacked is OSError to some libraries: below, it is told from a disk that is full.


def _open(entry: Entry) -> IO[bytes]:
    try:
        return entry.open()
    except OSError as error:
        raise _unreadable(error) from error


def _read(source: IO[bytes], size: int) -> bytes:
    try:
        return source.read(size)
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> SetupError:
    return SetupError(f"the archive is broken, or of no kind that is known ({type(error).__name__})")


def _parts(name: str) -> tuple[str, ...]:
    """The folders and the file that `name` goes through. Raises SetupError when it leads elsewhere."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in name or not name.isprintable():
        raise SetupError(f"the archive has a file that would lie outside: {name[:100]!r}")
    return path.parts


def _lift(folder: Path) -> None:
    """Where all is in one folder, put what is in it into `folder` itself."""
    inside = list(folder.iterdir())
    if len(inside) != 1 or not inside[0].is_dir():
        return
    top = inside[0].rename(folder.with_name(f"{folder.name}.top"))
    folder.rmdir()
    top.rename(folder)


def _entries(archive: Path, folder: Path, max_bytes: int) -> Generator[Entry, None, None]:
    try:
        yield from _of_any_kind(archive, folder, max_bytes)
    except OSError as error:
        raise _unreadable(error) from error


def _of_any_kind(archive: Path, folder: Path, max_bytes: int) -> Iterator[Entry]:
    with archive.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        if magic == b"PK\x03\x04":
            yield from _zip_entries(file)
        elif magic[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=file) as unzipped:
                yield from _tar_entries(_Bounded(unzipped, max_bytes), folder)
        elif magic[:3] == b"BZh":
            with bz2.BZ2File(file) as unzipped:
                yield from _tar_entries(_Bounded(unzipped, max_bytes), folder)
        else:
            yield from _tar_entries(_Bounded(file, max_bytes), folder)


def _tar_entries(file: "_Bounded", folder: Path) -> Iterator[Entry]:
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for number, member in enumerate(tar):
            if number > 2 * MAX_FILES:
                raise SetupError(f"the archive has more than {MAX_FILES} files and folders")
            try:
                tarfile.data_filter(member, str(folder))
            except tarfile.SpecialFileError as error:
                raise _no_file(member.name) from error
            except tarfile.FilterError as error:
                raise SetupError(f"the archive has {member.name[:100]!r}, which leads elsewhere") from error
            if member.isdir():
                continue
            # tarfile goes back and round in a circle after a file of negative size.
            if not member.isreg() or member.issparse() or member.size < 0:
                raise _no_file(member.name)
            yield Entry(member.name, partial(_opened, tar, member))


def _opened(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    if file is None:
        raise _no_file(member.name)
    return file


def _zip_entries(file: IO[bytes]) -> Iterator[Entry]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            kind = stat.S_IFMT(info.external_attr >> 16)
            encrypted = info.flag_bits & 1
            if kind not in (0, stat.S_IFREG) or encrypted:
                raise _no_file(info.filename)
            yield Entry(info.filename, partial(archive.open, info))


def _no_file(name: str) -> SetupError:
    return SetupError(
        f"the archive has {name[:100]!r}, which is no plain file (a link, a device, encrypted ...)"
    )


class _Bounded(io.RawIOBase):
    """The tar in an archive: not endless, and not read in huge pieces, since headers are taken into memory."""

    def __init__(self, file: Seekable, max_bytes: int) -> None:
        self._file = file
        # Each file has a header and is filled up to a whole block; zeros end the archive.
        self._most = max_bytes + 4 * MAX_FILES * tarfile.BLOCKSIZE + tarfile.RECORDSIZE

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes. Raises SetupError."""
        if not 0 <= size <= _TAR_READ:
            raise SetupError("the archive has a header that is too large")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to `offset`. Raises SetupError when that is beyond what is allowed."""
        if offset > self._most:
            raise SetupError("what is in the archive is larger than max_bytes of this model")
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Where it is."""
        return self._file.tell()
