"""What follows from what the caller says: texts, ends of turns, interruptions."""

from typing import TYPE_CHECKING

from media.api.options import CallOption, TranscriptionOption, VadOption
from media.session.answering import Answering
from media.session.bargein import BargeIn
from media.session.clock import now_ms
from media.session.hearing import UNASKED, Hearing
from media.session.listening import Listening
from media.session.toning import Toning
from media.session.turns import Turns

if TYPE_CHECKING:
    from media.session.session import Session


class Attention:
    """All that the bot asked for about the caller's words and voice, in one call.

    It follows the voice (`Hearing` tells), the words (`Listening` tells), keys, and what we play.
    """

    def __init__(self, session: "Session", hearing: Hearing) -> None:
        self._session = session
        self._listening: Listening | None = None
        self._turns: Turns | None = None
        self._barge_in: BargeIn | None = None
        self._answering: Answering | None = None
        self._toning: Toning | None = None
        hearing.hearers.append(self)
        session.track.followers.append(self)

    @staticmethod
    def voice(option: CallOption) -> VadOption | None:
        """How voice is to be detected for this, whether or not the bot wants to be told of it."""
        needed = (option.asr, option.eou, option.interrupt, option.answer_machine_detection)
        return UNASKED if any(each is not None for each in needed) else None

    def attend(self, slot: int, option: CallOption, *, answered: bool = False) -> None:
        """Begin with what `option` asks for; nothing changes for what has begun."""
        session = self._session
        asr = option.asr
        if asr is not None and (answered or not asr.start_when_answer) and self._listening is None:
            self._listen(slot, asr)
        if option.eou is not None and self._turns is None:
            language = asr.language if asr is not None else None
            remote = session.services.turn_detector
            self._turns = Turns(session, option.eou, remote, words=asr is not None, language=language)
        if option.interrupt is not None and self._barge_in is None:
            self._barge_in = BargeIn(_Stage(session), option.interrupt, recogniser=asr is not None)
        if option.answer_machine_detection is not None and self._answering is None:
            self._answering = Answering(session, option.answer_machine_detection, self._quit_toning)
            services = session.services
            self._toning = Toning(services.engine, services.speech, self._answering.tone)
            self._toning.start(slot)

    def answered(self, slot: int, option: CallOption) -> None:
        """The call stands and the bot knows it."""
        self.attend(slot, option, answered=True)
        for each in (self._listening, self._turns, self._barge_in):
            if each is not None:
                each.answered()
        if self._answering is not None:
            self._answering.answered(now_ms())

    def stop(self) -> None:
        """Nothing follows any more."""
        for each in (self._listening, self._turns, self._barge_in, self._answering, self._toning):
            if each is not None:
                each.stop()

    def _listen(self, slot: int, option: TranscriptionOption) -> None:
        session = self._session
        services = session.services
        self._listening = Listening(
            session, services.engine, services.speech, option, session.id, self._understood
        )
        self._listening.start(slot)

    def _quit_toning(self) -> None:
        """It is known who answered: tones are of no interest any more."""
        if self._toning is not None:
            self._toning.stop()

    # What happens

    def speaking(self, start: int) -> None:
        """The caller speaks, since `start`, ms since the epoch."""
        for each in (self._listening, self._turns, self._barge_in, self._answering):
            if each is not None:
                each.speaking(start)

    def silent(self, since: int) -> None:
        """The caller is silent, since `since`."""
        for each in (self._listening, self._turns, self._barge_in):
            if each is not None:
                each.silent(since)
        if self._answering is not None:
            self._answering.silent(since, now_ms() - since)

    def stirred(self) -> None:
        """There is a voice that may yet be a noise."""
        if self._turns is not None:
            self._turns.stirred()

    def _understood(self, text: str, final: bool, start: int) -> None:
        """The caller's words."""
        self._session.track.input_heard()
        if self._turns is not None:
            self._turns.heard(text, final, start)
        if self._barge_in is not None:
            self._barge_in.heard(text, final)
        if self._answering is not None:
            self._answering.heard(text, final)

    def pressed(self, digit: str) -> None:
        """The caller pressed a key."""
        if self._barge_in is not None:
            self._barge_in.pressed(digit)

    def play_started(self) -> None:
        """A play is heard from now on."""
        if self._barge_in is not None:
            self._barge_in.play_started()

    def play_ended(self) -> None:
        """It is not heard any more."""
        if self._barge_in is not None:
            self._barge_in.play_ended()

    def paused(self) -> None:
        """The bot has paused what is playing."""
        if self._barge_in is not None:
            self._barge_in.bot_paused()

    def resumed(self) -> None:
        """The bot lets it go on."""
        if self._barge_in is not None:
            self._barge_in.bot_resumed()


class _Stage:
    """The session, as barge-in sees it."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    @property
    def playing(self) -> bool:
        """Whether the caller hears a play of ours."""
        play = self._session.player.current
        return play is not None and play.started

    def pause(self) -> None:
        """Hold what is playing where it is."""
        self._session.player.pause()

    def resume(self) -> None:
        """Go on where it was held."""
        self._session.player.resume()

    def interrupt(self) -> None:
        """Cut what is playing."""
        self._session.interrupt()

    def error(self, sender: str, message: str, code: int | None = None) -> None:
        """Tell the bot that something went wrong; the call goes on."""
        self._session.error(sender, message, code)
