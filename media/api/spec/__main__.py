"""``sidecall spec``: print a description of the API, or write both where the project keeps them."""

import argparse
import json
import sys
from pathlib import Path

from control.errors import SetupError
from media.api.spec import asyncapi, openapi
from media.api.spec.tables import refreshed

DOCUMENTS = {"openapi": openapi, "asyncapi": asyncapi}
TABLES = "api.md"


def text(name: str) -> str:
    """The document `name` as it is kept in files."""
    return json.dumps(DOCUMENTS[name](), indent=1, ensure_ascii=False) + "\n"


def write(folder: Path) -> None:
    """Write both documents to `folder`, and refresh the tables of its ``api.md``. Raises SetupError."""
    try:
        for name in DOCUMENTS:
            (folder / f"{name}.json").write_text(text(name), "utf-8")
        tables = folder / TABLES
        if tables.exists():
            tables.write_text(refreshed(tables.read_text("utf-8")), "utf-8")
    except OSError as error:
        raise SetupError(f"{error.filename}: {error.strerror}") from error


def main(arguments: list[str] | None = None) -> int:
    """Entry of ``python -m media.api.spec``; returns the exit status."""
    parser = argparse.ArgumentParser(prog="sidecall spec", allow_abbrev=False)
    parser.add_argument("-c", "--config", type=Path, help=argparse.SUPPRESS)  # as all our processes
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("document", nargs="?", choices=DOCUMENTS, help="what is printed")
    wanted.add_argument(
        "--write",
        type=Path,
        metavar="FOLDER",
        help=f"write openapi.json and asyncapi.json there, and the tables of {TABLES}",
    )
    options = parser.parse_args(arguments)
    try:
        if options.write is not None:
            write(options.write)
        else:
            sys.stdout.write(text(options.document))
    except SetupError as error:
        sys.stderr.write(f"sidecall: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
