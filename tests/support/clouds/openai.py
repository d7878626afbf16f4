"""OpenAI's speech services, faked: ``/v1/audio/speech``, ``/v1/audio/transcriptions`` and ``/v1/realtime``.

Shapes of requests, events and errors: https://developers.openai.com/api/reference and the types of the package
``openai``. What the real service does with a wrong key on the socket (it takes the connection, sends an error and
closes with 3000) is from reports of its users, as is which models take no ``turn_detection``.
"""

import asyncio
import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import WSMsgType, web

from tests.support.clouds.base import LOUD, SCRIPT, Cloud, Fault, Stage, Trouble, spoken
from tests.support.clouds.openai_session import Failed, Session, body_of, language_fault

VOICES = frozenset(
    "alloy ash ballad coral echo fable onyx nova sage shimmer verse marin cedar".split()  # noqa: SIM905 (names)
)
SPEECH = frozenset({"model", "input", "voice", "response_format", "speed", "instructions"})
FORM = frozenset(
    {"file", "model", "response_format", "language", "languages[]", "keywords[]", "prompt", "temperature"}
)
RATE = 24_000


@dataclass
class OpenAi(Cloud):
    """The three services; their audio and texts are those of `Cloud`."""

    key: str | None = "sk-proj-of-the-tests"
    """None: no key is asked for, as with servers of others."""
    blank: set[int] = field(default_factory=set)
    """Numbers of utterances in which nothing is understood."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    """Bodies, forms and sessions that came."""
    stalling: asyncio.Event = field(default_factory=asyncio.Event)
    """It stalls now."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """It serves no request and no socket."""
    serving: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.idle.set()

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/v1/realtime", self._counted(self._realtime))
        router.add_post("/v1/audio/speech", self._counted(self._speech))
        router.add_post("/v1/audio/transcriptions", self._counted(self._transcribe))

    async def stall(self) -> None:
        self.stalling.set()
        await super().stall()

    def _counted(self, serve: Any) -> Any:
        async def handler(request: web.Request) -> web.StreamResponse:
            self.serving += 1
            self.idle.clear()
            try:
                response: web.StreamResponse = await serve(request, self.connected())
                return response
            except Failed as failed:
                return web.json_response(failed.body, status=failed.status)
            finally:
                self.serving -= 1
                if self.serving == 0:
                    self.idle.set()

        return handler

    def refuse(self, message: str, param: str | None = None) -> Failed:
        """A client did something wrong: what it is told."""
        self.complain(message)
        return Failed(message, param=param)

    # Speech

    async def _speech(self, request: web.Request, trouble: Trouble | None) -> web.StreamResponse:
        if trouble and trouble.stage is Stage.CONNECT:
            return await self._fail_early(request, trouble)
        self._authorise(request)
        if request.content_type != "application/json":
            raise self.refuse(f"a body of {request.content_type}")
        body = await request.json()
        self.asked.append(body)
        self._check_speech(body)
        self.texts[-1].append(body["input"])
        await asyncio.sleep(self.delay)
        pcm = spoken(body["input"], RATE)
        pieces = [pcm[at : at + 4801] for at in range(0, len(pcm), 4801)]
        return await self._answer(request, trouble, "audio/pcm", pieces)

    def _check_speech(self, body: dict[str, Any]) -> None:
        if strange := set(body) - SPEECH:
            raise self.refuse(f"Unrecognized request arguments supplied: {sorted(strange)}")
        if not isinstance(body.get("model"), str):
            raise self.refuse("you must provide a model parameter", "model")
        if not isinstance(body.get("input"), str) or not 0 < len(body["input"]) <= 4096:
            raise self.refuse("input must have 1 to 4096 characters", "input")
        if body.get("voice") not in VOICES:
            raise self.refuse("Input should be one of the voices", "voice")
        if body.get("response_format") != "pcm":
            raise self.refuse("only pcm is spoken here", "response_format")
        speed = body.get("speed", 1.0)
        if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0.25 <= speed <= 4:
            raise self.refuse("speed must be 0.25 to 4.0", "speed")

    # Recognition, one utterance a request

    async def _transcribe(self, request: web.Request, trouble: Trouble | None) -> web.StreamResponse:
        if trouble and trouble.stage is Stage.CONNECT:
            return await self._fail_early(request, trouble)
        self._authorise(request)
        if request.content_type != "multipart/form-data":
            raise self.refuse(f"a body of {request.content_type}")
        fields = await request.post()
        self.asked.append({key: fields.getall(key) for key in fields if key != "file"})
        pcm = self._check_form(self.asked[-1], fields.get("file"))
        self.heard[-1] += pcm
        await asyncio.sleep(self.delay)
        body = json.dumps(
            {"text": self._understood(pcm), "usage": {"type": "duration", "seconds": 1}}
        ).encode()
        if trouble and trouble.fault is Fault.GARBLE and trouble.stage is Stage.BEGIN:
            body = b"<html>Bad gateway</html>"
            trouble = None
        return await self._answer(request, trouble, "application/json", [body[:5], body[5:]])

    def _check_form(self, form: dict[str, list[Any]], file: Any) -> bytes:
        if strange := set(form) - FORM:
            raise self.refuse(f"Unrecognized request arguments supplied: {sorted(strange)}")
        model = form.get("model", [None])[0]
        if not isinstance(model, str):
            raise self.refuse("you must provide a model parameter", "model")
        if form.get("response_format") != ["json"]:
            raise self.refuse("only json is answered here", "response_format")
        languages = {key[: -2 * key.endswith("[]") or None]: value for key, value in form.items()}
        single = languages.get("language", [None])[0]
        if fault := language_fault(model, single, languages.get("languages")):
            raise self.refuse(fault, "language")
        if not isinstance(file, web.FileField) or not file.filename.endswith(".wav"):
            raise self.refuse("Invalid file format", "file")
        with file.file as data:
            return self._wav(data.read())

    def _wav(self, data: bytes) -> bytes:
        """The samples of a WAV file, whose header must be right to the byte."""
        layout = struct.Struct("<4sI4s4sIHHIIHH4sI")
        if len(data) < layout.size:
            raise self.refuse("Invalid file format", "file")
        riff, size, *kind, data_size = layout.unpack_from(data)
        wanted = [b"WAVE", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16, b"data"]
        rest = len(data) - layout.size
        if riff != b"RIFF" or kind != wanted or size != len(data) - 8 or data_size != rest or rest % 2:
            raise self.refuse(f"a WAV header that is not that of its samples: {kind}", "file")
        return data[layout.size :]

    def _understood(self, pcm: bytes) -> str:
        number = sum(1 for heard in self.heard if heard) - 1
        loud = np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)).max(initial=0) > LOUD
        return SCRIPT[number % len(SCRIPT)] if loud and number not in self.blank else ""

    # Recognition over the realtime socket

    async def _realtime(self, request: web.Request, trouble: Trouble | None) -> web.StreamResponse:
        if trouble and trouble.stage is Stage.CONNECT:
            return await self._fail_early(request, trouble)
        if request.headers.get("OpenAI-Beta") is not None:
            self.complain("the header of the beta")
        if dict(request.query) != {"intent": "transcription"}:
            self.complain(f"a query that opens no transcription session: {dict(request.query)}")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if self._unauthorised(request):
            failed = Failed("Incorrect API key provided: " + _bearer(request), 401, "invalid_api_key")
            await socket.send_json({"type": "error", "event_id": "event_0", **failed.body})
            await socket.close(code=3000, message=b"invalid_request_error.invalid_api_key")
            return socket
        session = Session(self, self.heard[-1])
        if await self._failing(request, socket, trouble, Stage.BEGIN):
            return socket
        await socket.send_json(session.created())
        await self._converse(request, socket, session, trouble)
        return socket

    async def _converse(
        self, request: web.Request, socket: web.WebSocketResponse, session: Session, trouble: Trouble | None
    ) -> None:
        async for message in socket:
            event = self._event(message)
            if event is None:
                return
            ending = event.get("type") == "input_audio_buffer.clear"
            if ending and await self._failing(request, socket, trouble, Stage.END):
                return
            for answer in session.feed(event):
                if answer["type"].endswith("completed"):
                    await asyncio.sleep(self.delay)
                await socket.send_json(answer)
                result = ".input_audio_transcription." in answer["type"]
                if result and await self._failing(request, socket, trouble, Stage.MIDDLE):
                    return

    def _event(self, message: Any) -> dict[str, Any] | None:
        if message.type is not WSMsgType.TEXT:
            self.complain("a message that is no text")
            return None
        event = body_of(message.data)
        if event is None:
            self.complain("a message that is no JSON object")
        return event

    async def _failing(
        self, request: web.Request, socket: web.WebSocketResponse, trouble: Trouble | None, stage: Stage
    ) -> bool:
        """Whether something goes wrong at `stage`; it has, then."""
        if trouble is None or trouble.stage is not stage:
            return False
        match trouble.fault:
            case Fault.REFUSE:
                failed = Failed("The server had an error while processing your request", 500, "server_error")
                await socket.send_json({"type": "error", "event_id": "event_0", **failed.body})
                await socket.close(code=1011)
            case Fault.CUT:
                self.cut(request)
            case Fault.STALL:
                await self.stall()
            case Fault.GARBLE:
                await socket.send_str('{"type": "input_audio_bu')
        return True

    # What all have in common

    def _unauthorised(self, request: web.Request) -> bool:
        return self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}"

    def _authorise(self, request: web.Request) -> None:
        if self._unauthorised(request):
            raise Failed("Incorrect API key provided: " + _bearer(request), 401, "invalid_api_key")

    async def _fail_early(self, request: web.Request, trouble: Trouble) -> web.StreamResponse:
        match trouble.fault:
            case Fault.REFUSE:
                raise Failed("Rate limit reached for requests", 429, "rate_limit_exceeded")
            case Fault.STALL:
                await self.stall()
            case Fault.GARBLE:
                assert request.transport is not None
                request.transport.write(b"no answer of HTTP\r\n\r\n")
        self.cut(request)
        return web.Response()

    async def _answer(
        self, request: web.Request, trouble: Trouble | None, kind: str, pieces: list[bytes]
    ) -> web.StreamResponse:
        """`pieces`, or as many as `trouble` lets through; a refusal in the middle can only be a cut."""
        if trouble and (trouble.stage, trouble.fault) == (Stage.BEGIN, Fault.REFUSE):
            raise Failed("The server had an error while processing your request", 500, "server_error")
        response = web.StreamResponse(headers={"Content-Type": kind})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for stage, piece in _staged(pieces):
            if piece:
                await response.write(piece)
            if stage and trouble and trouble.stage is stage:
                if trouble.fault is Fault.STALL:
                    await self.stall()
                elif trouble.fault is Fault.GARBLE and request.transport is not None:
                    request.transport.write(b"no size of a chunk\r\n")
                self.cut(request)
                return response
        await response.write_eof()
        return response


def _staged(pieces: list[bytes]) -> Iterator[tuple[Stage | None, bytes]]:
    yield Stage.BEGIN, b""
    for number, piece in enumerate(pieces):
        yield Stage.MIDDLE if number == 0 else None, piece
    yield Stage.END, b""


def _bearer(request: web.Request) -> str:
    return re.sub("^Bearer ", "", request.headers.get("Authorization", ""))
