"""Tones that tell who answered: an answering machine's beep, a fax, a carrier's announcement.

- ``beep``: a single clean tone of 350 to 2200 Hz, 150 ms to 2 s long, with quiet behind it and no other tone near it.
- ``cng``: a calling fax, 1100 Hz for 0.5 s every 3 s (ITU-T T.30). One is enough. A beep may be just that: before
  anybody spoke it is a fax, behind a greeting a beep.
- ``ced``: an answering fax or modem, 2100 Hz for 2.6 s and more (ITU-T T.30; ANS of V.25).
- ``sit``: special information tones, three rising ones before a carrier's announcement (ITU-T E.180 Supplement 2).
"""

from dataclasses import dataclass
from enum import StrEnum

from media.engine.arrays import Pcm
from media.speech.amd.sines import HOP_MS, Hop, Meter, Sine, Sines

BEEP_HZ, BEEP_MS = (345.0, 2215.0), (140, 2050)
PROGRESS_HZ = (380.0, 480.0)
"""Single tones of ringing, busy and congestion are here (ITU-T E.180): only the cadence tells them from a beep."""
PROGRESS_MS, PROGRESS_ALONE_MS = 600, 700
"""Ringing lasts longer than this; busy and congestion come again before that."""
ALONE_MS = 150
"""A beep has no other tone nearer than this: tunes have."""
NEIGHBOUR_MS = 60
"""Shorter tones do not count as such."""
SWING = 4.0
"""dB by which a beep may be louder than its average: the pulses of a creaking voice swing more."""
DROP = 6.0
"""dB by which it is quieter behind a beep; behind a tone within speech or music it is not."""
DROP_MS = 100
"""How much behind a beep is compared."""
CNG_HZ, CNG_MS = (1058.0, 1142.0), (400, 600)
"""1100 Hz ± 38, 0.5 s ± 15 % (ITU-T T.30), and a little."""
CED_HZ, CED_MS = (2075.0, 2125.0), 800
"""2100 Hz ± 15, and a little; reported once it has lasted so long."""
SIT_HZ = ((890.0, 1010.0), (1340.0, 1460.0), (1740.0, 1860.0))
"""950, 1400 and 1800 Hz ± 50, and a little."""
SIT_MS, SIT_GAP_MS = (230, 430), 60
"""330 ms ± 70 each, with up to 30 ms between them, and a little."""


class Name(StrEnum):
    """What tones are called."""

    BEEP = "beep"
    CNG = "cng"
    CED = "ced"
    SIT = "sit"


class Sit(StrEnum):
    """What the announcement behind special information tones is about (North America; elsewhere all sound alike)."""

    INTERCEPT = "intercept"
    """The number was changed or is no longer in service."""
    VACANT = "vacant"
    """There is no such number."""
    REORDER = "reorder"
    """The call failed; the number was incomplete, or an exchange is at fault."""
    NO_CIRCUIT = "no-circuit"
    """All lines are busy."""


_PITCHES = ((913.8, 985.2), (1370.6, 1428.5))
"""Hz that the first and the second tone may have, ..."""
_LENGTHS = (274.0, 380.0)
"""... ms that either may last, ..."""
_NEAR_HZ, _NEAR_MS = 15.0, 27.0
"""... and how near is near enough."""
_SITS = {
    ("--", "--"): Sit.INTERCEPT,
    ("+-", "+-"): Sit.VACANT,
    ("-+", "-+"): Sit.REORDER,
    ("+-", "-+"): Sit.REORDER,
    ("++", "++"): Sit.NO_CIRCUIT,
    ("--", "++"): Sit.NO_CIRCUIT,
}
"""By pitches and lengths of the first two tones; the third is always 1776.7 Hz and long."""


@dataclass(frozen=True, slots=True)
class Tone:
    """A tone with a meaning; times in ms of the audio."""

    name: Name
    start: int
    end: int
    """Of ``ced``, which may last still: how far it was heard."""
    frequency: float
    """Hz; of ``sit`` the last tone's."""
    kind: Sit | None = None
    """Of ``sit``, where frequencies and lengths tell."""


