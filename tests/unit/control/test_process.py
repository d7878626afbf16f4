import asyncio
import logging
import os
import signal
from pathlib import Path

import pytest
import uvloop

from control import process
from control.config import Settings
from control.errors import ConfigError, LegError, LegErrorCode, SetupError


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "sidecall.toml"
    path.write_text('log_level = "error"\n[control]\nname = "x"\n')
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_runs_with_its_settings_until_a_signal(config: Path, number: signal.Signals) -> None:
    names: list[str] = []

    async def serve(settings: Settings, stop: asyncio.Event) -> None:
        assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
        names.append(settings.control.name)
        os.kill(os.getpid(), number)
        await stop.wait()
        names.append("stopped")

    process.run(config, serve)
    assert names == ["x", "stopped"]


def test_the_log_level_is_that_of_the_settings(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []
    monkeypatch.setattr(logging, "basicConfig", lambda **options: given.append(options["level"]))

    async def serve(settings: Settings, stop: asyncio.Event) -> None:
        return

    process.run(config, serve)
    assert given == ["ERROR"]


@pytest.mark.parametrize(
    "error", [SetupError("port 5 is taken; choose another"), ConfigError("a.b: no number")]
)
def test_what_the_operator_can_mend_is_said_in_one_sentence(
    config: Path, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    async def serve(settings: Settings, stop: asyncio.Event) -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        process.run(config, serve)
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"sidecall: {error}\n"


def test_a_bad_configuration_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def serve(settings: Settings, stop: asyncio.Event) -> None:
        raise AssertionError

    with pytest.raises(SystemExit) as caught:
        process.run(tmp_path / "missing.toml", serve)
    assert caught.value.code == 2
    assert "missing.toml" in capsys.readouterr().err


def test_any_other_error_is_a_fault_of_ours(config: Path) -> None:
    async def serve(settings: Settings, stop: asyncio.Event) -> None:
        raise LegError(LegErrorCode.CONFLICT, "bug")

    with pytest.raises(LegError, match="bug"):
        process.run(config, serve)
