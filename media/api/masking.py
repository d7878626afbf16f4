"""Commands and options without their secrets: for dumps, lists and logs."""

import re
from typing import Any

from media.api.options import Model

_SECRET = re.compile(r"secret|passw|token|apikey|appid|authorization|credential")
_USERINFO = re.compile(r"//[^/@\s]*@")
MASK = "***"


def masked(model: Model) -> dict[str, Any]:
    """The given keys of a command or option as JSON values, for dumps and lists: no secret in it."""
    given = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
    name = {"command": model.command} if hasattr(model, "command") else {}
    return name | {key: MASK if _is_secret(key) else _mask(value) for key, value in given.items()}


def _mask(value: object) -> object:
    if isinstance(value, dict):
        return {key: MASK if _is_secret(key) else _mask(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_mask(item) for item in value]
    if isinstance(value, str) and "@" in value:
        return _USERINFO.sub(f"//{MASK}@", value)
    return value


def _is_secret(key: str) -> bool:
    return bool(_SECRET.search(key.lower().replace("_", "").replace("-", "")))
