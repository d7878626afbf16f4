"""Estimate of conversational quality by the E-model with all but loss, delay and codec at its defaults.

Narrowband calls are rated by ITU-T G.107 (MOS-CQE of the narrowband scale, at most 4.4), wideband ones by
G.107.1, whose rating reaches 129 instead of 100 (MOS-CQE of the mixed-band scale). The two scales differ:
compare calls of one band.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from media.engine.arrays import Ints
from media.engine.quality import Floats

PACKET_MS = 20.0
"""Delay of packetisation: the first sample of a packet waits for its last."""


class Model(IntEnum):
    """Rows of the tables below: what a codec is rated as."""

    G711 = 0
    G722 = 1
    OPUS = 2
    LINEAR = 3
    """Samples at 16 kHz as they are."""


_RATING = np.array([93.2, 129.0, 129.0, 129.0])
"""R of an undisturbed call: G.107 and G.107.1 with default values."""
_IMPAIRMENT = np.array([0.0, 13.0, 5.0, 0.0])
"""Ie: G.113 appendix I for G.711, Ie,wb of G.113 appendix IV for G.722 at 64 kbit/s. The ITU-T has published
none for Opus; ours lies between those of G.722 and of transparent coding."""
_ROBUSTNESS = np.array([25.1, 10.0, 15.0, 10.0])
"""Bpl against random loss: G.113 appendix I for G.711 with concealment. The ITU-T has published none for
G.722 and Opus; ours are assumptions, and linear samples lose nothing where we use them."""
_SCALE = np.array([1.0, 1.29, 1.29, 1.29])
"""By which R is divided before it becomes a MOS (G.107.1 annex A)."""


def mos(model: Ints, loss: Floats, delay_ms: Floats) -> Floats:
    """MOS-CQE, 1..4.5, of n calls.

    `model` rows of `Model`; `loss` share of packets not played, 0..1; `delay_ms` one way from mouth to ear,
    milliseconds. Loss is taken to be random (BurstR = 1).
    """
    percent = 100 * loss
    impairment = _IMPAIRMENT[model]
    # G.107 equation 7-29
    impairment = impairment + (95 - impairment) * percent / (percent + _ROBUSTNESS[model])
    rating = _RATING[model] - impairment - delay_impairment(delay_ms)
    return _mos_of(rating / _SCALE[model])


def delay_impairment(delay_ms: Floats) -> Floats:
    """Id of a connection without echo, by two straight lines.

    Cole and Rosenbluth, Voice over IP performance monitoring, ACM SIGCOMM CCR 31(2), 2001.
    """
    return 0.024 * delay_ms + 0.11 * np.maximum(delay_ms - 177.3, 0)


def one_way_ms(rtt_ms: float | None, buffer_ms: float) -> float:
    """Delay from mouth to ear: half of the way there and back, the jitter buffer and a packet.

    Without a measurement the network counts as free of delay.
    """
    return (rtt_ms or 0.0) / 2 + buffer_ms + PACKET_MS


def _mos_of(rating: Floats) -> Floats:
    """MOS of a rating R (G.107 annex B). Its cubic falls below 1 for small R; there 1 is meant."""
    bounded = np.clip(rating, 0, 100)
    cubic = 1 + 0.035 * bounded + bounded * (bounded - 60) * (100 - bounded) * 7e-6
    answer: npt.NDArray[np.float64] = np.maximum(cubic, 1)
    return answer
