"""Sending only speech to a recogniser, with a little of what is around it. Sans-I/O."""

BEFORE_SECONDS = 0.7
"""Audio before voice was detected that is sent too: detection takes a while."""
AFTER_SECONDS = 0.8
"""Audio behind voice that is sent: recognisers find the end of an utterance by the pause."""
ALIVE_SECONDS = 5.0
"""In silence, a little is sent so often: providers close connections that bring nothing."""
ALIVE_PIECE_SECONDS = 0.1


class Gate:
    """Lets s16le at `rate` Hz pass while there is voice."""

    def __init__(self, rate: int) -> None:
        self._before = bytearray()
        self._keep = round(BEFORE_SECONDS * rate) * 2
        self._after = round(AFTER_SECONDS * rate) * 2
        self._alive = round(ALIVE_SECONDS * rate) * 2
        self._piece = round(ALIVE_PIECE_SECONDS * rate) * 2
        self._speaking = False
        self._left = 0
        """Bytes that still pass after voice."""
        self._held = 0
        """Bytes since anything passed."""

    def voice(self, *, speaking: bool) -> None:
        """Voice begins, or has ended."""
        self._speaking = speaking
        if not speaking:
            self._left = self._after

    def pass_on(self, pcm: bytes) -> bytes:
        """What of the audio so far is to be sent now."""
        if self._speaking or self._left:
            if not self._speaking:
                self._left = max(0, self._left - len(pcm))
            passed = bytes(self._before) + pcm
            self._before.clear()
            self._held = 0
            return passed
        self._before += pcm
        self._held += len(pcm)
        if self._held >= self._alive:
            self._held = 0
            passed = bytes(self._before[-self._piece :])
            self._before.clear()
            return passed
        del self._before[: -self._keep]
        return b""
