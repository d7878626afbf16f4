"""Which codecs this machine can code, and their coders."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from control.errors import MediaError, SetupError
from media.engine.codecs import g722, opus
from media.engine.codecs.base import Coder


@dataclass(frozen=True, slots=True)
class _Codec:
    library: Callable[[], Any]
    coder: Callable[[int], Coder]


_CODECS = {"g722": _Codec(g722.library, g722.G722), "opus": _Codec(opus.library, opus.Opus)}


def available() -> set[str]:
    """Names of the codecs whose library is installed: ``g722``, ``opus``."""
    return {name for name, codec in _CODECS.items() if _loads(codec)}


def make_coder(name: str, rate: int) -> Coder:
    """A new coder, with default options, for one call in the band of `rate`.

    Raises MediaError for another codec, SetupError when its library is missing.
    """
    if name not in _CODECS:
        raise MediaError(f"codec {name!r} has no coder of its own: it is one of {', '.join(_CODECS)}")
    return _CODECS[name].coder(rate)


def _loads(codec: _Codec) -> bool:
    try:
        codec.library()
    except SetupError:
        return False
    return True
