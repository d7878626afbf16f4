"""Tencent Cloud's synthesis, faked: two WebSockets and TextToVoice.

Sources: cloud.tencent.com/document/product/1073/94308, /1073/108595, /1073/37995.
"""

import asyncio
import base64
import json
import re
import uuid
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

from tests.support.clouds.base import Fault, Stage, Trouble, spoken
from tests.support.clouds.tencent_common import REFUSED, Query, Socket, TencentCloud

NEEDED = {"Action", "AppId", "SecretId", "Timestamp", "Expired", "SessionId"}
VOICE = {
    *(
        "VoiceType",
        "Codec",
        "SampleRate",
        "Volume",
        "Speed",
        "EnableSubtitle",
        "ModelType",
        "EmotionCategory",
    ),
    *("EmotionIntensity", "FastVoiceType", "SegmentRate", "PrimaryLanguage"),
}
BASIC = {"Action", "Version", "SecretId", "Timestamp", "Nonce", "SessionId", "Text"}
BASIC_MORE = {"Region", "SignatureMethod", "RequestClient", "Language", "ProjectId"}
OVERLOAD = 20000
MS_PER_CHARACTER = 20
MAX_TEXT = 10_000
_OVER = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)


def subtitles(text: str, at: int = 0) -> list[dict[str, Any]]:
    """When each word of `text` is spoken, which begins behind `at` characters."""
    return [
        {
            "Text": word[0],
            "BeginTime": (at + word.start()) * MS_PER_CHARACTER,
            "EndTime": (at + word.end()) * MS_PER_CHARACTER,
            "BeginIndex": at + word.start(),
            "EndIndex": at + word.end(),
            "Phoneme": None,
        }
        for word in re.finditer(r"\S+", text)
    ]


