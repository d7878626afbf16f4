"""`sidecall models`, through the command line, against a server of files on this machine."""

import asyncio
import fcntl
import io
import os
import tarfile
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control import cli
from tests.support.fileserver import FileServer, file_server

VOICE = os.urandom(300_000)
SPEC = b'{"audio": {"sample_rate": 16000}}'


def tarball(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:bz2") as file:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Node:
    """A configuration, its folder of models, and the command."""

    def __init__(self, folder: Path, server: FileServer, capsys: pytest.CaptureFixture[str]) -> None:
        self.server = server
        self.folder = folder / "models"
        self._config = folder / "node.toml"
        self._capsys = capsys
        self._tables: dict[str, str] = {}
        self.error = ""

    def voice(self, name: str, *, sha256: str | None = None, **keys: str) -> None:
        """Write a model of two files down."""
        text = "kind = 'piper'\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
        for file in ("v.onnx", "v.onnx.json"):
            checksum = sha256 if sha256 and file == "v.onnx" else self.server.files[file].sha256
            text += (
                f'[models.{name}.files."{file}"]\nurl = "{self.server.url(file)}"\nsha256 = "{checksum}"\n'
            )
        self._write(name, text)

    def archive(self, name: str, file: str, *, max_bytes: int = 10**6) -> None:
        """Write a model that is an archive down."""
        url, checksum = self.server.url(file), self.server.files[file].sha256
        self._write(
            name,
            f'kind = "sherpa"\nurl = "{url}"\nsha256 = "{checksum}"\nunpack = true\nmax_bytes = {max_bytes}\n',
        )

    def forget(self, name: str) -> None:
        """Take a model out of the configuration."""
        del self._tables[name]
        self._save()

    def _write(self, name: str, text: str) -> None:
        self._tables[name] = f"[models.{name}]\n{text}"
        self._save()

    def _save(self) -> None:
        head = f'[speech]\nmodels = "{self.folder}"\n'
        self._config.write_text(head + "".join(self._tables.values()), "utf-8")

    async def run(self, *arguments: str, status: int = 0) -> list[str]:
        """What the command writes; `error` is what it writes beside."""
        found = await asyncio.to_thread(cli.main, ["models", *arguments, "-c", str(self._config)])
        shown = self._capsys.readouterr()
        self.error = shown.err
        assert found == status, shown
        return shown.out.splitlines()

    async def refusal(self, *arguments: str) -> str:
        """Why the command refuses, in one line."""
        await self.run(*arguments, status=2)
        return self.error.splitlines()[-1].removeprefix("sidecall: ")

    def found(self, name: str) -> list[Path]:
        """Everything of that name in the test's folder."""
        return list(self.folder.parent.rglob(name))

    def files(self) -> dict[str, bytes]:
        """All files in the folder, but for lock and manifests."""
        hidden = (".lock", ".model.json")
        paths = (path for path in self.folder.rglob("*") if path.is_file() and path.name not in hidden)
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}


@pytest.fixture
async def node(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Node]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with file_server() as server:
        server.put("v.onnx", VOICE)
        server.put("v.onnx.json", SPEC)
        server.put("en.tar.bz2", tarball({"en/tokens.txt": b"a", "en/am/final.mdl": b"model"}))
        node = Node(tmp_path, server, capsys)
        node.voice("amy")
        node.archive("english", "en.tar.bz2")
        yield node


INSTALLED = {"amy/v.onnx": VOICE, "amy/v.onnx.json": SPEC}


class TestFlow:
    """What people do, from the first list to the end."""

    async def test_from_nothing_to_nothing(self, node: Node) -> None:
        assert await node.run() == [
            "NAME     KIND    SIZE  STATE          WHERE",
            "amy      piper      -  not installed  -",
            "english  sherpa     -  not installed  -",
        ]
        assert await node.run("fetch", "amy", "english") == [
            f"amy: installed in {node.folder}/amy",
            f"english: installed in {node.folder}/english",
        ]
        assert "amy/v.onnx: 300.0 kB of 300.0 kB (100 %)" in node.error
        assert node.files() == INSTALLED | {"english/tokens.txt": b"a", "english/am/final.mdl": b"model"}
        assert await node.run("list") == [
            "NAME     KIND        SIZE  STATE      WHERE",
            f"amy      piper   300.0 kB  installed  {node.folder}/amy",
            f"english  sherpa       6 B  installed  {node.folder}/english",
        ]
        assert await node.run("check") == ["every model that was fetched is what it should be"]
        assert await node.run("remove", "amy", "english") == ["amy: removed", "english: removed"]
        assert node.files() == {}

    async def test_an_empty_catalogue(self, node: Node) -> None:
        node.forget("amy")
        node.forget("english")
        [line] = await node.run()
        assert "docs/models.md tells how to add one" in line
        assert await node.run("check") == ["every model that was fetched is what it should be"]

    async def test_folders_of_a_model_can_be_read_by_all(self, node: Node) -> None:
        await node.run("fetch", "english")
        usual = node.folder.stat().st_mode
        assert (node.folder / "english").stat().st_mode == usual
        assert (node.folder / "english" / "am").stat().st_mode == usual

    async def test_what_is_installed_is_not_fetched_again(self, node: Node) -> None:
        await node.run("fetch", "amy")
        node.server.asked.clear()
        assert await node.run("fetch", "amy") == [f"amy: is installed already in {node.folder}/amy"]
        assert node.server.asked == []


