"""Which codecs need a coder, also where libraries are missing."""

import ctypes

import numpy as np
import pytest

from control.errors import MediaError, SetupError
from media.engine.codecs import opus
from media.engine.codecs.base import load
from media.engine.codecs.g711 import G711
from media.engine.codecs.g722 import G722
from media.engine.codecs.opus import Opus
from media.engine.codecs.registry import make_coder
from media.engine.stream import Codec


@pytest.mark.parametrize(
    ("codec", "kind"),
    [
        (Codec.PCMU, G711),
        (Codec.PCMA, G711),
        (Codec.PCMU16, G711),
        (Codec.G722, G722),
        (Codec.OPUS, Opus),
    ],
)
@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_coder_of_each_codec_and_band(codec: Codec, kind: type, rate: int) -> None:
    coder = make_coder(codec, rate)
    if rate == 8000 and codec in (Codec.PCMU, Codec.PCMA):
        assert coder is None
        return
    assert coder is not None
    assert isinstance(coder, kind)
    packet = coder.encode(np.zeros(rate // 50, np.int16))
    assert coder.samples(packet) == len(coder.decode(packet)) == rate // 50


def test_a_missing_library_is_named() -> None:
    with pytest.raises(SetupError, match=r"libnone\.so\.7 .* install the package libnone7 .*make setup"):
        load("libnone.so.7", "libnone7", {})


def test_a_library_without_a_function_is_named() -> None:
    with pytest.raises(SetupError, match=r"libc\.so\.6 .*no_such_function"):
        load("libc.so.6", "libc6", {"no_such_function": (ctypes.c_int, [])})


def test_a_codec_without_its_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    opus.library.cache_clear()
    monkeypatch.setattr(ctypes, "PyDLL", missing)
    with pytest.raises(MediaError, match=r"codec opus cannot be used: .*libopus0"):
        make_coder(Codec.OPUS, 16000)
