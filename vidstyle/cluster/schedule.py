"""Which work a free worker gets. No clock, no cluster and no file is touched here."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable

from vidstyle.cluster.film import ASSEMBLE, LOOK, PREPARE, STYLE, WHOLE, Call, Film

SLOW = 2.0  # times the usual seconds a frame: then another worker gets the segment, too
SLOW_SECONDS = 5.0  # at least


class Schedule:
    """The videos under way, oldest first.

    Attributes:
        copies: units given to a second worker.
    """

    def __init__(self) -> None:
        self.films: list[Film] = []
        self.copies = 0
        self._rates: deque[float] = deque(maxlen=64)  # seconds a frame, of the last units

    @property
    def backlog(self) -> int:
        """Calls that could be made at once."""
        return sum(film.backlog for film in self.films)

    def next_for(self, film: Film | None, under_way: Iterable[Call], now: float) -> Call | None:
        """For a free worker.

        What ends a video comes first, then segments, those of the worker's last video before others: their source
        is in its machine's memory. With nothing else to do it gets what a slow worker has, too.

        Args:
            film: the worker's last one.
            under_way: calls of all workers.
            now: `time.monotonic`.
        """
        own = [film] if film is not None and not film.over else []
        for kinds in ((ASSEMBLE, LOOK), (WHOLE,)):
            for each in self.films:
                if call := each.next_alone(*kinds):
                    return call
            for each in (*own, *self.films):
                if call := each.next_unit():
                    return call
        for each in self.films:
            if call := each.next_alone(PREPARE):
                return call
        return self._copy(under_way, now)

    def _copy(self, under_way: Iterable[Call], now: float) -> Call | None:
        """A second go at the unit that is most overdue."""
        if not self._rates:
            return None
        usual = statistics.median(self._rates)
        slow: Call | None = None
        most = 1.0
        for call in under_way:
            if call.kind != STYLE or call.film.over or len(call.film.running.get(call.first, ())) != 1:
                continue
            limit = max(SLOW_SECONDS, SLOW * usual * call.frames)
            if now - call.began > limit and (now - call.began) / limit > most:
                slow, most = call, (now - call.began) / limit
        if slow is None:
            return None
        self.copies += 1
        slow.film.tell("copied", {"segment": slow.first, "seconds": round(now - slow.began, 1)})
        return slow.film.copy_of(slow)

    def measured(self, frames: int, seconds: float) -> None:
        """Of a finished unit."""
        if frames:
            self._rates.append(seconds / frames)
