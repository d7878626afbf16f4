"""``tts``"""

import binascii
from typing import TYPE_CHECKING, Literal

from pydantic import model_validator

from control.errors import CommandError, SpeechError
from media.api.fields import MAX_TEXT, Line
from media.api.options import SynthesisOption, instead, overlay
from media.commands.playing import Playing
from media.session import given
from media.session.play import Source
from media.session.speaking import Voice
from media.speech.text import clean

if TYPE_CHECKING:
    from media.session.session import Session


class Tts(Playing):
    """Speak a text."""

    command: Literal["tts"] = "tts"
    text: str
    """What is spoken; may be empty where only the flags matter."""
    speaker: Line | None = None
    """Voice; goes before that of `option` and of the call."""
    streaming: bool = False
    """Whether the texts with this `play_id` are pieces of one, such as the words of a language model: each sentence is
    spoken as soon as it is whole."""
    end_of_stream: bool = False
    """With `streaming`: whether this is the last piece."""
    base64: bool = False
    """Whether `text` is base64 of samples, s16le mono at the ``samplerate`` of the option, 16 kHz when it has none; or
    of a WAV file."""
    cache_key: Line | None = None
    """The bot's own name of what is said: with it, the same name is the same speech, whatever the text."""
    option: SynthesisOption | None = None
    """Laid over the call's ``tts`` option, field by field."""

    def pcm(self) -> bytes:
        """Samples of a base64 `text`, s16le mono, or a WAV file. Raises CommandError when it is something else."""
        try:
            data = binascii.a2b_base64(self.text.encode(), strict_mode=True)
        except binascii.Error as error:
            raise CommandError(f'command "tts": "text" is not base64: {error}') from error
        if len(data) % 2 and not data.startswith(b"RIFF"):
            raise CommandError(f'command "tts": "text" holds {len(data)} bytes: no whole 16-bit samples')
        return data

    @model_validator(mode="after")
    def _limit(self) -> "Tts":
        if not self.base64 and len(self.text) > MAX_TEXT:
            raise ValueError(f'"text" must have at most {MAX_TEXT} characters, got {len(self.text)}')
        return self

    async def carry_out(self, session: "Session") -> None:
        """Speak; the same playId continues what is being said, another replaces it."""
        option = self.spoken(session.option.tts)
        samples = self._samples(option) if self.base64 else None
        play = session.player.speaking(self.play_id)
        if samples is not None and (self.streaming if play is None else play.streaming):
            raise CommandError('command "tts": "base64" audio cannot be a piece of a "streaming" text')
        services = session.services
        voice = Voice(
            services.speech, services.spoken, option, self.cache_key, session.send, session.trouble("tts")
        )
        play = session.player.say(self.play_id, voice.stream if self.streaming else lambda _: None)
        play.commands += 1
        play.auto_hangup = play.auto_hangup or self.auto_hangup
        play.wait_input = self.input_seconds or play.wait_input
        if option is not None:
            play.at_once = option.max_concurrent_tasks
        text = "" if self.base64 else self.text
        try:
            services.speech.check("tts", option)
        except SpeechError as error:
            session.track.play_failed(play, error)
            text = ""
        if play.stream is not None:
            session.player.feed(play, play.stream, text, end=self.end_of_stream)
        else:
            session.player.add(play, text, samples or (voice.speak(play, text) if clean(text) else None))
        session.player.settle(play)

    def spoken(self, call: SynthesisOption | None) -> SynthesisOption | None:
        """How to speak: the keys of the call's ``tts`` under those of `option` under `speaker`."""
        option = instead(call, self.option)
        if self.speaker is not None:
            option = overlay(option, SynthesisOption(speaker=self.speaker))
        return option

    def _samples(self, option: SynthesisOption | None) -> Source:
        """A source of the samples in `text`. Raises CommandError."""
        return given.samples(self.pcm(), option.samplerate if option else None)
