"""What bad networks leave of a call: how much of speech comes through, and what the engine counts.

One call for each codec, share of lost packets and jitter, in virtual time: nothing waits, and the same comes out
each time. Packets are delayed by 0 to --jitter ms, so that they overtake each other, and 2 % come twice where any are
lost. Opus is sent at 24 kbit/s with forward error correction, as browsers do it.

    .venv/bin/python -m bench.loss --seconds 10 --json
"""

import argparse
import json
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in a media worker; read when numpy is imported

from media.engine.stream import Codec
from tests.support.rough import Network, travel

LOSSES, JITTERS = (0, 1, 5, 10), (0, 30, 60)
"""Percent; ms."""
DOUBLED = 0.02
OPUS = {"fec": 1, "loss": 20, "bitrate": 24_000}

Figures = dict[str, float]


def measure(codec: Codec, loss: int, jitter: int, seconds: float, seed: int) -> Figures:
    """One call."""
    network = Network(loss=loss / 100, doubled=DOUBLED if loss else 0, jitter_ms=jitter, seed=seed)
    call = travel(codec, network, seconds, **(OPUS if codec is Codec.OPUS else {}))
    stats, journey = call.stats, call.journey
    exact = (
        stats.received + stats.lost == journey.sent
        and stats.received + stats.late + stats.duplicates == journey.delivered
        and stats.bad == stats.skipped == stats.ignored == 0
    )
    return {
        "correlation": round(call.correlation, 3),
        "likeness": round(call.likeness, 3),
        "even_correlation": round(call.even_correlation, 3),
        "even_likeness": round(call.even_likeness, 3),
        "sent_packets": journey.sent,
        "network_lost_packets": journey.lost,
        "network_doubled_packets": journey.copies,
        "network_reordered_packets": journey.reordered,
        "received_packets": stats.received,
        "lost_packets": stats.lost,
        "late_packets": stats.late,
        "duplicate_packets": stats.duplicates,
        "counts_exact": exact,
    }


def show(name: str, figures: Figures) -> None:
    """One line of the table."""
    print(
        f"{name:18}"
        + "".join(f"{float(value):>{_width(key)}.{_digits(key)}f}" for key, value in figures.items())
    )


def _digits(key: str) -> int:
    return 3 if key.endswith(("correlation", "likeness")) else 0


def _width(key: str) -> int:
    return len(key) + 2


def main() -> None:
    """Parse arguments, run, print."""
    parser = argparse.ArgumentParser(description="What bad networks leave of a call.")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a call (default 10)")
    parser.add_argument("--seed", type=int, default=1, help="of the networks' chances (default 1)")
    parser.add_argument("--codec", type=Codec, choices=list(Codec), action="append", help="default: all")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if not 2 <= arguments.seconds <= 20:
        parser.error("--seconds takes 2 to 20")
    found: Figures = {}
    for codec in arguments.codec or Codec:
        for loss in LOSSES:
            for jitter in JITTERS:
                figures = measure(codec, loss, jitter, arguments.seconds, arguments.seed)
                if not arguments.json and not found:
                    print(" " * 18 + "".join(f"  {key}" for key in figures))
                name = f"{codec}_{loss}%_{jitter}ms"
                found |= {f"{name}_{key}": value for key, value in figures.items()}
                if not arguments.json:
                    show(name, figures)
    if arguments.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
