"""The tick engine: RTP in, frames, playout, RTP out, voice detection, for all calls of a worker at once."""

from collections import deque

import numpy as np
import numpy.typing as npt

from control.errors import EngineFullError, MediaError
from media.engine.arrays import Ints, Pcm, keep_heap
from media.engine.background import Loop
from media.engine.decode import Decoder
from media.engine.jitter import Jitter
from media.engine.mute import Mute
from media.engine.playout import Playout, Stopped
from media.engine.receive import Receiver
from media.engine.reports import Event
from media.engine.segment import Segment
from media.engine.sockets import open_udp
from media.engine.stats import Counters, Stats
from media.engine.stream import Stream, check
from media.engine.transmit import Transmitter
from media.engine.voice import Voice, VoiceOptions


class Engine:
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
        self._voice = Voice(capacity)
        self._socket = open_udp(address, port)
        keep_heap()
        self.capacity = capacity
        self._free = deque(range(capacity))
        self._taken = np.full(capacity, fill_value=False)
        self._connected = np.full(capacity, fill_value=False)
        self._active: Ints = np.flatnonzero(self._connected)
        self._tick = 0
        self._counters = Counters(capacity)
        self._jitter = Jitter(capacity, self._counters)
        self._receiver = Receiver(capacity, self._jitter, self._counters)
        self._decoder = Decoder(capacity, self._jitter)
        self._mute = Mute(capacity)
        self._playout = Playout(capacity)
        self._transmitter = Transmitter(capacity, self._counters)

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
        """Take a slot; raises EngineFullError when none is free."""
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
        if self._decoder.alaw[slot] != peer.alaw:
            self._jitter.reset(slot)  # what waits there is of the old codec
            self._decoder.alaw[slot] = peer.alaw
        self._receiver.connect(slot, peer)
        self._transmitter.connect(slot, peer)
        self._connected[slot] = True
        self._active = np.flatnonzero(self._connected)

    def release(self, slot: int) -> None:
        """Give the slot back; its segments are stopped."""
        self._check(slot)
        self._receiver.disconnect(slot)
        self._transmitter.disconnect(slot)
        self._playout.reset(slot)
        self._mute.set(slot, muted=False)
        self._voice.disable(slot)
        self._jitter.reset(slot)
        self._decoder.reset(slot)
        self._counters.retire(slot)
        self._taken[slot] = self._connected[slot] = False
        self._active = np.flatnonzero(self._connected)
        self._free.append(slot)

    def enqueue(self, slot: int, segment: Segment) -> None:
        """Play `segment` after those queued before; raises MediaError when it was queued before."""
        self._check(slot)
        self._playout.enqueue(slot, segment)

    def stop(self, slot: int, fade_ms: int = 0) -> Stopped | None:
        """Drop all segments now: the next tick sends silence, or begins a fade. None when there are none.

        A pause ends. `Playout.stop` tells how long a fade can be.
        """
        self._check(slot)
        return self._playout.stop(slot, fade_ms * self._playout.rate // 1000)

    def finish(self, slot: int) -> Stopped | None:
        """Drop all segments but the one that is being heard; None when none is."""
        self._check(slot)
        return self._playout.finish(slot)

    def pause(self, slot: int) -> None:
        """Send nothing of the segments until `resume` or `stop`; positions stand. The background goes on."""
        self._check(slot)
        self._playout.pause(slot)

    def resume(self, slot: int) -> None:
        """Go on where `pause` began; nothing when not paused."""
        self._check(slot)
        self._playout.resume(slot)

    def mute_out(self, slot: int, *, muted: bool) -> None:
        """Send silence while positions go on, or not any more."""
        self._check(slot)
        self._playout.mute(slot, muted=muted)

    def mute_in(self, slot: int, *, muted: bool) -> None:
        """Hear silence instead of the peer, or not any more."""
        self._check(slot)
        self._mute.set(slot, muted=muted)

    def gain(self, slot: int, factor: float) -> None:
        """Multiply segments by `factor`, 0 to 16; raises MediaError for others."""
        self._check(slot)
        self._playout.gain(slot, factor)

    def background(self, slot: int, loop: Loop | None, gain: float = 1, duck: float = 1) -> None:
        """Play `loop` for ever, at level `gain`, under segments at `duck`; None ends it. See `Background.set`."""
        self._check(slot)
        self._playout.background(slot, loop, gain, duck)

    def enable_voice(self, slot: int, options: VoiceOptions) -> None:
        """Report from the next tick on when the peer speaks and when not; again: start anew."""
        self._check(slot)
        self._voice.enable(slot, options)

    def disable_voice(self, slot: int) -> None:
        """Report no more of that; nothing when it was not enabled."""
        self._check(slot)
        self._voice.disable(slot)

    def tick(self) -> list[Event]:
        """Do one step of 20 ms for all connected slots; return what happened, in order."""
        events: list[Event] = []
        descriptor = self._socket.fileno()
        self._receiver.run(descriptor, events)
        self._decoder.run(self._active, self._tick)
        self._mute.run(self._decoder.frames)
        self._transmitter.run(descriptor, self._playout.run(self._transmitter.slots, events))
        # Last, so that the time it takes does not shift what is sent.
        self._voice.run(self._decoder.frames, self._decoder.fresh, events)
        self._tick += 1
        return events

    def received(self, slot: int) -> Pcm:
        """What the last tick decoded for `slot`: int16 of 0, 160 or 320 samples, valid until the next."""
        return self._decoder.frames[slot, : self._decoder.fresh[slot]].reshape(-1)

    @property
    def pcm_in(self) -> Pcm:
        """Decoded audio of all slots: int16 (capacity, 2, 160); see `fresh`."""
        return self._decoder.frames

    @property
    def fresh(self) -> npt.NDArray[np.uint8]:
        """How many frames of `pcm_in` are new in this tick, per slot: 0, 1, or 2 to work off a backlog."""
        return self._decoder.fresh

    def ssrc(self, slot: int) -> int:
        """The SSRC of the packets sent for `slot`; new for each allocation, there after `connect`."""
        return self._transmitter.ssrc(slot)

    def stats(self, slot: int) -> Stats:
        """What was counted for `slot` since it was allocated."""
        return self._counters.of(slot)

    def totals(self) -> Stats:
        """What was counted for all calls, past ones included."""
        return self._counters.totals()

    @property
    def strangers(self) -> int:
        """Packets from sources that belonged to no slot."""
        return self._receiver.strangers

    def close(self) -> None:
        """Close the socket; the engine is of no use afterwards."""
        self._socket.close()

    def _check(self, slot: int) -> None:
        if not 0 <= slot < self.capacity or not self._taken[slot]:
            raise MediaError(f"slot {slot} is not allocated: call allocate() first")
