"""What the speech services of Tencent Cloud share: keys, signed addresses, refusals, scales and subtitles.

Sources: cloud.tencent.com/document/product/1093/48982 (recognition), /1073/94308 and /1073/108595 (synthesis over
WebSockets), /1073/37995 (TextToVoice), /213/30654 (signature v1).
"""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import numpy as np

from control.errors import ProviderError
from media.api.options import Provider, SynthesisOption
from media.speech.provider import Need, extras, given
from media.speech.tts.base import Mark

APP_ID = Need("app_id", "TENCENT_APPID")
SECRET_ID = Need("secret_id", "TENCENT_SECRET_ID")
SECRET_KEY = Need("secret_key", "TENCENT_SECRET_KEY")
VALID_SECONDS = 86_400
"""How long a signature lasts; Tencent takes less than 90 days."""
RATES = (8000, 16_000, 24_000)
"""Hz that Tencent speaks at; the last one by some voices only."""

_OWN = (".tencent.com", ".tencentcloudapi.com")
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_FACTORS, _SPEEDS = (0.6, 0.8, 1.0, 1.2, 1.5, 2.5), (-2.0, -1.0, 0.0, 1.0, 2.0, 6.0)
_SHOWN = 200

_NUMBERS: Mapping[int, tuple[int, bool]] = {
    4000: (429, True),
    4001: (400, False),
    4002: (401, False),
    4003: (403, False),
    4004: (403, False),
    4005: (403, False),
    4006: (429, True),
    4007: (400, False),
    4008: (408, True),
    4010: (400, False),
    6001: (403, False),
    10001: (400, False),
    10002: (429, True),
    10003: (401, False),
    10004: (408, True),
    10006: (400, False),
    10007: (413, False),
    10008: (400, False),
    10009: (408, True),
}
"""Tencent's codes: ours, and whether to try again. Those not listed are failures on its side."""
_WORDS: tuple[tuple[str, int, bool], ...] = (
    ("AuthFailure", 401, False),
    ("UnauthorizedOperation", 401, False),
    ("UnsupportedOperation.Authorization", 401, False),
    ("UnsupportedOperation.TextTooLong", 413, False),
    ("InvalidParameterValue.TextTooLong", 413, False),
    ("UnsupportedOperation", 403, False),
    ("InvalidParameter", 400, False),
    ("MissingParameter", 400, False),
    ("UnknownParameter", 400, False),
    ("InvalidAction", 400, False),
    ("UnsupportedRegion", 400, False),
    ("LimitExceeded", 429, True),
    ("RequestLimitExceeded", 429, True),
)
"""The same for codes that are words, by how they begin; the first that fits."""
_HINTS: Mapping[int, str] = {
    401: "; check appId, secretId, secretKey and the clock of this machine",
    403: "; see the console of Tencent Cloud: the service is off, unpaid, or not for this country",
    429: "; more calls at once, or faster, than the account allows",
}


@dataclass(frozen=True, slots=True)
class Service:
    """One service: where it is, and how it wants its requests signed."""

    host: str
    path: str
    verb: str
    """What is signed in front of the host: the method, or nothing."""
    signature: str
    """Name of the parameter."""
    web: bool = False
    """Whether it is plain HTTP, no WebSocket."""


def recognition(app_id: str) -> Service:
    """Real-time recognition, for one account."""
    return Service("asr.cloud.tencent.com", f"/asr/v2/{app_id}", "", "signature")


ONE_SHOT = Service("tts.cloud.tencent.com", "/stream_ws", "GET", "Signature")
STREAMED = Service("tts.cloud.tencent.com", "/stream_wsv2", "GET", "Signature")
BASIC = Service("tts.tencentcloudapi.com", "/", "GET", "Signature", web=True)


def sign(key: str, text: str) -> str:
    """HMAC-SHA1 in base64: signature v1 of Tencent Cloud."""
    return base64.b64encode(hmac.digest(key.encode(), text.encode(), "sha1")).decode()


def signed_url(name: str, service: Service, option: Provider, query: Mapping[str, object]) -> str:
    """Where to connect to, `query` and its signature included.

    ``extra`` of `option` overrides what is in `query`; null leaves a parameter out.
    The values are signed as they are and encoded in the URL. What is signed is Tencent's own name, whatever the
    `endpoint`, unless that is a name of Tencent too. Raises ProviderError for an endpoint that is none.
    """
    base, signed = _address(name, service, option.endpoint)
    values = {k: _text(v) for k, v in {**query, **extras(option)}.items() if v is not None}
    plain = "&".join(f"{k}={values[k]}" for k in sorted(values))
    coded = "&".join(f"{quote(k, safe='')}={quote(values[k], safe='')}" for k in sorted(values))
    signature = sign(option.secret_key or "", f"{service.verb}{signed}?{plain}")
    return f"{base}?{coded}&{service.signature}={quote(signature, safe='')}"


