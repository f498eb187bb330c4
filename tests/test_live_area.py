"""The rectangle around what changes: large enough always, changed seldom, tight in the end."""

from __future__ import annotations

import numpy as np

from vidstyle.live.area import PERIOD, Area
from vidstyle.live.change import Rect


def test_it_holds_what_changes_and_settles() -> None:
    """Something of 4 x 5 blocks sways by some blocks: after a period the rectangle stays as it is, and is tight."""
    area, rng, rects = Area(45, 80), np.random.default_rng(0), []
    for _ in range(4 * PERIOD):
        top, left = 20 + int(rng.integers(3)), 30 + int(rng.integers(4))
        changed = Rect(top, left, top + 4, left + 5)
        rects.append(area.follow(changed))
        assert rects[-1].holds(changed)
    assert len(set(rects)) < 8
    assert set(rects[2 * PERIOD :]) == {Rect(20, 30, 26, 38)}


def test_what_moves_away_is_followed() -> None:
    area = Area(45, 80)
    assert area.follow(Rect(20, 10, 24, 14)) == Rect(19, 9, 25, 15)
    assert area.follow(Rect(20, 12, 24, 16)) == Rect(19, 9, 25, 17)  # both: it may go back
    assert area.follow(Rect(2, 70, 6, 74)) == Rect(1, 69, 7, 75)  # far away: what was before is forgotten
    area.forget()
    assert area.follow(Rect(0, 0, 2, 2)) == Rect(0, 0, 3, 3)


def test_what_was_needed_once_is_given_up_after_a_while() -> None:
    area = Area(45, 80)
    area.follow(Rect(10, 10, 20, 30))
    rects = [area.follow(Rect(10, 10, 14, 20)) for _ in range(2 * PERIOD)]
    assert rects[0] == Rect(9, 9, 21, 31) and rects[-1] == Rect(10, 10, 14, 20)
