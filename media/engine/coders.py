"""The coders of the slots that have one of their own."""

import numpy as np
import numpy.typing as npt

from media.engine.codecs.base import Coder
from media.engine.codecs.opus import Opus
from media.engine.codecs.registry import make_coder
from media.engine.stream import Codec


class Coders(dict[int, Coder]):
    """Coders by slot; a slot that is not here is G.711 in the narrow band."""

    def __init__(self) -> None:
        super().__init__()
        self._economical = False
        self._past = 0

    def change(self, slot: int, codec: Codec, rate: int) -> None:
        """Code `slot` with `codec` in the band of `rate` from now on. Raises MediaError; then nothing changes."""
        coder = make_coder(codec, rate)
        self.drop(slot)
        if coder is not None:
            self[slot] = coder
            self._temper(coder)

    def drop(self, slot: int) -> None:
        """Forget the coder of `slot`, if it has one."""
        coder = self.pop(slot, None)
        if coder is not None:
            self._past += coder.errors

    @property
    def errors(self) -> int:
        """Packets that could not be decoded and frames that could not be encoded, of past calls as well."""
        return self._past + sum(coder.errors for coder in self.values())

    def economise(self, *, on: bool) -> None:
        """Code at less cost where it changes little, see `Opus.economise`; or not any more."""
        self._economical = on
        for coder in self.values():
            self._temper(coder)

    def _temper(self, coder: Coder) -> None:
        if isinstance(coder, Opus):
            coder.economise(on=self._economical)

    def expect(self, loss: npt.NDArray[np.float64]) -> None:
        """Prepare for the `loss` that the peers report: shares, (capacity,), NaN where it is not known."""
        for slot, coder in self.items():
            if isinstance(coder, Opus) and not np.isnan(loss[slot]):
                coder.expect_loss(round(100 * loss[slot]))
