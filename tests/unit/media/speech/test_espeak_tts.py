import pytest

from control.errors import SpeechError
from media.api.options import SynthesisOption
from media.speech.client import SpeechClient
from media.speech.espeak_tts import EspeakTts, voice
from media.speech.speaking import Tts
from media.speech.voice import Voice


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (SynthesisOption(), Voice("en-us", 1.0, 5.0)),
        (SynthesisOption(speaker="de", speed=1.5, volume=8.0), Voice("de", 1.5, 8.0)),
        (SynthesisOption(provider="espeak"), Voice("en-us", 1.0, 5.0)),
    ],
)
def test_options_become_a_voice(option: SynthesisOption, expected: Voice) -> None:
    assert voice(option, "en-us") == expected


def test_another_provider_is_refused_by_name() -> None:
    with pytest.raises(SpeechError, match='"tencent" is not offered here; "espeak" is'):
        voice(SynthesisOption(provider="tencent"), "en-us")


async def test_it_speaks() -> None:
    client = SpeechClient()
    await client.start()
    try:
        tts: Tts = EspeakTts(client, "en-us")
        plain = [chunk async for chunk in tts.synthesise("Hello", None, 8000)]
        fast = [chunk async for chunk in tts.synthesise("Hello", SynthesisOption(speed=2.0), 8000)]
        assert sum(chunk.size for chunk in plain) > sum(chunk.size for chunk in fast) > 0
    finally:
        await client.stop()
