"""One Sidecall that many tests share, and the places its configuration names."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import ports
from tests.support.ports import Address
from tests.support.system import System, running_system

USERNAME = "us"
PASSWORD = "open sesame"
SECRET = "whsec_" + base64.b64encode(b"thirty-two bytes of no importance").decode()
ANSWER_TIMEOUT = 3.0
RING_TIMEOUT = 3.0
DIRECT = 20
"""Last number of the only host that may be dialled without a trunk."""


@dataclass(frozen=True, slots=True)
class Lab:
    """A running system and its surroundings; nobody is there unless a test puts a peer there."""

    system: System
    carrier: Address
    """Gateway of the trunk that takes +1...; asks for `USERNAME` and `PASSWORD`."""
    second: Address
    """Gateway of the trunk that takes +2..."""
    webhook: Address
    """Where calls to ``hook`` are announced, signed with `SECRET`."""
    sounds: Path
    """Folder of local sound files."""

    @staticmethod
    def caller() -> Address:
        """A fresh address for somebody who calls in."""
        return ports.peer(11)

    @staticmethod
    def callee() -> Address:
        """A fresh address that may be dialled directly."""
        return ports.peer(DIRECT)


@asynccontextmanager
async def running_lab(folder: Path) -> AsyncIterator[Lab]:
    """Run the system while the block runs; see `running_system`."""
    carrier, second, webhook = ports.peer(21), ports.peer(22), ports.peer(30)
    sounds = folder / "sounds"
    sounds.mkdir()
    direct = ports.host(DIRECT).replace(".", r"\.")
    async with running_system(
        folder,
        media={"sounds": str(sounds)},
        calls={
            "answer_timeout": ANSWER_TIMEOUT,
            "ring_timeout": RING_TIMEOUT,
            "allow": [rf"sip:[^@]*@{direct}(:\d+)?"],
        },
        trunks=[
            {
                "name": "carrier",
                "gateway": f"sip:{carrier}",
                "username": USERNAME,
                "password": PASSWORD,
                "callees": [r"^\+1"],
            },
            {"name": "second", "gateway": f"sip:{second}", "callees": [r"^\+2"]},
        ],
        routes=[
            {"callee": "^bot$", "pool": "default"},
            {"callee": "^other$", "pool": "other"},
            {"callee": "^hook$", "webhook": f"http://{webhook}/calls", "secret": SECRET},
        ],
    ) as system:
        yield Lab(system, carrier, second, webhook, sounds)