class Tones:
    """Listens to one call's audio at `rate`, 8000 or 16000."""

    def __init__(self, rate: int) -> None:
        self._meter, self._sines = Meter(rate), Sines()
        self._last: Sine | None = None
        """The last tone, meaning or not."""
        self._held: _Held | None = None
        self._rising: list[Sine] = []
        """Special information tones so far."""
        self._told = False
        """Whether the tone that lasts is CED and was reported."""

    def feed(self, samples: Pcm) -> list[Tone]:
        """The tones that `samples` make known, int16 of any length.

        CED is known once it has lasted for CED_MS, the others about 200 ms after their end, a beep like a busy tone
        after 800 ms.
        """
        found = (self._take(hop) for hop in self._meter.feed(samples))
        return [tone for tone in found if tone is not None]

    def _take(self, hop: Hop) -> Tone | None:
        """The next window."""
        ended = self._sines.feed(hop)
        if ended is not None and ended.duration >= NEIGHBOUR_MS:
            sit = self._end(ended)
            if sit is not None:
                return sit
        lasting = self._sines.lasting
        if lasting is not None and lasting.duration >= NEIGHBOUR_MS:
            self._held = None
            return self._answer(lasting)
        if self._held is not None and self._held.feed(hop):
            tone, self._held = self._held.tone, None
            return tone
        return None

    def _end(self, sine: Sine) -> Tone | None:
        """A tone of some length has ended: completes special information tones, or is held."""
        last, self._last = self._last, sine
        told, self._told = self._told, False
        self._rising = _risen(self._rising, sine)
        if len(self._rising) == len(SIT_HZ):
            rising, self._rising = self._rising, []
            return Tone(Name.SIT, rising[0].start, sine.end, sine.frequency, _kind(rising))
        name = None if told else _name(sine)
        if name is not None and (last is None or sine.start - last.end >= _alone(sine)):
            self._held = _Held(name, sine)
        return None

    def _answer(self, lasting: Sine) -> Tone | None:
        """A tone lasts: CED, and not reported yet?"""
        if self._told or lasting.duration < CED_MS or not _within(lasting.frequency, CED_HZ):
            return None
        self._told = True
        return Tone(Name.CED, lasting.start, lasting.end, lasting.frequency)


class _Held:
    """A tone that has a meaning when it stays alone and quiet follows."""

    def __init__(self, name: Name, sine: Sine) -> None:
        self._name, self._sine = name, sine
        self._due = sine.end + _alone(sine) + NEIGHBOUR_MS
        self._after: list[float] = []
        """dBm0 of the windows behind it, as many as are compared."""

    def feed(self, hop: Hop) -> bool:
        """Whether it is known with this window; it holds no tone."""
        if len(self._after) < DROP_MS // HOP_MS:
            self._after.append(hop.level)
        return hop.time >= self._due

    @property
    def tone(self) -> Tone | None:
        """The tone; None when it went on otherwise."""
        sine = self._sine
        if sum(self._after) / len(self._after) > sine.level - DROP:
            return None
        return Tone(self._name, sine.start, sine.end, sine.frequency)


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


def _alone(sine: Sine) -> int:
    """ms around `sine` without another tone, for it to be a beep."""
    return PROGRESS_ALONE_MS if _within(sine.frequency, PROGRESS_HZ) else ALONE_MS


def _name(sine: Sine) -> Name | None:
    """What `sine` is if it is alone."""
    if sine.level - sine.average > SWING:
        return None
    if _within(sine.frequency, CNG_HZ) and _within(sine.duration, CNG_MS):
        return Name.CNG
    ringing = _within(sine.frequency, PROGRESS_HZ) and sine.duration >= PROGRESS_MS
    beep = _within(sine.frequency, BEEP_HZ) and _within(sine.duration, BEEP_MS)
    return Name.BEEP if beep and not ringing else None


def _risen(rising: list[Sine], sine: Sine) -> list[Sine]:
    """The special information tones so far, now that `sine` has ended."""
    if not _within(sine.duration, SIT_MS):
        return []
    if rising and sine.start - rising[-1].end <= SIT_GAP_MS and _within(sine.frequency, SIT_HZ[len(rising)]):
        return [*rising, sine]
    return [sine] if _within(sine.frequency, SIT_HZ[0]) else []


def _kind(rising: list[Sine]) -> Sit | None:
    """What three tones say; None where the first two are not those of North America."""
    first, second, _ = rising
    pitches = [
        _nearest(first.frequency, _PITCHES[0], _NEAR_HZ),
        _nearest(second.frequency, _PITCHES[1], _NEAR_HZ),
    ]
    lengths = [_nearest(sine.duration, _LENGTHS, _NEAR_MS) for sine in (first, second)]
    return _SITS.get(("".join(pitches), "".join(lengths)))


def _nearest(value: float, choices: tuple[float, float], tolerance: float) -> str:
    """``-`` for the lower of `choices`, ``+`` for the higher, nothing when `value` is neither."""
    return next(
        (sign for sign, choice in zip("-+", choices, strict=True) if abs(value - choice) < tolerance), ""
    )
