"""Unpacking: honest archives of every kind, and evil ones."""

import bz2
import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.errors import SetupError
from control.models import archive
from control.models.archive import unpack

FILES = {"top/tokens.txt": b"a b c\n", "top/am/final.mdl": bytes(5000)}


def tar(*members: tuple[tarfile.TarInfo, bytes], kind: str = "gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{kind}") as file:  # type: ignore[call-overload]
        for info, data in members:
            if info.isreg() and not info.size:
                info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return out.getvalue()


def info(name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, size
    return made


def plain_tar(files: dict[str, bytes], kind: str = "gz") -> bytes:
    return tar(*((info(name), data) for name, data in files.items()), kind=kind)


def plain_zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return out.getvalue()


def unpacked(folder: Path, data: bytes, max_bytes: int = 10**6) -> dict[str, bytes]:
    path = folder / "archive"
    path.write_bytes(data)
    target = folder / "target"
    target.mkdir()
    unpack(path, target, max_bytes)
    return {str(file.relative_to(target)): file.read_bytes() for file in target.rglob("*") if file.is_file()}


def refusal(folder: Path, data: bytes, max_bytes: int = 10**6) -> str:
    with pytest.raises(SetupError) as caught:
        unpacked(folder, data, max_bytes)
    outside = {path.name for path in folder.iterdir()} - {"archive", "target"}
    assert not outside
    return str(caught.value)


@pytest.mark.parametrize("kind", ["gz", "bz2", ""])
def test_a_tar(kind: str, tmp_path: Path) -> None:
    folder = info("top", tarfile.DIRTYPE)
    data = tar((folder, b""), *((info(name), data) for name, data in FILES.items()), kind=kind)
    assert unpacked(tmp_path, data) == {"tokens.txt": b"a b c\n", "am/final.mdl": bytes(5000)}


def test_a_zip(tmp_path: Path) -> None:
    data = plain_zip({"top/": b"", **FILES})
    assert unpacked(tmp_path, data) == {"tokens.txt": b"a b c\n", "am/final.mdl": bytes(5000)}


def test_what_has_no_folder_of_its_own_stays_as_it_is(tmp_path: Path) -> None:
    assert unpacked(tmp_path, plain_tar({"./a": b"1", "b/c": b"2"})) == {"a": b"1", "b/c": b"2"}


def test_only_one_folder_is_left_out(tmp_path: Path) -> None:
    assert unpacked(tmp_path, plain_tar({"a/a/f": b"1"})) == {"a/f": b"1"}


def test_a_single_file_stays(tmp_path: Path) -> None:
    assert unpacked(tmp_path, plain_tar({"a": b"1"})) == {"a": b"1"}


def test_permissions_of_the_archive_do_not_count(tmp_path: Path) -> None:
    suid = info("run")
    suid.mode = 0o6777
    unpacked(tmp_path, tar((suid, b"x")))
    assert not (tmp_path / "target" / "run").stat().st_mode & (stat.S_ISUID | stat.S_ISGID | 0o111)


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "a\\..\\evil", "a\nb", "..", "a/.."]
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_names_that_lead_elsewhere(kind: str, name: str, tmp_path: Path) -> None:
    files = {"fine": b"1", name: b"2"}
    reason = refusal(tmp_path, plain_tar(files) if kind == "tar" else plain_zip(files))
    assert "outside" in reason or "leads elsewhere" in reason


@pytest.mark.parametrize(
    ("kind", "link"),
    [
        (tarfile.SYMTYPE, "fine"),
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "../.."),
        (tarfile.LNKTYPE, "fine"),
        (tarfile.LNKTYPE, "../../etc/passwd"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
    ],
)
def test_links_and_devices_in_a_tar(kind: bytes, link: str, tmp_path: Path) -> None:
    reason = refusal(tmp_path, tar((info("fine"), b"1"), (info("evil", kind, link=link), b"")))
    assert "'evil'" in reason
    assert "no plain file" in reason or "leads elsewhere" in reason


