"""Which codec needs a coder of its own for each call, and how it is made."""

from collections.abc import Callable

from control.errors import MediaError, SetupError
from media.engine.arrays import RATE
from media.engine.codecs.base import Coder
from media.engine.codecs.g711 import G711
from media.engine.codecs.g722 import G722
from media.engine.codecs.opus import Opus
from media.engine.stream import FORMATS, Codec

_MAKERS: dict[Codec, Callable[[int], Coder]] = {
    Codec.PCMU: lambda rate: G711(rate, RATE, alaw=False),
    Codec.PCMA: lambda rate: G711(rate, RATE, alaw=True),
    Codec.PCMU16: lambda rate: G711(rate, FORMATS[Codec.PCMU16].rate, alaw=False),
    Codec.G722: G722,
    Codec.OPUS: Opus,
}


def make_coder(codec: Codec, rate: int) -> Coder | None:
    """A new coder for one call in the band of `rate`; None where `media.engine.g711` does the work.

    Raises MediaError when the library of the codec is missing.
    """
    if rate == RATE and codec in (Codec.PCMU, Codec.PCMA):
        return None
    try:
        return _MAKERS[codec](rate)
    except SetupError as error:
        raise MediaError(f"codec {codec} cannot be used: {error}") from error
