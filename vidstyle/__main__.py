"""``python -m vidstyle``: the same as the command ``vidstyle``."""

import signal


def main() -> None:
    """Run the command line. Ctrl-C while its modules are still loaded ends the process at once, without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from vidstyle.cli import main as run

    run()


if __name__ == "__main__":
    main()
