"""How quick a session is, in memory that does not grow with its length."""

from __future__ import annotations

from collections import deque

import numpy as np

RECENT = 300  # values: ten seconds at 30 frames a second
WINDOW = 5.0  # seconds
LONGEST = 20_000  # milliseconds that are told apart


class Meter:
    """How often something happens."""

    def __init__(self) -> None:
        self.count = 0
        self._times: deque[float] = deque(maxlen=RECENT)

    def tick(self, time: float) -> None:
        self.count += 1
        self._times.append(time)

    def rate(self, now: float) -> float:
        """Times a second in the last `WINDOW` seconds, of a quick one in as many as `RECENT` times took."""
        times = self._times.copy()
        if not times or now <= times[0]:
            return 0.0
        window = min(WINDOW, now - times[0])
        return sum(time > now - window for time in times) / window


class Latencies:
    """Seconds from capture to sending: the recent ones exactly, all of them to the millisecond."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._all = np.zeros(LONGEST + 1, np.int64)

    def add(self, seconds: float) -> None:
        self._recent.append(seconds)
        self._all[min(LONGEST, max(0, round(seconds * 1000)))] += 1

    def recent(self) -> dict[str, float]:
        """Milliseconds of the last `RECENT`; empty before the first."""
        values = sorted(self._recent.copy())
        if not values:
            return {}
        found = {f"p{p}": values[min(len(values) - 1, len(values) * p // 100)] for p in (50, 95)}
        return {name: round(value * 1000, 1) for name, value in (found | {"max": values[-1]}).items()}

    def whole(self) -> dict[str, float]:
        """Milliseconds of all since the start; empty before the first."""
        count = int(self._all.sum())
        if not count:
            return {}
        sums = np.cumsum(self._all)
        found = {f"p{p}": float(np.searchsorted(sums, p / 100 * count)) for p in (50, 95)}
        return found | {"max": float(np.flatnonzero(self._all)[-1])}
