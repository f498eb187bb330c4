"""What FFmpeg says of its work, where that tells more than its errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import av


@contextmanager
def listening(level: int) -> Iterator[list[tuple[str, str]]]:
    """(who, line) of FFmpeg's log up to ``level`` (`av.logging`) in this block; in the list behind it."""
    heard: list[tuple[str, str]] = []
    before = av.logging.get_level()
    av.logging.set_level(level)
    try:
        with av.logging.Capture() as log:
            yield heard
    finally:
        av.logging.set_level(before)
        heard += [(who, text.strip()) for _, who, text in log]
