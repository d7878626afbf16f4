"""What can be done to the call of a slot, beside connecting it: each is carried out by a stage of its band."""

from abc import ABC, abstractmethod

from media.engine.background import Loop
from media.engine.band import Band
from media.engine.playout import Stopped
from media.engine.segment import Segment
from media.engine.slots import Slots
from media.engine.voice import VoiceOptions


class Controls(Slots, ABC):
    """Everything here takes effect with the next tick, and raises MediaError for a slot without a codec."""

    @abstractmethod
    def home(self, slot: int) -> Band:
        """The band of `slot`; raises MediaError when it is not allocated, or not connected yet."""

    def enqueue(self, slot: int, segment: Segment) -> None:
        """Play `segment` after those queued before; raises MediaError when it was queued before."""
        self.home(slot).playout.enqueue(slot, segment)

    def stop(self, slot: int, fade_ms: int = 0) -> Stopped | None:
        """Drop all segments: the next tick sends silence, or begins a fade. None when there are none.

        A pause ends. `Playout.stop` tells how long a fade can be.
        """
        band = self.home(slot)
        return band.playout.stop(slot, fade_ms * band.rate // 1000)

    def finish(self, slot: int) -> Stopped | None:
        """Drop all segments but the one that is being heard; None when none is."""
        return self.home(slot).playout.finish(slot)

    def pause(self, slot: int) -> None:
        """Send nothing of the segments until `resume` or `stop`; positions stand. The background goes on."""
        self.home(slot).playout.pause(slot)

    def resume(self, slot: int) -> None:
        """Go on where `pause` began; nothing when not paused."""
        self.home(slot).playout.resume(slot)

    def mute_out(self, slot: int, *, muted: bool) -> None:
        """Send silence while positions go on, or not any more."""
        self.home(slot).playout.mute(slot, muted=muted)

    def mute_in(self, slot: int, *, muted: bool) -> None:
        """Hear silence instead of the peer, or not any more."""
        self.home(slot).mute.set(slot, muted=muted)

    def gain(self, slot: int, factor: float) -> None:
        """Multiply segments by `factor`, 0 to 16; raises MediaError for others."""
        self.home(slot).playout.gain(slot, factor)

    def background(self, slot: int, loop: Loop | None, gain: float = 1, duck: float = 1) -> None:
        """Play `loop` for ever, at level `gain`, under segments at `duck`; None ends it. See `Background.set`."""
        self.home(slot).playout.background(slot, loop, gain, duck)

    def denoise(self, slot: int, *, on: bool) -> None:
        """Take the noise out of what is received, or not any more."""
        denoiser = self.home(slot).denoiser
        (denoiser.enable if on else denoiser.disable)(slot)

    def detect_tones(self, slot: int, *, on: bool) -> None:
        """Report keys that come as tones, until the first one comes as a telephone event; or not any more."""
        inband = self.home(slot).inband
        (inband.enable if on else inband.disable)(slot)

    def enable_voice(self, slot: int, options: VoiceOptions) -> None:
        """Report when the peer speaks and when not; again: start anew."""
        self.home(slot).voice.enable(slot, options)

    def disable_voice(self, slot: int) -> None:
        """Report no more of that; nothing when it was not enabled."""
        self.home(slot).voice.disable(slot)
