"""Run one stage of the pipeline on its own thread, a bounded number of items ahead of its reader."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T]):
    """Iterate ``items`` on a thread of its own; first in, first out, at most ``ahead`` waiting.

    A context manager: whoever opens it joins the thread at the end of the block, before closing what the
    thread reads. An error in ``items`` is raised in the reader, once, after the items before it.
    Nested blocks end inside out: the reading stage stops before the one it reads from.
    """

    def __init__(self, items: Iterable[T], ahead: int, name: str) -> None:
        self._items, self._ahead = items, ahead
        self._queue: deque[T] = deque()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._done = self._stopped = False
        self._thread = threading.Thread(target=self._run, name=f"vidstyle-{name}", daemon=True)

    def _run(self) -> None:
        try:
            for item in self._items:
                with self._changed:
                    self._changed.wait_for(lambda: len(self._queue) < self._ahead or self._stopped)
                    if self._stopped:
                        return
                    self._queue.append(item)
                    self._changed.notify_all()
        except BaseException as error:  # raised again in the reader
            self._error = error
        finally:
            with self._changed:
                self._done = True
                self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                # A timeout lets the main thread see Ctrl-C while it waits (a plain wait blocks it on some systems).
                while not (self._queue or self._done or self._stopped):
                    self._changed.wait(0.5)
                if self._stopped or not self._queue:
                    break
                item = self._queue.popleft()
                self._changed.notify_all()
            yield item
        if self._error is not None and not self._stopped:
            error, self._error = self._error, None
            raise error

    def stop(self) -> None:
        """Ask the thread to end and wake everyone; nothing more is yielded."""
        with self._changed:
            self._stopped = True
            self._queue.clear()
            self._changed.notify_all()

    def __enter__(self) -> Prefetch[T]:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self._thread.join()
