"""Commands about what the caller hears, and the keys the caller presses."""

import asyncio
import struct
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import numpy as np
import soxr

from control.errors import CommandError, MediaError, SpeechError
from media import files
from media.api import commands, events
from media.session.clock import now_ms
from media.session.play import Play, Source, Stream
from media.session.speaking import Voice
from media.session.state import State
from media.speech.text import clean
from media.speech.voice import Samples

if TYPE_CHECKING:
    from media.session.session import Services, Session

GIVEN_RATE = 16_000
"""Hz, of samples that a bot sends and does not name the rate of."""
HEARING = (State.OFFERED, State.ANSWERING, State.DIALING, State.TALKING)
"""States in which there is somebody who hears us, or will."""


def tts(session: "Session", command: commands.Tts) -> None:
    """Speak; the same playId continues what is being said, another replaces it."""
    session.require("tts", *HEARING)
    option = _option(session, command)
    samples = _samples(command, option) if command.base64 else None
    play = session.player.speaking(command.play_id)
    if samples is not None and (command.streaming if play is None else play.streaming):
        raise CommandError('command "tts": "base64" audio cannot be a piece of a "streaming" text')
    voice = Voice(session.services.tts, session.services.spoken, option, command.cache_key, session.send)
    play = session.player.say(command.play_id, lambda new: _stream(voice, new) if command.streaming else None)
    play.commands += 1
    play.auto_hangup = play.auto_hangup or command.auto_hangup
    play.wait_input = command.input_seconds or play.wait_input
    if option is not None:
        play.at_once = option.max_concurrent_tasks
    text = "" if command.base64 else command.text
    try:
        session.services.tts.check(option)
    except SpeechError as error:
        session.track.play_failed(play, error)
        text = ""
    if play.stream is not None:
        session.player.feed(play, play.stream, text, end=command.end_of_stream)
    else:
        session.player.add(play, text, samples or (voice.speak(play, text) if clean(text) else None))
    session.player.settle(play)


def _stream(voice: Voice, play: Play) -> Stream:
    """The stream of `play`: spoken by the voice of its first command."""
    return Stream(lambda text: voice.speak(play, text))


def answered(session: "Session") -> None:
    """The bot knows that the call stands: tell it what is wrong with the voice it chose."""
    try:
        session.services.tts.check(session.option.tts)
    except SpeechError as error:
        session.error("tts", str(error), error.code)


def play(session: "Session", command: commands.Play) -> Play:
    """Play a file from a URL or from the folder of sounds."""
    session.require("play", *HEARING)
    source = file_source(session.services, command.url, command.offset_ms)
    playing = session.player.play(source, command.play_id or command.url)
    playing.auto_hangup = command.auto_hangup
    playing.wait_input = command.input_seconds
    return playing


def interrupt(session: "Session", command: commands.Interrupt) -> None:
    """Cut what is on, within the fade, or gracefully; nothing when nothing is on."""
    session.player.interrupt(graceful=command.graceful, fade_ms=command.fade_out_ms or 0)


def pause(session: "Session", command: commands.Pause) -> None:
    """Keep what is on where it is."""
    _require_play(session, command.command)
    session.player.pause()


def resume(session: "Session", command: commands.Resume) -> None:
    """Go on after ``pause``."""
    _require_play(session, command.command)
    session.player.resume()


def _require_play(session: "Session", command: str) -> None:
    session.require(command, *HEARING)
    if not session.player.busy:
        raise CommandError(f'command "{command}" does not fit now: nothing is playing', 409)


def press(session: "Session", command: commands.Dtmf) -> None:
    """Press keys; what is playing waits meanwhile."""
    session.require(command.command, State.TALKING)
    if session.slot is None:
        return
    try:
        session.services.engine.press(session.slot, command.digits.upper(), command.duration, command.gap)
    except MediaError as error:
        raise CommandError(f'command "{command.command}": {error}', 400) from error


def history(session: "Session", command: commands.History) -> None:
    """Add to the record of the conversation."""
    session.send(
        events.AddHistory(sender=session.id, timestamp=now_ms(), speaker=command.speaker, text=command.text)
    )


def digit(session: "Session", key: str) -> None:
    """The caller pressed a key; one who is muted did not."""
    if session.caller.muted:
        return
    session.track.input_heard()
    session.send(events.Dtmf(track_id=session.id, timestamp=now_ms(), digit=key))


def _option(session: "Session", command: commands.Tts) -> commands.SynthesisOption | None:
    """How to speak: the keys of the call's ``tts`` under those of the command's ``option`` under its ``speaker``."""
    option = commands.overlay(session.option.tts, command.option)
    if command.speaker is not None:
        option = commands.overlay(option, commands.SynthesisOption(speaker=command.speaker))
    return option


_WAV = struct.Struct("<4s4x4s4sIHHI4xHH4s4x")
"""Header of a WAV file of samples as they are, in its usual form of 44 bytes."""


def _samples(command: commands.Tts, option: commands.SynthesisOption | None) -> Source:
    """A source of samples that the bot sent: s16le mono, or a WAV file. Raises CommandError."""
    data, rate = command.pcm(), (option.samplerate if option else None) or GIVEN_RATE
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return lambda wanted: _resampled(data, rate, wanted)
    if len(data) >= _WAV.size:
        _, _, _, size, form, channels, rate, _, bits, chunk = _WAV.unpack_from(data)
        # The sizes in it are not trusted: of a file that was streamed they are unknown.
        if (size, form, channels, bits, chunk) == (16, 1, 1, 16, b"data") and rate in files.RATES:
            return lambda wanted: _resampled(data[_WAV.size :], rate, wanted)
    return lambda wanted: _decoded(data, wanted)


async def _resampled(data: bytes, given: int, wanted: int) -> AsyncGenerator[Samples, None]:
    samples = np.frombuffer(data, "<i2", len(data) // 2).astype(np.int16)
    yield samples if given == wanted else await asyncio.to_thread(soxr.resample, samples, given, wanted)


async def _decoded(data: bytes, wanted: int) -> AsyncGenerator[Samples, None]:
    yield await asyncio.to_thread(files.load, data, wanted)


def file_source(services: "Services", url: str, offset: int = 0) -> Source:
    """A source of the sound `url`, an http(s) URL or a name below the folder of sounds, from `offset` ms on."""

    async def chunks(rate: int) -> AsyncGenerator[Samples, None]:
        samples = await services.sounds.load(url, rate)
        yield samples[offset * rate // 1000 :]

    return chunks
