"""The rectangle of a picture that changes, followed so that its size seldom does."""

from __future__ import annotations

from vidstyle.live.change import Rect

PERIOD = 90  # pictures after which a rectangle is cut down to what changed in them
SLACK = 1  # blocks around what changed, where the rectangle before was too small: more is likely to come
SMALLER = 0.9  # of the area: a rectangle that is not smaller than that is not worth a new size
TORN = 2.0  # times the area: what changed before is forgotten where both together would be larger than that


class Area:
    """Follows what changes, in a picture of ``rows`` x ``columns`` blocks."""

    def __init__(self, rows: int, columns: int) -> None:
        self._size = rows, columns
        self._rect: Rect | None = None
        self._recent: Rect | None = None  # all that changed in this period
        self._count = 0

    def follow(self, changed: Rect) -> Rect:
        """A rectangle that holds ``changed``: the one before if it does, and is not much too large."""
        recent = changed.joined(self._recent) if self._recent is not None else changed
        self._recent = changed if recent.area > TORN * changed.grown(SLACK, *self._size).area else recent
        self._count += 1
        if self._rect is None or not self._rect.holds(changed):
            self._rect, self._count = self._recent.grown(SLACK, *self._size), 0
        elif self._count >= PERIOD:
            self._rect = self._recent if self._recent.area <= SMALLER * self._rect.area else self._rect
            self._recent, self._count = changed, 0
        return self._rect

    def forget(self) -> None:
        """Begin anew: after a picture that changed all over."""
        self._rect = self._recent = None
