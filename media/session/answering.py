"""``answerMachineDetection`` of one session: tells the bot who answered, and when a machine is ready to record."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from media.api import events
from media.api.options import AmdOption
from media.speech.amd.detector import Beep, Detector, Finding, GreetingEnd, Verdict
from media.speech.amd.tones import Name


class Owner(Protocol):
    """What the detection needs of its session."""

    def send(self, event: events.Event) -> None:
        """Tell the bot."""


class Answering:
    """Detection on one call, from its answer on; facts that come before count as far as they last.

    `ended` is called once, when nothing more will be told and nobody need listen to tones any more; never after
    `stop`. All times are ms since the Unix epoch.
    """

    def __init__(self, owner: Owner, option: AmdOption, ended: Callable[[], None] = lambda: None) -> None:
        self._owner, self._option, self._ended = owner, option, ended
        self._loop = asyncio.get_running_loop()
        self._detector: Detector | None = None
        """None before the answer, and when all is told."""
        self._timer: asyncio.TimerHandle | None = None
        self._speaking = False
        """Whether somebody speaks, as far as that is known before the answer."""
        self._epoch, self._zero = 0, 0.0
        """When the call was answered: ms since the epoch, and by the loop's clock."""

    def answered(self, now_ms: int) -> None:
        """The call was answered just now."""
        self._epoch, self._zero = now_ms, self._loop.time()
        self._detector = Detector(self._option.timeout, self._option.beep)
        self._tell(self._detector.speaking(0, 0) if self._speaking else [])

    def speaking(self, start: int) -> None:
        """The far end speaks, since `start`."""
        self._speaking = True
        if self._detector is not None:
            self._tell(self._detector.speaking(start - self._epoch, self._now))

    def silent(self, start: int, duration: int) -> None:
        """The far end has been silent since `start`, for `duration` ms; may be told again as it goes on."""
        self._speaking = False
        if self._detector is not None:
            known = max(self._now, start + duration - self._epoch)
            self._tell(self._detector.silent(start - self._epoch, known))

    def heard(self, text: str, final: bool) -> None:
        """The far end said `text`: so far, or for good."""
        if self._detector is not None:
            self._tell(self._detector.heard(text, self._now, final=final))

    def tone(self, name: str, start: int, end: int) -> None:
        """There was a tone: ``beep``, ``cng``, ``ced`` or ``sit``. Raises ValueError for another name."""
        known = Name(name)
        if self._detector is not None and end > self._epoch:
            self._tell(self._detector.tone(known, start - self._epoch, end - self._epoch, self._now))

    def stop(self) -> None:
        """Tell nothing more."""
        self._detector = None
        self._disarm()

    @property
    def _now(self) -> int:
        """ms since the answer."""
        return round((self._loop.time() - self._zero) * 1000)

    def _tell(self, findings: Iterable[Finding]) -> None:
        """Tell the bot, and wait for what is due next."""
        self._disarm()
        for finding in findings:
            self._owner.send(self._event(finding))
        if self._detector is None:  # the owner stopped us meanwhile
            return
        due = self._detector.due()
        if due is None:
            self._detector = None
            self._ended()
        else:
            self._timer = self._loop.call_at(self._zero + due / 1000, self._expired, due)

    def _expired(self, due: int) -> None:
        if self._detector is not None:
            # A timer may go off a little early.
            self._tell(self._detector.expired(max(due, self._now)))

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _event(self, finding: Finding) -> events.AnswerMachineDetection:
        match finding:
            case Verdict(end=end, tone=tone):
                return self._about(finding, finding.text, end, tone)
            case Beep(verdict=verdict, at=at, text=text):
                return self._about(verdict, text, self._now, Name.BEEP, self._epoch + at)
            case GreetingEnd(verdict=verdict, at=at, text=text):
                return self._about(verdict, text, self._now, None, self._epoch + at)

    def _about(
        self, verdict: Verdict, text: str, end: int, tone: Name | None, beep_time: int | None = None
    ) -> events.AnswerMachineDetection:
        return events.AnswerMachineDetection(
            timestamp=self._epoch + max(end, self._now),
            start_time=self._epoch,
            end_time=self._epoch + end,
            text=text,
            result=verdict.result,
            confidence=verdict.confidence,
            tone=tone,
            beep_time=beep_time,
        )
