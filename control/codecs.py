"""Libraries that a media worker loads for the codecs of `calls.codecs`: looked for before anything starts."""

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Library:
    """A shared library and the Debian package that has it."""

    file: str
    package: str

    @property
    def present(self) -> bool:
        """Whether it can be loaded."""
        try:
            ctypes.CDLL(self.file)
        except OSError:
            return False
        return True


LIBRARIES: Final = {
    "opus": Library("libopus.so.0", "libopus0"),
}
"""What each codec needs; the others need nothing."""


def missing(codecs: Sequence[str]) -> Iterator[str]:
    """One sentence for each of `codecs` whose library is not on this machine."""
    for codec in codecs:
        library = LIBRARIES.get(codec)
        if library is not None and not library.present:
            yield (
                f"calls.codecs: {codec} needs {library.file}, which is not on this machine:"
                f" install the package {library.package}, or leave {codec} out"
            )
