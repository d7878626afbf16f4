"""Providers of speech that fail, on a whole node: calls go on, bots are told once, nothing is left behind."""

import asyncio
import os
from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio

from tests.support.bot import Bot, Event
from tests.support.clouds.base import Cloud, Fault, Stage, Trouble
from tests.support.clouds.services import ASR, TTS, Service
from tests.support.clouds.tencent import Tencent
from tests.support.speechhouse import (
    PATIENCE,
    RATE,
    SAID,
    SHORT,
    House,
    errors,
    gate,
    overlap,
    said,
    say,
    speech_house,
    told,
    trimmed,
)

pytestmark = pytest.mark.daemons

STALL_SECONDS = 2.0
MS_PER_CHARACTER = 20
"""How long the fakes speak."""
FIRST, SECOND = "Good morning, how can I help? ", "Please go on, I am listening to you. "
CODES = {
    Fault.REFUSE: {400, 429, 502, 503},
    Fault.CUT: {502, 503},
    Fault.STALL: {408, 504},
    # The HTTP client may not see that the framing of an answer is broken: then it stalls.
    Fault.GARBLE: {502, 408},
}
WRONG = "a-key-that-opens-nothing"
STALLED = 30
MOST_BYTES = 2_000_000
"""What a stalled call may take: 15 s of audio are kept for the next connection, 32 kB each, and buffers of sockets."""
LASTING = 8
"""Connections that fail until the bot is told: an HTTP client connects again by itself when a request was cut."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("faults")
    async with speech_house(folder, STALL_SECONDS) as house:
        await house.side_by_side(
            {f"asr {service.name}": partial(recognised, house, service) for service in ASR}
            | {f"tts {service.name}": partial(spoken, house, service) for service in TTS}
        )
        async with asyncio.timeout(PATIENCE):
            # espeak has two processes where there are processors for them; the second starts when both are needed.
            while len(house.hub.children()) < min(2, os.cpu_count() or 1):
                await house.side_by_side({service.name: partial(replaced, house, service) for service in TTS})
        house.before = await house.held()
        yield house


@pytest_asyncio.fixture
async def house(shared_house: House) -> AsyncIterator[House]:
    yield shared_house
    await shared_house.idle()


def lasting(cloud: Cloud, trouble: Trouble) -> None:
    """Let it go wrong until somebody notices. In the middle once is enough: a result ends an outage."""
    cloud.trouble.extend([trouble] * (1 if trouble.stage in (Stage.MIDDLE, Stage.END) else LASTING))


# Recognition


async def recognised(house: House, service: Service, trouble: Trouble | None = None) -> None:
    """A call whose caller says something twice while its provider fails the first time."""
    async with service.cloud() as cloud, house.system.bot("/call") as bot:
        if trouble is not None:
            lasting(cloud, trouble)
        await bot.send("invite", option={"asr": service.option(cloud)})
        await bot.event("answer")
        await say(bot, said(SAID))
        if trouble is not None:
            error = await bot.event("error", PATIENCE)
            cloud.trouble.clear()
            if "nothing is recognised any more" in error["error"]:
                await ended(bot)
                told(bot, "asr", service.provider, CODES[trouble.fault])
                return
        first = await final(bot)
        await say(bot, said(SHORT))
        second = await final(bot)
        assert second["index"] > first["index"]
        await ended(bot)
        if trouble is None:
            assert not errors(bot), f"{errors(bot)}"
        else:
            told(bot, "asr", service.provider, CODES[trouble.fault])
        assert not cloud.complaints, f"{cloud.complaints}"


async def final(bot: Bot) -> Event:
    return await bot.event("asrFinal", PATIENCE)


async def ended(bot: Bot) -> None:
    """The call still does what it is told."""
    await bot.send("dtmf", digits="5")
    await bot.send("hangup", reason="done")
    assert (await bot.ended())["reason"] == "done"


async def test_recognition_goes_on(house: House) -> None:
    # A call ends by leaving its provider: nobody is told that no audio follows.
    await house.side_by_side(
        {
            f"{service.name} {fault.value} {stage.value}": partial(
                recognised, house, service, Trouble(fault, stage)
            )
            for service in ASR
            for fault in Fault
            for stage in (Stage.CONNECT, Stage.BEGIN, Stage.MIDDLE)
        }
    )


async def cut_while_speaking(house: House, service: Service) -> None:
    """The second utterance is cut where its first word has come; what the cloud hears is put together again."""
    async with service.cloud() as cloud, gate(cloud.url) as way, house.system.bot("/call") as bot:
        await bot.send("invite", option={"asr": service.option(cloud) | {"endpoint": way.url}})
        await bot.event("answer")
        await say(bot, said(SHORT) + said(SAID))
        await final(bot)
        while (await bot.event("asrDelta", PATIENCE))["index"] == 0:
            pass
        way.cut()
        second = await final(bot)
        assert second["index"] == 1
        assert second["endTime"] - second["startTime"] > 2500, second
        await ended(bot)
        told(bot, "asr", service.provider, CODES[Fault.CUT])
        before, behind = map(bytes, cloud.heard)
        again = overlap(before, behind)
        assert again > RATE // 10 * 2, "nothing was sent again"
        assert trimmed(said(SHORT) + said(SAID)) in before[:-again] + behind


async def test_no_audio_is_lost_by_a_cut(house: House) -> None:
    await house.side_by_side(
        {service.name: partial(cut_while_speaking, house, service) for service in ASR[:2]}
    )


# Synthesis


async def spoken(
    house: House, service: Service, trouble: Trouble | None = None, *, streamed: bool = False
) -> None:
    """A call whose bot says something twice while its provider fails the first time."""
    async with service.cloud() as cloud, house.system.bot("/call") as bot:
        if trouble is not None:
            cloud.trouble.extend([trouble] * LASTING)
        await bot.send("invite", option={"tts": service.option(cloud)})
        await bot.event("answer")
        await bot.send("tts", text=FIRST, playId="first", streaming=streamed, endOfStream=streamed)
        if trouble is not None:
            await bot.event("error", PATIENCE)
            cloud.trouble.clear()
        await bot.event("trackEnd", PATIENCE)
        await bot.send("tts", text=SECOND, playId="second", streaming=streamed, endOfStream=streamed)
        second = await bot.event("trackEnd", PATIENCE)
        assert abs(second["duration"] - len(SECOND) * MS_PER_CHARACTER) < 60, second
        await ended(bot)
        if trouble is None:
            assert not errors(bot), f"{errors(bot)}"
        else:
            told(bot, "tts", service.provider, CODES[trouble.fault])
        assert not cloud.complaints, f"{cloud.complaints}"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_synthesis_goes_on(house: House, streamed: bool) -> None:
    await house.side_by_side(
        {
            f"{service.name} {fault.value} {stage.value}": partial(
                spoken, house, service, Trouble(fault, stage), streamed=streamed
            )
            for service in TTS
            for fault in Fault
            for stage in Stage
        }
    )


# Keys, fallbacks, many calls


async def locked_out(house: House, service: Service, sender: str) -> None:
    """A call whose bot has a wrong key for one provider."""
    async with service.cloud() as cloud, house.system.bot("/call") as bot:
        option = service.option(cloud) | {"secretKey": WRONG}
        await bot.send("invite", option={sender: option})
        await bot.event("answer")
        if sender == "tts":
            await bot.send("tts", text=FIRST, playId="first")
            await bot.event("trackEnd", PATIENCE)
        else:
            await say(bot, said(SHORT))
        await bot.event("error", PATIENCE)
        await bot.send("tts", text="Good bye.", playId="last", option={"provider": "espeak"})
        await bot.event("trackEnd", PATIENCE)
        await ended(bot)
        told(bot, sender, service.provider, {401})
        assert WRONG not in f"{bot.events}"
        assert cloud.connections == 1, "the same key was tried again"


async def test_wrong_keys(house: House) -> None:
    await house.side_by_side(
        {f"asr {service.name}": partial(locked_out, house, service, "asr") for service in ASR}
        | {f"tts {service.name}": partial(locked_out, house, service, "tts") for service in TTS}
    )
    assert WRONG not in house.system.log.read_text()


async def replaced(house: House, service: Service) -> None:
    """A call whose bot has a second provider for speech."""
    async with service.cloud() as cloud, house.system.bot("/call") as bot:
        cloud.trouble.extend([Trouble(Fault.REFUSE, Stage.CONNECT)] * LASTING)
        await bot.send("invite", option={"tts": service.option(cloud) | {"fallback": "espeak"}})
        await bot.event("answer")
        await bot.send("tts", text=FIRST, playId="first")
        assert (await bot.event("trackEnd", PATIENCE))["duration"] > 1000
        await ended(bot)
        told(bot, "tts", service.provider, CODES[Fault.REFUSE])
        assert errors(bot)[0]["error"].endswith("; espeak takes over")
        assert "completed.tts.espeak" in [event.get("key") for event in bot.events]


async def stalled(house: House, cloud: Cloud, together: asyncio.Barrier) -> None:
    """A call whose caller talks for longer than audio is kept, while nothing comes back."""
    async with house.system.bot("/call") as bot:
        await bot.send("invite", option={"asr": ASR[0].option(cloud)})
        await bot.event("answer")
        await say(bot, said(SAID) * 5)
        await bot.event("error", PATIENCE)
        await together.wait()
        await ended(bot)
        told(bot, "asr", ASR[0].provider, {408, 502, 504})


async def test_memory_is_bounded_while_a_provider_stalls(house: House) -> None:
    together = asyncio.Barrier(STALLED + 1)

    async def measured() -> None:
        await together.wait()
        grown = house.hub.memory_info().rss - before
        assert grown < STALLED * MOST_BYTES, f"{grown / STALLED:.0f} bytes a call"

    async with Tencent() as cloud:
        cloud.trouble.extend([Trouble(Fault.STALL, Stage.MIDDLE)] * STALLED * LASTING)
        before = house.hub.memory_info().rss
        calls = {f"call {number}": partial(stalled, house, cloud, together) for number in range(STALLED)}
        await house.side_by_side(calls | {"memory": measured})


async def test_a_fallback_speaks(house: House) -> None:
    await house.side_by_side({service.name: partial(replaced, house, service) for service in TTS})
