"""``python -m media``: one media worker."""

from media.app import main

if __name__ == "__main__":
    main()
