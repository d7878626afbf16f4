"""The stages of an engine, and what they know of its calls."""

import numpy as np

from control.errors import MediaError
from media.engine.arrays import RATE, WIDE, Pcm, keep_heap
from media.engine.band import Band
from media.engine.coders import Coders
from media.engine.controls import Controls
from media.engine.jitter import Jitter
from media.engine.keys import NO_KEYS, KeySender
from media.engine.quality import Quality, Reception
from media.engine.receive import Receiver
from media.engine.reporting import open_sockets
from media.engine.rtcpsocket import Tally
from media.engine.stats import Counters, Stats
from media.engine.stream import Codec
from media.engine.taps import Taps
from media.engine.transmit import Transmitter
from media.engine.wire import Wire


class Stages(Controls):
    """What an engine of `capacity` slots is made of.

    Raises SetupError when address and port (0: any) cannot be bound, or a package with weights is missing.
    """

    def __init__(self, address: str, port: int, capacity: int) -> None:
        keep_heap()
        super().__init__(capacity)
        self._coders = Coders()
        self._codecs: list[Codec | None] = [None] * capacity
        self._homes: list[Band | None] = [None] * capacity
        self._counters = Counters(capacity)
        self._jitter = Jitter(capacity, self._counters)
        self._bands = {
            rate: Band(capacity, rate, self._jitter, self._counters, self._coders) for rate in (RATE, WIDE)
        }
        intakes = {rate: band.intake for rate, band in self._bands.items()}
        self._wire = Wire(capacity, self._counters, self._coders, intakes)
        self._reception = Reception(capacity)
        self._receiver = Receiver(capacity, self._jitter, self._counters, self._reception)
        self._transmitter = Transmitter(capacity, self._counters, self._coders)
        self._keys, self._pressing = KeySender(capacity), NO_KEYS
        self._taps = Taps(capacity)
        self._connected, self._shadows = (np.full(capacity, fill_value=False) for _ in range(2))
        self._direct = True
        """Whether all that is played leaves as RTP."""
        self._tick = 0
        self._socket, self._reporting = open_sockets(address, port, self._reception, self._transmitter)

    @property
    def address(self) -> str:
        """Local address of the RTP socket."""
        return str(self._socket.getsockname()[0])

    @property
    def port(self) -> int:
        """Local port of the RTP socket."""
        return int(self._socket.getsockname()[1])

    def rate(self, slot: int) -> int:
        """Samples per second that the slot works at: those of its first codec; 8000 before it is connected."""
        home = self._homes[slot]
        return RATE if home is None else home.rate

    def received(self, slot: int) -> Pcm:
        """What the last tick decoded for `slot`: int16 of 0, 1 or 2 frames, valid until the next."""
        decoder = self.home(slot).decoder
        return decoder.frames[slot, : decoder.fresh[slot]].reshape(-1)

    def ssrc(self, slot: int) -> int:
        """The SSRC of the packets sent for `slot`; new for each allocation, there after `connect`."""
        return self._transmitter.ssrc(slot)

    def stats(self, slot: int) -> Stats:
        """What was counted for `slot` since it was allocated."""
        return self._counters.of(slot)

    def quality(self, slot: int) -> Quality:
        """How the call of `slot` sounds, by what both sides received."""
        codec = self._wire.forms.get(slot, self._codecs[slot])
        return self._reporting.quality(slot, codec, self.stats(slot))

    @property
    def rtcp(self) -> Tally:
        """RTCP datagrams of all calls."""
        return self._reporting.tally

    def totals(self) -> Stats:
        """What was counted for all calls, past ones included."""
        return self._counters.totals()

    @property
    def codec_errors(self) -> int:
        """As `Coders.errors`: what was concealed, or not sent."""
        return self._coders.errors

    @property
    def strangers(self) -> int:
        """Packets from sources that belonged to no slot."""
        return self._receiver.strangers

    def close(self) -> None:
        """Close the sockets; the engine is of no use afterwards."""
        self._socket.close()
        self._reporting.close()

    def home(self, slot: int) -> Band:
        """The band of `slot`; raises MediaError when it is not allocated, or not connected yet."""
        self._check(slot)
        home = self._homes[slot]
        if home is None:
            raise MediaError(f"slot {slot} has no codec yet: call connect() or attach() first")
        return home
