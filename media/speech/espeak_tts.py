"""espeak-ng: built in, offline, no keys; robotic but quick (0.2 % of a core per voice)."""

from control.errors import SpeechError
from media.api.options import SynthesisOption
from media.speech.client import SpeechClient, Synthesis
from media.speech.voice import Voice


class EspeakTts:
    """The provider ``espeak``; `speaker` is the voice of those who name none."""

    name = "espeak"

    def __init__(self, client: SpeechClient, speaker: str) -> None:
        self._client = client
        self._speaker = speaker

    def check(self, option: SynthesisOption | None) -> None:
        """Raise SpeechError when `option` asks for another provider."""
        voice(option or SynthesisOption(), self._speaker)

    def synthesise(self, text: str, option: SynthesisOption | None, sample_rate: int) -> Synthesis:
        """Speak `text`. Raises SpeechError when `option` asks for another provider."""
        return self._client.synthesise(text, voice(option or SynthesisOption(), self._speaker), sample_rate)


def voice(option: SynthesisOption, speaker: str) -> Voice:
    """The voice that `option` describes; `speaker` when it names none. Raises SpeechError."""
    if option.provider not in (None, EspeakTts.name):
        raise SpeechError(f'tts provider "{option.provider}" is not offered here; "espeak" is', 501)
    return Voice(option.speaker or speaker, option.speed, option.volume)
