"""Network namespaces: a host of its own for a peer that refuses the loopback interface."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from tests.support import ports

_counter = count()


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace with one veth interface whose other end is in the root namespace."""

    name: str
    inside: str
    """Its own IPv4 address."""
    outside: str
    """The root namespace's IPv4 address on the same link."""

    @property
    def interface(self) -> str:
        """The end of the link that is in the root namespace."""
        return f"{self.name}o"

    def command(self, *command: str) -> tuple[str, ...]:
        """Return `command` as it is run inside; the process id stays that of the command."""
        return ("ip", "netns", "exec", self.name, *command)


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Create a namespace and its link, and remove both afterwards; needs root."""
    index = next(_counter)
    if index > 63:
        raise RuntimeError("this test process used up its 64 links of 10.77.x.0/24")
    name = f"sc{ports.number()}x{index}"
    inner = f"{name}i"
    net = f"10.77.{ports.number()}"
    space = Namespace(name, f"{net}.{4 * index + 2}", f"{net}.{4 * index + 1}")
    outer = space.interface
    _ip("netns", "add", name)
    try:
        _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
        _ip("address", "add", f"{space.outside}/30", "dev", outer)
        _ip("link", "set", outer, "up")
        _ip("-n", name, "address", "add", f"{space.inside}/30", "dev", inner)
        _ip("-n", name, "link", "set", inner, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "route", "add", "default", "via", space.outside)
        yield space
    finally:
        _ip("netns", "delete", name)
        subprocess.run(["ip", "link", "delete", outer], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
