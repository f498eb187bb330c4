"""Ctrl-C, SIGTERM and a closed terminal as numbers to look at: a batch ends in order, at a place of its own choice."""

from __future__ import annotations

import signal
from typing import Any

from vidstyle.signals import CODES, HANGUP, Echo, end_here, heard, leave_terminal


class Stop:
    """A context manager: inside the block signals are counted.

    Attributes:
        asked: how often: 1 ends the videos under way at their next frame, 2 kills their workers; the third ends this
            process where it stands. A closed terminal, which may be told twice, counts as the first, and a signal that
            is sent twice counts once.
        code: exit code by the first signal, 0 before.
    """

    def __init__(self) -> None:
        self.asked = self.code = 0
        self._is_echo = Echo()
        self._before: dict[int, Any] = {}

    def _hear(self, number: int, _: object) -> None:
        self.code = self.code or CODES[number]
        if number == HANGUP:
            self.asked = max(1, self.asked)
            return leave_terminal()
        if self._is_echo(number):
            return None
        self.asked += 1
        if self.asked > 2:
            end_here(self.code)  # the workers see their pipes closed

    def __enter__(self) -> Stop:
        self._before = {number: signal.signal(number, self._hear) for number in heard()}
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
