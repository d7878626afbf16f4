"""A child of the speech process that runs an engine; started by `host.Host` only."""

import sys

from media.speech.local.server import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
