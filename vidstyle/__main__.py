"""``python -m vidstyle``: the same as the command ``vidstyle``."""

from vidstyle.cli import main

if __name__ == "__main__":
    main()