class TestFetch:
    """What can go wrong."""

    async def test_a_break_is_gone_on_with_by_the_next_run(self, node: Node) -> None:
        node.server.files["v.onnx"].cuts += [1000, 1000]
        assert "1000 bytes are kept, fetch again to go on" in await node.refusal("fetch", "amy")
        assert not (node.folder / "amy").exists()
        node.server.asked.clear()
        await node.run("fetch", "amy")
        assert [wanted for _, wanted, _ in node.server.asked] == ["bytes=1000-", None]
        assert node.files() == INSTALLED

    async def test_a_file_that_came_is_not_fetched_again_for_the_sake_of_another(self, node: Node) -> None:
        spec = node.server.files.pop("v.onnx.json")
        assert "v.onnx.json: the server answered 404" in await node.refusal("fetch", "amy")
        node.server.files["v.onnx.json"] = spec
        node.server.asked.clear()
        await node.run("fetch", "amy")
        assert [name for name, *_ in node.server.asked] == ["v.onnx.json"]

    async def test_a_wrong_checksum_installs_nothing(self, node: Node) -> None:
        node.voice("amy", sha256="ab" * 32)
        reason = await node.refusal("fetch", "amy")
        assert reason.startswith("models.amy: what came has the sha256 ")
        assert reason.count("ab" * 32) == 1
        assert node.files() == {}

    async def test_a_wrong_checksum_of_an_archive_unpacks_nothing(self, node: Node) -> None:
        served = node.server.files["en.tar.bz2"]
        served.data = served.data + b"\0"
        assert "sha256" in await node.refusal("fetch", "english")
        assert node.files() == {}

    async def test_an_evil_archive_leaves_nothing(self, node: Node) -> None:
        node.server.put("evil.zip", evil_zip())
        node.archive("evil", "evil.zip")
        assert await node.refusal("fetch", "evil") == (
            "models.evil: the archive has a file that would lie outside: '../../escaped'"
        )
        assert await node.run("list", "evil") == [
            "NAME  KIND    SIZE  STATE          WHERE",
            "evil  sherpa     -  not installed  -",
        ]
        assert not node.found("escaped")
        assert not node.found("fine")
        await node.run("fetch", "amy")
        assert {name for name in node.files() if not name.startswith(".parts")} == set(INSTALLED)

    async def test_too_large_an_archive(self, node: Node) -> None:
        node.server.put("big.tar.bz2", tarball({"zeros": bytes(100_000)}))
        node.archive("big", "big.tar.bz2", max_bytes=99_999)
        assert "models.big: what is in the archive is larger than max_bytes" in await node.refusal(
            "fetch", "big"
        )

    async def test_too_large_a_file(self, node: Node) -> None:
        node.voice("amy", max_bytes="299_999")
        assert "larger than max_bytes of this model (299999)" in await node.refusal("fetch", "amy")

    async def test_a_model_that_is_not_in_the_configuration(self, node: Node) -> None:
        assert "models.bob is not in the configuration" in await node.refusal("fetch", "amy", "bob")
        assert node.server.asked == []

    async def test_no_name(self, node: Node) -> None:
        assert await node.refusal("fetch") == "models fetch: name at least one model"

    async def test_two_at_once(self, node: Node) -> None:
        node.folder.mkdir()
        with (node.folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert "another `sidecall models` works in" in await node.refusal("fetch", "amy")
            assert "another `sidecall models` works in" in await node.refusal("remove", "amy")
        await node.run("fetch", "amy")

    async def test_a_folder_that_cannot_be_written(self, node: Node) -> None:
        node.folder.write_text("a file", "utf-8")
        assert "speech.models: " in await node.refusal("fetch", "amy")

    async def test_another_version_takes_the_place_of_the_old(self, node: Node) -> None:
        await node.run("fetch", "amy")
        node.server.put("v.onnx", b"new", etag='"v2"')
        node.voice("amy")
        assert "outdated" in (await node.run("list", "amy"))[1]
        assert await node.run("check", status=1) == ["amy: the configuration names another version: fetch it"]
        await node.run("fetch", "amy")
        assert node.files() == {"amy/v.onnx": b"new", "amy/v.onnx.json": SPEC}

    async def test_the_old_version_stays_while_the_new_one_cannot_be_had(self, node: Node) -> None:
        await node.run("fetch", "amy")
        node.voice("amy", sha256="ab" * 32)
        await node.refusal("fetch", "amy")
        assert node.files() == INSTALLED

    async def test_what_a_killed_run_left_goes(self, node: Node) -> None:
        for left in (".work/amy/half", f".parts/{'ab' * 32}", f".parts/{'ab' * 32}.version"):
            (node.folder / left).parent.mkdir(parents=True, exist_ok=True)
            (node.folder / left).touch()
        await node.run("fetch", "amy")
        assert node.files() == INSTALLED

    async def test_what_is_there_by_hand_stays(self, node: Node) -> None:
        (node.folder / "amy").mkdir(parents=True)
        (node.folder / "amy" / "mine").touch()
        assert "was put there by hand: move it away first" in await node.refusal("fetch", "amy")
        assert "was put there by hand: move it away first" in await node.refusal("remove", "amy")
        assert (node.folder / "amy" / "mine").exists()


class TestCheck:
    """Files that are no longer what was fetched."""

    async def test_a_file_that_changed(self, node: Node) -> None:
        await node.run("fetch", "amy", "english")
        with (node.folder / "amy" / "v.onnx").open("r+b") as file:
            file.write(b"\0" + bytes([VOICE[1] ^ 1]))
        (node.folder / "english" / "am" / "final.mdl").unlink()
        (node.folder / "english" / "tokens.txt").write_bytes(b"ab")
        again = "remove it, then fetch it again"
        assert await node.run("check", status=1) == [
            f"amy: {node.folder}/amy/v.onnx has changed: {again}",
            f"english: {node.folder}/english/am/final.mdl is missing: {again}",
            f"english: {node.folder}/english/tokens.txt has 2 bytes, not 1: {again}",
        ]
        assert len(await node.run("check", "english", status=1)) == 2

    async def test_a_damaged_manifest(self, node: Node) -> None:
        await node.run("fetch", "amy")
        (node.folder / "amy" / ".model.json").write_text("{", "utf-8")
        assert "damaged" in (await node.run("list", "amy"))[1]
        assert await node.run("check", status=1) == ["amy: its .model.json cannot be read: fetch it again"]
        await node.run("fetch", "amy")
        await node.run("check")

    async def test_what_was_never_fetched(self, node: Node) -> None:
        node.folder.mkdir()
        (node.folder / "bob.onnx").write_bytes(b"12345")
        assert await node.run("check") == ["every model that was fetched is what it should be"]
        assert await node.run("check", "amy", "bob.onnx", status=1) == [
            "amy: not installed: fetch it",
            "bob.onnx: put there by hand: nobody knows what it must be",
        ]
        assert await node.run("list", "bob.onnx") == [
            "NAME      KIND  SIZE  STATE    WHERE",
            f"bob.onnx  -      5 B  by hand  {node.folder}/bob.onnx",
        ]


class TestRemove:
    """Only what was fetched goes."""

    async def test_a_model_that_has_left_the_configuration(self, node: Node) -> None:
        await node.run("fetch", "amy")
        node.forget("amy")
        assert (await node.run("list", "amy"))[1].split()[:2] == ["amy", "piper"]
        assert await node.run("remove", "amy") == ["amy: removed"]
        assert node.files() == {}

    @pytest.mark.parametrize("name", ["amy", "bob", "..", ".lock", ""])
    async def test_what_is_not_there(self, name: str, node: Node) -> None:
        assert "is not installed in" in await node.refusal("remove", name)

    async def test_a_link_is_nothing_of_ours(self, node: Node, tmp_path: Path) -> None:
        node.folder.mkdir()
        (tmp_path / "elsewhere").mkdir()
        (node.folder / "amy").symlink_to(tmp_path / "elsewhere")
        assert "by hand" in await node.refusal("remove", "amy")
        assert (tmp_path / "elsewhere").is_dir()


def evil_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("fine", b"1")
        file.writestr("../../escaped", b"2")
    return out.getvalue()
