"""AsyncAPI 3.0 of the sockets of bots. Sidecall is the application: it receives commands and sends events."""

import json
from collections.abc import Iterable

from pydantic import BaseModel

from media.api.calltype import CallType
from media.api.commands import MAX_COMMAND
from media.api.events import Event, encode
from media.api.spec import examples
from media.api.spec.info import SECURITY_SCHEMES, info
from media.api.spec.messages import AUDIO_IN, AUDIO_OUT, EVENTS, SOCKETS, SUBSCRIBED, Binary, Socket
from media.api.spec.query import PARAMETERS
from media.api.spec.schemas import COMMANDS, Schema, Schemas, command_name, event_name
from media.api.spec.texts import class_text

_CHANNELS = {CallType.WEBSOCKET: "call", CallType.WEBRTC: "webrtcCall", CallType.SIP: "sipCall"}


def asyncapi() -> Schema:
    """The document."""
    schemas = Schemas()
    messages = {command_name(kind): _command(kind, schemas) for kind in COMMANDS}
    messages |= {event_name(kind): _event(kind, schemas) for kind in EVENTS}
    messages |= {binary.name: _binary(binary) for binary in (AUDIO_IN, AUDIO_OUT, SUBSCRIBED)}
    operations: Schema = {}
    for socket in SOCKETS:
        operations |= _operations(socket)
    return {
        "asyncapi": "3.0.0",
        "info": info("sockets"),
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "localhost:8080",
                "protocol": "ws",
                "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in _SECURITY],
            }
        },
        "channels": {_CHANNELS[socket.call_type]: _channel(socket) for socket in SOCKETS},
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas.found, "securitySchemes": _SECURITY},
    }


_SECURITY = {
    name: scheme if scheme["type"] == "http" else scheme | {"type": "httpApiKey"}
    for name, scheme in SECURITY_SCHEMES.items()
}


def _command(kind: type[BaseModel], schemas: Schemas) -> Schema:
    name = kind.model_fields["command"].default
    return {
        "name": name,
        "title": f"Command {name}",
        "summary": class_text(kind),
        "payload": schemas.command(kind),
        "examples": [{"payload": examples.command(name)}],
    }


def _event(kind: type[Event], schemas: Schemas) -> Schema:
    return {
        "name": kind.event,
        "title": f"Event {kind.event}",
        "summary": class_text(kind),
        "payload": schemas.event(kind),
        "examples": [{"payload": json.loads(encode(examples.event(kind.event)))}],
    }


def _binary(binary: Binary) -> Schema:
    return {
        "name": binary.name,
        "title": binary.summary.removesuffix("."),
        "summary": binary.text,
        "contentType": "application/octet-stream",
        "payload": {"type": "string", "format": "binary"},
    }


def _channel(socket: Socket) -> Schema:
    parameters = {
        parameter.name: parameter.schema | {"description": parameter.text} for parameter in PARAMETERS
    }
    return {
        "address": socket.path,
        "title": socket.summary.removesuffix("."),
        "description": f"{socket.text} A message may have {MAX_COMMAND} bytes.",
        "messages": {
            name: {"$ref": f"#/components/messages/{name}"} for name in (*_in(socket), *_out(socket))
        },
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {"type": "object", "properties": parameters},
                "bindingVersion": "0.1.0",
            }
        },
    }


def _operations(socket: Socket) -> Schema:
    channel = _CHANNELS[socket.call_type]

    def operation(action: str, names: Iterable[str], text: str) -> Schema:
        return {
            "action": action,
            "channel": {"$ref": f"#/channels/{channel}"},
            "summary": text,
            "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names],
        }

    return {
        f"{channel}Receive": operation("receive", _in(socket), "What bots send."),
        f"{channel}Send": operation("send", _out(socket), "What bots are sent."),
    }


def _in(socket: Socket) -> list[str]:
    return [*map(command_name, socket.commands), *(binary.name for binary in socket.binary_in)]


def _out(socket: Socket) -> list[str]:
    return [*map(event_name, socket.events), *(binary.name for binary in socket.binary_out)]
