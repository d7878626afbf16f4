"""What must be true of this machine before anything is started."""

import asyncio
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from control import codecs, ports
from control.children import spawn
from control.config import Settings
from control.errors import SetupError

SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Debian keeps servers here; a normal user's PATH lacks them."""
VERSION_SECONDS = 5.0


def find_program(name: str) -> str:
    """Full path of the program `name`, as a bare name or a path.

    Raises SetupError.
    """
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS))
    found = shutil.which(name, path=path)
    if found is None:
        raise SetupError(
            f"the program {name} is not on this machine: run `make setup`, or set its path in sidecall.toml"
        )
    return found


async def version(program: str, option: str) -> str:
    """First line that ``program option`` prints.

    Raises SetupError when it cannot run or prints nothing.
    """
    try:
        child = await spawn((program, option))
    except OSError as error:
        raise SetupError(f"{program} cannot be run: {error.strerror}") from error
    try:
        async with asyncio.timeout(VERSION_SECONDS):
            output = await child.output.read()
            status = await child.wait()
    except TimeoutError:
        raise SetupError(f"`{program} {option}` did not end within {VERSION_SECONDS:g} s") from None
    finally:
        child.kill()
        await child.wait()
        child.close()
    lines = output.decode("utf-8", "replace").split("\n")
    if status != 0 or not lines[0].strip():
        raise SetupError(f"`{program} {option}` failed: {lines[0].strip() or 'it printed nothing'}")
    return lines[0].strip()


async def check(settings: Settings, sip_addresses: Sequence[str], bot: Path | None) -> None:
    """Raise SetupError with one sentence a line for everything that would keep a node from starting.

    Without `sip_addresses` neither Kamailio nor rtpengine nor the libraries of codecs are looked for.
    """
    needed = ports.endpoints(settings, sip_addresses)
    relayed = ports.relayed_ports(settings) if sip_addresses else range(0)
    faults = [*_script_faults(bot), *ports.collisions(needed, relayed), *ports.occupied(needed)]
    if sip_addresses:
        faults += codecs.missing(settings.calls.codecs)
        faults += await _program_faults(settings)
    if faults:
        raise SetupError("\n".join(faults))


def _script_faults(bot: Path | None) -> Iterator[str]:
    if bot is not None and not bot.is_file():
        yield f"up.bot: there is no file {bot}: name a script, or start with --no-bot"


async def _program_faults(settings: Settings) -> list[str]:
    async def fault(name: str, option: str) -> str | None:
        try:
            await version(find_program(name), option)
        except SetupError as error:
            return str(error)
        return None

    answers = await asyncio.gather(
        fault(settings.kamailio.program, "-v"), fault(settings.rtpengine.program, "--version")
    )
    return [answer for answer in answers if answer is not None]


class RunDirLock:
    """Holds `run_dir`, made if need be, for one supervisor; a context manager. It is dropped when we die."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / "up.lock"
        self._file = -1

    def __enter__(self) -> None:
        folder = self._path.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SetupError(
                f"run_dir: {folder} cannot be written ({error.strerror}): set another run_dir"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = os.read(self._file, 20).decode("ascii", "replace")
            os.close(self._file)
            raise SetupError(
                f"run_dir: {folder} is used by another `sidecall up` (pid {pid}):"
                " stop it or set another run_dir"
            ) from error
        os.ftruncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
