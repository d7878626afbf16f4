"""What our own synthesiser makes of a text, to be compared with what was heard."""

from control.speech_config import Speech
from media.speech import say
from media.speech.voice import Voice
from tests.support import wav


def render(text: str) -> wav.Sound:
    """Speak `text` with the default voice at 8 kHz, without the silence around it."""
    return wav.trimmed(say.render(text, Voice(Speech().speaker), wav.RATE) / 32768)
