"""What is looked at before anything starts."""

import os
from pathlib import Path

import pytest

from control import preflight
from control.config import Settings
from control.errors import SetupError
from tests.support import fakenode

HOST = "127.0.0.1"


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return fakenode.settings(tmp_path)


async def faults(settings: Settings, bot: Path | None = None) -> list[str]:
    with pytest.raises(SetupError) as caught:
        await preflight.check(settings, (HOST,), bot)
    return str(caught.value).splitlines()


async def test_a_machine_that_is_fit(settings: Settings) -> None:
    await preflight.check(settings, (HOST,), Path(__file__))


async def test_servers_that_are_missing(settings: Settings) -> None:
    lacking = settings.model_copy(
        update={
            "kamailio": settings.kamailio.model_copy(update={"program": "no-kamailio"}),
            "rtpengine": settings.rtpengine.model_copy(update={"program": "no-rtpengine"}),
        }
    )
    first, second = await faults(lacking)
    assert "no-kamailio is not on this machine: run `make setup`" in first
    assert "no-rtpengine is not on this machine" in second
    await preflight.check(lacking, (), None)


async def test_a_script_that_is_missing(settings: Settings) -> None:
    assert await faults(settings, Path("/no/bot.py")) == [
        "up.bot: there is no file /no/bot.py: name a script, or start with --no-bot"
    ]


async def test_settings_that_collide(settings: Settings) -> None:
    api = settings.api.model_copy(update={"port": settings.control.port})
    [fault] = await faults(settings.model_copy(update={"api": api}))
    assert fault.startswith("api.port and control.port are both")


def test_programs_are_found_by_name_and_by_path(tmp_path: Path) -> None:
    assert preflight.find_program("sh") in {"/bin/sh", "/usr/bin/sh"}
    path = script(tmp_path / "mine", "")
    assert preflight.find_program(path) == path


def test_programs_are_found_where_servers_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(preflight, "SYSTEM_FOLDERS", (str(tmp_path),))
    path = script(tmp_path / "mine", "")
    assert preflight.find_program("mine") == path


async def test_the_version_is_the_first_line(tmp_path: Path) -> None:
    path = script(tmp_path / "mine", 'echo "$1 7.1"; echo more')
    assert await preflight.version(path, "-v") == "-v 7.1"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("echo no such library >&2; exit 127", "-v` failed: no such library"),
        ("exit 0", "-v` failed: it printed nothing"),
    ],
)
async def test_a_version_that_cannot_be_read(tmp_path: Path, body: str, words: str) -> None:
    with pytest.raises(SetupError) as caught:
        await preflight.version(script(tmp_path / "mine", body), "-v")
    assert words in str(caught.value)


async def test_a_version_that_never_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "VERSION_SECONDS", 0.05)
    with pytest.raises(SetupError, match=r"did not end within 0\.05 s"):
        await preflight.version(script(tmp_path / "mine", "exec tail -f /dev/null"), "-v")


async def test_a_program_that_cannot_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(preflight, "spawn", refuse)
    with pytest.raises(SetupError, match="mine cannot be run: Permission denied"):
        await preflight.version("mine", "-v")


def test_one_supervisor_for_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    with preflight.RunDirLock(folder):
        words = rf"used by another `sidecall up` \(pid {os.getpid()}\): stop it or set another run_dir"
        with pytest.raises(SetupError, match=words), preflight.RunDirLock(folder):
            pytest.fail("both got in")
    with preflight.RunDirLock(folder):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(SetupError, match=r"run_dir: .*file/run cannot be written \(Not a directory\)"),
        preflight.RunDirLock(tmp_path / "file" / "run"),
    ):
        pytest.fail("got in")
