import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import uvloop

from control.errors import SpeechError
from media.speech import client as client_module
from media.speech.client import PROGRAM, SpeechClient, Synthesis
from media.speech.protocol import MAX_FRAME
from media.speech.voice import Samples, Voice

ENGLISH = Voice("en-us")
TEXT = "Hello, this is a test message."
LONG = "A sentence of some words that is not too short. " * 40

READY = "import socket, sys, time; s = socket.socket(fileno=int(sys.argv[1])); s.sendall(bytes([0,0,0,5,4,0,0,0,0]));"


@asynccontextmanager
async def speaking(*program: str) -> AsyncIterator[SpeechClient]:
    client = SpeechClient(program or PROGRAM)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def read(synthesis: Synthesis) -> Samples:
    async with asyncio.timeout(60):
        return np.concatenate([np.zeros(0, np.int16), *[chunk async for chunk in synthesis]])


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


async def test_text_becomes_samples_at_both_rates() -> None:
    async with speaking() as client:
        narrow = await read(client.synthesise(TEXT, ENGLISH, 8000))
        wide = await read(client.synthesise(TEXT, ENGLISH, 16000))
    assert narrow.dtype == wide.dtype == np.int16
    assert 1.0 < narrow.size / 8000 < 4.0
    assert wide.size / 16000 == pytest.approx(narrow.size / 8000, abs=0.1)
    assert np.abs(narrow).max() > 3000


async def test_an_empty_text_gives_nothing() -> None:
    async with speaking() as client:
        assert (await read(client.synthesise("", ENGLISH, 8000))).size == 0


async def test_the_end_stays_the_end() -> None:
    async with speaking() as client:
        synthesis = client.synthesise("", ENGLISH, 8000)
        await read(synthesis)
        await synthesis.aclose()
        assert (await read(synthesis)).size == 0


async def test_an_unknown_voice_is_an_error_of_its_request_alone() -> None:
    async with speaking() as client:
        wrong = client.synthesise(TEXT, Voice("xiaoyan"), 8000)
        right = client.synthesise(TEXT, ENGLISH, 8000)
        with pytest.raises(SpeechError, match="no voice 'xiaoyan'"):
            await read(wrong)
        assert (await read(wrong)).size == 0
        assert (await read(right)).size > 8000


async def test_many_at_once() -> None:
    async with speaking() as client:
        texts = [f"This is number {n}." for n in range(20)]
        spoken = await asyncio.gather(*(read(client.synthesise(text, ENGLISH, 8000)) for text in texts))
    assert all(samples.size > 4000 for samples in spoken)


async def test_a_long_text_comes_as_it_is_taken() -> None:
    async with speaking() as client:
        long = client.synthesise(LONG, ENGLISH, 8000)
        # The short one is done only after the long one ran out of credit or had its turn many times over.
        first = await anext(long)
        for _ in range(20):
            await read(client.synthesise("Hi", ENGLISH, 8000))
        waiting = long._chunks.qsize()
        rest = await read(long)
    assert waiting < 60
    assert (first.size + rest.size) / 8000 > 90


async def test_a_closed_synthesis_ends_and_others_are_not_kept() -> None:
    async with speaking() as client:
        long = client.synthesise(LONG * 10, ENGLISH, 8000)
        await anext(long)
        await long.aclose()
        await long.aclose()
        assert (await read(long)).size == 0
        assert (await read(client.synthesise(TEXT, ENGLISH, 8000))).size > 8000
        assert not client._requests


async def test_closing_wakes_whoever_waits() -> None:
    async with speaking(*python(READY + "s.recv(1 << 20); s.recv(1 << 20)")) as client:
        synthesis = client.synthesise(TEXT, ENGLISH, 8000)
        waiting = asyncio.ensure_future(read(synthesis))
        await asyncio.sleep(0)
        await synthesis.aclose()
        assert (await waiting).size == 0


