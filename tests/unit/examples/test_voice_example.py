"""The voice example's conversation, with a socket that answers by a script."""

import json
from collections.abc import Sequence
from typing import Any, cast

import aiohttp
import pytest

from examples import voice

KEY_5 = {"event": "dtmf", "digit": "5"}
SILENCE = {"event": "silence"}
NOISE = ({"event": "eou"},)


def said(words: str) -> tuple[dict[str, Any], ...]:
    return ({"event": "asrFinal", "text": words}, {"event": "eou"})


class Scripted:
    """A socket that gives the events of a call; each answer follows a question."""

    def __init__(self, answers: Sequence[Sequence[dict[str, Any]]]) -> None:
        begin = [{"event": "incoming", "caller": "sip:a@b"}, {"event": "answer"}]
        end = {"event": "hangup", "reason": "autohangup"}
        self._events = [*begin, *(event for answer in answers for event in answer), end]
        self.sent: list[dict[str, Any]] = []

    async def send_json(self, command: dict[str, Any]) -> None:
        self.sent.append(command)

    async def receive(self) -> aiohttp.WSMessage:
        if not self._events:
            return aiohttp.WSMessage(aiohttp.WSMsgType.CLOSED, None, None)
        return aiohttp.WSMessage(aiohttp.WSMsgType.TEXT, json.dumps(self._events.pop(0)), None)


async def spoken(*answers: Sequence[dict[str, Any]]) -> list[str]:
    """What the bot says to a caller who answers like this."""
    socket = Scripted(answers)
    await voice.talk(cast("aiohttp.ClientWebSocketResponse", socket))
    return [command["text"] for command in socket.sent if command["command"] == "tts"]


async def test_a_number_is_asked_until_it_is_right() -> None:
    assert await spoken(said("yes"), said("four"), said("no"), [KEY_5], said("yes")) == [
        voice.WELCOME,
        voice.HOW_MANY,
        voice.CONFIRM.format("four"),
        voice.HOW_MANY,
        voice.CONFIRM.format("five"),
        voice.BOOKED.format("five"),
    ]


async def test_no_is_taken_for_no() -> None:
    assert await spoken(said("no")) == [voice.WELCOME, voice.DECLINED]


@pytest.mark.parametrize("first", [[SILENCE], NOISE, said("seven")])
async def test_a_question_is_asked_again_once(first: Sequence[dict[str, Any]]) -> None:
    assert await spoken(first, said("no")) == [voice.WELCOME, voice.YES_NO.hint, voice.DECLINED]
    assert await spoken(first, [SILENCE]) == [voice.WELCOME, voice.YES_NO.hint, voice.GIVEN_UP]


async def test_the_end_of_a_turn_may_come_before_its_final_text() -> None:
    early = ({"event": "asrDelta", "text": "yes"}, {"event": "eou"}, {"event": "asrFinal", "text": "yes"})
    assert (await spoken(early, said("two"), said("yes")))[-1] == voice.BOOKED.format("two")


async def test_a_late_text_counts() -> None:
    late = ({"event": "eou"}, {"event": "asrFinal", "text": "no"}, SILENCE)
    assert await spoken(late) == [voice.WELCOME, voice.YES_NO.hint, voice.DECLINED]


async def test_a_caller_who_hangs_up_is_let_go() -> None:
    assert await spoken() == [voice.WELCOME]
