"""What no bot should do: each gets an explicit answer, and another call of the same worker goes on undisturbed."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import numpy as np
import pytest

from tests.support import wav
from tests.support.bot import PATIENCE
from tests.support.lab import Lab
from tests.support.poll import until
from tests.support.rawbot import BINARY, TEXT, RawBot, command, frame, raw_bot

pytestmark = pytest.mark.daemons

HERTZ = 440
RATE = 16_000
MEGABYTE = 1 << 20
HISTORY = command("history", speaker="a", text="b")
LONG = command("history", speaker="a", text="b" * 99_000)
"""Comes back as an event of the same length."""
NOT_COMMANDS = {
    "no JSON": b"{",
    "nothing": b"",
    "no object": b"[1, 2]",
    "a number": b"42",
    "null": b"null",
    "no command": b"{}",
    "a command of a wrong type": b'{"command": 7}',
    "an unknown command": b'{"command": "dance"}',
    "half a surrogate pair": b'{"command": "history", "speaker": "a", "text": "\\ud800"',
    "no number": b'{"command": "tts", "text": "a", "waitInputTimeout": NaN}',
    "a number too large": b'{"command": "tts", "text": "a", "waitInputTimeout": 1e999}',
    "a huge whole number": b'{"command": "reject", "reason": "a", "code": ' + b"9" * 4000 + b"}",
    "deep arrays": b"[" * 500_000,
    "deep objects": b'{"a":' * 100_000,
    "deep within a command": b'{"command": "history", "x": ' + b"[" * 400_000,
    "wide": b'{"command": "tts", "text": 5, ' + b'"k": 1, ' * 100_000 + b'"z": 1}',
}
CUT_OFF: dict[str, tuple[bytes, int, str]] = {
    "10 MB text": (frame(TEXT, b"x" * (10 * MEGABYTE)), 1009, "bytes"),
    "10 MB audio": (frame(BINARY, bytes(10 * MEGABYTE)), 1009, "bytes"),
    "10 MB in pieces": (
        frame(TEXT, b"x" * MEGABYTE, final=False) + 9 * frame(0, b"x" * MEGABYTE, final=False),
        1009,
        "bytes",
    ),
    "no UTF-8": (frame(TEXT, b'{"command": "\xff"}'), 1007, "UTF-8"),
    "no mask": (frame(TEXT, b"{}", masked=False), 1002, "mask"),
    "an unknown opcode": (frame(5, b""), 1002, "opcode"),
    "a piece of nothing": (frame(0, b"{}"), 1002, ""),
    "a flood of commands": (HISTORY * 5000, 1008, "flood of commands"),
    "a flood of audio": (frame(BINARY, bytes(64_000)) * 80, 1008, "flood of audio"),
}


@asynccontextmanager
async def undisturbed(lab: Lab) -> AsyncIterator[None]:
    """Another call hears a tone while the block runs, without a gap."""
    sound = lab.sounds / "tone.wav"
    if not sound.exists():
        wav.write(sound, wav.tone(HERTZ, 30))
    async with lab.system.bot("/call") as other:
        await other.send("invite", option={})
        await other.event("answer")
        await other.send("play", url="tone.wav")

        async def hears(count: int) -> None:
            async def does() -> bool:
                return len(other.audio) >= count

            await until(does, within=PATIENCE)

        await hears(3)
        yield
        await hears(len(other.audio) + 3)
        await other.send("hangup")
        await other.ended()
    heard = np.frombuffer(b"".join(other.audio), "<i2").astype(np.float64)[RATE // 50 :]
    # Each sample of a tone follows from the two before it.
    break_ = heard[2:] + heard[:-2] - 2 * np.cos(2 * np.pi * HERTZ / RATE) * heard[1:-1]
    assert np.abs(break_).max() < 0.03 * np.abs(heard).max()


@asynccontextmanager
async def talking(lab: Lab) -> AsyncIterator[RawBot]:
    """A call of a raw bot, beside one that must not be disturbed."""
    async with undisturbed(lab):
        async with raw_bot(lab.system.api, "/call?ping=0", lab.system.authorization) as bot:
            await bot.send(command("invite", option={}))
            await bot.event("answer")
            yield bot
        await lab.system.idle({"sidecall_slots_used": 1})


async def test_what_is_no_command_is_an_error_event(lab: Lab) -> None:
    async with talking(lab) as bot:
        for name, text in NOT_COMMANDS.items():
            await bot.send(frame(TEXT, text))
            error = await bot.event("error")
            assert (error["sender"], error["code"]) == ("command", 400), name
            assert error["error"], name
        await bot.send(HISTORY)
        await bot.event("addHistory")
        await bot.send(command("hangup"))
        assert (await bot.closed())[0] == 1000
    assert [event["event"] for event in bot.events[-2:]] == ["trackEnd", "hangup"]


@pytest.mark.parametrize("name", CUT_OFF)
async def test_cut_off_with_a_code_and_a_reason(lab: Lab, name: str) -> None:
    data, code, why = CUT_OFF[name]
    async with talking(lab) as bot:
        sending = asyncio.create_task(bot.send(data))
        found, reason = await bot.closed()
        assert (found, why in reason) == (code, True), reason
        assert reason
        sending.cancel()
        await asyncio.wait([sending])


async def test_commands_above_the_rate_are_429(lab: Lab) -> None:
    async with talking(lab) as bot:
        await bot.send(HISTORY * 400)
        error = await bot.event("error")
        assert (error["sender"], error["code"]) == ("command", 429)
        await bot.send(command("hangup"))


async def test_bot_that_stops_reading_is_cut_off(lab: Lab) -> None:
    async with talking(lab) as bot:
        for _ in range(180):
            await bot.send(LONG)
        code, reason = await bot.closed()
        assert (code, "does not read" in reason) == (1008, True), reason
        assert len(bot.events) < 180
        assert {event["event"] for event in bot.events[-10:]} == {"addHistory"}


async def test_bot_that_does_not_answer_pings_is_gone(lab: Lab) -> None:
    async with undisturbed(lab):
        async with raw_bot(lab.system.api, "/call?ping=1", lab.system.authorization) as bot:
            await bot.send(command("invite", option={}))
            assert await bot.closed() == (1006, "")
        assert bot.events
        await lab.system.idle({"sidecall_slots_used": 1})


async def test_connection_that_breaks_in_the_middle_of_a_frame(lab: Lab) -> None:
    async with talking(lab) as bot:
        await bot.send(HISTORY[:-3])


@pytest.mark.parametrize(
    "beginning", [b"", b"GET /call HTTP/1.1\r\nHost: x\r\nUpgrade: web", b"\x16\x03\x01\x00"]
)
async def test_half_open_sockets_cost_nobody_anything(lab: Lab, beginning: bytes) -> None:
    async with undisturbed(lab):
        host, port = lab.system.api.split(":")
        opened = [await asyncio.open_connection(host, int(port)) for _ in range(50)]
        for _, writer in opened:
            writer.write(beginning)
        async with lab.system.bot("/call") as bot:
            await bot.send("invite", option={})
            await bot.event("answer")
            await bot.send("hangup")
            await bot.ended()
        for _, writer in opened:
            writer.close()


async def test_second_session_with_an_id_is_refused_and_harms_nobody(lab: Lab) -> None:
    async with undisturbed(lab), lab.system.bot("/call", id="twice") as first:
        await first.send("invite", option={})
        await first.event("answer")
        for path in ("/call", "/call/sip", "/call/webrtc"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with lab.system.bot(path, id="twice"):
                    pass
            assert refused.value.status == 409
        await first.send("history", speaker="a", text="still here")
        await first.event("addHistory")
        await first.send("hangup")
        await first.ended()
    async with lab.system.bot("/call", id="twice") as again:
        await again.send("invite", option={})
        await again.event("answer")


async def test_plain_http_is_refused_in_words(lab: Lab) -> None:
    async with aiohttp.ClientSession(headers=lab.system.authorization) as session:
        for path, status in (("/call", 426), ("/call/webrtc", 426), ("/call/sip", 426), ("/nowhere", 404)):
            async with session.get(f"http://{lab.system.api}{path}") as answer:
                assert answer.status == status
                error = json.loads(await answer.text())["error"]
                assert error["code"] == status
                assert error["message"]
