"""Commands about what the caller hears, and the keys the caller presses."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from control.errors import CommandError
from media import files
from media.api import commands, events
from media.session.clock import now_ms
from media.session.player import Audio, Play
from media.session.state import State
from media.speech.voice import Samples

if TYPE_CHECKING:
    from media.session.session import Services, Session

SAMPLE_RATE = 8000
HEARING = (State.OFFERED, State.ANSWERING, State.DIALING, State.TALKING)
"""States in which there is somebody who hears us, or will."""
SECONDS_LIMIT = 600
"""``waitInputTimeout`` above this is in milliseconds, as older clients send it."""


def tts(session: "Session", command: commands.Tts) -> None:
    """Speak; the same playId continues what is being said, another replaces it."""
    session.require("tts", *HEARING)
    play = session.player.say(command.text, _speech(session, command), command.play_id)
    play.auto_hangup = play.auto_hangup or bool(command.auto_hangup)
    play.wait_input = _seconds(command.wait_input_timeout) or play.wait_input


def play(session: "Session", command: commands.Play) -> None:
    """Play a file from a URL or from the folder of sounds."""
    session.require("play", *HEARING)
    source = _file(session.services, command.url)
    playing = session.player.play(source, command.play_id or command.url)
    playing.auto_hangup = bool(command.auto_hangup)
    playing.wait_input = _seconds(command.wait_input_timeout)


def interrupt(session: "Session", command: commands.Interrupt) -> Play | None:  # noqa: ARG001
    """Cut what is playing: nothing of it leaves from the next tick on."""
    return session.player.interrupt()


def history(session: "Session", command: commands.History) -> None:
    """Add to the record of the conversation."""
    session.send(
        events.AddHistory(sender=session.id, timestamp=now_ms(), speaker=command.speaker, text=command.text)
    )


def digit(session: "Session", key: str) -> None:
    """The caller pressed a key."""
    session.track.input_heard()
    session.send(events.Dtmf(track_id=session.id, timestamp=now_ms(), digit=key))


def _speech(session: "Session", command: commands.Tts) -> Callable[[], Audio]:
    """A source that speaks the text of `command`. Raises CommandError for what the synthesiser cannot do."""
    option = commands.overlay(session.option.tts, command.option)
    if command.speaker is not None:
        option = commands.overlay(option, commands.SynthesisOption(speaker=command.speaker))
    if command.base64:
        raise CommandError('command "tts": field "base64" is not offered by this version', 501)
    return lambda: session.services.tts.synthesise(command.text, option, SAMPLE_RATE)


def _file(services: "Services", url: str) -> Callable[[], Audio]:
    async def chunks() -> AsyncGenerator[Samples, None]:
        if urlsplit(url).scheme in ("http", "https"):
            data = await services.fetcher.fetch(url)
        else:
            sounds = files.LocalFiles(services.settings.media.sounds)
            data = await asyncio.to_thread(sounds.read, url)
        yield await asyncio.to_thread(files.load, data, SAMPLE_RATE)

    return chunks


def _seconds(given: float | None) -> float | None:
    if given is None:
        return None
    return given / 1000 if given > SECONDS_LIMIT else given
