"""The look that is shown, and the next one made ready beside it: a change never stops the pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from vidstyle.live.clock import Clock, Flag
from vidstyle.live.mailbox import Mailbox


class LiveStylizer(Protocol):
    """Gives pictures a look; used by one thread at a time."""

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] RGB in and out: of the session's size, less the bars around a camera's picture."""

    def status(self) -> dict[str, Any]:
        """JSON-ready, among it ``working``: [width, height] the network sees."""

    def close(self) -> None: ...


class Looks:
    """One loaded look; another is loaded on a thread of its own, tried on a picture, and takes its place.

    Args:
        load: makes a look by its name; raises what the person should read.
        first: loaded now, so that its errors come before anything is opened for it.
        blank: a picture of the size of the camera's in the session's, to warm the first look with.
        say: shows a line to the person.

    Attributes:
        shown: the name of the look that pictures get now.
        loading: the name of the one that is being made ready, if any.
        problem: why the one that was asked for last cannot be shown; "" where it can.
    """

    def __init__(
        self,
        load: Callable[[str], LiveStylizer],
        first: str,
        blank: np.ndarray,
        clock: Clock,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.shown, self.loading, self.problem = first, "", ""
        self._load, self._clock, self._say = load, clock, say
        self._changed = clock.condition()
        self._fresh: LiveStylizer | None = None  # made ready, not yet taken by the thread that styles
        self._last = blank
        self._wanted = first
        self._orders: Mailbox[str] = Mailbox(clock)
        self._stop = Flag(clock)
        self._thread = clock.thread(self._run, "looks")
        self._old: LiveStylizer
        self._stylizer = load(first)
        try:
            self._stylizer(blank)
        except BaseException:
            self._stylizer.close()
            raise

    def start(self) -> None:
        self._thread.start()

    def want(self, name: str) -> None:
        """Ask for a look; returns at once. The newest wish counts.

        One that is ready is taken here too: at strength 0, or frozen, no picture is given a look.
        """
        if self._fresh is not None:
            self._take()
        if name != self._wanted:
            self._wanted = name
            self._orders.put(name)

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        self._last = picture
        if self._fresh is not None:
            self._take()
        return self._stylizer(picture)

    def status(self) -> dict[str, Any]:
        return {"shown": self.shown, "loading": self.loading, **self._stylizer.status()}

    def _take(self) -> None:
        with self._changed:
            assert self._fresh is not None
            self._old, self._stylizer, self._fresh = self._stylizer, self._fresh, None
            self.shown, self.loading = self.loading, ""
            self._changed.notify_all()

    def stop(self, patience: float) -> bool:
        """End the thread and free the look; False where a network that is being built takes longer than that."""
        self._stop.set()
        self._orders.close()
        with self._changed:
            self._changed.notify_all()
        if self._thread.ident is not None and not self._clock.join(self._thread, patience):
            return False
        self._stylizer.close()
        return True

    def _run(self) -> None:
        while not self._stop.is_set:
            name = self._orders.get(60.0)
            if name is not None:
                try:
                    self._change(name)
                except Exception as error:  # of closing the look before: the next change must work
                    self._say(f"the look before {name} could not be freed: {' '.join(str(error).split())}")

    def _change(self, name: str) -> None:
        """Load a look, wait until it is taken, and free the one before."""
        self.problem = ""
        self.loading = name if name != self.shown else ""
        if not self.loading or (fresh := self._ready(name)) is None:
            self.loading = ""
            return
        with self._changed:
            self._fresh = fresh
            self._clock.wait_for(self._changed, lambda: self._fresh is None or self._stop.is_set)
        if self._fresh is None:
            self._old.close()
        else:
            fresh.close()

    def _ready(self, name: str) -> LiveStylizer | None:
        fresh: LiveStylizer | None = None
        try:
            fresh = self._load(name)
            fresh(self._last)  # the first picture takes longest: not one that is waited for
            return fresh
        except Exception as error:  # a bad style must not end a call
            if fresh is not None:
                fresh.close()
            self.problem = f"the look {name} cannot be shown: {' '.join(str(error).split())}"
            self._say(self.problem)
            return None
