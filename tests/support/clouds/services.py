"""Each provider with its fake: how it is made, and what options it takes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.clouds.aliyun import Aliyun
from tests.support.clouds.base import Cloud
from tests.support.clouds.deepgram import KEY, DeepgramCloud
from tests.support.clouds.openai import OpenAi
from tests.support.clouds.tencent import Tencent

Option = dict[str, Any]
KEYS = {
    "tencent": {"app_id": Tencent.app_id, "secret_id": Tencent.secret_id, "secret_key": Tencent.secret_key},
    "tencent_basic": {"secret_id": Tencent.secret_id, "secret_key": Tencent.secret_key},
    "aliyun": {"secret_key": Aliyun.key},
    "openai": {"secret_key": str(OpenAi.key)},
    "deepgram": {"secret_key": KEY},
}
"""By the names of the settings."""
_CAMEL = {"app_id": "appId", "secret_id": "secretId", "secret_key": "secretKey"}


@dataclass(frozen=True, slots=True)
class Service:
    """A provider as a bot names it."""

    provider: str
    cloud: Callable[[], Cloud]
    extra: tuple[tuple[str, str], ...] = ()
    """Further parameters, by which it is another way to the same provider."""

    @property
    def name(self) -> str:
        """Of a test about it."""
        return "-".join((self.provider, *(value for _, value in self.extra)))

    def option(self, cloud: Cloud) -> Option:
        """What a bot asks for that has an account at `cloud`."""
        keys = {_CAMEL[key]: value for key, value in KEYS[self.provider].items()}
        return {"provider": self.provider, "endpoint": cloud.url, "extra": dict(self.extra), **keys}


ASR = (
    Service("tencent", Tencent),
    Service("aliyun", Aliyun),
    Service("openai", OpenAi),
    Service("openai", OpenAi, (("mode", "utterance"),)),
    Service("deepgram", DeepgramCloud),
)
TTS = (
    Service("tencent", Tencent),
    Service("tencent_basic", Tencent),
    Service("aliyun", Aliyun),
    Service("openai", OpenAi),
    Service("deepgram", DeepgramCloud),
)
