"""The tick engine: RTP in, frames, playout, RTP out, voice detection, for all calls of a worker at once."""

import base64
import secrets
import socket
import time
from collections import deque

import numpy as np

from control.errors import EngineFullError, MediaError, SetupError
from media.engine.arrays import RATE, WIDE, Pcm, keep_heap
from media.engine.band import Band
from media.engine.codecs.base import Coder
from media.engine.codecs.opus import Opus
from media.engine.codecs.registry import make_coder
from media.engine.controls import Controls
from media.engine.jitter import Jitter
from media.engine.keys import NO_KEYS, KeySender
from media.engine.keys import check as check_keys
from media.engine.mos import Model
from media.engine.quality import Quality, Reception
from media.engine.receive import Receiver
from media.engine.reports import DigitPressed, Event
from media.engine.rtcp import SenderInfo
from media.engine.rtcpsocket import Rtcp, Tally
from media.engine.sockets import open_udp
from media.engine.stats import Counters, Stats
from media.engine.stream import FORMATS, Codec, Stream, check
from media.engine.taps import Reader, Side, Sink, Taps
from media.engine.tones import dtmf
from media.engine.transmit import Transmitter

ADAPT = 50
"""Ticks between two looks at what the peers miss."""
BUFFER_MS = 10
"""Delay of the jitter buffer in the mean: packets wait for the next tick, and for those before them."""
MODELS = {
    Codec.PCMU: Model.G711,
    Codec.PCMA: Model.G711,
    Codec.PCMU16: Model.G711,
    Codec.G722: Model.G722,
    Codec.OPUS: Model.OPUS,
}
LONGEST_TONES_MS = 60_000
"""Of keys that are sent as tones."""
_TRIES = 20


