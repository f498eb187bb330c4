"""Which signals end a run in order, and with what exit code; and a terminal that is gone."""

from __future__ import annotations

import os
import signal
import stat
import time
from typing import NoReturn

from vidstyle.errors import INTERRUPTED, TERMINATED

CODES: dict[int, int] = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
HANGUP: int | None = getattr(signal, "SIGHUP", None)  # the terminal was closed; Windows has none
if HANGUP is not None:
    CODES[HANGUP] = TERMINATED
ECHO = 0.1  # seconds: no hand presses Ctrl-C again so soon


def heard() -> list[int]:
    """The signals to handle; without SIGHUP where it is ignored already, as under nohup."""
    return [number for number in CODES if number != HANGUP or signal.getsignal(number) != signal.SIG_IGN]


class Echo:
    """Tells a signal that is sent twice from a second one: `timeout` sends it to the process and to its group."""

    def __init__(self) -> None:
        self._heard: dict[int, float] = {}

    def __call__(self, number: int) -> bool:
        """Whether this signal is the one before once more."""
        now = time.monotonic()
        if now - self._heard.get(number, -ECHO) < ECHO:
            return True
        self._heard[number] = now
        return False


def end_here(code: int) -> NoReturn:
    """End the process where it stands. Progress bars hide the terminal's cursor: nothing else would show it again."""
    if os.isatty(2):
        os.write(2, b"\x1b[?25h\n")
    os._exit(code)


def leave_terminal() -> None:
    """Let what is still written to a terminal that is gone go nowhere: an error would break the end in order."""
    for stream in (1, 2):
        try:
            gone = stat.S_ISCHR(os.fstat(stream).st_mode) and not os.isatty(stream)
        except OSError:
            continue
        if gone:
            to_nowhere(stream)


def to_nowhere(stream: int) -> None:
    """Let what is still written to an open file of this number go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
