"""`sidecall up`: the whole node on one machine, as child processes in the foreground."""

import asyncio
import re
import resource
import signal
import sys
import time
from pathlib import Path
from typing import TextIO

from control import preflight, probes, render
from control.config import Settings, is_loopback
from control.console import Console
from control.network import LOOPBACK, sip_addresses
from control.ports import is_bound, rtp_ports
from control.supervisor import Program, Supervisor

PROJECT = Path(__file__).resolve().parent.parent

# Media and control hang up their calls through the servers, so these end last.
CALLS, SERVERS = 0, 1

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def kamailio(settings: Settings) -> Program:
    """Kamailio on its rendered configuration; raises SetupError when it is not on this machine."""
    argv = (
        preflight.find_program(settings.kamailio.program),
        "-DD",
        "-E",
        "-f",
        str(settings.run_dir.absolute() / "kamailio.cfg"),
        "-w",
        str(settings.run_dir.absolute()),
    )
    return Program(
        "kamailio", argv, lambda: probes.kamailio_answers(settings.rpc_socket), stage=SERVERS, forks=True
    )


def rtpengine(settings: Settings) -> Program:
    """rtpengine on its rendered configuration; raises SetupError when it is not on this machine."""
    argv = (
        preflight.find_program(settings.rtpengine.program),
        "--foreground",
        "--log-stderr",
        f"--config-file={settings.run_dir.absolute() / 'rtpengine.conf'}",
    )
    return Program(
        "rtpengine", argv, lambda: probes.rtpengine_answers(settings.rtpengine.ng_port), stage=SERVERS
    )


def speech(settings: Settings, config: Path | None) -> Program:
    """The speech process."""
    return Program(
        "speech",
        python_module("media.speech.hub", config),
        lambda: probes.accepts(settings.speech_socket),
        stage=SERVERS,
        forks=True,
    )


def programs(settings: Settings, config: Path | None, *, sip: bool, bot: Path | None) -> tuple[Program, ...]:
    """Everything that runs on this node."""
    media = (speech(settings, config), *_media(settings, config, sip=sip))
    if not sip:
        return media
    control = Program(
        "control",
        python_module("control", config),
        lambda: probes.http_ok(LOOPBACK, settings.control.port),
        stage=CALLS,
    )
    found = (kamailio(settings), rtpengine(settings), control, *media)
    return found if bot is None else (*found, _bot(settings, bot, media))


def _media(settings: Settings, config: Path | None, *, sip: bool) -> tuple[Program, ...]:
    """The workers share the API port: a worker is ready when it has its RTP port and the API answers."""
    host = _local(settings.api.address)
    options = () if sip else ("--no-sip",)
    token = settings.own_token

    def worker(number: int, rtp_port: int) -> Program:
        async def ready() -> bool:
            return is_bound(rtp_port) and await probes.http_ok(host, settings.api.port, "/readyz", token)

        name = "media" if settings.media.workers == 1 else f"media.{number}"
        return Program(
            name, python_module("media", config, "--worker", str(number), *options), ready, stage=CALLS
        )

    return tuple(worker(number, port) for number, port in enumerate(rtp_ports(settings)))


def _bot(settings: Settings, script: Path, media: tuple[Program, ...]) -> Program:
    async def ready() -> bool:
        return True

    environ = {"PYTHONUNBUFFERED": "1", "SIDECALL_URL": api_url(settings)}
    if settings.own_token is not None:
        environ["SIDECALL_TOKEN"] = settings.own_token
    return Program(
        "bot",
        (sys.executable, str(script)),
        ready,
        after=tuple(program.name for program in media),
        stage=CALLS,
        required=False,
        environ=environ,
    )


def python_module(name: str, config: Path | None, *arguments: str) -> tuple[str, ...]:
    """Command line of our own process `name` with the configuration file `config`."""
    # -P: the working directory must not stand in for the installed packages.
    given = () if config is None else ("-c", str(config))
    return (sys.executable, "-P", "-u", "-m", name, *given, *arguments)


def _local(address: str) -> str:
    """The address by which this machine itself reaches a socket bound to `address`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)


def api_url(settings: Settings) -> str:
    """WebSocket base URL of the bots' API, as seen from this machine."""
    host = _local(settings.api.address)
    return f"ws://{f'[{host}]' if ':' in host else host}:{settings.api.port}"


def bot_script(settings: Settings) -> Path | None:
    """The example bot of the settings; relative names are taken from the project's folder."""
    return PROJECT / settings.up.bot if settings.up.bot else None


def summary(settings: Settings, addresses: tuple[str, ...], seconds: float) -> str:
    """What to do with a node that has just become ready."""
    lines = [f"Sidecall is ready after {seconds:.1f} s."]
    if addresses:
        user = "bot" if _takes(settings, "bot") else "NUMBER"
        hosts = dict.fromkeys((*addresses, *filter(None, (settings.sip.advertise,))))
        lines.append("  dial  " + "   ".join(f"sip:{user}@{host}:{settings.sip.port}" for host in hosts))
    path = "/call/sip" if addresses else "/call"
    lines.append(f"  API   {api_url(settings)}{path}")
    if addresses and all(map(is_loopback, addresses)):
        lines.append("  note  only this machine can dial: set sip.address for others")
    lines.append("  stop  Ctrl-C")
    return "\n".join(("", *lines, ""))


def _takes(settings: Settings, user: str) -> bool:
    """Whether some route takes calls to `user` from anywhere."""
    return any(
        route.trunk is None and (route.callee is None or re.search(route.callee, user))
        for route in settings.routes
    )


async def run(
    settings: Settings, config: Path | None, stream: TextIO, *, sip: bool = True, bot: bool = True
) -> None:
    """Start the node, log to `stream`, and keep it running until SIGINT, SIGTERM or SIGHUP.

    Raises SetupError, with nothing left running, when it cannot be started.
    """
    start = time.monotonic()
    addresses = tuple(sip_addresses(settings)) if sip else ()
    script = bot_script(settings) if sip and bot else None
    with preflight.RunDirLock(settings.run_dir):
        await preflight.check(settings, addresses, script)
        _remove_sockets(settings)
        if sip:
            render.write(settings)
        _raise_open_files()
        children = programs(settings, config, sip=sip, bot=script)
        console = Console(stream, ["sidecall", *(child.name for child in children)])
        supervisor = Supervisor(children, console)
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, supervisor.stop)
        try:
            await supervisor.run(
                lambda: console.block(summary(settings, addresses, time.monotonic() - start))
            )
        finally:
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)
            _remove_sockets(settings)
        console.line("sidecall", "everything has ended")


def _remove_sockets(settings: Settings) -> None:
    """Remove the sockets that killed processes leave behind: Kamailio's with its clients', and that of speech."""
    settings.speech_socket.unlink(missing_ok=True)
    path = settings.rpc_socket
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink()


def _raise_open_files() -> None:
    """Let the children open as many files as this user may: each call takes sockets."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
