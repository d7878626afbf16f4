"""Entry point of the speech process."""

import sys

from media.speech.process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
