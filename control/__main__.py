"""``python -m control``: the control process."""

from control.app import main

if __name__ == "__main__":
    main()
