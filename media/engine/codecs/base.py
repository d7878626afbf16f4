"""What the engine needs of a codec with memory, and how libraries in C are loaded."""

import ctypes
from typing import Any, Protocol

from control.errors import SetupError
from media.engine.arrays import Bytes, Pcm

Payload = bytes | bytearray | memoryview | Bytes
"""One RTP payload."""

MAX_MS = 120
"""Longest packet that is decoded (RFC 6716 section 3.2.5), and longest loss concealed at once."""
MAX_PACKET = 480
"""Most bytes that `Coder.encode` returns."""


class Coder(Protocol):
    """Both directions of one call. It is made for a rate, 8000 or 16000, and all its PCM has that rate.

    PCM that is returned is valid until the next call of the same coder. Nothing here raises on what a peer sends.
    """

    errors: int
    """Packets that could not be decoded and were concealed instead, and frames that could not be encoded."""

    def decode(self, payload: Payload) -> Pcm:
        """int16 (samples,): the packet that comes next in order, or what stands in for a malformed one."""

    def conceal(self, samples: int, following: Payload | None = None) -> Pcm:
        """int16 (samples,): what stands in for one lost packet of `samples`, a multiple of 10 ms up to MAX_MS.

        `following` is the packet after it, when that is here; it still has to be decoded afterwards.
        """

    def encode(self, frame: Pcm) -> bytes:
        """The packet of one frame, int16 (rate / 50,); empty when there is nothing to send."""

    def samples(self, payload: Payload) -> int:
        """Duration of a packet in samples, without decoding it; 0 when it is malformed."""


def load(library: str, package: str, functions: dict[str, tuple[Any, list[Any]]]) -> Any:
    """Load a shared library and declare the result and argument types of `functions`.

    Its calls keep the GIL: they take less time than another thread may keep it once it was given away. Raises
    SetupError naming the Debian `package` when the library is missing or lacks a function.
    """
    try:
        handle = ctypes.PyDLL(library)
        for name, (result, arguments) in functions.items():
            function = getattr(handle, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise SetupError(
            f"the library {library} cannot be used: {error}; install the package {package} (`make setup` does)"
        ) from error
    return handle
