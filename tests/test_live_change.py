"""What changed between two pictures, on blocks, and the rectangles around it."""

from __future__ import annotations

import numpy as np
from still_scenes import backdrop, noisy, with_box

from vidstyle.live.change import Changes, Rect, bounds, differing, filled, rectangles, same, spread


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


def test_rectangles_hold_all_that_is_set_and_are_cut_where_that_pays() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = rng.random((12, 20)) < rng.choice([0.01, 0.05, 0.3])
        found = rectangles(mask, 1)
        covered = np.zeros(mask.shape, int)
        for rect in found:
            covered[rect.slices] += 1
        assert (covered[mask] == 1).all() and covered.max(initial=0) <= 1 and len(found) <= 3
        np.testing.assert_array_equal(filled(mask) | mask, filled(mask))
    corners = np.zeros((20, 40), bool)
    corners[:2, :2] = corners[-2:, -2:] = True
    assert sorted(rectangles(corners, 2)) == [Rect(0, 0, 2, 2), Rect(18, 38, 20, 40)]
    near = np.zeros((20, 40), bool)
    near[5, 5] = near[5, 9] = True
    assert rectangles(near, 4) == [Rect(5, 5, 6, 10)] == [bounds(near)]


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
        changes.take(picture, found)
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
