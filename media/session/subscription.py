"""``subscribe``: the audio of a call as binary frames on the bot's socket."""

from collections.abc import Callable
from typing import Protocol

from media.engine.arrays import WIDE, Pcm
from media.engine.taps import Reader, Side, Sink

HEADERS = {Side.SENT: b"\x00", Side.EVEN: b"\x01"}
"""First byte of a frame: 0, what the caller is sent; 1, what the caller says."""


class Tapped(Protocol):
    """What a subscription needs of the engine."""

    def subscribe(self, slot: int, sides: tuple[Side, ...], *, every: int, rate: int, sink: Sink) -> Reader:
        """As `Taps.subscribe`."""

    def unsubscribe(self, reader: Reader) -> None:
        """As `Taps.unsubscribe`."""


class Subscription:
    """Each tick a frame of each side: a byte that names it, and 20 ms of s16le at 16 kHz."""

    def __init__(self, engine: Tapped, slot: int, send: Callable[[bytes], None]) -> None:
        self._engine = engine
        self._readers = [
            engine.subscribe(slot, (side,), every=1, rate=WIDE, sink=_sink(header, send))
            for side, header in HEADERS.items()
        ]

    def stop(self) -> None:
        """Send no more."""
        for reader in self._readers:
            self._engine.unsubscribe(reader)
        self._readers.clear()


def _sink(header: bytes, send: Callable[[bytes], None]) -> Sink:
    def sink(pcm: Pcm, lost: int) -> None:  # noqa: ARG001 frames carry no numbers: a gap is not told
        send(header + pcm.astype("<i2", copy=False).tobytes())

    return sink
