"""Ctrl-C and SIGTERM as numbers to look at: a batch ends in order, at a place of its own choice."""

from __future__ import annotations

import os
import signal
from typing import Any

from vidstyle.errors import INTERRUPTED, TERMINATED


class Stop:
    """A context manager: inside the block signals are counted.

    Attributes:
        asked: how often: 1 ends the videos under way at their next frame, 2 kills their workers; the third ends this
            process where it stands.
        code: exit code by the first signal, 0 before.
    """

    def __init__(self) -> None:
        self.asked = self.code = 0
        self._before: dict[int, Any] = {}

    def _hear(self, number: int, _: object) -> None:
        self.asked += 1
        self.code = self.code or (INTERRUPTED if number == signal.SIGINT else TERMINATED)
        if self.asked > 2:
            os._exit(self.code)  # the workers see their pipes closed

    def __enter__(self) -> Stop:
        self._before = {number: signal.signal(number, self._hear) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
