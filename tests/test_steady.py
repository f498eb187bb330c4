"""Flicker is evened out along the movement, cuts and uncovered places stay as they are."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from still_scenes import backdrop

from vidstyle.errors import UsageError
from vidstyle.steady import MOST, Steady, memory


def panned(count: int, step: int = 3) -> list[np.ndarray]:
    """A view of 160 x 240 that moves over a larger picture."""
    wide = cv2.GaussianBlur(backdrop(160, 240 + count * step), (0, 0), 1.5)
    return [np.ascontiguousarray(wide[:, i * step : i * step + 240]) for i in range(count)]


def flickering(pictures: list[np.ndarray], levels: float = 12.0) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    shifts = [cv2.resize(rng.normal(0, levels, (5, 7)), (240, 160))[..., None] for _ in pictures]
    return [(255 - p + s).clip(0, 255).round().astype(np.uint8) for p, s in zip(pictures, shifts, strict=True)]


def flicker(pictures: list[np.ndarray], step: int = 3) -> float:
    """Levels by which pictures differ from the ones before, in their place."""
    pairs = itertools.pairwise(pictures)
    return float(np.mean([np.abs(b[:, : -step or None].astype(int) - a[:, step:]).mean() for a, b in pairs]))


def test_flicker_is_evened_out_and_movement_stays_sharp() -> None:
    sources = panned(16)
    looks, steady = flickering(sources), Steady(0.6)
    found = [steady(source, look) for source, look in zip(sources, looks, strict=True)]
    assert flicker(found[4:]) < 0.6 * flicker(looks[4:])
    sharpness = [cv2.Laplacian(picture, cv2.CV_64F).var() for picture in (found[-1], 255 - sources[-1])]
    assert sharpness[0] > 0.7 * sharpness[1]


def test_a_cut_leaves_nothing_of_the_shot_before() -> None:
    one, other = panned(3)[-1], 255 - backdrop(160, 240, seed=5)
    steady = Steady(MOST)
    steady(one, one)
    np.testing.assert_array_equal(steady(other, other), other)


@pytest.mark.parametrize("size", [(2, 2), (1, 9), (11, 9)])
def test_the_smallest_pictures_are_steadied_too(size: tuple[int, int]) -> None:
    steady, flat = Steady(0.5), np.full((*size, 3), 100, np.uint8)
    steady(flat, flat)
    np.testing.assert_array_equal(steady(flat, flat + 40), flat + 20)


def test_what_appears_is_not_mixed_with_what_was_there() -> None:
    back = panned(1)[0]
    steady = Steady(0.7)
    steady(back, back)
    picture = back.copy()
    picture[60:100, 100:140] = 255 - picture[60:100, 100:140] // 8
    found = steady(picture, picture)
    assert np.abs(found[66:94, 106:134].astype(int) - picture[66:94, 106:134]).max() <= 3


def test_nothing_is_left_of_a_picture_after_its_memory() -> None:
    """Two beginnings, then the same: the rule by which parts of a video are joined."""
    sources = panned(1) * (memory(0.6) + 1)
    ends = []
    for first in (0, 255):
        steady = Steady(0.6)
        steady(sources[0], np.full_like(sources[0], first))
        ends.append([steady(source, source) for source in sources[1:]][-1])
    assert np.abs(ends[0].astype(int) - ends[1]).max() <= 2  # half a level, and rounding once each picture


def test_off_changes_nothing_and_wrong_amounts_are_refused() -> None:
    picture, steady = panned(1)[0], Steady(0)
    assert steady(picture, picture) is picture and steady(picture, 255 - picture)[0, 0, 0] == 255 - picture[0, 0, 0]
    assert memory(0) == 0 < memory(0.3) < memory(0.7)
    for amount in (-0.1, 0.9, float("nan")):
        with pytest.raises(UsageError, match="--steady"):
            Steady(amount)


def test_another_size_begins_anew() -> None:
    steady, picture = Steady(0.5), panned(1)[0]
    steady(picture, picture)
    half = np.ascontiguousarray(picture[::2, ::2])
    np.testing.assert_array_equal(steady(half, 255 - half), 255 - half)
    steady.reset()
    np.testing.assert_array_equal(steady(half, half), half)
