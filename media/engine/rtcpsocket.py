"""The RTCP socket of a worker: reports out and in for all slots at once."""

from dataclasses import dataclass

import numpy as np

from control.errors import MediaError
from media.engine import rtcp
from media.engine.arrays import Ints
from media.engine.feedback import UNIT, Feedback
from media.engine.mos import Model, mos, one_way_ms
from media.engine.quality import Quality, Reception
from media.engine.rtcp import SenderInfo
from media.engine.sockets import Batch, open_udp, packed
from media.engine.stats import Stats

INTERVAL = 250
"""Ticks between the reports of a slot in the mean, 5 s: each is 0.5 to 1.5 of it (RFC 3550 section 6.3.1)."""
FIRST = (50, 125)
"""Ticks to the first report, 1 to 2.5 s."""
PACE = 5
"""Every so many ticks there is work, so that its fixed cost is shared by several slots."""
MOST = 256
"""Datagrams sent, and taken in, at a time; more wait for the next."""
STRIDE = 1280
"""Bytes kept of a datagram."""
_NEVER = 1 << 62


class Timetable:
    """In which ticks the reports of each slot are due: at random, so that they spread evenly."""

    def __init__(self, capacity: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self._due = np.full(capacity, _NEVER, np.int64)

    def join(self, slot: int, now: int) -> None:
        """Begin to report on `slot`; `now` is the number of the tick."""
        self._due[slot] = now + self._rng.integers(*FIRST, endpoint=True)

    def leave(self, slot: int) -> None:
        """Report no more."""
        self._due[slot] = _NEVER

    def take(self, now: int) -> Ints:
        """The slots that are due, at most MOST, ascending; each gets the time of its next report."""
        slots = np.flatnonzero(self._due <= now)[:MOST]
        if len(slots):
            self._due[slots] = now + self._rng.integers(INTERVAL // 2, INTERVAL * 3 // 2, len(slots))
        return slots


@dataclass(slots=True)
class Tally:
    """RTCP datagrams of all calls."""

    sent: int = 0
    unsent: int = 0
    """Refused by the kernel."""
    received: int = 0
    malformed: int = 0
    strangers: int = 0
    """From sources that belong to no slot."""


class Rtcp:
    """Reports of all slots over one UDP socket; slots are told apart by the source of what comes.

    `reception` is what the slots receive; `sent` what they send: arrays (capacity,) that are read when a
    report is due. Random phases come from `rng`. Raises SetupError when address and port (0: any) cannot be
    bound.
    """

    def __init__(
        self, address: str, port: int, reception: Reception, sent: SenderInfo, rng: np.random.Generator
    ) -> None:
        capacity = len(reception.ssrc)
        self._socket = open_udp(address, port, stamped=True)
        self._reception, self._sent = reception, sent
        self._timetable = Timetable(capacity, rng)
        self._feedback = Feedback(capacity)
        self._inbox = Batch(MOST, STRIDE, stamped=True)
        self._outbox = Batch(MOST, 4 * rtcp.MAX_WORDS)
        self._slot_of: dict[tuple[int, int], int] = {}
        self._peer: dict[int, tuple[int, int]] = {}
        self._address, self._port, self._ssrc = (np.full(capacity, 0, np.int64) for _ in range(3))
        self._description: rtcp.Words = np.full((capacity, rtcp.SDES_WORDS), 0, ">u4")
        self._before = np.full((2, capacity), 0, np.int64)
        self._spoke = np.full(capacity, fill_value=False)
        self.tally = Tally()

    @property
    def port(self) -> int:
        """Local port of the RTCP socket."""
        return int(self._socket.getsockname()[1])

    @property
    def peer_loss(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """Share of our packets that each peer missed of late: float64 (capacity,), NaN for not known."""
        return self._feedback.loss

    def check(self, slot: int, address: str, port: int) -> tuple[int, int]:
        """Address and port as `slot` would report to them; raises MediaError when they cannot be used."""
        try:
            peer = packed(address), port
        except OSError:
            raise MediaError(f"RTCP address {address!r} is not IPv4: give dotted decimal") from None
        if not 0 < port <= 0xFFFF:
            raise MediaError(f"RTCP port {port} is not a UDP port: 1 to 65535")
        if self._slot_of.get(peer, slot) != slot:
            raise MediaError(
                f"RTCP source {address}:{port} already belongs to slot {self._slot_of[peer]}: "
                "two calls of one worker cannot have the same"
            )
        return peer

    def connect(self, slot: int, ssrc: int, address: str, port: int, cname: str, now: int) -> None:
        """Exchange reports on the stream `ssrc` that we send with `address` and `port` (of RTCP).

        May be called again for a slot: another place or SSRC takes effect with the next report. `now` is the
        number of the tick. Raises MediaError when a value cannot be used; the slot then stays as it was.
        """
        peer = self.check(slot, address, port)
        description = rtcp.describe(ssrc, cname)
        if slot not in self._peer:
            self._timetable.join(slot, now)
        else:
            del self._slot_of[self._peer[slot]]
        if self._ssrc[slot] != ssrc:
            self._before[:, slot], self._spoke[slot] = self._sent.packets[slot], False
        self._peer[slot], self._slot_of[peer] = peer, slot
        (self._address[slot], self._port[slot]), self._ssrc[slot] = peer, ssrc
        self._description[slot] = 0
        self._description[slot, : len(description) // 4] = np.frombuffer(description, ">u4")

    def disconnect(self, slot: int) -> None:
        """Say goodbye for `slot` and forget it; nothing when it was not connected.

        Without a packet or report of ours there is nobody to say goodbye to (RFC 3550 section 6.3.7).
        """
        peer = self._peer.pop(slot, None)
        if peer is None:
            return
        if self._spoke[slot] or self._sent.packets[slot]:
            self._say_goodbye(slot)
        del self._slot_of[peer]
        self._timetable.leave(slot)
        self._feedback.reset(slot)
        self._ssrc[slot] = 0

    def _say_goodbye(self, slot: int) -> None:
        words = self._description[slot]
        size = 4 * (int(words[0] & 0xFFFF) + 1)
        datagram = rtcp.farewell(int(self._ssrc[slot]), words.tobytes()[:size])
        out = self._outbox
        out.data[0, : len(datagram)] = np.frombuffer(datagram, np.uint8)
        self._send(np.array([slot]), np.array([len(datagram)]))

    def run(self, now: int, wall: int) -> None:
        """Take in what came and send the reports that are due, in every PACE-th tick.

        `now` is the number of the tick, `wall` the time in nanoseconds since the epoch.
        """
        if now % PACE:
            return
        count = self._inbox.receive(self._socket.fileno())
        if count:
            self._hear(count)
        slots = self._timetable.take(now)
        if len(slots):
            self._report(slots, wall)

    def _hear(self, count: int) -> None:
        box = self._inbox
        sources = zip(box.address[:count].tolist(), box.port[:count].tolist(), strict=True)
        cut = box.flags[:count].tolist()
        for row, (source, arrival) in enumerate(zip(sources, box.arrival(count).tolist(), strict=True)):
            slot = self._slot_of.get(source)
            if slot is None:
                self.tally.strangers += 1
                continue
            packets = None if cut[row] else rtcp.parse(box.data[row, : box.size[row]].tobytes())
            if packets is None:
                self.tally.malformed += 1
                continue
            self.tally.received += 1
            self._feedback.take(slot, packets, int(self._ssrc[slot]), arrival)

    def _report(self, slots: Ints, wall: int) -> None:
        """An SR from the slots that sent since their last report but one, an RR from the others."""
        info = SenderInfo._make(field[slots] for field in self._sent)
        sent = info.packets != self._before[0, slots]
        self._before[0, slots] = self._before[1, slots]
        self._before[1, slots] = info.packets
        heard = self._reception.heard(slots)
        blocks = self._reception.report(slots)
        echo = self._feedback.echo(slots, blocks.ssrc, wall)
        words = rtcp.pack(
            self._outbox.words,
            self._ssrc[slots],
            rtcp.ntp_time(wall),
            sent,
            info,
            heard,
            blocks,
            echo,
            self._description[slots],
        )
        self._send(slots, 4 * words)
        self._spoke[slots] = True

    def _send(self, slots: Ints, sizes: Ints) -> None:
        """Send the first rows of the outbox to the peers of `slots`."""
        out, count = self._outbox, len(slots)
        out.address[:count], out.port[:count] = self._address[slots], self._port[slots]
        out.length[:count] = sizes
        out.select(np.arange(count))
        unsent = len(out.send(self._socket.fileno()))
        self.tally.sent += count - unsent
        self.tally.unsent += unsent

    def quality(self, slot: int, stats: Stats, model: Model, buffer_ms: float) -> Quality:
        """How the call of `slot` is doing, rated as `model` with a jitter buffer of `buffer_ms`."""
        jitter, worst = self._reception.jitter_ms(slot)
        expected = stats.received + stats.lost
        loss = stats.lost / expected if expected else 0.0
        trip, missed = int(self._feedback.rtt[slot]), float(self._feedback.loss[slot])
        rtt = None if trip < 0 else trip * 1000 / UNIT
        delay = one_way_ms(rtt, buffer_ms)
        rated = mos(np.array([model]), np.array([loss]), np.array([delay]))
        return Quality(
            jitter_ms=jitter,
            max_jitter_ms=worst,
            loss_fraction=loss,
            rtt_ms=rtt,
            mos=float(rated[0]) if expected else None,
            peer_loss_fraction=None if np.isnan(missed) else missed,
        )

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