async def test_a_dead_process_fails_what_is_pending_and_is_replaced() -> None:
    async with speaking() as client:
        first = client.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        pending = client.synthesise(TEXT, ENGLISH, 8000)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(SpeechError, match=r"ended with status -9; send the text again"):
            await read(pending)
        assert client.pid is None
        waiting = client.synthesise(TEXT, ENGLISH, 8000)
        assert (await read(waiting)).size > 8000
        assert client.pid not in (first, None)


SECOND_START_FAILS = """
import pathlib, sys
from media.speech import process
from control.errors import SpeechError
starts = pathlib.Path({path!r})
starts.write_text(starts.read_text() + "x")
if starts.read_text() == "xx":
    def fail():
        raise SpeechError("not this time")
    process.EspeakNg = fail
sys.exit(process.main(sys.argv[1:]))
"""


async def test_a_restart_that_fails_is_tried_again(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    starts.write_text("")
    async with speaking(*python(SECOND_START_FAILS.format(path=str(starts)))) as client:
        assert client.pid is not None
        os.kill(client.pid, signal.SIGKILL)
        with pytest.raises(SpeechError, match="ended with status -9"):
            await read(client.synthesise(TEXT, ENGLISH, 8000))
        with pytest.raises(SpeechError, match="cannot start: not this time"):
            await read(client.synthesise(TEXT, ENGLISH, 8000))
        assert (await read(client.synthesise(TEXT, ENGLISH, 8000))).size > 8000
    assert starts.read_text() == "xxx"


async def test_a_process_that_talks_nonsense_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    async with speaking(
        *python(READY + "s.recv(1 << 20); s.sendall(bytes([255]) * 20); s.recv(1)")
    ) as client:
        with pytest.raises(SpeechError, match="send the text again"):
            await read(client.synthesise(TEXT, ENGLISH, 8000))
    assert "speech protocol" in caplog.text


async def test_stop_ends_the_process_and_what_is_pending() -> None:
    async with speaking() as client:
        assert client.pid is not None
        child = psutil.Process(client.pid)
        pending = client.synthesise(LONG * 10, ENGLISH, 8000)
        await anext(pending)
    assert not child.is_running()
    with pytest.raises(SpeechError, match="was stopped"):
        await read(pending)
    with pytest.raises(SpeechError, match="not started, or was stopped"):
        client.synthesise(TEXT, ENGLISH, 8000)
    await pending.aclose()
    await client.stop()


async def test_a_process_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "STOP_SECONDS", 0.05)
    async with speaking(*python(READY + "time.sleep(60)")) as client:
        assert client.pid is not None
        child = psutil.Process(client.pid)
    assert not child.is_running()


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        (("/nowhere/python",), "cannot be started: /nowhere/python: No such file"),
        (python("pass"), "ended before it was ready"),
        (
            python("import socket, sys; socket.socket(fileno=int(sys.argv[1])).sendall(b'x' * 20)"),
            "speech protocol",
        ),
    ],
)
async def test_a_process_that_cannot_start_is_an_error(program: tuple[str, ...], complaint: str) -> None:
    client = SpeechClient(program)
    with pytest.raises(SpeechError, match=complaint):
        await client.start()
    with pytest.raises(SpeechError, match="not started"):
        client.synthesise(TEXT, ENGLISH, 8000)
    await client.stop()


async def test_a_process_that_never_gets_ready_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "START_SECONDS", 0.05)
    monkeypatch.setattr(client_module, "STOP_SECONDS", 0.05)
    with pytest.raises(SpeechError, match="was not ready within"):
        await SpeechClient(python("import time; time.sleep(60)")).start()


async def test_what_cannot_be_sent_is_refused_at_once() -> None:
    async with speaking() as client:
        with pytest.raises(SpeechError, match=r"offered at \(8000, 16000\) Hz, not at 44100"):
            client.synthesise(TEXT, ENGLISH, 44100)
        with pytest.raises(SpeechError, match="too long"):
            client.synthesise("a" * MAX_FRAME, ENGLISH, 8000)
        assert not client._requests


def test_it_runs_on_uvloop() -> None:
    async def run() -> int:
        async with speaking() as client:
            return (await read(client.synthesise(TEXT, ENGLISH, 8000))).size

    assert uvloop.run(run()) > 8000
