"""Videos that come while a batch runs: taken when they are complete."""

from __future__ import annotations

import time
from collections.abc import Callable

from vidstyle.batch.inputs import Found, Item
from vidstyle.batch.journal import Stamp, stamp


class Arrivals:
    """Looks at the inputs every few seconds.

    A video is complete when two looks in a row find the same size and time, and it opens. One that was taken
    comes again when it changes.

    Args:
        look: finds every video there is.
        every: seconds between two looks.
    """

    def __init__(self, look: Callable[[], Found], every: float) -> None:
        self._look, self._every = look, every
        self._next = 0.0
        self._seen: dict[Item, Stamp | None] = {}  # at the last look, of all but those in _settled
        self._settled: dict[Item, Stamp | None] = {}  # handed out as they were then

    def complete(self) -> list[Item]:
        """Videos that may be taken now, once each; nothing before the next look is due."""
        if time.monotonic() < self._next:
            return []
        self._next = time.monotonic() + self._every
        now = {item: stamp(item.source) for item in self._look().items}
        fresh = {item: mark for item, mark in now.items() if self._settled.get(item) != mark}
        ready = [item for item, mark in fresh.items() if mark and self._seen.get(item) == mark]
        self._settled = {item: self._settled[item] for item in now if item in self._settled}
        self._settled.update((item, fresh[item]) for item in ready)
        self._seen = fresh
        return ready
