"""Query parameters of the sockets' endpoints."""

from dataclasses import dataclass

from media.api.door import MAX_PING, POOL, SESSION_ID, TRACK_ID
from media.api.gate import SERVER_SIDE_TRACK
from media.api.spec.schemas import Schema


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter; none is required."""

    name: str
    schema: Schema
    text: str

    def openapi(self) -> Schema:
        """The Parameter Object."""
        return {"name": self.name, "in": "query", "description": self.text, "schema": self.schema}


PARAMETERS = (
    Parameter(
        "id",
        {"type": "string", "pattern": f"^{SESSION_ID.pattern}$"},
        "Id of the session; made up when absent. On `/call/sip` the `dialogId` of a webhook takes that call."
        " Two open sessions cannot have the same.",
    ),
    Parameter(
        "dump",
        {"type": "string", "enum": ["true", "false"], "default": "true"},
        "Whether commands and events are kept in a file, where the operator keeps such files.",
    ),
    Parameter(
        "ping",
        {"type": "integer", "minimum": 0, "maximum": MAX_PING},
        "Seconds between WebSocket pings, 0: none; the operator's choice (20) when absent. A bot that sends nothing,"
        " not even a pong, from one ping to the next is dropped.",
    ),
    Parameter(
        "serverSideTrack",
        {"type": "string", "pattern": f"^{TRACK_ID.pattern}$", "default": SERVER_SIDE_TRACK},
        "`trackId` of what Sidecall plays.",
    ),
    Parameter(
        "route",
        {"type": "string", "pattern": f"^{POOL.pattern}$"},
        "Extension, `/call/sip` only: wait for an incoming call in the pool of this name. A bot that gives none, claims"
        " no call and sends nothing for half a second waits in `default`.",
    ),
    Parameter(
        "token",
        {"type": "string"},
        "The token, for clients that cannot send the header `Authorization: Bearer TOKEN`.",
    ),
)
