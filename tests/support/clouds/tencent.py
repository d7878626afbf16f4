"""Tencent Cloud's speech services, faked: recognition and all three kinds of synthesis on one port.

The vendor's package for the WebSockets is not on the package registry, so their signatures are checked against what
its pages describe. The one that is there, ``tencentcloud-sdk-python-tts``, drives TextToVoice in the tests.
"""

from dataclasses import dataclass

from aiohttp import web

from tests.support.clouds.tencent_asr import Recognition
from tests.support.clouds.tencent_tts import Synthesis


@dataclass
class Tencent(Recognition, Synthesis):
    """The services; ``url`` and ``ws_url`` serve them all."""

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/asr/v2/{app}", self.recognition)
        router.add_get("/stream_ws", self.one_shot)
        router.add_get("/stream_wsv2", self.streamed)
        router.add_get("/", self.basic)
