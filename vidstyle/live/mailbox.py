"""Hand the newest item from one thread to another: what nobody took in time is dropped, and nothing waits."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from vidstyle.live.clock import Clock
from vidstyle.live.frame import LiveFrame

T = TypeVar("T")


class Mailbox(Generic[T]):
    """One place for one item. With one thread that puts, items come out in the order they went in.

    Attributes:
        dropped: items that a newer one replaced before they were taken.
    """

    def __init__(self, clock: Clock) -> None:
        self.dropped = 0
        self._clock, self._changed = clock, clock.condition()
        self._items: deque[T] = deque()
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def put(self, item: T) -> None:
        """Leave ``item``, in the place of one that still lies here."""
        with self._changed:
            self.dropped += len(self._items)
            self._items.clear()
            self._items.append(item)
            self._changed.notify_all()

    def get(self, timeout: float) -> T | None:
        """Take the item, waiting for one at most ``timeout`` seconds; None: there was none, or this is closed."""
        with self._changed:
            self._clock.wait_for(self._changed, lambda: self._is_closed or bool(self._items), timeout)
            return self._items.popleft() if self._items and not self._is_closed else None

    def close(self) -> None:
        """Wake who waits; nothing more is given out."""
        with self._changed:
            self._is_closed = True
            self._items.clear()
            self._changed.notify_all()


class DelayLine(Mailbox[LiveFrame]):
    """Gives frames out a fixed time after their capture, the only queue there is: ``limit`` frames at most.

    A frame that comes later than that is given out at once; of several that are due, the newest.
    """

    def __init__(self, clock: Clock, delay: float, limit: int) -> None:
        super().__init__(clock)
        self._delay, self._limit = delay, limit

    def put(self, item: LiveFrame) -> None:
        with self._changed:
            if len(self._items) == self._limit:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify_all()

    def get(self, timeout: float) -> LiveFrame | None:
        with self._changed:
            end = self._clock.now() + timeout
            while not self._is_closed:
                due = self._due()
                if due <= self._clock.now():
                    return self._newest_due()
                if end <= self._clock.now():
                    break
                # A first item may come while there is none; later ones are due later.
                self._clock.wait_for(
                    self._changed,
                    lambda due=due: self._is_closed or self._due() != due,  # type: ignore[misc]
                    min(due, end) - self._clock.now(),
                )
            return None

    def _due(self) -> float:
        return self._items[0].time + self._delay if self._items else float("inf")

    def _newest_due(self) -> LiveFrame:
        item = self._items.popleft()
        while self._due() <= self._clock.now():
            item = self._items.popleft()
            self.dropped += 1
        return item
