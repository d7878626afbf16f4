"""baresip without a sound card: it plays a WAV file, records what it hears and obeys over TCP (ctrl_tcp)."""

import asyncio
import json
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soxr

from tests.support import process, wav
from tests.support.bot import PATIENCE
from tests.support.netns import Namespace
from tests.support.poll import until
from tests.support.ports import Address

Codec = Literal["pcmu", "pcma", "g722", "opus"]
CODECS: dict[Codec, str] = {
    "pcmu": "pcmu/8000/1",
    "pcma": "pcma/8000/1",
    "g722": "g722/16000/1",
    "opus": "opus/48000/1",
}
"""Names of codecs in an account: with the sampling rate, and the channels that it really sends."""

SIP_PORT = 5060
CONTROL_PORT = 4444
ALIKE = 0.95
"""Likeness from which on words count as heard."""
PLAYED_SECONDS = 120
"""A call ends when the played file ends, so it is longer than any test."""

WAV_HEADER = 44
"""Bytes before the samples in what baresip records."""

QUIT = b'18:{"command":"quit"},'
QUIT_WITHIN = 2.0

CONFIG = """\
poll_method epoll
sip_listen {address}:{sip_port}
call_local_timeout 120
call_max_calls 4
audio_path /usr/share/baresip
audio_source aufile,{source}
audio_player aubridge,{name}-ear
audio_alert aubridge,{name}-bell
ausrc_srate {rate}
auplay_srate {rate}
ausrc_channels 1
auplay_channels 1
rtp_ports 10000-10100
jitter_buffer_delay 2-200
audio_buffer 20-4000
module_path /usr/lib/baresip/modules
module g711.so
module g722.so
module opus.so
opus_stereo no
opus_sprop_stereo no
module sndfile.so
module aufile.so
module aubridge.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {address}:{control_port}
ringback_disabled yes
snd_path {recordings}
"""


class Baresip:
    """A running baresip; open it by `baresip`."""

    def __init__(self, name: str, address: str, recordings: Path) -> None:
        self.name = name
        self.sip = Address(address, SIP_PORT)
        self.recordings = recordings
        self.events: list[dict[str, Any]] = []
        self._taken: set[int] = set()
        self._responses: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._news = asyncio.Condition()
        self._tokens = count()
        self.writer: StreamWriter | None = None

    @property
    def uri(self) -> str:
        """Where it can be called."""
        return f"sip:{self.name}@{self.sip}"

    async def command(self, name: str, params: str = "") -> str:
        """Carry out one of baresip's commands and return its output; raises RuntimeError when refused."""
        assert self.writer is not None
        token = str(next(self._tokens))
        response = self._responses[token] = asyncio.get_running_loop().create_future()
        body = json.dumps({"command": name, "params": params, "token": token}).encode()
        self.writer.write(b"%d:%s," % (len(body), body))
        async with asyncio.timeout(PATIENCE):
            answer = await response
        if not answer["ok"]:
            raise RuntimeError(f"baresip refused {name} {params}: {answer['data'].strip()}")
        return str(answer["data"])

    async def dial(self, uri: str) -> None:
        """Start a call."""
        await self.command("dial", uri)

    async def answer(self) -> None:
        """Wait for a call and take it."""
        await self.event("CALL_INCOMING")
        await self.command("accept")

    async def press(self, digits: str) -> None:
        """Send digits as RFC 4733 events."""
        for digit in digits:
            await self.command("sndcode", digit)

    async def say(self, sound: wav.Sound) -> None:
        """Say `sound` (8 kHz) from now on instead of what it said so far, then silence."""
        file = self.recordings.parent / f"says-{next(self._tokens)}.wav"
        await self.command("ausrc", f"aufile,{_spoken(file, sound)}")

    async def hangup(self) -> None:
        """End the call."""
        await self.command("hangup")

    async def event(self, kind: str, within: float = PATIENCE) -> dict[str, Any]:
        """Return the first event of type `kind` that was not returned before; wait for it if need be."""
        async with self._news:
            try:
                async with asyncio.timeout(within):
                    while True:
                        for index, event in enumerate(self.events):
                            if event["type"] == kind and index not in self._taken:
                                self._taken.add(index)
                                return event
                        await self._news.wait()
            except TimeoutError:
                seen = [event["type"] for event in self.events]
                raise AssertionError(f"baresip: no {kind} within {within} s; events {seen}") from None

    async def hears(self, sound: wav.Sound, within: float) -> None:
        """Wait until it heard the words of `sound`; raises AssertionError after `within` seconds."""

        async def contained() -> bool:
            return wav.likeness(self.heard(), sound) > ALIKE

        try:
            await until(contained, within, every=0.25)
        except TimeoutError:
            match = wav.likeness(self.heard(), sound)
            raise AssertionError(f"not heard within {within} s: the best match is {match:.3f}") from None

    def heard(self) -> wav.Sound:
        """Return everything it heard so far, at 8 kHz.

        baresip writes the lengths into the WAV header when it frees the call, so they are not looked at.
        """
        parts = [_decoded(path) for path in self.recordings.glob("*-dec.wav")]
        return np.concatenate([np.zeros(0), *parts])

    async def read(self, reader: StreamReader) -> None:
        """Take events and responses (netstrings of JSON) until the connection ends."""
        while True:
            try:
                length = await reader.readuntil(b":")
                body = await reader.readexactly(int(length[:-1]) + 1)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            message = json.loads(body[:-1])
            if "response" in message:
                self._responses.pop(message["token"]).set_result(message)
                continue
            async with self._news:
                self.events.append(message)
                self._news.notify_all()


