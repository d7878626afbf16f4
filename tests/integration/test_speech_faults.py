"""Providers of speech that fail, on a whole node: calls go on, bots are told once, nothing is left behind."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
import pytest_asyncio

from tests.support.bot import Bot, Event
from tests.support.clouds.base import Cloud, Fault, Stage, Trouble
from tests.support.clouds.services import ASR, TTS, Service
from tests.support.speechhouse import PATIENCE, SAID, SHORT, House, errors, said, say, speech_house, told

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
LASTING = 8
"""Connections that fail until the bot is told: an HTTP client connects again by itself when a request was cut."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("faults")
    async with speech_house(folder, speech={"stall_seconds": STALL_SECONDS}) as house:
        await house.side_by_side(
            {f"asr {service.name}": partial(recognised, house, service) for service in ASR}
            | {f"tts {service.name}": partial(spoken, house, service) for service in TTS}
        )
        # What the first calls open for good, such as sessions of HTTP, belongs to the base line.
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


@pytest.mark.parametrize("fault", Fault)
async def test_recognition_goes_on(house: House, fault: Fault) -> None:
    # A call ends by leaving its provider: nobody is told that no audio follows.
    await house.side_by_side(
        {
            f"{service.name} {stage.value}": partial(recognised, house, service, Trouble(fault, stage))
            for service in ASR
            for stage in (Stage.CONNECT, Stage.BEGIN, Stage.MIDDLE)
        }
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
@pytest.mark.parametrize("fault", Fault)
async def test_synthesis_goes_on(house: House, fault: Fault, streamed: bool) -> None:
    await house.side_by_side(
        {
            f"{service.name} {stage.value}": partial(
                spoken, house, service, Trouble(fault, stage), streamed=streamed
            )
            for service in TTS
            for stage in Stage
        }
    )
