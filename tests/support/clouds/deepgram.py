"""Deepgram, faked: ``/v1/listen`` (WebSocket) and ``/v1/speak`` (request and WebSocket).

Shapes, limits and refusals are those of https://developers.deepgram.com/reference; the vendor's SDK (``deepgram-sdk``)
is run against it in the tests.
"""

import asyncio
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from aiohttp import WSMsgType, web

from tests.support.clouds.base import Cloud, Fault, Stage, Trouble, spoken
from tests.support.clouds.deepgram_hearing import Hearing
from tests.support.clouds.deepgram_query import LISTEN, REQUEST, SPEAK, wrong

KEY = "deepgram-test-key"
CODES = {"NET-0000": 1011, "DATA-0000": 1008}
MOST, FLUSHES = 2000, 20
CHUNK = 3333


class OverError(Exception):
    """This connection is over."""


@dataclass
class Call:
    """One WebSocket."""

    request: web.Request
    socket: web.WebSocketResponse
    trouble: Trouble | None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass
class DeepgramCloud(Cloud):
    """The fake. Its key is KEY."""

    noisy: bool = False
    """Whether noise keeps pauses from being noticed: no ``speech_final``, but ``UtteranceEnd``."""
    queries: list[list[tuple[str, str]]] = field(default_factory=list)
    """Parameters that came, for each connection."""
    controls: list[str] = field(default_factory=list)
    """Types of the messages that came."""

    _errors: ClassVar[dict[int, tuple[str, str]]] = {
        401: ("INVALID_AUTH", "Invalid credentials."),
        413: ("PAYLOAD_TOO_LARGE", "Input text exceeds maximum character limit of 2000."),
        429: ("TOO_MANY_REQUESTS", "Too many requests. Please try again later"),
    }

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """``/v1/listen``, ``/v1/speak``."""
        router.add_get("/v1/listen", self._listen)
        router.add_get("/v1/speak", self._speak)
        router.add_post("/v1/speak", self._request)

    # -- recognition

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        call = await self._open(request, LISTEN)
        if not isinstance(call, Call):
            return call
        rate = int(request.query["sample_rate"])
        hearing = Hearing(rate, call.id, noisy=self.noisy)
        try:
            await self._at(call, Stage.BEGIN)
            async for message in call.socket:
                if message.type is WSMsgType.BINARY:
                    if not message.data or len(message.data) % 2:
                        self.complain(f"audio of {len(message.data)} bytes")
                    self.heard[-1] += message.data
                    await self._tell(call, hearing.feed(message.data))
                elif await self._control(call, hearing, json.loads(message.data)):
                    break
        except OverError:
            pass
        return call.socket

    async def _control(self, call: Call, hearing: Hearing, message: dict[str, Any]) -> bool:
        """Follow a message; whether it was the last one."""
        self.controls.append(message["type"])
        match message:
            case {"type": "KeepAlive"}:
                return False
            case {"type": "Finalize"}:
                await self._tell(call, hearing.flush(from_finalize=True))
                return False
            case {"type": "CloseStream"}:
                await self._at(call, Stage.END)
                await self._tell(call, hearing.flush())
                await call.socket.send_json(
                    {
                        "type": "Metadata",
                        "transaction_key": "deprecated",
                        "request_id": call.id,
                        "sha256": "0" * 64,
                        "created": "2025-01-01T00:00:00.000Z",
                        "duration": hearing.ear.ms / 1000,
                        "channels": 1,
                    }
                )
                await call.socket.close()
                return True
        self.complain(f"unknown message {message}")
        await call.socket.send_json(_error("SchemaError", "could not parse the message"))
        return True

    async def _tell(self, call: Call, messages: Iterator[dict[str, Any]]) -> None:
        for message in messages:
            if message.get("is_final"):
                await asyncio.sleep(self.delay)
            await call.socket.send_json(message)
            if message["type"] == "Results" and message["channel"]["alternatives"][0]["words"]:
                await self._at(call, Stage.MIDDLE)

    # -- synthesis

    async def _request(self, request: web.Request) -> web.StreamResponse:
        trouble = self.connected()
        refusal = await self._admit(request, trouble, REQUEST)
        if refusal is not None:
            return refusal
        body = await request.json()
        if request.content_type != "application/json" or set(body) != {"text"} or not body["text"].strip():
            self.complain(f"not a request for speech: {body}")
        if request.query.get("container") != "none":
            self.complain("raw audio comes without a header only with container=none")
        if len(body["text"]) > MOST:
            return self._refuse(413)
        self.texts[-1].append(body["text"])
        await asyncio.sleep(self.delay)
        response = web.StreamResponse(
            headers={"Content-Type": "audio/l16", "dg-request-id": str(uuid.uuid4())}
        )
        await response.prepare(request)
        stages = [Stage.BEGIN, Stage.MIDDLE]
        pcm = spoken(body["text"], int(request.query["sample_rate"]))
        for at in range(0, len(pcm), CHUNK):
            if stages and await self._spoil(request, trouble, stages.pop(0)):
                return response
            await response.write(pcm[at : at + CHUNK])
        if not await self._spoil(request, trouble, Stage.END):
            await response.write_eof()
        return response

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        call = await self._open(request, SPEAK)
        if not isinstance(call, Call):
            return call
        try:
            await self._at(call, Stage.BEGIN)
            await call.socket.send_json(
                {
                    "type": "Metadata",
                    "request_id": call.id,
                    "model_name": request.query["model"],
                    "model_version": "2025-04-07.0",
                    "model_uuid": "d4a2f2b8-d39b-4b3c-a0d5-5b5a8c7d0c4d",
                }
            )
            await self._say(call, int(request.query["sample_rate"]))
        except OverError:
            pass
        return call.socket

    async def _say(self, call: Call, rate: int) -> None:
        waiting, flushes = "", 0
        async for frame in call.socket:
            message = json.loads(frame.data)
            self.controls.append(message["type"])
            match message:
                case {"type": "Speak", "text": str(text)} if 0 < len(text) <= MOST:
                    waiting += text
                case {"type": "Flush"}:
                    flushes += 1
                    if flushes > FLUSHES:
                        self.complain("too many flushes a minute")
                        await call.socket.send_json(
                            {
                                "type": "Warning",
                                "code": "EXCESSIVE_FLUSH",
                                "description": "Too many Flush messages",
                            }
                        )
                        continue
                    if not waiting.strip():
                        self.complain("nothing to flush")
                    await self._flush(call, waiting, rate, flushes - 1)
                    waiting = ""
                case {"type": "Close"}:
                    if waiting.strip():
                        self.complain("closed with text that was not flushed")
                    await call.socket.close()
                    return
                case _:
                    self.complain(f"unknown message {message}")
                    await call.socket.send_json(_error("SchemaError", "could not parse the message"))
                    raise OverError

    async def _flush(self, call: Call, text: str, rate: int, number: int) -> None:
        self.texts[-1].append(text)
        await asyncio.sleep(self.delay)
        pcm = spoken(text, rate)
        for at in range(0, len(pcm), CHUNK):
            await call.socket.send_bytes(pcm[at : at + CHUNK])
            await self._at(call, Stage.MIDDLE)
        await self._at(call, Stage.END)
        await call.socket.send_json({"type": "Flushed", "sequence_id": number})

    # -- admission and trouble

    async def _open(self, request: web.Request, known: frozenset[str]) -> "Call | web.StreamResponse":
        trouble = self.connected()
        refusal = await self._admit(request, trouble, known)
        if refusal is not None:
            return refusal
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        return Call(request, socket, trouble)

    async def _admit(
        self, request: web.Request, trouble: Trouble | None, known: frozenset[str]
    ) -> web.Response | None:
        self.queries.append(list(request.query.items()))
        if trouble == Trouble(Fault.REFUSE, Stage.CONNECT):
            return self._refuse(429)
        if await self._spoil(request, trouble, Stage.CONNECT):
            return web.Response(status=500)
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Token":
            self.complain("Authorization must be a Token")
        if key != KEY:
            return self._refuse(401)
        faults = list(wrong(request, known))
        for fault in faults:
            self.complain(fault)
        return self._refuse(400, f"Bad Request: {faults[0]}") if faults else None

    def _refuse(self, status: int, words: str = "") -> web.Response:
        code, usual = self._errors.get(status, ("Bad Request", words))
        body = {"err_code": code, "err_msg": usual, "request_id": str(uuid.uuid4())}
        return web.json_response(body, status=status, headers={"dg-error": usual})

    async def _spoil(self, request: web.Request, trouble: Trouble | None, stage: Stage) -> bool:
        """Let happen to HTTP what is due; whether that was something."""
        if trouble is None or trouble.stage is not stage:
            return False
        transport = request.transport
        assert transport is not None
        match trouble.fault:
            case Fault.STALL:
                await self.stall()
            case Fault.GARBLE:
                transport.write(b"\x00what?\r\n\r\n")
                transport.close()
            case _:
                self.cut(request)
        return True

    async def _at(self, call: Call, stage: Stage) -> None:
        """Let happen to the WebSocket what is due; raises OverError then."""
        trouble = call.trouble
        if trouble is None or trouble.stage is not stage:
            return
        match trouble.fault:
            case Fault.REFUSE if stage is Stage.MIDDLE:
                await call.socket.send_json(_error("InternalError", "something failed here"))
            case Fault.REFUSE:
                await self._hang_up(call, "DATA-0000" if stage is Stage.BEGIN else "NET-0000")
            case Fault.GARBLE:
                await call.socket.send_str("{what?")
            case Fault.STALL:
                await self.stall()
            case Fault.CUT:
                self.cut(call.request)
        raise OverError

    async def _hang_up(self, call: Call, reason: str) -> None:
        await call.socket.close(code=CODES[reason], message=reason.encode())
        raise OverError


def _error(variant: str, description: str) -> dict[str, str]:
    return {"type": "Error", "variant": variant, "description": description}
