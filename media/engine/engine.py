"""The tick engine: RTP in, frames, playout, RTP out, voice detection, for all calls of a worker at once."""

from collections.abc import Callable

import numpy as np

from control.errors import MediaError
from media.engine.band import Band
from media.engine.reports import DigitPressed, Event
from media.engine.stages import Stages
from media.engine.stream import FORMATS, Codec, Stream, check
from media.engine.taps import Reader, Side, Sink
from media.engine.wire import MOST_MS, RATES, Form, WireSink

ADAPT = 50
"""Ticks between two looks at what the peers miss."""


class Engine(Stages):
    """One UDP socket and `capacity` slots; a slot is one call, over RTP or (see `attach`) over a stream of bytes.

    State is arrays over slots. `tick`, to be called every 20 ms, does one step of all slots; everything
    else is called between ticks, in the same thread. The way of a slot is allocate, connect (again at
    each re-INVITE) or attach, release.

    Packets are told apart by source port, so calls of one engine must come from different ports: they
    do, being rtpengine's. A released slot is used again after all others that are free; what still
    arrives for its old call is a stranger, for its port belongs to nobody.

    Raises SetupError when address and port (0: any) cannot be bound, or a package with weights is missing.
    """

    def connect(self, slot: int, stream: Stream) -> None:
        """Send to and listen to `stream` from the next tick on.

        May be called again: numbering and SSRC go on, another codec takes effect at once, without a
        sending direction nothing is sent and playing pauses. Raises MediaError when the stream cannot be
        used; the slot then stays as it was.
        """
        self._check(slot)
        if slot in self._wire:
            raise MediaError(f"slot {slot} is attached to a stream of bytes: allocate another for RTP")
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

    def attach(self, slot: int, form: Form, sink: WireSink, *, most_ms: int = MOST_MS) -> None:
        """Let the call of `slot` have its audio by `feed`, and `sink` get what is played, frame by frame.

        `sink` is called in a tick, and only while something is played; once it has raised it gets no more, and playing
        waits. At most `most_ms` of what is fed wait to be heard. Raises MediaError for a slot that had a stream
        before, and when the library of the form is missing.
        """
        self._check(slot)
        if self._homes[slot] is not None:
            raise MediaError(f"slot {slot} has a stream already: allocate another")
        self._wire.attach(slot, form, sink, most_ms)
        self._settle(slot, self._bands[RATES[form]])
        self._transmitter.renew(slot)
        self._select()

    def feeder(self, slot: int) -> Callable[[bytes], int]:
        """What takes the audio that comes for `slot` until that is released, as often as there is some.

        It takes any number of bytes in the form that the slot was attached with; they are heard at their own pace (see
        `media.engine.intake`). It returns how many were dropped because too much waits. Raises MediaError for a slot
        that is not attached.
        """
        if slot not in self._wire:
            raise MediaError(f"slot {slot} takes no bytes: call attach() first")
        return self._wire.feeder(slot)

    def _settle(self, slot: int, band: Band) -> None:
        band.join(slot)
        self._homes[slot] = band
        self._taps.begin(slot, band.rate)

    def _change_codec(self, slot: int, codec: Codec) -> None:
        band = self._homes[slot] or self._bands[FORMATS[codec].rate]
        self._coders.change(slot, codec, band.rate)
        self._jitter.reset(slot)  # what waits there is of the old codec
        before, self._codecs[slot] = self._codecs[slot], codec
        if self._homes[slot] is None:
            self._settle(slot, band)
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
        plays = self._transmitter.sends | self._wire.sends | self._shadows
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
        self._wire.detach(slot)
        self._jitter.reset(slot)
        for band in self._bands.values():
            band.leave(slot)
        self._coders.drop(slot)
        self._homes[slot] = self._codecs[slot] = None
        self._counters.retire(slot)
        self._connected[slot] = self._shadows[slot] = False
        self._select()
        self._give_back(slot)

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
        self._decode(events)
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

    def _decode(self, events: list[Event]) -> None:
        for band in self._bands.values():
            band.hear(self._tick, events)

    def _play(self, events: list[Event]) -> None:
        sender = self._transmitter
        self._pressing = self._keys.run(sender.slots, sender.timestamp, events)
        pressing = sender.slots[self._pressing.rows]
        for band in self._bands.values():
            # What is being played waits while a key is sent.
            slots = np.setdiff1d(band.playing, pressing) if len(pressing) else band.playing
            pcm = band.play(slots, events)
            if not self._direct:
                self._wire.encode(slots, pcm, band.busy)
                leaving = sender.sends[slots]
                slots, pcm = slots[leaving], pcm[leaving]
            if len(slots):
                sender.encode(slots, pcm, band.decoder.coded)

    def _send(self) -> None:
        self._transmitter.send(self._socket.fileno(), self._pressing)
        if self._wire.send():
            self._select()

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

    def economise(self, *, on: bool) -> None:
        """Do with less where it changes little: see `Voice.economise` and `Opus.economise`."""
        self._coders.economise(on=on)
        for band in self._bands.values():
            band.voice.economise(on=on)
