"""Commands about what the caller hears, and the keys the caller presses."""

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
import soxr

from control.errors import CommandError, MediaError
from media import files
from media.api import commands, events
from media.session.clock import now_ms
from media.session.play import Play, Source
from media.session.state import State
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
    text = "" if command.base64 else command.text
    play = session.player.say(text, _speech(session, command), command.play_id, streaming=command.streaming)
    play.auto_hangup = play.auto_hangup or bool(command.auto_hangup)
    play.wait_input = command.input_seconds or play.wait_input


def play(session: "Session", command: commands.Play) -> Play:
    """Play a file from a URL or from the folder of sounds."""
    session.require("play", *HEARING)
    source = file_source(session.services, command.url)
    playing = session.player.play(source, command.play_id or command.url)
    playing.auto_hangup = bool(command.auto_hangup)
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


def _speech(session: "Session", command: commands.Tts) -> Source:
    """A source that speaks the text of `command`. Raises CommandError for what the synthesiser cannot do."""
    option = commands.overlay(session.option.tts, command.option)
    if command.speaker is not None:
        option = commands.overlay(option, commands.SynthesisOption(speaker=command.speaker))
    if command.base64:
        return _samples(command.pcm(), (option.samplerate if option else None) or GIVEN_RATE)
    return lambda rate: session.services.tts.synthesise(command.text, option, rate)


def _samples(data: bytes, sample_rate: int) -> Source:
    """A source of samples that the bot sent, s16le mono."""

    async def chunks(rate: int) -> AsyncGenerator[Samples, None]:
        given = np.frombuffer(data, "<i2").astype(np.int16)
        if sample_rate != rate:
            given = await asyncio.to_thread(soxr.resample, given, sample_rate, rate)
        yield given

    return chunks


def file_source(services: "Services", url: str) -> Source:
    """A source of the file behind `url`, an http(s) URL or a name below the folder of sounds."""

    async def chunks(rate: int) -> AsyncGenerator[Samples, None]:
        if urlsplit(url).scheme in ("http", "https"):
            data = await services.fetcher.fetch(url)
        else:
            sounds = files.LocalFiles(services.settings.media.sounds)
            data = await asyncio.to_thread(sounds.read, url)
        yield await asyncio.to_thread(files.load, data, rate)

    return chunks
