"""``eou``: the bot is told when the caller has finished a turn, once a turn.

The local rule counts silence by the text so far; with an endpoint, its server is asked about every pause, and the rule
decides where it fails.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Protocol

from control.errors import ProviderError
from media.api import events
from media.api.options import EouOption
from media.session.clock import now_ms
from media.speech.eou.http import Asked, RemoteDetector
from media.speech.eou.rule import Rule, Verdict, Waits

log = logging.getLogger(__name__)

LIMIT_MS = 3000
"""``timeout`` when the bot names none."""
GIVE_UP = 3
"""Failures in a row after which an endpoint is not asked again in this call: each costs the time limit."""
LOCAL, HTTP = "local", "http"


class Owner(Protocol):
    """What turns need of their session."""

    id: str

    def send(self, event: events.Event) -> None:
        """Tell the bot."""

    def error(self, sender: str, message: str, code: int | None = None) -> None:
        """Tell the bot that something went wrong; the call goes on."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do `work`, until the session ends at the latest."""


class Turns:
    """The caller's turns in one session. Times are ms since the epoch, as in the events ``speaking`` and ``silence``.

    `remote` asks the endpoint, where the option has one; `language` is the recogniser's, and `words` whether there is a
    recogniser.
    """

    def __init__(
        self,
        owner: Owner,
        option: EouOption,
        remote: RemoteDetector,
        *,
        words: bool,
        language: str | None = None,
        waits: Waits | None = None,
    ) -> None:
        self._owner = owner
        self._option = option
        self._remote: RemoteDetector | None = remote if asks(option) else None
        self._asked = Asked(owner.id, owner.id, language)
        self._loop = asyncio.get_running_loop()
        limit = LIMIT_MS if option.timeout is None else option.timeout
        self._rule = Rule(
            waits or Waits(), limit=limit, words=words, language=language, digits=expected_digits(option)
        )
        self._timer: asyncio.TimerHandle | None = None
        self._question: asyncio.Task[None] | None = None
        self._candidate: int | None = None
        """The pause that the last question was about."""
        self._failures = 0
        self._complaint = complaint(option)
        """To be told once the call is answered: errors before would look like its failure."""
        self._answered = self._complained = self._over = False

    def answered(self) -> None:
        """The bot knows that the call stands."""
        self._answered = True
        self._complain(self._complaint)

    def stirred(self) -> None:
        """A voice is heard that may yet be a noise; `speaking` follows if it is none. No turn ends meanwhile."""
        self._rule.stirred(self._now())
        self._follow()

    def speaking(self, start: int) -> None:
        """The caller speaks, since `start`."""
        self._rule.speech_began(self._at(start))
        self._follow()

    def silent(self, start: int) -> None:
        """The caller does not speak any more, since `start`."""
        self._rule.speech_ended(self._at(start))
        self._follow()

    def heard(self, text: str, final: bool, start: int | None = None) -> None:
        """`text` of an utterance was recognised, all of it so far; `start`: when it was begun."""
        at = None if start is None else self._at(start)
        self._rule.heard(self._now(), text, final=final, start=at)
        self._follow()

    def stop(self) -> None:
        """No event follows."""
        self._over = True
        self._wait(None)
        self._drop_question()

    # The loop's clock: unlike the wall clock it never jumps.

    def _now(self) -> int:
        return round(self._loop.time() * 1000)

    def _at(self, epoch: int) -> int:
        return self._now() - max(0, now_ms() - epoch)

    # What follows

    def _follow(self) -> None:
        """Something has changed: ask about a new pause, and wait for what is due."""
        if self._over:
            return
        candidate = self._rule.candidate
        if candidate != self._candidate:
            self._candidate = candidate
            self._drop_question()
            if candidate is not None and self._remote is not None:
                self._rule.leave(Verdict.LIMIT)
                self._question = self._owner.spawn(self._ask(self._remote))
        self._wait(self._rule.due())

    def _wait(self, due: int | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = self._loop.call_later(max(0, due - self._now()) / 1000, self._expire)

    def _expire(self) -> None:
        self._timer = None
        end = self._rule.expired(self._now())
        if end is not None:
            self._owner.send(events.Eou(track_id=self._owner.id, timestamp=now_ms(), completed=end.completed))
        self._follow()

    # The endpoint

    async def _ask(self, remote: RemoteDetector) -> None:
        try:
            verdict = await remote.ask(self._option, self._asked, self._rule.pause(self._now()))
            self._failures = 0
        except ProviderError as error:
            self._failed(error)
            verdict = Verdict.RULE
        self._question = None
        self._rule.leave(verdict)
        self._follow()

    def _failed(self, error: ProviderError) -> None:
        self._failures += 1
        log.info("session %s: %s", self._owner.id, error)
        if not error.retry or self._failures >= GIVE_UP:
            self._remote = None
        self._complaint = self._complaint or (f"{error}; the local rule decides", error.code)
        if self._answered:
            self._complain(self._complaint)

    def _complain(self, complaint: tuple[str, int] | None) -> None:
        """Once a call is enough: the bot cannot mend it before the next one."""
        if complaint is not None and not self._complained:
            self._complained = True
            self._owner.error("eou", *complaint)

    def _drop_question(self) -> None:
        """Its answer is of no use any more."""
        if self._question is not None:
            self._question.cancel()
            self._question = None


def asks(option: EouOption) -> bool:
    """Whether an endpoint decides."""
    return option.endpoint is not None and (option.type or HTTP).lower() != LOCAL


def complaint(option: EouOption) -> tuple[str, int] | None:
    """What is wrong with `option`, and a code for it; the local rule decides then."""
    kind = (option.type or LOCAL).lower()
    if asks(option) or kind == LOCAL:
        return None
    if kind == HTTP:
        return ('"eou.type" "http" needs "eou.endpoint": the local rule decides', 400)
    return (
        f'"eou.type" {option.type!r} is not offered here: the local rule decides; '
        f'there are {LOCAL}, and {HTTP} with an "endpoint"',
        501,
    )


def expected_digits(option: EouOption) -> tuple[int, ...]:
    """``extra.digits``: how many digits a number has that the caller is asked for; a number or a list of them."""
    value = (option.extra or {}).get("digits")
    values = value if isinstance(value, list) else [value]
    return tuple(
        each for each in values if isinstance(each, int) and not isinstance(each, bool) and 0 < each <= 100
    )
