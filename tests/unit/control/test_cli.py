"""The `sidecall` command: help, exit statuses, one sentence for what is wrong, nothing started."""

import ast
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

import pytest

import control
from control import cli, up
from control.config import Kamailio, Settings
from control.errors import SetupError
from tests.support import fakenode

COMMANDS = ("up", "control", "media", "spec", "render", "check", "doctor", "models")


class ReplacedError(Exception):
    """The process would have become another program."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return fakenode.settings(tmp_path)


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    command: list[str] = []

    def execv(path: str, argv: tuple[str, ...]) -> NoReturn:
        command.extend((path, *argv))
        raise ReplacedError

    monkeypatch.setattr(os, "execv", execv)
    return command


def config_file(settings: Settings, folder: Path) -> str:
    path = folder / "node.toml"
    path.write_text(fakenode.toml(settings), "utf-8")
    return str(path)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([*filter(None, [command]), "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "configuration file" in text
    assert command or all(f"    {name} " in text for name in COMMANDS)


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([])
    assert caught.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["before", "after"])
def test_the_configuration_is_named_before_or_after_the_command(
    place: str, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    option = ["-c", config_file(settings, tmp_path)]
    assert cli.main([*option, "render"] if place == "before" else ["render", *option]) == 0
    assert capsys.readouterr().out == f"written to {settings.run_dir}\n"
    assert (settings.run_dir / "kamailio.cfg").is_file()
    assert (settings.run_dir / "rtpengine.conf").is_file()


class TestFindConfig:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def test_nothing_there(self) -> None:
        assert cli.find_config(None, {}) is None

    def test_named_by_the_environment(self) -> None:
        assert cli.find_config(None, {"SIDECALL_CONFIG": "/etc/s.toml"}) == Path("/etc/s.toml")

    def test_the_file_in_this_folder_comes_first(self, tmp_path: Path) -> None:
        (tmp_path / "sidecall.toml").touch()
        assert cli.find_config(None, {"SIDECALL_CONFIG": "/etc/s.toml"}) == Path("sidecall.toml")

    def test_what_is_given_comes_before_all(self, tmp_path: Path) -> None:
        (tmp_path / "sidecall.toml").touch()
        assert cli.find_config(Path("other.toml"), {"SIDECALL_CONFIG": "x"}) == Path("other.toml")


class TestRefusals:
    """Exit status 2, one sentence, and no program started."""

    def refuse(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
        assert cli.main(arguments) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith("sidecall: ")
        assert shown.err.count("\n") == 1
        return shown.err

    def test_a_file_that_is_not_there(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "/no/file.toml: cannot be read" in self.refuse(capsys, "-c", "/no/file.toml", "check")

    def test_a_bad_key(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "bad.toml"
        path.write_text("[sip]\nprot = 1", "utf-8")
        assert "sip.prot: is not a key" in self.refuse(capsys, "-c", str(path), "up")

    def test_a_port_in_use(
        self, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with socket.create_server(("127.0.0.1", settings.control.port)):
            sentence = self.refuse(capsys, "-c", config_file(settings, tmp_path), "up")
        assert f"control.port: {settings.control.port}/tcp on 127.0.0.1 in use by" in sentence
        assert f"(pid {os.getpid()})" in sentence
        assert os.listdir(settings.run_dir) == ["up.lock"]  # noqa: PTH208

    def test_a_missing_program(
        self, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lacking = settings.model_copy(update={"kamailio": Kamailio(program="no-kamailio")})
        sentence = self.refuse(capsys, "-c", config_file(lacking, tmp_path), "up")
        assert "no-kamailio is not on this machine: run `make setup`" in sentence
        assert os.listdir(settings.run_dir) == ["up.lock"]  # noqa: PTH208

    def test_a_worker_that_is_not_configured(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "workers are 0 to 0: raise media.workers" in self.refuse(capsys, "media", "--worker", "1")

    @pytest.mark.parametrize("number", ["x", "-1"])
    def test_a_worker_that_is_no_number(self, number: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            cli.main(["media", f"--worker={number}"])
        assert caught.value.code == 2
        assert "--worker" in capsys.readouterr().err


def test_each_line_of_several_faults_is_marked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise SetupError("one\ntwo")

    monkeypatch.setattr(up, "run", refuse)
    assert cli.main(["up"]) == 2
    assert capsys.readouterr().err == "sidecall: one\nsidecall: two\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"sip": True, "bot": True}),
        (["--no-sip"], {"sip": False, "bot": True}),
        (["--no-bot"], {"sip": True, "bot": False}),
    ],
)
def test_up_passes_its_options(
    options: list[str], expected: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, object] = {}

    async def run(*_: object, **options: object) -> None:
        given.update(options)

    monkeypatch.setattr(up, "run", run)
    assert cli.main(["up", *options]) == 0
    assert given == expected


def test_an_interrupt_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(up, "run", interrupted)
    assert cli.main(["up"]) == 130


def test_control_becomes_the_module(replaced: list[str], settings: Settings, tmp_path: Path) -> None:
    config = config_file(settings, tmp_path)
    with pytest.raises(ReplacedError):
        cli.main(["control", "-c", config])
    assert replaced == [sys.executable, sys.executable, "-P", "-u", "-m", "control", "-c", config]


@pytest.mark.parametrize("wanted", [("openapi",), ("--write", "docs")])
def test_spec_becomes_the_module(wanted: tuple[str, ...], replaced: list[str]) -> None:
    with pytest.raises(ReplacedError):
        cli.main(["spec", *wanted])
    assert replaced[-len(wanted) - 2 :] == ["-m", "media.api.spec", *wanted]


def test_media_becomes_the_module(replaced: list[str]) -> None:
    with pytest.raises(ReplacedError):
        cli.main(["media", "--worker", "0"])
    assert replaced[-5:] == ["-u", "-m", "media", "--worker", "0"]
    with pytest.raises(ReplacedError):
        cli.main(["media", "--no-sip"])
    assert replaced[-3:] == ["--worker", "0", "--no-sip"]


def test_check_says_ok_or_what_is_wrong(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_file(settings, tmp_path)
    assert cli.main(["check", "-c", config]) == 0
    assert capsys.readouterr().out == f"{config} is ok\n"
    lacking = settings.model_copy(update={"kamailio": Kamailio(program="no-kamailio")})
    assert cli.main(["check", "-c", config_file(lacking, tmp_path)]) == 1
    assert "no-kamailio is not on this machine" in capsys.readouterr().out


def test_doctor_fails_when_something_is_missing(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking = settings.model_copy(update={"kamailio": Kamailio(program="no-kamailio")})
    assert cli.main(["doctor", "-c", config_file(lacking, tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("missing  kamailio") for line in lines)


def test_control_never_imports_media() -> None:
    [folder] = control.__path__
    for path in Path(folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Import(names=names):
                    modules = [name.name for name in names]
                case ast.ImportFrom(module=str(module), level=0):
                    modules = [module]
                case _:
                    continue
            assert not [name for name in modules if name.split(".")[0] == "media"], path
