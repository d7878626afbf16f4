"""Tencent Cloud's real-time recognition, faked.

Source: cloud.tencent.com/document/product/1093/48982.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.support.clouds.base import Ear, Said, Stage
from tests.support.clouds.tencent_common import Query, Socket, TencentCloud

NEEDED = {"secretid", "timestamp", "expired", "nonce", "engine_model_type", "voice_id"}
MORE = {
    *("voice_format", "needvad", "hotword_id", "hotword_list", "customization_id", "filter_dirty"),
    *(
        "filter_modal",
        "filter_punc",
        "filter_empty_result",
        "convert_num_mode",
        "word_info",
        "vad_silence_time",
    ),
    *("max_speak_time", "noise_threshold", "input_sample_rate", "emotion_recognition", "replace_text_id"),
    *("sub_service_type", "language_judgment", "reinforce_hotword", "speaker_diarization"),
}
ENGINES = {"8k_zh", "8k_en", "8k_zh_large", "16k_zh", "16k_zh_en", "16k_zh_large", "16k_multi_lang", "16k_en"}
OVERLOAD = 5000
MOST_SECONDS = 3
"""Of audio that may come in one second."""


@dataclass
class Recognition(TencentCloud):
    """``/asr/v2/APPID``."""

    voices: list[str] = field(default_factory=list)
    """``voice_id`` of each connection; none may come twice."""

    async def recognition(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection."""
        return await self.serve(request, OVERLOAD, self._recognise)

    async def _recognise(self, socket: Socket) -> None:
        query = await self._admit_audio(socket)
        await socket.reach(Stage.BEGIN)
        await socket.send()
        rate = int(query.get("input_sample_rate") or query["engine_model_type"].split("k")[0] + "000")
        stenographer = Stenographer(socket, Ear(rate), self.delay, query.get("word_info", "0") != "0")
        began, heard = time.monotonic(), self.heard[socket.number]
        async for message in socket.ws:
            if message.type is WSMsgType.BINARY:
                heard += message.data
                if not message.data or len(message.data) % 2:
                    self.complain("no audio, or half a sample")
                if len(heard) / (2 * rate) > MOST_SECONDS * (1 + time.monotonic() - began):
                    await socket.refuse(4000, "too much audio: at most 3 s in a second")
                await stenographer.write(stenographer.ear.feed(message.data))
            elif message.type is WSMsgType.TEXT and message.json() == {"type": "end"}:
                break
            else:
                await socket.refuse(4010, "unknown text message")
        else:
            return
        await socket.reach(Stage.END)
        await stenographer.write(stenographer.ear.end())
        await socket.send(message_id=f"{socket.ids['voice_id']}_end", final=1)

    async def _admit_audio(self, socket: Socket) -> Query:
        """Refuse who may not come in."""
        name = f"asr.cloud.tencent.com{socket.request.path}"
        right, query = self.signed(socket.request, "signature", name)
        voice = query.get("voice_id", "")
        socket.ids["voice_id"] = voice
        if not right or query.get("secretid") != self.secret_id:
            await socket.refuse(4002, "鉴权失败")
        if socket.request.match_info["app"] != self.app_id:
            await socket.refuse(4003, "AppID 服务未开通，请在控制台开通服务")
        if (
            wrong := self.lack(query, NEEDED, MORE)
            or _wrong(query)
            or (voice in self.voices and "voice_id again")
        ):
            await socket.refuse(4001, wrong)
        self.voices.append(voice)
        return query


def _wrong(query: Query) -> str | None:
    """What is wrong with the parameters of a recognition."""
    if query["engine_model_type"] not in ENGINES:
        return "invalid parameter engine_model_type"
    if not query["nonce"].isdigit() or len(query["nonce"]) > 10:
        return "invalid parameter nonce"
    if not 0 < len(query["voice_id"]) <= 128:
        return "invalid parameter voice_id"
    # Anything else is another codec; speex when it is left out.
    return None if query.get("voice_format") == "1" else "invalid parameter voice_format"


@dataclass
class Stenographer:
    """Writes down what the ear has understood."""

    socket: Socket
    ear: Ear
    delay: float
    words: bool
    told: int = 0
    begun: set[int] = field(default_factory=set)

    async def write(self, sayings: list[Said]) -> None:
        """A message for each of `sayings`."""
        for said in sayings:
            if said.final:
                await asyncio.sleep(self.delay)
            self.told += 1
            await self.socket.send(
                message_id=f"{self.socket.ids['voice_id']}_{self.told}", result=self._result(said)
            )
            if self.told == 1:
                await self.socket.reach(Stage.MIDDLE)

    def _result(self, said: Said) -> dict[str, Any]:
        kind = 2 if said.final else int(said.index in self.begun)
        self.begun.add(said.index)
        words = said.text.split() if self.words else []
        each = (said.end - said.start) // max(1, len(words))
        listed = [
            {"word": word, "start_time": at, "end_time": at + each, "stable_flag": int(said.final)}
            for word, at in ((word, said.start + number * each) for number, word in enumerate(words))
        ]
        return {
            "slice_type": kind,
            "index": said.index,
            "start_time": said.start,
            "end_time": said.end,
            "voice_text_str": said.text,
            "word_size": len(words),
            "word_list": listed,
        }