def test_a_link_in_a_zip(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        link = zipfile.ZipInfo("evil")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
    assert "'evil', which is no plain file" in refusal(tmp_path, out.getvalue())


def test_an_encrypted_zip(tmp_path: Path) -> None:
    data = bytearray(plain_zip({"a": b"secret"}))
    for at in (data.index(b"PK\x03\x04") + 6, data.index(b"PK\x01\x02") + 8):
        data[at] |= 1
    assert "encrypted" in refusal(tmp_path, bytes(data))


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_name_that_comes_twice(kind: str, tmp_path: Path) -> None:
    data = (
        tar((info("a"), b"1"), (info("./a"), b"2")) if kind == "tar" else plain_zip({"a": b"1", "./a": b"2"})
    )
    assert "twice" in refusal(tmp_path, data)


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a")])
def test_a_file_that_is_a_folder_as_well(names: tuple[str, str], tmp_path: Path) -> None:
    assert "as file and folder" in refusal(tmp_path, plain_zip(dict.fromkeys(names, b"1")))


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_more_than_is_allowed(kind: str, tmp_path: Path) -> None:
    files = {"a": bytes(600), "b": bytes(500)}
    assert "larger than max_bytes" in refusal(
        tmp_path, plain_tar(files) if kind == "tar" else plain_zip(files), 1099
    )


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_just_as_much_as_is_allowed(kind: str, tmp_path: Path) -> None:
    files = {"a": bytes(600), "b": bytes(500)}
    assert unpacked(tmp_path, plain_tar(files) if kind == "tar" else plain_zip(files), 1100) == files


def test_a_bomb(tmp_path: Path) -> None:
    data = plain_zip({"a": bytes(50_000_000)})
    assert len(data) < 60_000
    assert "larger than max_bytes" in refusal(tmp_path, data, 1_000_000)
    written = sum(file.stat().st_size for file in (tmp_path / "target").rglob("*"))
    assert written <= 1_000_000


def test_a_zip_that_lies_about_a_size(tmp_path: Path) -> None:
    data = bytearray(plain_zip({"a": bytes(5000)}))
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = (10).to_bytes(4, "little")
    assert "broken" in refusal(tmp_path, bytes(data))


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_FILES", 3)
    files = {str(number): b"" for number in range(4)}
    assert "more than 3 files" in refusal(tmp_path, plain_tar(files))


def test_too_many_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_FILES", 3)
    folders = [(info(str(number), tarfile.DIRTYPE), b"") for number in range(8)]
    assert "more than 3 files and folders" in refusal(tmp_path, tar(*folders))


def test_a_huge_header_is_not_taken_into_memory(tmp_path: Path) -> None:
    evil = info("pax", tarfile.XHDTYPE, size=2_000_000)
    data = gzip.compress(evil.tobuf(tarfile.USTAR_FORMAT) + bytes(2_000_000))
    assert "header that is too large" in refusal(tmp_path, data)


def test_a_negative_size_does_not_lead_in_a_circle(tmp_path: Path) -> None:
    evil = bytearray(info("evil").tobuf(tarfile.GNU_FORMAT))
    evil[124:136] = b"\xff" * 10 + b"\xfc\x00"
    evil[148:156] = b" " * 8
    evil[148:156] = f"{sum(evil):06o}\0 ".encode()
    assert "no plain file" in refusal(tmp_path, bytes(evil) + bytes(10_240))


def test_a_sparse_file(tmp_path: Path) -> None:
    assert "no plain file" in refusal(tmp_path, tar((info("evil", tarfile.GNUTYPE_SPARSE), b"")))


def test_a_long_chain_of_headers(tmp_path: Path) -> None:
    link = info("x", tarfile.GNUTYPE_LONGNAME, size=5).tobuf(tarfile.GNU_FORMAT) + b"name\0".ljust(512, b"\0")
    assert "broken" in refusal(tmp_path, link * 3000)


def test_a_file_that_claims_to_be_huge(tmp_path: Path) -> None:
    head = info("a", size=60_000_000).tobuf(tarfile.USTAR_FORMAT)
    assert "larger than max_bytes" in refusal(tmp_path, gzip.compress(head + bytes(60_000_000)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive at all",
        gzip.compress(b"not a tar"),
        plain_tar(FILES)[:-30],
        plain_tar(FILES, "bz2")[:-30],
        b"BZh9" + bytes(100),
        b"\x1f\x8b" + bytes(100),
        b"PK\x03\x04" + bytes(100),
        plain_zip(FILES)[:-30],
    ],
    ids=lambda data: f"{data[:4]!r}-{zlib.crc32(data)}",
)
def test_no_archive(data: bytes, tmp_path: Path) -> None:
    assert "broken" in refusal(tmp_path, data)


def test_a_zip_whose_parts_are_before_its_begin(tmp_path: Path) -> None:
    data = bytearray(plain_zip({"a": b"1"}))
    at = data.index(b"PK\x05\x06") + 16
    data[at : at + 4] = (2**31).to_bytes(4, "little")
    assert "broken" in refusal(tmp_path, bytes(data))


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_only_folders(kind: str, tmp_path: Path) -> None:
    data = tar((info("a", tarfile.DIRTYPE), b"")) if kind == "tar" else plain_zip({"a/": b""})
    assert "holds no file" in refusal(tmp_path, data)


def test_a_bz2_of_nonsense(tmp_path: Path) -> None:
    assert "broken" in refusal(tmp_path, bz2.compress(b"nonsense" * 100))


SAMPLES = (plain_tar(FILES), plain_tar(FILES, "bz2"), plain_tar(FILES, ""), plain_zip(FILES))


@settings(deadline=None)
@given(st.sampled_from(SAMPLES), st.integers(0, 6000), st.binary(min_size=1, max_size=4))
def test_a_damaged_archive_is_refused_or_unpacked_inside(
    tmp_path_factory: pytest.TempPathFactory, sample: bytes, at: int, junk: bytes
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    at %= len(sample)
    with suppress(SetupError):
        unpacked(folder, sample[:at] + junk + sample[at + len(junk) :])
    assert {path.name for path in folder.iterdir()} <= {"archive", "target"}
