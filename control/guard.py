"""Kills the process groups of a supervisor that died without stopping them.

``python guard.py`` reads ``+PGID`` and ``-PGID`` lines on standard input. At the end of input, which
comes however the supervisor ends, it sends SIGKILL to every group still listed. A program that forks
(kamailio) leaves its children running when only its main process is killed; its group does not.
"""

import os
import signal
import sys
from collections.abc import Iterable


def run(lines: Iterable[str]) -> None:
    """Follow `lines`; at their end kill what is listed."""
    groups: set[int] = set()
    for line in lines:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    run(iter(sys.stdin.readline, ""))