@asynccontextmanager
async def baresip(
    space: Namespace,
    folder: Path,
    *,
    name: str = "phone",
    codecs: tuple[Codec, ...] = ("pcmu", "pcma"),
    says: wav.Sound | None = None,
) -> AsyncIterator[Baresip]:
    """Run a baresip in `space` while the block runs; it says `says` (8 kHz), then silence."""
    home = folder / name
    (home / "recordings").mkdir(parents=True)
    config = CONFIG.format(
        address=space.inside,
        sip_port=SIP_PORT,
        control_port=CONTROL_PORT,
        name=name,
        rate=wav.RATE,
        source=_spoken(home / "says.wav", np.zeros(0) if says is None else says),
        recordings=home / "recordings",
    )
    names = ",".join(CODECS[codec] for codec in codecs)
    account = f"<sip:{name}@{space.inside}>;regint=0;answermode=manual;audio_codecs={names}\n"
    (home / "config").write_text(config, "utf-8")
    (home / "accounts").write_text(account, "utf-8")
    (home / "contacts").touch()
    log = home / "baresip.log"
    async with process.running(*space.command("baresip", "-f", str(home)), log=log):
        phone = Baresip(name, space.inside, home / "recordings")
        reader, phone.writer = await _control(space.inside, log)
        attached = asyncio.create_task(phone.read(reader), name="baresip events")
        try:
            yield phone
        finally:
            # It hangs up, then closes the connection.
            phone.writer.write(QUIT)
            await asyncio.wait([attached], timeout=QUIT_WITHIN)
            phone.writer.close()
            attached.cancel()
            await asyncio.wait([attached])


def _spoken(path: Path, sound: wav.Sound) -> Path:
    """Write a file that says `sound`, then silence."""
    said = np.zeros(PLAYED_SECONDS * wav.RATE)
    said[: sound.size] = sound
    return wav.write(path, said)


def _decoded(path: Path) -> wav.Sound:
    """What one call sounded like, at 8 kHz."""
    header = path.read_bytes()[:WAV_HEADER]
    if len(header) < WAV_HEADER:
        return np.zeros(0)
    channels, rate = struct.unpack_from("<HI", header, 22)
    samples = np.fromfile(path, "<i2", offset=WAV_HEADER) / 32768
    mono = samples[: len(samples) // channels * channels].reshape(-1, channels).mean(axis=1)
    return mono if rate == wav.RATE else np.asarray(soxr.resample(mono, rate, wav.RATE))


async def _control(address: str, log: Path) -> tuple[StreamReader, StreamWriter]:
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await asyncio.open_connection(address, CONTROL_PORT)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"baresip does not answer on {address}:\n{process.tail(log)}") from None
