"""``python -m media``: one media worker."""

import os

# The engine is one thread by design; threads of the matrix library would only wait for one another. The
# library reads this when numpy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from media.app import main

if __name__ == "__main__":
    main()
