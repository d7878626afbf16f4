"""What a caller says who speaks and pauses, for benchmarks that depend on it."""

import numpy as np

from bench.load import Talk
from control.speech_config import Speech
from media.engine.g711 import ULAW_ENCODE
from media.speech import say
from media.speech.voice import Voice

SENTENCES = (
    "Hello, I would like to ask about my last bill.",
    "It says that I called abroad in March, but I was at home.",
    "Yes.",
    "My customer number is four, seven, one, one, zero, eight.",
    "No, that is not what I meant. Could you look at it again, please?",
    "Thank you, goodbye.",
)


def conversation() -> Talk:
    """PCMU of somebody who speaks two fifths of the time, in sentences, over soft line noise."""
    voice = Voice(Speech().speaker)
    rng = np.random.default_rng(3)
    parts = []
    for sentence in SENTENCES:
        speech = say.render(sentence, voice, 8000)
        parts += [speech, np.zeros(round(1.5 * len(speech)), np.int16)]
    pcm = np.concatenate(parts)
    pcm = pcm[: len(pcm) // 160 * 160] + rng.normal(0, 12, len(pcm) // 160 * 160)
    frames = np.clip(pcm, -32768, 32767).astype(np.int16).reshape(-1, 160)
    return Talk(ULAW_ENCODE[frames.view(np.uint16)], np.full(len(frames), 160, np.int64))
