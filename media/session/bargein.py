"""``interrupt``: the server cuts what is playing when the caller speaks over it, or presses a key.

The owner tells what the caller does and what becomes of plays; `Policy` says what follows, and when.
"""

import asyncio
from typing import Protocol

from media.api.options import InterruptOption
from media.session.bargein_policy import Action, Policy, Rules
from media.session.clock import now_ms


class Owner(Protocol):
    """What barge-in needs of its session."""

    @property
    def playing(self) -> bool:
        """Whether the caller hears a play of ours."""

    def pause(self) -> None:
        """Hold what is playing where it is."""

    def resume(self) -> None:
        """Go on where it was held."""

    def interrupt(self) -> None:
        """Cut what is playing."""

    def error(self, sender: str, message: str, code: int | None = None) -> None:
        """Tell the bot that something went wrong; the call goes on."""


class BargeIn:
    """Barge-in of one call. `recogniser`: whether what the caller says is recognised."""

    def __init__(self, owner: Owner, option: InterruptOption, *, recogniser: bool) -> None:
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._policy = Policy(Rules.of(option, recogniser=recogniser))
        self._timer: asyncio.TimerHandle | None = None
        self._over = False
        self._complaint = (
            f'"interrupt" is {option.on!r}, and no speech is recognised: nothing is interrupted; ask for "asr" as well'
            if option.on.startswith("words") and not recogniser
            else None
        )
        if owner.playing:
            self.play_started()

    def answered(self) -> None:
        """The bot knows that the call stands."""
        if self._complaint is not None:
            self._owner.error("interrupt", self._complaint, 409)
            self._complaint = None

    def speaking(self, start: int | None = None) -> None:
        """The caller speaks, since `start` (ms since the epoch), or since now; may be told again.

        To be told as soon as there may be a voice; `silent` must follow, also when it was but a noise.
        """
        self._do(self._policy.speaking(self._at(start)))

    def silent(self, start: int | None = None) -> None:
        """The caller does not speak any more, since `start`, or since now."""
        self._do(self._policy.silent(self._at(start)))

    def heard(self, text: str, final: bool) -> None:
        """`text` of an utterance was recognised, all of it so far."""
        self._do(self._policy.heard(text, final=final))

    def pressed(self, digit: str) -> None:
        """The caller pressed a key."""
        del digit  # they are all the same
        self._do(self._policy.pressed())

    def play_started(self) -> None:
        """A play is heard from now on."""
        self._do(self._policy.play_started(self._at(None)))

    def play_ended(self) -> None:
        """Nothing is heard any more."""
        self._policy.play_ended()
        self._do(None)

    def bot_paused(self) -> None:
        """The bot has sent ``pause``: what is playing is its own business."""
        self._policy.bot_paused()
        self._do(None)

    def bot_resumed(self) -> None:
        """The bot has sent ``resume``: this voice of the caller changes nothing."""
        self._policy.bot_resumed()
        self._do(None)

    def stop(self) -> None:
        """Nothing is done any more."""
        self._over = True
        self._cancel()

    # The loop's clock: unlike the wall clock it never jumps.

    def _now(self) -> int:
        return round(self._loop.time() * 1000)

    def _at(self, epoch: int | None) -> int:
        return self._now() - (0 if epoch is None else max(0, now_ms() - epoch))

    def _do(self, action: Action | None) -> None:
        """Wait for what is due next, then carry out `action`: the owner may tell the end of the play meanwhile."""
        self._cancel()
        if self._over:
            return
        due = self._policy.due()
        if due is not None:
            self._timer = self._loop.call_later(max(0, due - self._now()) / 1000, self._expire)
        match action:
            case Action.PAUSE:
                self._owner.pause()
            case Action.RESUME:
                self._owner.resume()
            case Action.INTERRUPT:
                self._owner.interrupt()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        self._do(self._policy.expired(self._now()))
