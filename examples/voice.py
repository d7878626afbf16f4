"""A bot to talk to: it takes a reservation by voice, or by keys. Needs only aiohttp."""

import asyncio
import contextlib
import os
import sys
from dataclasses import dataclass
from typing import Any

import aiohttp

URL = os.environ.get("SIDECALL_URL", "ws://127.0.0.1:8080") + "/call/sip?route=default"
HEADERS = {"Authorization": f"Bearer {token}"} if (token := os.environ.get("SIDECALL_TOKEN")) else {}
WAITING_BOTS = 4

WELCOME = "Hello, this is Sidecall. Would you like to book a table?"
HOW_MANY = "For how many people? Please say a number from one to nine."
CONFIRM = "A table for {}. Is that right?"
BOOKED = "Your table for {} is booked. Goodbye."
DECLINED = "Maybe another time. Goodbye."
GIVEN_UP = "I still do not understand. Goodbye."


@dataclass(frozen=True)
class Answers:
    """What may be said to a question."""

    hint: str
    """What is said when the first answer was not understood."""
    meanings: dict[str, str]
    """Of each word, and of each key."""


WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NUMBER = Answers(
    "Sorry, I did not understand. Please say or press a number from one to nine.",
    {word: word for word in WORDS} | {str(key): word for key, word in enumerate(WORDS, 1)},
)
YES_NO = Answers(
    "Sorry, I did not understand. Please say yes or no, or press one for yes and two for no.",
    {"yes": "yes", "1": "yes", "no": "no", "2": "no"},
)
OPTION = {
    # The recogniser of a fresh Sidecall needs to know what may be said: in the whole call, whatever is asked.
    "asr": {"grammar": ["yes", "no", *WORDS]},
    # Say when the caller has finished; a number has one digit, so none is waited for after it.
    "eou": {"extra": {"digits": 1}},
    # Who speaks over a question is listened to; a cough only makes us pause.
    "interrupt": {"on": "speech", "resume": 800},
}
PATIENCE = 5
"""Seconds of silence after a question."""


class NoAnswerError(Exception):
    """Nothing of use was said."""


class HangupError(Exception):
    """The call is over."""


class Call:
    """One call, from the moment when it is offered."""

    def __init__(self, bot: aiohttp.ClientWebSocketResponse) -> None:
        self._bot = bot

    async def accept(self) -> None:
        """Wait for a caller and answer."""
        incoming = await self._until("incoming")
        print(f"call from {incoming['caller']}", flush=True)
        await self._bot.send_json({"command": "accept", "option": OPTION})
        await self._until("answer")

    async def ask(self, question: str, answers: Answers) -> str:
        """What the caller's answer means; asks again once. Raises NoAnswerError."""
        for text in (question, answers.hint):
            await self._say(text, waitInputTimeout=PATIENCE)
            said = await self._turn()
            print(f"{text!r}: {said!r}", flush=True)
            if said in answers.meanings:
                return answers.meanings[said]
        raise NoAnswerError

    async def part(self, farewell: str) -> None:
        """Say a last sentence and hang up."""
        await self._say(farewell, autoHangup=True)
        await self._until("hangup")

    async def _say(self, text: str, **fields: object) -> None:
        """Speak; what still plays is cut, because it has another playId."""
        await self._bot.send_json({"command": "tts", "text": text, "playId": text, **fields})

    async def _turn(self) -> str:
        """What the caller says, or the key pressed; empty when nothing was understood."""
        words = ""
        while True:
            match await self._event():
                case {"event": "asrDelta" | "asrFinal", "text": text}:
                    # What is understood so far may be enough for `eou`: the final text comes later then.
                    words = str(text)
                case {"event": "eou"} | {"event": "silence"}:
                    return words
                case {"event": "dtmf", "digit": key}:
                    return str(key)

    async def _until(self, name: str) -> dict[str, Any]:
        """The next event of this name."""
        while (event := await self._event())["event"] != name:
            pass
        return event

    async def _event(self) -> dict[str, Any]:
        """The next event. Raises HangupError when no more will come."""
        message = await self._bot.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise HangupError
        event: dict[str, Any] = message.json()
        match event:
            case {"event": "hangup", "reason": reason}:
                print(f"call ended: {reason}", flush=True)
            case {"event": "error", "error": error}:
                print(f"error: {error}", file=sys.stderr, flush=True)
        return event


async def reserve(call: Call) -> str:
    """Find out what the caller wants; what to part with."""
    try:
        if await call.ask(WELCOME, YES_NO) == "no":
            return DECLINED
        while True:
            people = await call.ask(HOW_MANY, NUMBER)
            if await call.ask(CONFIRM.format(people), YES_NO) == "yes":
                return BOOKED.format(people)
    except NoAnswerError:
        return GIVEN_UP


async def talk(bot: aiohttp.ClientWebSocketResponse) -> None:
    """Wait for a call and talk until it ends."""
    call = Call(bot)
    with contextlib.suppress(HangupError):
        await call.accept()
        await call.part(await reserve(call))


async def wait_for_calls(http: aiohttp.ClientSession) -> None:
    """Take one call after the other; try again every second while Sidecall is away."""
    while True:
        try:
            async with http.ws_connect(URL, headers=HEADERS) as bot:
                await talk(bot)
        except aiohttp.ClientError as error:
            print(f"{URL}: {error}; trying again", file=sys.stderr, flush=True)
            await asyncio.sleep(1)


async def main() -> None:
    """Serve several calls at once."""
    async with aiohttp.ClientSession() as http:
        print(f"waiting for calls at {URL}", flush=True)
        await asyncio.gather(*(wait_for_calls(http) for _ in range(WAITING_BOTS)))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
