"""``sidecall providers``: which providers there are, and what each needs."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from control.config import load
from media.speech.catalogue import TONES, Catalogue, Entry, Kind
from media.speech.provider import Need

KEY = "secret_key"


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
            "reads": {need.field: need.env for need in entry.about.reads},
            "missing": [need.field for need in _missing(catalogue, entry)],
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
    return "needs key" if _missing(catalogue, entry) else "ready"


def _missing(catalogue: Catalogue, entry: Entry) -> list[Need]:
    """What neither settings nor environment have: all that is needed, and the key of a vendor whose interface others
    offer without one, unless the settings name such an endpoint."""
    missing = set(catalogue.missing(entry))
    configured = catalogue.configured(entry.kind, entry.name)
    keys = [need for need in entry.about.reads if need.field == KEY and not configured.get("endpoint")]
    unset = [need for need in keys if not configured.get(KEY) and not catalogue.environ.get(need.env)]
    return [need for need in entry.about.needs if need.field in missing] + unset


def _needs(catalogue: Catalogue, entry: Entry) -> list[str]:
    """What is to be done before it can be used."""
    if entry.reason is not None:
        return [entry.reason]
    return [
        f"set {need.field} in [providers.{entry.name}], or {need.env}"
        + (", unless its endpoint takes none" if need in entry.about.reads else "")
        for need in _missing(catalogue, entry)
    ]


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
