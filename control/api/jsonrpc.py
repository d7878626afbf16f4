"""JSON-RPC 2.0, sans-I/O: requests and notifications both ways over any ordered text channel.

A `Peer` turns calls into text and text into calls; it knows neither sockets nor tasks. A batch (section 6 of the
specification) is refused: the leg API never needs one.
"""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from control.errors import LegError, LegErrorCode

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A request from the other side; answer it with `Peer.result` or `Peer.error` and this id."""

    id: str | int
    method: str
    params: JsonObject


@dataclass(frozen=True, slots=True)
class Notification:
    """A message from the other side that takes no answer."""

    method: str
    params: JsonObject


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to the request we sent under this id: its result or the error."""

    id: int
    result: Any = None
    error: LegError | None = None


@dataclass(frozen=True, slots=True)
class Malformed:
    """Text that is no JSON-RPC message; `answer` must be sent back."""

    answer: str


@dataclass(frozen=True, slots=True)
class Stray:
    """A response to no request of ours, such as one that says that we sent something malformed.

    It takes no answer: two peers that answered it would never stop.
    """

    what: str


Incoming = Call | Notification | Outcome | Malformed | Stray


@dataclass(slots=True)
class Peer:
    """One end of a JSON-RPC connection."""

    _ids: Callable[[], int] = field(default_factory=lambda: itertools.count(1).__next__)

    def request(self, method: str, params: JsonObject) -> tuple[int, str]:
        """Text of a request and the id its `Outcome` will carry."""
        number = self._ids()
        return number, _text({"jsonrpc": "2.0", "id": number, "method": method, "params": params})

    @staticmethod
    def notification(method: str, params: JsonObject) -> str:
        """Text of a notification."""
        return _text({"jsonrpc": "2.0", "method": method, "params": params})

    @staticmethod
    def result(call_id: str | int, result: JsonObject) -> str:
        """Text that answers a `Call`."""
        return _text({"jsonrpc": "2.0", "id": call_id, "result": result})

    @staticmethod
    def error(call_id: str | int | None, error: LegError) -> str:
        """Text that refuses a `Call`."""
        return _text(
            {"jsonrpc": "2.0", "id": call_id, "error": {"code": int(error.code), "message": str(error)}}
        )

    def receive(self, text: str | bytes) -> Incoming:
        """What `text` says; never raises."""
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            return self._malformed(None, LegErrorCode.PARSE_ERROR, "not JSON")
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            return self._malformed(None, LegErrorCode.INVALID_REQUEST, 'not an object with "jsonrpc": "2.0"')
        number = message.get("id")
        if "method" not in message and ("result" in message or "error" in message):
            return _response(number, message)
        if number is not None and (isinstance(number, bool) or not isinstance(number, str | int)):
            return self._malformed(None, LegErrorCode.INVALID_REQUEST, "id must be a string or an integer")
        if "method" in message:
            return self._call(number, message)
        return self._malformed(number, LegErrorCode.INVALID_REQUEST, "neither a call nor the answer to one")

    def _call(self, number: str | int | None, message: JsonObject) -> Incoming:
        method, params = message["method"], message.get("params", {})
        if not isinstance(method, str) or not isinstance(params, dict):
            return self._malformed(
                number, LegErrorCode.INVALID_REQUEST, "method must be a string, params an object"
            )
        return Notification(method, params) if number is None else Call(number, method, params)

    def _malformed(self, number: str | int | None, code: LegErrorCode, what: str) -> Malformed:
        return Malformed(self.error(number, LegError(code, what)))


def _response(number: Any, message: JsonObject) -> Outcome | Stray:
    error = message.get("error")
    if isinstance(number, bool) or not isinstance(number, int):
        return Stray(f"a response with the id {number!r:.40}: {error!r:.200}")
    if error is None:
        return Outcome(number, result=message.get("result"))
    code, text = LegErrorCode.INTERNAL_ERROR, "an error without explanation"
    if isinstance(error, dict):
        text = str(error.get("message", text))
        if error.get("code") in LegErrorCode.__members__.values():
            code = LegErrorCode(error["code"])
    return Outcome(number, error=LegError(code, text))


def _text(message: JsonObject) -> str:
    # ASCII only: a lone surrogate, which JSON may hold, has no UTF-8 that a WebSocket could carry.
    return json.dumps(message, separators=(",", ":"))
