"""Single keys from the terminal while something runs; the terminal is as it was at the end."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any


class Keyboard:
    """A context manager; `keys` gives what was pressed since the last call, at once.

    Gives nothing where stdin is no terminal, or while another program has it (a job in the background, which the
    system would stop for reading or setting it).
    """

    def __init__(self) -> None:
        self._restore: list[Any] | None = None
        self._is_windows = sys.platform == "win32"

    def __enter__(self) -> Keyboard:
        if not self._is_windows and _has_terminal():
            self._restore = import_module("termios").tcgetattr(sys.stdin.fileno())
            _listen()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._restore is not None and _has_terminal():
            termios = import_module("termios")
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._restore)
        self._restore = None

    def keys(self) -> str:
        if self._is_windows:
            return _windows_keys() if sys.stdin is not None and sys.stdin.isatty() else ""
        if self._restore is None or not _has_terminal():
            return ""
        _listen()
        ready, _, _ = import_module("select").select([sys.stdin], [], [], 0)
        return os.read(sys.stdin.fileno(), 64).decode("ascii", "ignore") if ready else ""


def _listen() -> None:
    """Have the terminal give keys at once and show none; Ctrl-C stays a signal. A shell undoes it after Ctrl-Z."""
    termios, tty = import_module("termios"), import_module("tty")
    fd = sys.stdin.fileno()
    if termios.tcgetattr(fd)[3] & termios.ICANON:
        tty.setcbreak(fd)


def _has_terminal() -> bool:
    if sys.platform == "win32":
        return False
    try:
        fd = sys.stdin.fileno()
        return os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp()
    except (AttributeError, OSError, ValueError):  # no stdin, or a closed one
        return False


def _windows_keys() -> str:
    keyboard, pressed = import_module("msvcrt"), ""
    while keyboard.kbhit():
        pressed += keyboard.getwch()
    return pressed
