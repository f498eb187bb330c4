"""Time, and waiting for something with a limit; a test passes a clock of its own to both."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable

NAME = "vidstyle-"  # how the names of a session's threads begin


class Clock:
    """The machine's own time, in seconds that only grow."""

    def now(self) -> float:
        return time.monotonic()

    def condition(self) -> threading.Condition:
        return threading.Condition()

    def wait_for(
        self, condition: threading.Condition, predicate: Callable[[], bool], timeout: float | None = None
    ) -> bool:
        """Wait, with ``condition`` held, until ``predicate`` holds, at most ``timeout`` seconds; what it says then."""
        return condition.wait_for(predicate, timeout)

    def thread(self, run: Callable[[], None], name: str) -> threading.Thread:
        """A thread, not started; a daemon, so that a camera that never answers cannot hold up the exit."""
        return threading.Thread(target=run, name=f"{NAME}{name}", daemon=True)

    def join(self, thread: threading.Thread, timeout: float) -> bool:
        """Wait for a thread's end; False where it has not come in time."""
        thread.join(timeout)
        return not thread.is_alive()


class Flag:
    """Set once, and waited for."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._changed = clock, clock.condition()
        self._is_set = False

    @property
    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        with self._changed:
            self._is_set = True
            self._changed.notify_all()

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds; whether it is set."""
        with self._changed:
            return self._clock.wait_for(self._changed, lambda: self._is_set, timeout)


def leave_threads(code: int) -> None:
    """Where a thread of a session has not ended, let the process end without it, at its exit.

    The interpreter would end it in the middle of a library's code, which aborts the process.
    """
    if any(thread.daemon and thread.name.startswith(NAME) for thread in threading.enumerate()):
        atexit.register(os._exit, code)
