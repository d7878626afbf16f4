"""Libraries of codecs, there and missing."""

from typing import get_args

import pytest

from control import check, codecs, doctor, preflight
from control.codecs import Library
from control.config import Calls, Codec, Settings
from control.doctor import Finding, Level
from control.errors import SetupError
from control.sip.offer_answer import CODECS
from tests.support import fakenode

LIBC = Library("libc.so.6", "libc6")
NOWHERE = Library("libnowhere.so.7", "libnowhere7")
SENTENCE = (
    "calls.codecs: opus needs libnowhere.so.7, which is not on this machine:"
    " install the package libnowhere7, or leave opus out"
)


@pytest.fixture
def settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(codecs, "LIBRARIES", {"g722": LIBC, "opus": NOWHERE})
    made = fakenode.settings(tmp_path_factory.mktemp("node"))
    return made.model_copy(update={"calls": Calls(codecs=("opus", "g722", "pcmu"))})


def without_opus(settings: Settings) -> Settings:
    return settings.model_copy(update={"calls": Calls(codecs=("g722", "pcmu"))})


def test_names_of_settings_are_those_of_descriptions() -> None:
    assert set(get_args(Codec)) == CODECS.keys()
    assert codecs.LIBRARIES.keys() <= CODECS.keys()


async def test_preflight(settings: Settings) -> None:
    with pytest.raises(SetupError) as caught:
        await preflight.check(settings, ("127.0.0.1",), None)
    assert str(caught.value) == SENTENCE
    await preflight.check(without_opus(settings), ("127.0.0.1",), None)
    await preflight.check(settings, (), None)


async def test_check(settings: Settings) -> None:
    assert await check.run(settings) == [SENTENCE]
    assert await check.run(without_opus(settings)) == []


def test_doctor(settings: Settings) -> None:
    assert list(doctor.codec_libraries(settings)) == [Finding(Level.MISSING, "codecs", SENTENCE)]
    assert list(doctor.codec_libraries(without_opus(settings))) == [
        Finding(Level.OK, "codecs", "g722, pcmu can be spoken")
    ]
