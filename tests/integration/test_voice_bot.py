"""Softphones speak with the voices of another synthesiser; the recogniser of a fresh Sidecall understands them.

First single words, counted; then a conversation with the example bot.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aiohttp
import numpy as np
import pytest
import pytest_asyncio

from examples import voice
from tests.support import flite, speech, wav
from tests.support.baresip import Baresip, baresip
from tests.support.bot import Event
from tests.support.flite import Speaker
from tests.support.netns import Namespace, namespace
from tests.support.system import System, running_system

pytestmark = [pytest.mark.daemons, pytest.mark.root]

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ANSWERS = ("yes", "no")
SPEAKERS: tuple[Speaker, ...] = ("slt", "rms", "awb", "kal")
LEAST = 0.9
"""Share of the words that must be understood."""
GAP = 0.8
"""Seconds of silence before each word, and by half of which its time may be wrong."""
QUIET = 1500
"""ms of silence after which a caller has nothing more to say."""
LATE = 10.0
"""Seconds that the recogniser may lag behind, on a machine that is busy."""
SPOKEN_WITHIN = 30.0


@dataclass(frozen=True, slots=True)
class House:
    """A system, and the networks of phones."""

    system: System
    spaces: Sequence[Namespace]


@pytest.fixture(scope="module")
def spaces() -> Iterator[Sequence[Namespace]]:
    with namespace() as one, namespace() as two, namespace() as three, namespace() as four:
        yield one, two, three, four


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_house(
    tmp_path_factory: pytest.TempPathFactory, spaces: Sequence[Namespace]
) -> AsyncIterator[House]:
    async with running_system(
        tmp_path_factory.mktemp("house"),
        sip={"address": spaces[0].outside},
        routes=[{"callee": f"^{name}$", "pool": name} for name in (*SPEAKERS, "voice")],
    ) as system:
        yield House(system, spaces)


@pytest_asyncio.fixture
async def house(shared_house: House) -> AsyncIterator[House]:
    before = await shared_house.system.leftovers()
    yield shared_house
    await shared_house.system.idle(before)


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a caller, and what was understood while it was said."""

    speaker: Speaker
    said: str
    understood: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Whether that was the word, once."""
        return self.understood == (self.said,)

    def __str__(self) -> str:
        return f"{self.speaker} {self.said:6} {' '.join(self.understood) or '-':12}{'' if self.right else ' wrong'}"


async def test_nine_of_ten_words_are_understood(
    house: House, tmp_path_factory: pytest.TempPathFactory
) -> None:
    table = [
        *await calls(house, tmp_path_factory.mktemp("digits"), DIGITS, list(DIGITS)),
        *await calls(house, tmp_path_factory.mktemp("answers"), ANSWERS, "yesno"),
    ]
    assert len(table) == len(SPEAKERS) * (len(DIGITS) + len(ANSWERS))
    right = sum(row.right for row in table)
    assert right >= LEAST * len(table), "\n".join([f"{right} of {len(table)}", *map(str, table)])


async def calls(house: House, folder: Path, words: Sequence[str], grammar: object) -> list[Word]:
    """Each speaker says `words` in a call, all at the same time; what was understood."""
    callers = zip(house.spaces, SPEAKERS, strict=True)
    rows = await asyncio.gather(
        *(call(house.system, space, folder, speaker, words, grammar) for space, speaker in callers)
    )
    return [word for row in rows for word in row]


async def call(
    system: System, space: Namespace, folder: Path, speaker: Speaker, words: Sequence[str], grammar: object
) -> list[Word]:
    """Say `words`, one after the other, in one call; what was understood of each."""
    sounds = [await flite.say(folder, word, speaker) for word in words]
    gap = np.zeros(round(GAP * wav.RATE))
    said = np.concatenate([part for sound in sounds for part in (gap, sound)])
    last = said.size - sounds[-1].size
    async with (
        system.waiting_bot(speaker) as bot,
        baresip(space, folder, name=speaker, says=said) as phone,
    ):
        await phone.dial(system.uri(speaker))
        await bot.event("incoming")
        option = {"asr": {"grammar": grammar}, "vad": {"silenceTimeout": QUIET}}
        await bot.send("accept", option=option)
        began = (await bot.event("trackStart"))["timestamp"]
        while (await bot.event("silence", SPOKEN_WITHIN))["duration"] < QUIET:
            pass
        with suppress(AssertionError):
            while (await bot.event("asrFinal", LATE))["endTime"] < began + 1000 * last / wav.RATE:
                pass
        await phone.hangup()
        await bot.ended()
    assert "error" not in bot.names
    finals = [event for event in bot.events if event["event"] == "asrFinal"]
    return matched(speaker, list(zip(words, sounds, strict=True)), began, finals)


def matched(
    speaker: Speaker, said: Sequence[tuple[str, wav.Sound]], began: int, finals: Sequence[Event]
) -> list[Word]:
    """What was understood of each word: the texts whose middle is not further from it than half a gap.

    The phone begins to play `began` (ms since the epoch).
    """
    found = []
    at = 0.0
    for word, sound in said:
        start, end = at + GAP / 2, at + GAP + sound.size / wav.RATE + GAP / 2
        middles = [((event["startTime"] + event["endTime"]) / 2 - began) / 1000 for event in finals]
        texts = [
            event["text"] for event, middle in zip(finals, middles, strict=True) if start <= middle < end
        ]
        found.append(Word(speaker, word, tuple(texts)))
        at += GAP + sound.size / wav.RATE
    return found


class Socket:
    """What the example bot sends and gets, noted on the way."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._news = asyncio.Condition()
        self.events: list[Event] = []
        self.texts: list[str] = []
        """What the bot has spoken."""

    async def send_json(self, command: dict[str, Any]) -> None:
        if command["command"] == "tts":
            self.texts.append(command["text"])
        await self._socket.send_json(command)

    async def receive(self) -> aiohttp.WSMessage:
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            async with self._news:
                self.events.append(message.json())
                self._news.notify_all()
        return message

    async def event(self, name: str, text: str) -> Event:
        """The event `name` of the play of `text`."""
        async with asyncio.timeout(SPOKEN_WITHIN), self._news:
            while not (found := self.events_of(name, text)):
                await self._news.wait()
        return found[0]

    def events_of(self, name: str, text: str) -> list[Event]:
        return [event for event in self.events if (event["event"], event.get("playId")) == (name, text)]


