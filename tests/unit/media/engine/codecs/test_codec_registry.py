"""Which codecs there are, also where libraries are missing."""

import ctypes

import numpy as np
import pytest

from control.errors import MediaError, SetupError
from media.engine.codecs import g722, opus
from media.engine.codecs.base import load
from media.engine.codecs.registry import available, make_coder


def test_everything_is_installed() -> None:
    assert available() == {"g722", "opus"}


@pytest.mark.parametrize(("name", "kind"), [("g722", g722.G722), ("opus", opus.Opus)])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_coder_by_name(name: str, kind: type, rate: int) -> None:
    coder = make_coder(name, rate)
    assert isinstance(coder, kind)
    packet = coder.encode(np.zeros(rate // 50, np.int16))
    assert coder.samples(packet) == len(coder.decode(packet)) == rate // 50


def test_other_codecs_have_none() -> None:
    with pytest.raises(MediaError, match="'speex' .* g722, opus"):
        make_coder("speex", 8000)


def test_a_missing_library_is_named() -> None:
    with pytest.raises(SetupError, match=r"libnone\.so\.7 .* install the package libnone7 .*make setup"):
        load("libnone.so.7", "libnone7", {})


def test_a_library_without_a_function_is_named() -> None:
    with pytest.raises(SetupError, match=r"libc\.so\.6 .*no_such_function"):
        load("libc.so.6", "libc6", {"no_such_function": (ctypes.c_int, [])})


def test_codecs_without_their_library_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    opus.library.cache_clear()
    monkeypatch.setattr(ctypes, "PyDLL", missing)
    assert available() == {"g722"}
    with pytest.raises(SetupError, match="libopus0"):
        make_coder("opus", 16000)
