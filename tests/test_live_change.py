"""What changed between two pictures, on blocks, and the rectangle around it."""

from __future__ import annotations

import numpy as np
from still_scenes import backdrop, noisy, with_box

from vidstyle.live.change import Changes, Rect, bounds, differing, same, spread


def test_a_changed_byte_is_found_in_its_block() -> None:
    back = backdrop(48, 64)
    for row, column in [(0, 0), (15, 31), (16, 32), (47, 63)]:
        picture = back.copy()
        picture[row, column, 2] ^= 1
        mask = differing(picture, back, 16)
        assert mask.sum() == 1 and mask[row // 16, column // 16]
        assert not same(picture, back)
    assert same(back.copy(), back) and not differing(back, back.copy(), 16).any()
    assert same(back[:5, :7], back[:5, :7].copy()) and not same(back[:5, :7], back[1:6, :7])


def test_a_rectangle_holds_what_is_set_and_grows_within_the_picture() -> None:
    mask = np.zeros((20, 40), bool)
    mask[5, 5] = mask[7, 9] = True
    assert bounds(mask) == Rect(5, 5, 8, 10)
    assert bounds(mask).grown(6, 20, 40) == Rect(0, 0, 14, 16)
    assert Rect(0, 0, 2, 2).joined(Rect(4, 1, 5, 6)) == Rect(0, 0, 5, 6)
    assert Rect(0, 0, 5, 6).holds(Rect(4, 1, 5, 6)) and not Rect(4, 1, 5, 6).holds(Rect(0, 0, 5, 6))
    assert Rect(4, 1, 5, 6).within(Rect(2, 1, 9, 9)) == Rect(2, 0, 3, 5)


def test_spread_reaches_so_many_blocks() -> None:
    mask = np.zeros((9, 9), bool)
    mask[4, 1] = True
    expected = np.zeros((9, 9), bool)
    expected[2:7, 0:4] = True
    np.testing.assert_array_equal(spread(mask, 2), expected)


def test_noise_is_measured_and_only_what_moves_is_a_change() -> None:
    rng, back = np.random.default_rng(0), backdrop(160, 240)
    changes = Changes(16, None)

    changes.take(noisy(back, rng))
    for _ in range(10):
        picture = noisy(back, rng)
        found = changes.find(picture)
        if found.any():
            changes.take(picture, bounds(found))
    assert changes.noise >= 1 and not found.any()
    moved = changes.find(noisy(with_box(back, 64, 96, 1), rng))
    assert moved[4:6, 6:8].all() and bounds(moved).area <= 16
    assert Changes(16, 0.0).noise == 0


def test_clean_input_with_little_that_moves_has_no_noise() -> None:
    back, changes = backdrop(96, 96), Changes(16, None)
    changes.take(back)
    for seed in range(5):
        changes.find(with_box(back, 32, 32, seed))
    assert changes.noise == 0
