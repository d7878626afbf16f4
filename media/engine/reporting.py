"""RTCP of a worker's calls: who reports to whom, under which name, and what comes of it."""

import base64
import secrets
import socket
import time

import numpy as np

from control.errors import SetupError
from media.engine.mos import Model
from media.engine.quality import Quality, Reception
from media.engine.rtcp import SenderInfo
from media.engine.rtcpsocket import Rtcp, Tally
from media.engine.sockets import open_udp
from media.engine.stats import Stats
from media.engine.stream import Codec, Stream
from media.engine.transmit import Transmitter
from media.engine.wire import Form

BUFFER_MS = 10
"""Delay of the jitter buffer in the mean: packets wait for the next tick, and for those before them."""
MODELS: dict[Codec | Form, Model] = {
    Codec.PCMU: Model.G711,
    Codec.PCMA: Model.G711,
    Codec.PCMU16: Model.G711,
    Codec.G722: Model.G722,
    Codec.OPUS: Model.OPUS,
    Form.PCM: Model.LINEAR,
    # The other forms have the names of codecs and are rated as they are.
}
_TRIES = 20


class Reporting:
    """Reports of all slots; streams whose RTCP port is 0 have none."""

    def __init__(self, rtcp: Rtcp, transmitter: Transmitter) -> None:
        self._rtcp, self._transmitter = rtcp, transmitter
        self._places: dict[int, tuple[str, int]] = {}
        self._names: dict[int, str] = {}

    @property
    def tally(self) -> Tally:
        """RTCP datagrams of all calls."""
        return self._rtcp.tally

    @property
    def peer_loss(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """As `Rtcp.peer_loss`."""
        return self._rtcp.peer_loss

    def check(self, slot: int, stream: Stream) -> None:
        """Raise MediaError when the reports of `stream` cannot be exchanged."""
        if stream.rtcp_port:
            self._rtcp.check(slot, stream.rtcp_address, stream.rtcp_port)

    def connect(self, slot: int, stream: Stream, now: int) -> None:
        """Exchange reports of `stream` from now on; `now` is the number of the tick."""
        if stream.rtcp_port:
            self._places[slot] = stream.rtcp_address, stream.rtcp_port
            self.renew(slot, now)
        else:
            self.disconnect(slot)

    def renew(self, slot: int, now: int) -> None:
        """The stream that `slot` sends may have another SSRC; its name (RFC 7022 section 4.2) stays."""
        place = self._places.get(slot)
        if place is not None:
            name = self._names.setdefault(slot, base64.b64encode(secrets.token_bytes(12)).decode())
            self._rtcp.connect(slot, self._transmitter.ssrc(slot), *place, name, now)

    def disconnect(self, slot: int) -> None:
        """Say goodbye for `slot`."""
        self._rtcp.disconnect(slot)
        self._places.pop(slot, None)
        self._names.pop(slot, None)

    def run(self, now: int) -> None:
        """Take in and send what is due in tick `now`."""
        self._rtcp.run(now, time.time_ns())

    def quality(self, slot: int, codec: Codec | Form | None, stats: Stats) -> Quality:
        """How the call of `slot` sounds, by what both sides received."""
        model = Model.G711 if codec is None else MODELS[codec]
        return self._rtcp.quality(slot, stats, model, BUFFER_MS)

    def close(self) -> None:
        """Close the socket."""
        self._rtcp.close()


def open_sockets(
    address: str, port: int, reception: Reception, transmitter: Transmitter
) -> tuple[socket.socket, Reporting]:
    """The socket of RTP, and RTCP at the port above; with port 0 at any free pair. Raises SetupError."""
    sent = SenderInfo(transmitter.timestamp, transmitter.packets, transmitter.octets)
    attempts = 1 if port else _TRIES
    while True:
        rtp = open_udp(address, port, stamped=True)
        above = rtp.getsockname()[1] + 1
        try:
            return rtp, Reporting(Rtcp(address, above, reception, sent, np.random.default_rng()), transmitter)
        except SetupError:
            rtp.close()
            attempts -= 1
            if not attempts:
                raise
