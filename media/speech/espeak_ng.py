"""espeak-ng by ctypes. The library has one global state: one instance a process, one text at a time.

Functions and constants: espeak-ng's ``speak_lib.h``.
"""

import ctypes
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import espeakng_loader
import numpy as np

from control.errors import SpeechError
from media.speech.voice import Samples, Voice

_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_UTF8 = 1
_RATE, _VOLUME, _PITCH = 1, 2, 3
_POS_CHARACTER = 1
_CHUNK_MS = 500
"""Audio per callback: few messages, yet the first one is there after half a millisecond of work."""

NEUTRAL_RATE, SLOWEST, FASTEST = 175, 80, 450
"""Words per minute."""

_VARIANT = re.compile(r"[A-Za-z0-9_-]{1,30}")

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class _VoiceRecord(ctypes.Structure):
    """``espeak_VOICE`` as far as it is read here."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),  # priority (1 byte) and code of the first language
        ("identifier", ctypes.c_char_p),
    )


class EspeakNg:
    """The synthesiser. Raises SpeechError when the library or its data cannot be loaded."""

    def __init__(self) -> None:
        self._library = _load()
        data = espeakng_loader.get_data_path()
        rate = self._library.espeak_Initialize(_SYNCHRONOUS, _CHUNK_MS, data.encode(), _DONT_EXIT)
        if rate <= 0:
            raise SpeechError(f"espeak-ng cannot read its data in {data} (it takes paths up to 160 bytes)")
        self.sample_rate: int = rate
        self._put: Callable[[Samples], bool] = lambda _: False
        self._voice: Voice | None = None
        # The library keeps the pointer: the callback object must live as long as it.
        self._callback = _Callback(self._on_audio)
        self._library.espeak_SetSynthCallback(self._callback)
        self._variants = Path(data, "voices", "!v")
        self._identifiers: dict[str, str] = {}
        for code, name, identifier in self._listed():
            for key in (identifier.rpartition("/")[2], code, name):
                self._identifiers.setdefault(key.lower(), identifier)

    def say(self, text: str, voice: Voice, put: Callable[[Samples], bool]) -> None:
        """Speak `text`, handing samples to `put` as they are made; stop when it returns False.

        `put` must not raise: it runs in a callback from C. Raises SpeechError for an unknown voice.
        """
        if not text.strip():
            return
        self._use(voice)
        self._put = put
        data = text.encode("utf-8", "replace")
        status = self._library.espeak_Synth(data, len(data) + 1, 0, _POS_CHARACTER, 0, _UTF8, None, None)
        if status != 0:
            raise SpeechError(f"espeak-ng cannot speak this text (status {status})")

    def voices(self) -> list[tuple[str, str]]:
        """Language code and name of every voice; either selects it, and ``+VARIANT`` may follow."""
        return sorted((code, name) for code, name, _ in self._listed())

    def _listed(self) -> list[tuple[str, str, str]]:
        """Language code, name and identifier of every voice."""
        found = []
        for record in self._library.espeak_ListVoices(None):
            if not record:
                break
            voice = record.contents
            texts = (voice.languages[1:], voice.name, voice.identifier)
            code, name, identifier = (text.decode() for text in texts)
            found.append((code, name, identifier))
        return found

    def _use(self, voice: Voice) -> None:
        if voice == self._voice:
            return
        if self._voice is None or voice.speaker != self._voice.speaker:
            self._voice = None
            path = self._path(voice.speaker)
            if path is None or self._library.espeak_SetVoiceByName(path.encode()) != 0:
                raise SpeechError(
                    f"espeak-ng has no voice {voice.speaker[:60]!r}; "
                    "python -m media.speech.say --voices lists all"
                )
        for parameter, value in _parameters(voice):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._voice = voice

    def _path(self, speaker: str) -> str | None:
        """What the library takes for `speaker`, None when there is no such voice or variant."""
        name, plus, variant = speaker.partition("+")
        identifier = self._identifiers.get(name.lower())
        if not plus or identifier is None:
            return identifier
        known = _VARIANT.fullmatch(variant) and (self._variants / variant).is_file()
        return f"{identifier}+{variant}" if known else None

    def _on_audio(self, wave: Any, count: int, _events: object) -> int:
        """Called by the library; 1 stops the synthesis."""
        if count <= 0:
            return 0
        samples = np.ctypeslib.as_array(wave, (count,)).copy()
        return 0 if self._put(samples) else 1


def _parameters(voice: Voice) -> list[tuple[int, int]]:
    """Our scales in the library's: words per minute, volume 0 to 200, pitch 0 to 100."""
    # The limit stands first in max: then NaN gives the limit.
    return [
        (_RATE, round(min(FASTEST, max(SLOWEST, voice.speed * NEUTRAL_RATE)))),
        (_VOLUME, round(min(10, max(0, voice.volume)) * 20)),
        (_PITCH, round(min(2, max(0, voice.pitch)) * 50)),
    ]


def _load() -> Any:
    path = espeakng_loader.get_library_path()
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise SpeechError(f"the library {path} cannot be loaded: {error}") from error
    library.espeak_Initialize.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int)
    library.espeak_SetSynthCallback.argtypes = (_Callback,)
    library.espeak_SetSynthCallback.restype = None
    library.espeak_SetVoiceByName.argtypes = (ctypes.c_char_p,)
    library.espeak_SetParameter.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int)
    library.espeak_ListVoices.argtypes = (ctypes.c_void_p,)
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceRecord))
    library.espeak_Synth.argtypes = (
        *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint),
        *(ctypes.POINTER(ctypes.c_uint), ctypes.c_void_p),
    )
    return library
