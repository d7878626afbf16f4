"""DashScope of Alibaba Cloud, faked: recognition and CosyVoice over its WebSocket.

What is checked and answered follows the vendor's pages ``paraformer-client-events``, ``paraformer-server-events``,
``cosyvoice-client-events`` and ``cosyvoice-server-events``; the vendor's SDK ``dashscope`` works with it.
"""

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.support.clouds.aliyuntask import RefusedError, Speech, check, weight
from tests.support.clouds.base import Cloud, Ear, Fault, Said, Stage, Trouble

PATH = "/api-ws/v1/inference"
KEY = "sk-0123456789abcdef"
_SENTENCE = re.compile(r".*?[.!?。！？]\s*", re.DOTALL)


class GoneError(Exception):
    """The client has left, or was left."""


@dataclass
class Aliyun(Cloud):
    """DashScope on a port of its own."""

    key: str = KEY
    relative: bool = False
    """Whether times of words count from the begin of their sentence, not from that of the audio."""
    runs: list[dict[str, Any]] = field(default_factory=list)
    """The payloads of all ``run-task``."""
    headers: list[dict[str, str]] = field(default_factory=list)
    """The headers of all connections."""
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it has begun to say nothing."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever a connection has ended."""

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get(PATH, self._connect)

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        trouble = self.connected()
        self.headers.append(dict(request.headers))
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return _problem(401, "InvalidApiKey", "Invalid API-key provided.")
        if request.headers.get("X-DashScope-DataInspection", "enable") != "enable":
            self.complain("X-DashScope-DataInspection is not enable")
        if trouble is not None and trouble.stage is Stage.CONNECT:
            match trouble.fault:
                case Fault.REFUSE:
                    return _problem(429, "Throttling.RateQuota", "Requests rate limit exceeded.")
                case Fault.GARBLE:
                    return web.Response(text="<html>welcome</html>", content_type="text/html")
                case Fault.CUT:
                    self.cut(request)
                case Fault.STALL:
                    self.stalled.set()
                    await self.stall()
            return web.Response(status=500)
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        try:
            await _Connection(self, request, socket, trouble).run()
        except (GoneError, ConnectionError):
            pass
        finally:
            self.closed.set()
        return socket


def _problem(status: int, code: str, words: str) -> web.Response:
    return web.json_response({"code": code, "message": words, "request_id": str(uuid.uuid4())}, status=status)


