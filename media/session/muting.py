"""Commands that silence a track: what the caller says, or what is played."""

from typing import TYPE_CHECKING

from control.errors import CommandError
from media.api import commands
from media.session.playback import HEARING

if TYPE_CHECKING:
    from media.session.session import Session


def mute(session: "Session", command: commands.Mute) -> None:
    """Silence the track, or all that there are.

    The caller stays muted to the end of the call. What is played stays it to the end of the play, however
    many texts it has: the next one is heard.
    """
    session.require(command.command, *HEARING)
    match _named(session, command):
        case None:
            if session.caller.since is not None:
                session.caller.mute(muted=True)
            if session.player.busy:
                session.player.mute(muted=True)
        case session.id:
            _require(session.caller.since is not None, "the caller's audio is not connected yet")
            session.caller.mute(muted=True)
        case _:
            _require(session.player.busy, "nothing is playing that could be muted")
            session.player.mute(muted=True)


def unmute(session: "Session", command: commands.Unmute) -> None:
    """Undo ``mute``; a track that is not muted stays as it is."""
    session.require(command.command, *HEARING)
    track = _named(session, command)
    if track in (None, session.id):
        session.caller.mute(muted=False)
    if track in (None, session.track.id):
        session.player.mute(muted=False)


def _named(session: "Session", command: commands.Mute | commands.Unmute) -> str | None:
    """The track that `command` names, None for all. Raises CommandError when there is no such track."""
    track = command.track_id
    if track is not None and track not in (session.id, session.track.id):
        raise CommandError(
            f'command "{command.command}": there is no track {track!r}; '
            f"there are {session.id!r} (the caller) and {session.track.id!r}",
            404,
        )
    return track


def _require(fits: bool, why: str) -> None:
    if not fits:
        raise CommandError(f'command "mute" does not fit now: {why}', 409)