@dataclass
class Synthesis(TencentCloud):
    """``/stream_ws``, ``/stream_wsv2`` and ``/``."""

    async def one_shot(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection whose text is in the address."""
        return await self.serve(request, OVERLOAD, self._speak_one)

    async def streamed(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection whose texts come later."""
        return await self.serve(request, OVERLOAD, self._speak_parts)

    async def basic(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        trouble = await self.handshake(request)
        if isinstance(trouble, web.Response):
            return trouble
        names = "GETtts.tencentcloudapi.com/", f"GET{request.host}/"
        right, query = self.signed(request, "Signature", *names)
        answer = self._refused(right, query) or await self._voice(query)
        if trouble is None:
            return _reply(answer)
        return await self._break(request, trouble, _reply(answer))

    async def _speak_one(self, socket: Socket) -> None:
        query = await self._admit_text(socket, NEEDED | {"Text"}, "TextToStreamAudioWS")
        await socket.reach(Stage.BEGIN)
        await socket.send(request_id=str(uuid.uuid4()), message_id=str(uuid.uuid4()), final=0)
        await Mouth(socket, query, self.delay).say(query["Text"])
        await socket.reach(Stage.END)
        await self._finish(socket)

    async def _speak_parts(self, socket: Socket) -> None:
        query = await self._admit_text(socket, NEEDED, "TextToStreamAudioWSv2")
        await socket.reach(Stage.BEGIN)
        message = await self._ready(socket)
        mouth, seen = Mouth(socket, query, self.delay), set[str]()
        while message.type not in _OVER:
            order = await self._order(socket, message, seen)
            if order["action"] == "ACTION_COMPLETE":
                await socket.reach(Stage.END)
                return await self._finish(socket)
            await socket.send(message_id=str(uuid.uuid4()), heartbeat=1)
            await mouth.say(order["data"])
            message = await socket.ws.receive()
        return None

    async def _ready(self, socket: Socket) -> WSMessage:
        """The first message, which may not come before this says that texts may come."""
        first = asyncio.ensure_future(socket.ws.receive())
        try:
            await asyncio.sleep(self.delay)
            if first.done() and first.result().type not in _OVER:
                self.complain("a text before it was ready")
            await socket.send(message_id=str(uuid.uuid4()), ready=1)
            return await first
        finally:
            first.cancel()

    async def _order(self, socket: Socket, message: WSMessage, seen: set[str]) -> dict[str, str]:
        """What the client wants, if that is right."""
        order: dict[str, str] = message.json() if message.type is WSMsgType.TEXT else {}
        if order.keys() != {"session_id", "message_id", "action", "data"}:
            await socket.refuse(10001, "invalid message")
        if order["session_id"] != socket.ids["session_id"] or order["message_id"] in seen:
            self.complain("wrong session_id, or a message_id again")
        seen.add(order["message_id"])
        if order["action"] not in ("ACTION_SYNTHESIS", "ACTION_COMPLETE"):
            await socket.refuse(10001, "invalid action")
        if "<speak" in order["data"]:
            await socket.refuse(10006, "流式输入文本包含SSML")
        if sum(map(len, self.texts[socket.number])) + len(order["data"]) > MAX_TEXT:
            await socket.refuse(10007, "流式输入文本超过最大长度限制")
        return order

    async def _finish(self, socket: Socket) -> None:
        """All was spoken; now the client has to close."""
        await socket.send(message_id=str(uuid.uuid4()), final=1)
        if (await socket.ws.receive()).type not in _OVER:
            self.complain("a message behind the end")

    async def _admit_text(self, socket: Socket, needed: set[str], action: str) -> Query:
        """Refuse who may not come in."""
        name = f"GETtts.cloud.tencent.com{socket.request.path}"
        right, query = self.signed(socket.request, "Signature", name)
        socket.ids = {"session_id": query.get("SessionId", ""), "request_id": str(uuid.uuid4())}
        if not right or (query.get("SecretId"), query.get("AppId")) != (self.secret_id, self.app_id):
            await socket.refuse(10003, "鉴权失败")
        wrong = self.lack(query, needed, VOICE) or _wrong(query)
        if wrong or query["Action"] != action:
            await socket.refuse(10001, wrong or "invalid parameter Action")
        return query

    def _refused(self, right: bool, query: Query) -> dict[str, Any] | None:
        """The answer of TextToVoice to who may not come in."""
        text = query.get("Text", "")
        if query.get("SecretId") != self.secret_id:
            return _error("AuthFailure.SecretIdNotFound", "The SecretId is not found.")
        if not right:
            return _error("AuthFailure.SignatureFailure", "The provided credentials could not be validated.")
        if wrong := self.lack(query, BASIC, BASIC_MORE | VOICE) or _wrong(query):
            return _error("InvalidParameterValue", wrong)
        if (query["Action"], query["Version"]) != ("TextToVoice", "2019-08-23"):
            return _error("InvalidAction", "no such action")
        if len(text) > 500 or len(text) - len(re.sub(r"[^\x00-\x7f]", "", text)) > 150:
            return _error("InvalidParameterValue.TextTooLong", "合成文本字符过长")
        return None

    async def _voice(self, query: Query) -> dict[str, Any]:
        await asyncio.sleep(self.delay)
        text = query["Text"]
        self.texts[-1].append(text)
        audio = base64.b64encode(
            spoken(text, int(query.get("SampleRate", 16_000)), MS_PER_CHARACTER)
        ).decode()
        wanted = query.get("EnableSubtitle", "").lower() == "true"
        return {
            "Audio": audio,
            "SessionId": query["SessionId"],
            "Subtitles": subtitles(text) if wanted else [],
        }

    async def _break(self, request: web.Request, trouble: Trouble, right: web.Response) -> web.StreamResponse:
        """An answer that goes wrong at its beginning, in its middle or at its end."""
        self.reached.put_nowait(trouble.stage)
        if trouble.fault is Fault.REFUSE:
            return _reply(_error("InternalError.InternalError", REFUSED))
        body = right.body if isinstance(right.body, bytes) else b""
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(
            body[: {Stage.BEGIN: 0, Stage.MIDDLE: len(body) // 2}.get(trouble.stage, -1)] or b" "
        )
        match trouble.fault:
            case Fault.CUT:
                self.cut(request)
            case Fault.STALL:
                await self.stall()
            case _:
                await response.write(b"{garbage")
        return response


def _reply(answer: dict[str, Any]) -> web.Response:
    """An answer of the API: the vendor's package knows its errors by this very content type."""
    body = json.dumps({"Response": {**answer, "RequestId": str(uuid.uuid4())}}).encode()
    return web.Response(body=body, headers={"Content-Type": "application/json"})


def _error(code: str, message: str) -> dict[str, Any]:
    return {"Error": {"Code": code, "Message": message}}


def _wrong(query: Query) -> str | None:
    """What is wrong with the parameters of a synthesis."""
    if not query.get("VoiceType", "0").isdigit():
        return "invalid parameter VoiceType"
    if query.get("SampleRate", "16000") not in ("8000", "16000", "24000"):
        return "invalid parameter SampleRate"
    return None if query.get("Codec") == "pcm" else "invalid parameter Codec"


@dataclass
class Mouth:
    """Speaks on one connection."""

    socket: Socket
    query: Query
    delay: float
    at: int = 0
    """Characters that were spoken."""

    async def say(self, text: str) -> None:
        """Audio of `text` in pieces of 100 ms, with its subtitles."""
        cloud, rate = self.socket.cloud, int(self.query.get("SampleRate", 16_000))
        cloud.texts[self.socket.number].append(text)
        await asyncio.sleep(self.delay)
        audio, size = spoken(text, rate, MS_PER_CHARACTER), rate // 5
        for start in range(0, len(audio), size):
            await self.socket.ws.send_bytes(audio[start : start + size])
            await self.socket.reach(Stage.MIDDLE)
        if self.query.get("EnableSubtitle", "").lower() == "true":
            result = {"subtitles": subtitles(text, self.at)}
            await self.socket.send(message_id=str(uuid.uuid4()), final=0, result=result)
        self.at += len(text)
