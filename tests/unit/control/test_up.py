"""The whole node, with stand-ins for its processes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from control import up
from control.config import Api, Kamailio, Media, Route, Settings, Sip, Up
from control.errors import SetupError
from tests.support import fakenode
from tests.support.children import PATIENCE, Screen, alive


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return fakenode.settings(tmp_path)


@asynccontextmanager
async def node(
    settings: Settings, stop: signal.Signals, *, sip: bool = True, bot: bool = True
) -> AsyncIterator[Screen]:
    """Runs a node; at the end of the block it gets the signal `stop` and must end."""
    screen = Screen()
    task = asyncio.create_task(up.run(settings, None, screen, sip=sip, bot=bot))
    try:
        await screen.line("stop  Ctrl-C")
        yield screen
        os.kill(os.getpid(), stop)
        async with asyncio.timeout(PATIENCE):
            await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def processes(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Replaces ``python -m`` control, media and media.speech.hub."""
    process = fakenode.program(tmp_path / "process", fakenode.PROCESS)
    speech = fakenode.program(tmp_path / "speech", fakenode.SPEECH)

    def command(name: str, config: Path | None, *arguments: str) -> tuple[str, ...]:
        if name == "media.speech.hub":
            return (speech, str(settings.speech_socket))
        worker = int(arguments[1]) if arguments else 0
        if name == "control":
            return (process, name, str(settings.control.port), "0")
        return (process, name, str(settings.api.port), str(settings.media.rtp_port + worker))

    monkeypatch.setattr(up, "python_module", command)
    monkeypatch.setattr(up, "_raise_open_files", lambda: None)
    return iter(())


async def pids(screen: Screen, *names: str) -> list[int]:
    return [await screen.number(f"{name:<9} | pid") for name in names]


async def test_a_node_comes_up_and_leaves_nothing(settings: Settings) -> None:
    async with node(settings, signal.SIGTERM) as screen:
        await screen.line("Sidecall is ready after")
        await screen.line(f"sip:bot@127.0.0.1:{settings.sip.port}")
        await screen.line(f"bot at ws://127.0.0.1:{settings.api.port}")
        running = await pids(screen, "kamailio", "rtpengine", "control", "speech", "media")
        assert settings.rpc_socket.is_socket()
    assert not any(map(alive, running))
    assert sorted(os.listdir(settings.run_dir)) == ["kamailio.cfg", "rtpengine.conf", "up.lock"]  # noqa: PTH208
    said_bye = [line.split()[0] for line in screen.lines() if line.endswith("| bye")]
    assert set(said_bye[:3]) == {"bot", "control", "media"}
    assert set(said_bye[3:]) == {"kamailio", "rtpengine", "speech"}
    assert "everything has ended" in screen.lines()[-1]


async def test_without_telephony_only_media_and_speech_run(settings: Settings) -> None:
    async with node(settings, signal.SIGINT, sip=False) as screen:
        await screen.line(f"ws://127.0.0.1:{settings.api.port}/call")
    assert {line.split()[0] for line in screen.lines() if "| pid" in line} == {"speech", "media"}
    assert os.listdir(settings.run_dir) == ["up.lock"]  # noqa: PTH208


async def test_sockets_that_were_left_behind_do_not_hinder(settings: Settings) -> None:
    settings.run_dir.mkdir()
    settings.rpc_socket.touch()
    left = settings.rpc_socket.with_suffix(".rpc.1234")
    left.touch()
    settings.speech_socket.touch()
    async with node(settings, signal.SIGHUP, bot=False) as screen:
        assert not left.exists()
        assert "bot at" not in screen.getvalue()


async def test_nothing_starts_on_an_unfit_machine(settings: Settings) -> None:
    unfit = settings.model_copy(update={"kamailio": Kamailio(program="no-kamailio")})
    screen = Screen()
    with pytest.raises(SetupError, match="no-kamailio"):
        await up.run(unfit, None, screen)
    assert screen.lines() == []
    assert os.listdir(settings.run_dir) == ["up.lock"]  # noqa: PTH208


def test_workers_are_numbered(settings: Settings) -> None:
    many = settings.model_copy(update={"media": Media(workers=2)})
    found = up.programs(many, None, sip=True, bot=Path("bot.py"))
    assert [program.name for program in found] == [
        "kamailio",
        "rtpengine",
        "control",
        "speech",
        "media.0",
        "media.1",
        "bot",
    ]
    assert found[-1].after == ("speech", "media.0", "media.1")
    assert not found[-1].required


def test_the_bot_gets_a_token(settings: Settings) -> None:
    guarded = settings.model_copy(update={"api": Api(tokens=("one", "two"))})
    bot = up.programs(guarded, None, sip=True, bot=Path("bot.py"))[-1]
    assert bot.environ["SIDECALL_TOKEN"] == "one"
    assert "one" not in " ".join(bot.argv)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1", "ws://127.0.0.1:8080"),
        ("0.0.0.0", "ws://127.0.0.1:8080"),
        ("::", "ws://[::1]:8080"),
        ("192.0.2.1", "ws://192.0.2.1:8080"),
    ],
)
def test_the_url_of_the_api(address: str, url: str) -> None:
    assert up.api_url(Settings(api=Api(address=address, tokens=("t",)))) == url


def test_where_the_bot_is() -> None:
    assert up.bot_script(Settings()) == Path(__file__).parents[3] / "examples" / "voice.py"
    assert up.bot_script(Settings(up=Up(bot="/opt/bot.py"))) == Path("/opt/bot.py")
    assert up.bot_script(Settings(up=Up(bot=""))) is None


def test_what_to_dial() -> None:
    text = up.summary(Settings(sip=Sip(advertise="198.51.100.7")), ("127.0.0.1", "192.0.2.1"), 1.26)
    assert "ready after 1.3 s" in text
    assert "sip:bot@127.0.0.1:5060   sip:bot@192.0.2.1:5060   sip:bot@198.51.100.7:5060" in text
    assert "only this machine" not in text


def test_what_to_dial_on_loopback_alone() -> None:
    assert "only this machine can dial" in up.summary(Settings(), ("127.0.0.1",), 1)


def test_what_to_dial_when_no_route_takes_the_bot() -> None:
    settings = Settings(routes=(Route(callee="^9", pool="a"), Route(trunk="t", pool="b")))
    assert "sip:NUMBER@127.0.0.1:5060" in up.summary(settings, ("127.0.0.1",), 1)
