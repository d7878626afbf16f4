"""The worker's end: a speech process that is behind with reading is waited for, one that is stuck is left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from media.api.options import TranscriptionOption
from media.speech.hub import connection as module
from media.speech.hub import wire
from media.speech.hub.client import SpeechHub

MUCH = bytes(4_000_000)
"""More than all buffers between two processes hold."""


class Ear:
    """Remembers what becomes of its audio."""

    def __init__(self) -> None:
        self.gone: asyncio.Queue[str] = asyncio.Queue()

    def heard(self, text: wire.Heard) -> None:
        raise AssertionError(text)

    def trouble(self, message: str, code: int) -> None:
        raise AssertionError(message, code)

    def failed(self, message: str, code: int) -> None:
        raise AssertionError(message, code)

    def lost(self, message: str) -> None:
        self.gone.put_nowait(message)


class Speech:
    """A speech process that reads once it is told to."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.orders: asyncio.Queue[wire.Message] = asyncio.Queue()
        self.serving: asyncio.Task[None] | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving = asyncio.current_task()
        writer.write(wire.encode(wire.Ready((), "acme", "acme")))
        await self.reads.wait()
        decoder = wire.Decoder()
        with suppress(ConnectionResetError):
            while data := await reader.read(65_536):
                for order in decoder.feed(data):
                    self.orders.put_nowait(order)
        writer.close()


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[tuple[Speech, SpeechHub]]:
    speech, path = Speech(), folder / "speech.sock"
    server = await asyncio.start_unix_server(speech.serve, path)
    hub = SpeechHub(path)
    hub.start()
    await hub.ready()
    try:
        yield speech, hub
    finally:
        await hub.stop()
        speech.reads.set()
        assert speech.serving is not None
        await asyncio.wait([speech.serving])
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("limit", ["STUCK_SECONDS", "STUCK_BYTES"])
async def test_a_stuck_speech_process_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(module, limit, 0)
    async with connected(tmp_path) as (_, hub):
        ear = Ear()
        hub.listen(TranscriptionOption(), 16_000, ear).audio(MUCH)
        assert "restarted" in await ear.gone.get()


async def test_one_that_is_behind_gets_everything(tmp_path: Path) -> None:
    async with connected(tmp_path) as (speech, hub):
        recognition = hub.listen(TranscriptionOption(), 16_000, Ear())
        recognition.audio(MUCH)
        recognition.voice(speaking=True)
        await asyncio.sleep(0)
        speech.reads.set()
        orders = [await speech.orders.get() for _ in range(3)]
        assert orders[1:] == [wire.Audio(recognition.request, MUCH), wire.Voice(recognition.request, True)]
        recognition.close()
        assert await speech.orders.get() == wire.Cancel(recognition.request)


class Wire(asyncio.Transport):
    """A transport whose far end reads as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0
        self.aborted = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.left += len(data)

    def get_write_buffer_size(self) -> int:
        return self.left

    def abort(self) -> None:
        self.aborted.set()


async def test_one_that_reads_slowly_is_left_when_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STUCK_SECONDS", 0)
    far, connection = Wire(), module.Connection(lambda *_: None)
    connection.connection_made(far)
    connection.send(wire.Audio(1, bytes(100)))
    await asyncio.sleep(0)
    connection.pause_writing()
    far.left -= 10
    connection._judge(0)
    assert not far.aborted.is_set()
    await far.aborted.wait()
    connection.connection_lost(None)