class _Connection:
    """One WebSocket: tasks, one after the other."""

    def __init__(
        self, cloud: Aliyun, request: web.Request, socket: web.WebSocketResponse, trouble: Trouble | None
    ) -> None:
        self._cloud = cloud
        self._request = request
        self._socket = socket
        self._trouble = trouble
        self._number = cloud.connections - 1
        self._id = ""

    async def run(self) -> None:
        try:
            while True:
                await self._task()
        except RefusedError as refused:
            await self._send("task-failed", error_code=refused.code, error_message=refused.words)
            await self._socket.close(code=1007, message=refused.code.encode())

    async def _task(self) -> None:
        header, payload = self._message(await self._receive())
        if header["action"] != "run-task":
            raise self._wrong(f"{header['action']} before run-task")
        self._id = header["task_id"]
        self._cloud.runs.append(payload)
        self._cloud.complaints += check(payload)
        await self._stage(Stage.BEGIN)
        await self._send("task-started")
        parameters = payload["parameters"]
        if payload["task"] == "asr":
            await self._recognise(parameters)
        else:
            await self._synthesise(parameters)
        await self._send("task-finished", {"output": {}, "usage": None})

    # Recognition

    async def _recognise(self, parameters: dict[str, Any]) -> None:
        rate, loud = parameters["sample_rate"], False
        ear, heard = Ear(rate), self._cloud.heard[self._number]
        async for message in self._input():
            if isinstance(message, dict):
                raise self._wrong("continue-task for recognition")
            if len(message) % 2:
                self._cloud.complain(f"{len(message)} bytes of audio")
            if parameters.get("heartbeat") and not heard:
                await self._hear({"text": "", "heartbeat": True, "begin_time": 0, "end_time": None})
            heard += message
            loud = loud or any(message)
            for said in ear.feed(message):
                await self._sentence(said)
        await self._stage(Stage.END)
        if not loud:
            raise RefusedError("NO_VALID_AUDIO_ERROR", "no valid audio")
        for said in ear.end():
            await self._sentence(said)

    async def _sentence(self, said: Said) -> None:
        if said.final:
            await asyncio.sleep(self._cloud.delay)
        words = said.text.split()
        step = (said.end - said.start) // len(words)
        times = [(said.start + step * at, said.start + step * (at + 1)) for at in range(len(words))]
        sentence = {
            "sentence_id": said.index + 1,
            "begin_time": said.start,
            "end_time": said.end if said.final else None,
            "text": said.text,
            "words": [
                {"begin_time": begin, "end_time": end, "text": word, "punctuation": "", "fixed": said.final}
                for word, (begin, end) in zip(words, times, strict=True)
            ],
            "heartbeat": False,
            "sentence_end": said.final,
        }
        usage = {"duration": said.end // 1000 + 1} if said.final else None
        await self._hear(sentence, usage)
        await self._stage(Stage.MIDDLE)

    async def _hear(self, sentence: dict[str, Any], usage: dict[str, int] | None = None) -> None:
        await self._send("result-generated", {"output": {"sentence": sentence}, "usage": usage})

    # Synthesis

    async def _synthesise(self, parameters: dict[str, Any]) -> None:
        speech = Speech(parameters, relative=self._cloud.relative)
        rest, texts = "", self._cloud.texts[self._number]
        async for message in self._input():
            if isinstance(message, bytes):
                raise self._wrong("audio for synthesis")
            text = message["input"].get("text")
            if not isinstance(text, str) or not text.strip() or weight(text) > 20_000:
                raise self._wrong("continue-task without a text, or one that is too long")
            texts.append(text)
            rest += text
            while found := _SENTENCE.match(rest):
                await self._speak(speech, found[0])
                rest = rest[found.end() :]
        await self._stage(Stage.END)
        if not texts:
            raise self._wrong("finish-task without any text")
        if rest:
            await self._speak(speech, rest)

    async def _speak(self, speech: Speech, text: str) -> None:
        await asyncio.sleep(self._cloud.delay)
        for message in speech.messages(text):
            if isinstance(message, bytes):
                await self._socket.send_bytes(message)
                await self._stage(Stage.MIDDLE)
            else:
                await self._send("result-generated", message)

    # What comes

    async def _input(self) -> AsyncIterator[bytes | dict[str, Any]]:
        """Audio, and payloads of ``continue-task``, until ``finish-task``."""
        while True:
            message = await self._receive()
            if isinstance(message, bytes):
                yield message
                continue
            header, payload = self._message(message)
            if header["task_id"] != self._id:
                raise self._wrong("another task_id")
            match header["action"]:
                case "finish-task":
                    return
                case "continue-task":
                    yield payload
                case action:
                    raise self._wrong(f"{action} within a task")

    async def _receive(self) -> bytes | str:
        message = await self._socket.receive()
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            raise GoneError
        data: bytes | str = message.data
        return data

    def _message(self, message: bytes | str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Header and payload; each must be complete."""
        if isinstance(message, bytes):
            raise self._wrong("audio outside of a task")
        value = json.loads(message)
        header, payload = value.get("header", {}), value.get("payload", {})
        try:
            uuid.UUID(header.get("task_id", ""))
        except ValueError:
            raise self._wrong("task_id is no UUID") from None
        if header.get("streaming") != "duplex" or not isinstance(payload.get("input"), dict):
            raise self._wrong("streaming is not duplex, or input is missing")
        return header, payload

    def _wrong(self, what: str) -> RefusedError:
        self._cloud.complain(what)
        return RefusedError("InvalidParameter", f"invalid request: {what}")

    # What goes

    async def _send(self, event: str, payload: dict[str, Any] | None = None, **more: str) -> None:
        header = {"task_id": self._id, "event": event, **more, "attributes": {}}
        message = {"header": header, "payload": payload or {}}
        await self._socket.send_str(json.dumps(message, ensure_ascii=False))

    async def _stage(self, stage: Stage) -> None:
        """Have the trouble of this connection, when it is due."""
        if self._trouble is None or self._trouble.stage is not stage:
            return
        match self._trouble.fault:
            case Fault.REFUSE:
                raise RefusedError("InternalError", "An internal error has occurred.")
            case Fault.GARBLE:
                await self._socket.send_str('{"header": ')
            case Fault.CUT:
                self._cloud.cut(self._request)
            case Fault.STALL:
                self._cloud.stalled.set()
                while True:
                    await self._receive()
        raise GoneError
