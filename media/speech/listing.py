"""``sidecall providers``: which providers there are, and what each needs."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from control.config import load
from media.speech.catalogue import TONES, Catalogue, Entry, Kind


def lines(catalogue: Catalogue) -> list[str]:
    """The list for people."""
    found = []
    for kind, title in ((Kind.ASR, "recognition (asr)"), (Kind.TTS, "synthesis (tts)")):
        found.append(f"{title}; default: {catalogue.default(kind)}")
        for entry in _of(catalogue, kind):
            found.append(f"  {entry.name:<14} {_state(catalogue, entry):<9} {entry.about.summary}")
            found += [f"  {'':<24} {line}" for line in _needs(catalogue, entry)]
    return found


def objects(catalogue: Catalogue) -> list[dict[str, object]]:
    """The list for programs."""
    return [
        {
            "kind": kind.value,
            "name": entry.name,
            "default": entry.name == catalogue.default(kind),
            "state": _state(catalogue, entry),
            "summary": entry.about.summary,
            "needs": {need.field: need.env for need in entry.about.needs},
            "missing": list(catalogue.missing(entry)),
            "reason": entry.reason,
        }
        for kind in Kind
        for entry in _of(catalogue, kind)
    ]


def _of(catalogue: Catalogue, kind: Kind) -> list[Entry]:
    return sorted(
        (entry for entry in catalogue.entries.values() if entry.kind is kind and entry.name != TONES),
        key=lambda e: e.name,
    )


def _state(catalogue: Catalogue, entry: Entry) -> str:
    if entry.reason is not None:
        return "missing"
    return "needs key" if catalogue.missing(entry) else "ready"


def _needs(catalogue: Catalogue, entry: Entry) -> list[str]:
    """What is to be done before it can be used."""
    if entry.reason is not None:
        return [entry.reason]
    missing = catalogue.missing(entry)
    envs = {need.field: need.env for need in entry.about.needs}
    return [f"set {field} in [providers.{entry.name}], or {envs[field]}" for field in missing]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="sidecall providers", description=__doc__)
    parser.add_argument("-c", "--config", type=Path, help="path of sidecall.toml")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    options = parser.parse_args(argv)
    catalogue = Catalogue(load(options.config))
    if options.json:
        sys.stdout.write(json.dumps(objects(catalogue), indent=2) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines(catalogue))
    return 0


if __name__ == "__main__":
    sys.exit(main())
