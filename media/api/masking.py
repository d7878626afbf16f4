"""Commands and options without their secrets: for dumps, lists and logs."""

import re
from collections.abc import Mapping
from typing import Any

from media.api.options import Model

_SECRET = re.compile(r"secret|passw|token|apikey|appid|authorization|credential")
# Texts come from bots, and are long: each pattern must take a time that grows as the text does, and no faster.
_USERINFO = re.compile(r"//[^/@\s]*@")
_SIP_URI = re.compile(r"\b(sips?:)([^\s<>\"]+)", re.IGNORECASE)
_PARAMETER = re.compile(r"([?&]([^=&#?\s]+)=)[^&#\s]+")
"""Of a URL's query."""
_SDP_KEY = re.compile(r"(\binline:|\bice-pwd:)[^\s|]+")
"""Of SRTP (RFC 4568) and ICE (RFC 8839)."""
_SIGNS = ("@", "signature=", "inline:", "icepwd:")
MASK = "***"


def masked(model: Model) -> dict[str, Any]:
    """The given keys of a command or option as JSON values, for dumps and lists: no secret in it."""
    given = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
    name = {"command": model.command} if hasattr(model, "command") else {}
    return name | masked_values(given)


def masked_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object `given` without its secrets."""
    return {key: MASK if _is_secret(key) else _mask(value) for key, value in given.items()}


def may_hold_secrets(text: str) -> bool:
    """Whether the JSON `text` can have anything to mask; quick, and never wrong when it says no."""
    plain = text.lower().replace("_", "").replace("-", "")
    return _SECRET.search(plain) is not None or any(sign in plain for sign in _SIGNS)


def _mask(value: object) -> object:
    if isinstance(value, dict):
        return masked_values(value)
    if isinstance(value, list):
        return [_mask(item) for item in value]
    return _mask_text(value) if isinstance(value, str) else value


def _mask_text(text: str) -> str:
    if "@" in text:
        text = _SIP_URI.sub(_mask_password, _USERINFO.sub(f"//{MASK}@", text))
    if "inline:" in text or "ice-pwd:" in text:
        text = _SDP_KEY.sub(rf"\1{MASK}", text)
    if "://" in text and "?" in text:
        text = _PARAMETER.sub(_mask_parameter, text)
    return text


def _mask_password(found: re.Match[str]) -> str:
    userinfo, at, host = found[2].rpartition("@")
    user, colon, _ = userinfo.partition(":")
    return f"{found[1]}{user}:{MASK}@{host}" if at and colon else found[0]


def _mask_parameter(found: re.Match[str]) -> str:
    name = found[2].lower()
    return found[1] + MASK if _is_secret(name) or name.endswith("signature") else found[0]


def _is_secret(key: str) -> bool:
    return bool(_SECRET.search(key.lower().replace("_", "").replace("-", "")))
