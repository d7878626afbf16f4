"""The tick engine: RTP in, frames, playout, RTP out, voice detection, for all calls of a worker at once."""

from collections import deque

import numpy as np

from control.errors import EngineFullError, MediaError
from media.engine.arrays import RATE, WIDE, Pcm, keep_heap
from media.engine.band import Band
from media.engine.coders import Coders
from media.engine.controls import Controls
from media.engine.jitter import Jitter
from media.engine.keys import NO_KEYS, KeySender
from media.engine.quality import Quality, Reception
from media.engine.receive import Receiver
from media.engine.reporting import open_sockets
from media.engine.reports import DigitPressed, Event
from media.engine.rtcpsocket import Tally
from media.engine.stats import Counters, Stats
from media.engine.stream import FORMATS, Codec, Stream, check
from media.engine.taps import Reader, Side, Sink, Taps
from media.engine.transmit import Transmitter

ADAPT = 50
"""Ticks between two looks at what the peers miss."""


class Engine(Controls):
    """One UDP socket and `capacity` slots; a slot is one call.

    State is arrays over slots. `tick`, to be called every 20 ms, does one step of all slots; everything
    else is called between ticks, in the same thread. The way of a slot is allocate, connect (again at
    each re-INVITE), release.

    Packets are told apart by source port, so calls of one engine must come from different ports: they
    do, being rtpengine's. A released slot is used again after all others that are free; what still
    arrives for its old call is a stranger, for its port belongs to nobody.

    Raises SetupError when address and port (0: any) cannot be bound, or a package with weights is missing.
    """

    def __init__(self, address: str, port: int, capacity: int) -> None:
        keep_heap()
        self.capacity = capacity
        self.accepting = True
        """Whether `allocate` gives slots."""
        self._coders = Coders()
        self._codecs: list[Codec | None] = [None] * capacity
        self._homes: list[Band | None] = [None] * capacity
        self._counters = Counters(capacity)
        self._jitter = Jitter(capacity, self._counters)
        self._bands = {rate: Band(capacity, rate, self._jitter, self._coders) for rate in (RATE, WIDE)}
        self._reception = Reception(capacity)
        self._receiver = Receiver(capacity, self._jitter, self._counters, self._reception)
        self._transmitter = Transmitter(capacity, self._counters, self._coders)
        self._keys, self._pressing = KeySender(capacity), NO_KEYS
        self._taps = Taps(capacity)
        self._free = deque(range(capacity))
        self._taken, self._connected, self._shadows = (np.full(capacity, fill_value=False) for _ in range(3))
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

    @property
    def free(self) -> int:
        """Slots that `allocate` can still give."""
        return len(self._free)

    @property
    def used(self) -> int:
        """Slots allocated."""
        return self.capacity - len(self._free)

    def allocate(self) -> int:
        """Take a slot; raises EngineFullError when none is free, or no call is accepted."""
        if not self.accepting:
            raise EngineFullError(
                f"this worker has no time for more than its {self.used} calls: add a worker or a host"
            )
        if not self._free:
            raise EngineFullError(f"all {self.capacity} slots of this worker are taken: raise media.slots")
        slot = self._free.popleft()
        self._taken[slot] = True
        return slot

    def connect(self, slot: int, stream: Stream) -> None:
        """Send to and listen to `stream` from the next tick on.

        May be called again: numbering and SSRC go on, another codec takes effect at once, without a
        sending direction nothing is sent and playing pauses. Raises MediaError when the stream cannot be
        used; the slot then stays as it was.
        """
        self._check(slot)
        peer = check(stream)
        if self._receiver.owner(peer.source_port) not in {None, slot}:
            raise MediaError(
                f"source port {peer.source_port} already belongs to slot {self._receiver.owner(peer.source_port)}: "
                "two calls of one worker cannot have the same"
            )
        self._reporting.check(slot, stream)
        if self._codecs[slot] is not peer.codec:
            self._change_codec(slot, peer.codec)
        self._receiver.connect(slot, peer)
        self._reception.connect(slot, FORMATS[peer.codec].clock)
        self._transmitter.connect(slot, peer)
        if not self._transmitter.takes_events(slot):
            self._keys.reset(slot, FORMATS[peer.codec].clock)  # those that wait have no payload type any more
        self._connected[slot] = True
        self._select()
        self._reporting.connect(slot, stream, self._tick)

    def _change_codec(self, slot: int, codec: Codec) -> None:
        band = self._homes[slot] or self._bands[FORMATS[codec].rate]
        self._coders.change(slot, codec, band.rate)
        self._jitter.reset(slot)  # what waits there is of the old codec
        before, self._codecs[slot] = self._codecs[slot], codec
        if self._homes[slot] is None:
            band.join(slot)
            self._homes[slot] = band
            self._taps.begin(slot, band.rate)
        if before is None or FORMATS[before].clock != FORMATS[codec].clock:
            self._keys.reset(slot, FORMATS[codec].clock)
        band.decoder.alaw[slot] = codec is Codec.PCMA
        band.decoder.coded[slot] = slot in self._coders

    def shadow(self, slot: int, *, on: bool) -> None:
        """Let `slot` play for those who listen in although its direction lets nothing leave; or not any more.

        Where the direction lets it send, this changes nothing.
        """
        self.home(slot)
        self._shadows[slot] = on
        self._select()

    def _select(self) -> None:
        plays = self._transmitter.sends | self._shadows
        self._direct = bool((plays == self._transmitter.sends).all())
        for band in self._bands.values():
            band.select(self._connected, plays)

    def release(self, slot: int) -> None:
        """Give the slot back; its segments are stopped."""
        self._check(slot)
        self._taps.release(slot)
        self._keys.reset(slot)
        self._reporting.disconnect(slot)
        self._reception.reset(slot)
        self._receiver.disconnect(slot)
        self._transmitter.disconnect(slot)
        self._jitter.reset(slot)
        for band in self._bands.values():
            band.leave(slot)
        self._coders.drop(slot)
        self._homes[slot] = self._codecs[slot] = None
        self._counters.retire(slot)
        self._taken[slot] = self._connected[slot] = self._shadows[slot] = False
        self._select()
        self._free.append(slot)

    def rate(self, slot: int) -> int:
        """Samples per second that the slot works at: those of its first codec; 8000 before it is connected."""
        home = self._homes[slot]
        return RATE if home is None else home.rate

    def press(self, slot: int, digits: str, duration_ms: int = 160, gap_ms: int = 80) -> None:
        """Press keys, one after the other; what is played waits meanwhile.

        They are sent as telephone events, or as tones to a peer that takes none. Raises MediaError for what is
        no key, and for too many of them.
        """
        band = self.home(slot)
        if self._transmitter.takes_events(slot):
            self._keys.press(slot, digits, duration_ms, gap_ms)
        else:
            band.tones.press(slot, digits, duration_ms, gap_ms)

    def subscribe(self, slot: int, sides: tuple[Side, ...], *, every: int, rate: int, sink: Sink) -> Reader:
        """Hand the audio of `slot` to `sink` from the next tick on; see `Taps.subscribe`."""
        reader = self._taps.subscribe(slot, sides, every=every, rate=rate, sink=sink)
        self._smooth(slot)
        return reader

    def unsubscribe(self, reader: Reader) -> None:
        """Deliver what is left to `reader`, and no more after that."""
        self._taps.unsubscribe(reader)
        self._smooth(reader.slot)

    def _smooth(self, slot: int) -> None:
        """Keep an even flow while somebody takes it."""
        home = self._homes[slot]
        if home is not None:
            (home.smoother.enable if self._taps.stepped(slot) else home.smoother.disable)(slot)

    def renew(self, slot: int) -> None:
        """Go on sending as a new stream, of another SSRC: the peer has heard somebody else meanwhile."""
        self._check(slot)
        self._transmitter.renew(slot)
        self._reporting.renew(slot, self._tick)

    def tick(self) -> list[Event]:
        """Do one step of 20 ms for all connected slots; return what happened, in order."""
        events: list[Event] = []
        self._receive(events)
        self._decode()
        self._play(events)
        self._send()
        # Last, so that the time it takes does not shift what is sent.
        self._listen(events)
        self._tap()
        self._report()
        self._tick += 1
        return events

    def _receive(self, events: list[Event]) -> None:
        self._receiver.run(self._socket.fileno(), events)
        for event in events:
            if isinstance(event, DigitPressed):
                self.home(event.slot).inband.disable(event.slot)  # its tones are the same key once more

    def _decode(self) -> None:
        for band in self._bands.values():
            band.hear(self._tick)

    def _play(self, events: list[Event]) -> None:
        sender = self._transmitter
        self._pressing = self._keys.run(sender.slots, sender.timestamp, events)
        pressing = sender.slots[self._pressing.rows]
        for band in self._bands.values():
            # What is being played waits while a key is sent.
            slots = np.setdiff1d(band.playing, pressing) if len(pressing) else band.playing
            pcm = band.play(slots, events)
            if not self._direct:
                leaving = sender.sends[slots]
                slots, pcm = slots[leaving], pcm[leaving]
            if len(slots):
                sender.encode(slots, pcm, band.decoder.coded)

    def _send(self) -> None:
        self._transmitter.send(self._socket.fileno(), self._pressing)

    def _listen(self, events: list[Event]) -> None:
        for band in self._bands.values():
            band.listen(events)

    def _tap(self) -> None:
        for band in self._bands.values():
            band.tap(self._taps)
        for slot in self._taps.deliver():
            self._smooth(slot)

    def _report(self) -> None:
        self._reporting.run(self._tick)
        if not self._tick % ADAPT:
            self._coders.expect(self._reporting.peer_loss)

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
        return self._reporting.quality(slot, self._codecs[slot], self.stats(slot))

    @property
    def rtcp(self) -> Tally:
        """RTCP datagrams of all calls."""
        return self._reporting.tally

    def economise(self, *, on: bool) -> None:
        """Do with less where it changes little: see `Voice.economise` and `Opus.economise`."""
        self._coders.economise(on=on)
        for band in self._bands.values():
            band.voice.economise(on=on)

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

    def _check(self, slot: int) -> None:
        if not 0 <= slot < self.capacity or not self._taken[slot]:
            raise MediaError(f"slot {slot} is not allocated: call allocate() first")

    def home(self, slot: int) -> Band:
        """The band of `slot`; raises MediaError when it is not allocated, or not connected yet."""
        self._check(slot)
        home = self._homes[slot]
        if home is None:
            raise MediaError(f"slot {slot} has no codec yet: call connect() first")
        return home