def _address(name: str, service: Service, endpoint: str | None) -> tuple[str, str]:
    """The URL without its query, and the host and path that are signed."""
    own = service.host + service.path
    if endpoint is None:
        return f"{'https' if service.web else 'wss'}://{own}", own
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"wss://{endpoint}")
        host, scheme = parts.hostname or "", _SCHEMES.get(parts.scheme, "")
    except ValueError:
        host = scheme = ""
    if not host or not scheme:
        raise ProviderError(f"{name}: endpoint is no http, https, ws or wss address", 400, retry=False)
    path = parts.path if parts.path.strip("/") else service.path
    if service.web:
        scheme = scheme.replace("ws", "http", 1)
    return f"{scheme}://{parts.netloc}{path}", host + path if host.endswith(_OWN) else own


def _text(value: object) -> str:
    """A parameter as text: true, 0.5, 2."""
    match value:
        case bool():
            return str(value).lower()
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)


def check_keys(name: str, option: Provider, *needs: Need) -> None:
    """Raise ProviderError when one of `needs` is missing in `option`, or its appId is no number."""
    for need in needs:
        if not getattr(option, need.field):
            key = "".join(part.title() for part in need.field.split("_"))
            message = f"{name}: {key[0].lower()}{key[1:]} is missing; give it in the option or set {need.env}"
            raise ProviderError(message, 401, retry=False)
    if APP_ID in needs and not _is_number(option.app_id or ""):
        raise ProviderError(f"{name}: appId must be the account's number (digits only)", 400, retry=False)


def check_synthesis(name: str, option: SynthesisOption) -> None:
    """Raise ProviderError when the voice is no number, or audio is asked for in another form than ours."""
    if option.speaker is not None and not _is_number(option.speaker):
        message = f'{name}: speaker must be the number of a voice such as 101001, not "{option.speaker}"'
        raise ProviderError(message, 400, retry=False)
    if option.codec not in (None, "pcm"):
        message = f'{name}: codec "{option.codec}" is not offered; leave it out, or use pcm'
        raise ProviderError(message, 501, retry=False)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def refusal(name: str, code: int | str, message: object) -> ProviderError:
    """What an answer of Tencent with an error `code` means; `message` are its own words."""
    ours, retry = _meaning(code)
    said = " ".join(str(message).split())[:_SHOWN]
    return ProviderError(
        f"{name}: {said or 'it failed'} (code {code}){_HINTS.get(ours, '')}", ours, retry=retry
    )


def _meaning(code: int | str) -> tuple[int, bool]:
    if isinstance(code, int):
        return _NUMBERS.get(code, (502, True))
    return next(((ours, retry) for begin, ours, retry in _WORDS if code.startswith(begin)), (502, True))


def tuning(option: SynthesisOption) -> dict[str, object]:
    """Volume, speed and emotion as Tencent wants them; only those that were asked for.

    Volume 0 to 10 with 5 neutral becomes -10 to 10 with 0 neutral. Speed 1.0 neutral becomes -2 (0.6 times as fast)
    to 6 (2.5 times), in straight lines between the points that Tencent names. Beyond the ends: the end.
    """
    found: dict[str, object] = {}
    if given(option, "volume"):
        found["Volume"] = round(min(10.0, max(-10.0, 2 * option.volume - 10)), 2)
    if given(option, "speed"):
        found["Speed"] = round(float(np.interp(option.speed, _FACTORS, _SPEEDS)), 2)
    if option.emotion is not None:
        found["EmotionCategory"] = option.emotion
    return found


def rate(option: SynthesisOption, wanted: int) -> int:
    """Hz that Tencent is asked for: what the option says or else `wanted`, or what is next above it."""
    least = option.samplerate or wanted
    return next((hertz for hertz in RATES if hertz >= least), RATES[-1])


class Subtitles:
    """Finds the parts of a text that subtitles are about.

    Their index counts characters of all text that was sent. Where the text has something else there (figures that are
    spoken as words, characters that are counted twice), it is searched for behind the last one that was found.
    """

    def __init__(self, text: str = "") -> None:
        self._text = text
        self._behind = 0

    def add(self, text: str) -> None:
        """More text was sent."""
        self._text += text

    def marks(self, subtitles: object, *, shift: int = 0, at: int = 0) -> list[Mark]:
        """The marks of those that are found, `shift` ms later and `at` characters further back in the text."""
        found = [self._mark(one, shift, at) for one in subtitles] if isinstance(subtitles, list) else []
        return [mark for mark in found if mark is not None]

    def _mark(self, subtitle: object, shift: int, at: int) -> Mark | None:
        match subtitle:
            case {"Text": str(text), "BeginTime": int(start), "EndTime": int(end), **rest} if text:
                where = self._find(text, rest.get("BeginIndex"))
            case _:
                return None
        if where is None:
            return None
        self._behind = where + len(text)
        return Mark(at + where, len(text), start + shift, end + shift)

    def _find(self, text: str, index: object) -> int | None:
        if isinstance(index, int) and index >= self._behind and self._text.startswith(text, index):
            return index
        where = self._text.find(text, self._behind)
        return where if where >= 0 else None
