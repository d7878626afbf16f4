"""What a codec of one call can do."""

from typing import Protocol

from media.engine.arrays import Bytes, Pcm


class Coder(Protocol):
    """Encoder and decoder of one slot; all PCM is int16 at the rate of the slot's band."""

    def decode(self, payload: Bytes) -> Pcm:
        """Samples of a packet, 10 to 60 ms; of a malformed one what `conceal` would give, or none."""

    def conceal(self, samples: int, following: Bytes | None) -> Pcm:
        """What stands in for a lost packet of `samples` samples; `following` is the next one if it is here."""

    def encode(self, frame: Pcm) -> bytes:
        """Payload of a frame of 20 ms."""

    def close(self) -> None:
        """Free what the codec holds."""