@dataclass(frozen=True, slots=True)
class Scene:
    """A phone talks to the example bot."""

    phone: Baresip
    bot: Socket
    folder: Path

    async def asked(self, text: str) -> None:
        """Wait until the bot has asked the whole question."""
        await self.bot.event("trackEnd", text)

    async def says(self, words: str) -> None:
        """The caller says `words` now."""
        await self.phone.say(await flite.say(self.folder, words, "slt"))

    def hears(self, text: str) -> bool:
        """Whether the caller has heard `text`, from its beginning to its end."""
        return wav.likeness(self.phone.heard(), speech.render(text)) > 0.95


@asynccontextmanager
async def conversation(house: House, folder: Path) -> AsyncIterator[Scene]:
    """The example bot takes the call of a phone; at the end of the block it ends by itself."""
    url = f"ws://{house.system.api}/call/sip"
    async with (
        baresip(house.spaces[0], folder) as phone,
        aiohttp.ClientSession() as http,
        http.ws_connect(url, params={"route": "voice"}) as socket,
    ):
        tapped = Socket(socket)
        bot = asyncio.create_task(voice.talk(cast("aiohttp.ClientWebSocketResponse", tapped)))
        try:
            await phone.dial(house.system.uri("voice"))
            yield Scene(phone, tapped, folder)
            async with asyncio.timeout(SPOKEN_WITHIN):
                await bot
            await phone.event("CALL_CLOSED")
        finally:
            bot.cancel()
            await asyncio.wait([bot])
    assert not [event for event in tapped.events if event["event"] == "error"]


async def test_a_table_is_booked_by_voice(house: House, tmp_path: Path) -> None:
    confirm, farewell = voice.CONFIRM.format("five"), voice.BOOKED.format("five")
    async with conversation(house, tmp_path) as scene:
        await scene.asked(voice.WELCOME)
        await scene.says("yes")
        # Who knows what to say does not wait for the end of the question.
        await scene.bot.event("trackStart", voice.HOW_MANY)
        await scene.says("five")
        await scene.asked(confirm)
        await scene.says("yes")
    assert scene.bot.events_of("interruption", voice.HOW_MANY)
    # On a busy machine the recogniser may be so late that the bot has begun to ask again.
    hints = (voice.YES_NO.hint, voice.NUMBER.hint)
    path = [text for text in scene.bot.texts if text not in hints]
    assert path == [voice.WELCOME, voice.HOW_MANY, confirm, farewell]
    assert scene.hears(confirm)
    # A phone drops what its jitter buffer holds when the call ends.
    assert scene.hears(farewell.partition(".")[0] + ".")
    assert not scene.hears(voice.HOW_MANY)


async def test_keys_do_as_well_and_silence_is_asked_again(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voice, "PATIENCE", 1)
    confirm, farewell = voice.CONFIRM.format("three"), voice.BOOKED.format("three")
    async with conversation(house, tmp_path) as scene:
        await scene.bot.event("trackStart", voice.YES_NO.hint)
        await scene.phone.press("1")
        await scene.bot.event("trackStart", voice.HOW_MANY)
        await scene.phone.press("3")
        await scene.bot.event("trackStart", confirm)
        await scene.phone.press("1")
    assert scene.bot.texts == [voice.WELCOME, voice.YES_NO.hint, voice.HOW_MANY, confirm, farewell]
