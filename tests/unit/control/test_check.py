"""`sidecall check`: starting the servers, for real and with stand-ins that misbehave."""

import asyncio
import random
import shlex
import socket
from pathlib import Path

import pytest

from control import check, ports, render
from control.config import Api, Control, Kamailio, Settings, Sip
from control.errors import ConfigError
from tests.support import fakenode
from tests.support.children import PATIENCE, python


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return fakenode.settings(tmp_path)


def with_kamailio(settings: Settings, folder: Path, code: str) -> Settings:
    text = shlex.join(("exec", *python(code)))
    path = fakenode.program(folder / "other", f"#!/bin/sh\n{text}")
    return settings.model_copy(update={"kamailio": Kamailio(program=path)})


async def test_servers_that_start_are_ok(settings: Settings) -> None:
    assert await check.run(settings) == []


async def test_ports_in_use_do_not_matter(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", settings.sip.port)):
        assert await check.run(settings) == []


async def test_a_server_that_gives_up(settings: Settings, tmp_path: Path) -> None:
    code = "say('loading')\nsay('ERROR: bad parameter x')\nsay('ERROR: giving up')\nsys.exit(255)"
    [fault] = await check.run(with_kamailio(settings, tmp_path, code))
    assert fault.startswith("kamailio does not start with this configuration (")
    assert fault.endswith("): ERROR: bad parameter x")


@pytest.mark.parametrize(("code", "words"), [("say('oh')\nsay('dear')", "dear"), ("", "it said nothing")])
async def test_a_server_that_ends_without_complaint(
    settings: Settings, tmp_path: Path, code: str, words: str
) -> None:
    [fault] = await check.run(with_kamailio(settings, tmp_path, code))
    assert fault.endswith(f": {words}")


async def test_a_server_that_works_for_a_moment_only(settings: Settings, tmp_path: Path) -> None:
    fleeting = fakenode.KAMAILIO + "    say('ERROR: a worker died')\n    sys.exit(1)\n"
    program = fakenode.program(tmp_path / "fleeting", fleeting)
    [fault] = await check.run(settings.model_copy(update={"kamailio": Kamailio(program=program)}))
    assert fault.endswith("ERROR: a worker died")


async def test_a_server_that_never_works(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "START_SECONDS", 0.3)
    [fault] = await check.run(with_kamailio(settings, tmp_path, "say('cannot think')\nsignal.pause()"))
    assert fault.endswith("cannot think")


async def test_a_server_that_does_not_stop(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "STOP_SECONDS", 0.2)
    stubborn = fakenode.KAMAILIO.replace("signal.SIGTERM, leave", "signal.SIGTERM, signal.SIG_IGN")
    program = fakenode.program(tmp_path / "stubborn", stubborn)
    async with asyncio.timeout(PATIENCE):
        [fault] = await check.run(settings.model_copy(update={"kamailio": Kamailio(program=program)}))
    assert fault == "kamailio does not stop within 0.2 s of SIGTERM"


async def test_a_server_that_is_missing(settings: Settings) -> None:
    [fault] = await check.run(settings.model_copy(update={"kamailio": Kamailio(program="no-kamailio")}))
    assert "no-kamailio is not on this machine" in fault


async def test_a_server_that_cannot_be_run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(check, "spawn", refuse)
    assert await check.run(settings) == [
        "kamailio cannot be run: Permission denied",
        "rtpengine cannot be run: Permission denied",
    ]


async def test_settings_that_collide(settings: Settings) -> None:
    port = settings.control.port
    [fault] = await check.run(
        settings.model_copy(update={"api": Api(port=port), "control": Control(port=port)})
    )
    assert fault.startswith("api.port and control.port")


async def test_settings_that_cannot_be_rendered(settings: Settings) -> None:
    bad = settings.model_copy(update={"sip": Sip(address="127.0.0.1", user_agent='a "quoted" name')})
    with pytest.raises(ConfigError, match="quotes"):
        await check.run(bad)


async def test_the_real_address_is_looked_at(settings: Settings) -> None:
    with pytest.raises(ConfigError, match=r"sip\.address"):
        await check.run(settings.model_copy(update={"sip": Sip(address="nowhere")}))


def test_the_trial_is_out_of_the_way(settings: Settings, tmp_path: Path) -> None:
    trial = check.trial_settings(settings, tmp_path)
    assert trial.run_dir == tmp_path
    assert trial.sip.address == "127.0.0.1"
    used = {
        trial.sip.port,
        trial.kamailio.evapi_port,
        trial.rtpengine.ng_port,
        trial.rtpengine.cli_port,
        trial.rtpengine.http_port,
    }
    assert len(used) == 5
    assert not used & set(ports.relayed_ports(trial))
    assert trial.sip.user_agent == settings.sip.user_agent


def test_spare_ranges_avoid_what_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        free = check.spare_range(4)
        starts = iter((port - 1, free.start))
        monkeypatch.setattr(random, "randrange", lambda *_: next(starts))
        assert check.spare_range(4) == free


@pytest.mark.daemons
class TestRealServers:
    async def test_the_defaults_are_ok(self) -> None:
        assert await check.run(Settings()) == []

    async def test_what_kamailio_refuses_only_when_it_starts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        original = render.write

        def spoilt(settings: Settings) -> list[Path]:
            paths = original(settings)
            config = settings.run_dir / "kamailio.cfg"
            text = config.read_text("utf-8")
            config.write_text(text.replace("listen=udp:127.0.0.1", "listen=udp:192.0.2.77"))
            return paths

        monkeypatch.setattr(render, "write", spoilt)
        [fault] = await check.run(Settings())
        assert fault.startswith("kamailio does not start")
        assert "192.0.2.77" in fault