def _open(address: str, port: int, reception: Reception, sent: SenderInfo) -> tuple[socket.socket, Rtcp]:
    """Sockets for RTP and, at the port above, RTCP; with port 0 at any free pair. Raises SetupError."""
    attempts = 1 if port else _TRIES
    while True:
        rtp = open_udp(address, port, stamped=True)
        above = rtp.getsockname()[1] + 1
        try:
            return rtp, Rtcp(address, above, reception, sent, np.random.default_rng())
        except SetupError:
            rtp.close()
            attempts -= 1
            if not attempts:
                raise


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
        self._economical = False
        self.accepting = True
        """Whether `allocate` gives slots."""
        self._coders: dict[int, Coder] = {}
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
        self._reports: dict[int, tuple[str, int]] = {}
        self._names: dict[int, str] = {}  # a source keeps its canonical name (RFC 3550 section 6.5.1)
        self._taken, self._connected = (np.full(capacity, fill_value=False) for _ in range(2))
        self._tick = 0
        sender = self._transmitter
        sent = SenderInfo(sender.timestamp, sender.packets, sender.octets)
        self._socket, self._rtcp = _open(address, port, self._reception, sent)

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
        if self._receiver.owner(peer.port) not in {None, slot}:
            raise MediaError(
                f"source port {peer.port} already belongs to slot {self._receiver.owner(peer.port)}: "
                "two calls of one worker cannot have the same"
            )
        if stream.rtcp_port:
            self._rtcp.check(slot, stream.rtcp_address, stream.rtcp_port)
        if self._codecs[slot] is not peer.codec:
            self._change_codec(slot, peer.codec)
        self._receiver.connect(slot, peer)
        self._reception.connect(slot, FORMATS[peer.codec].clock)
        self._transmitter.connect(slot, peer)
        self._connected[slot] = True
        self._select()
        if stream.rtcp_port:
            self._report_to(slot, stream.rtcp_address, stream.rtcp_port)

    def _report_to(self, slot: int, address: str, port: int) -> None:
        self._reports[slot] = address, port
        if slot not in self._names:
            self._names[slot] = base64.b64encode(secrets.token_bytes(12)).decode()  # RFC 7022 section 4.2
        ssrc = self._transmitter.ssrc(slot)
        self._rtcp.connect(slot, ssrc, address, port, self._names[slot], self._tick)

    def _change_codec(self, slot: int, codec: Codec) -> None:
        band = self._homes[slot] or self._bands[FORMATS[codec].rate]
        coder = make_coder(codec, band.rate)
        self._jitter.reset(slot)  # what waits there is of the old codec
        self._drop_coder(slot)
        if coder is not None:
            self._coders[slot] = coder
            if isinstance(coder, Opus):
                coder.economise(on=self._economical)
        self._codecs[slot] = codec
        if self._homes[slot] is None:
            band.join(slot)
            self._homes[slot] = band
            self._taps.begin(slot, band.rate)
        self._keys.reset(slot, FORMATS[codec].clock)
        band.decoder.alaw[slot] = codec is Codec.PCMA
        band.decoder.coded[slot] = coder is not None

    def _drop_coder(self, slot: int) -> None:
        self._coders.pop(slot, None)
        self._codecs[slot] = None

    def _select(self) -> None:
        for band in self._bands.values():
            band.select(self._connected, self._transmitter.sends)

    def release(self, slot: int) -> None:
        """Give the slot back; its segments are stopped."""
        self._check(slot)
        self._taps.release(slot)
        self._keys.reset(slot)
        self._rtcp.disconnect(slot)
        self._reports.pop(slot, None)
        self._names.pop(slot, None)
        self._reception.reset(slot)
        self._receiver.disconnect(slot)
        self._transmitter.disconnect(slot)
        self._jitter.reset(slot)
        for band in self._bands.values():
            band.leave(slot)
        self._homes[slot] = None
        self._drop_coder(slot)
        self._counters.retire(slot)
        self._taken[slot] = self._connected[slot] = False
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
            return
        check_keys(digits, duration_ms, gap_ms)
        milliseconds = len(digits) * (duration_ms + gap_ms)
        if milliseconds > LONGEST_TONES_MS:
            raise MediaError(
                f"{len(digits)} keys as tones take {milliseconds} ms: {LONGEST_TONES_MS} are the most at a time"
            )
        band.tones.press(slot, dtmf(digits, band.rate, duration_ms, gap_ms))

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
        if slot in self._reports:
            self._report_to(slot, *self._reports[slot])

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

    def _adapt(self) -> None:
        """Let coders prepare for the loss that their peers report."""
        loss = self._rtcp.peer_loss
        for slot, coder in self._coders.items():
            if isinstance(coder, Opus) and not np.isnan(loss[slot]):
                coder.expect_loss(round(100 * loss[slot]))

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
            slots = np.setdiff1d(band.sending, pressing) if len(pressing) else band.sending
            pcm = band.play(slots, events)
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
        self._rtcp.run(self._tick, time.time_ns())
        if not self._tick % ADAPT:
            self._adapt()

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
        codec = self._codecs[slot]
        model = Model.G711 if codec is None else MODELS[codec]
        return self._rtcp.quality(slot, self.stats(slot), model, BUFFER_MS)

    @property
    def rtcp(self) -> Tally:
        """RTCP datagrams of all calls."""
        return self._rtcp.tally

    def economise(self, *, on: bool) -> None:
        """Do with less where it changes little: see `Voice.economise` and `Opus.economise`."""
        self._economical = on
        for band in self._bands.values():
            band.voice.economise(on=on)
        for coder in self._coders.values():
            if isinstance(coder, Opus):
                coder.economise(on=on)

    def totals(self) -> Stats:
        """What was counted for all calls, past ones included."""
        return self._counters.totals()

    @property
    def strangers(self) -> int:
        """Packets from sources that belonged to no slot."""
        return self._receiver.strangers

    def close(self) -> None:
        """Close the sockets; the engine is of no use afterwards."""
        self._socket.close()
        self._rtcp.close()

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
