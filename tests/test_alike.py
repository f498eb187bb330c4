"""Pairs whose drawing does not lie on its photo: found, named, and left out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from faces import draw_face

from training import paired
from training.alike import fault
from vidstyle import stylize
from vidstyle.picture import read_picture

LEAST = paired.Options().alike


def scene(seed: int) -> np.ndarray:
    """A face in front of things, uint8 [320, 480, 3]."""
    rng = np.random.default_rng(seed)
    picture = np.full((320, 480, 3), 90, np.uint8)
    for _ in range(14):
        x, y = rng.integers(0, 440), rng.integers(0, 280)
        picture[y : y + rng.integers(20, 60), x : x + rng.integers(20, 60)] = rng.integers(0, 255, 3)
    picture[40:296, 100:356] = draw_face(seed)
    return picture


def drawing_of(picture: np.ndarray) -> np.ndarray:
    """Other colours, flat, with lines, at another size: what a look makes of it."""
    flat = 255 - cv2.pyrMeanShiftFiltering(picture, 7, 20) // 2
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    lines = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 9, 6)
    return cv2.resize(np.minimum(flat, lines[..., None]), None, fx=1.7, fy=1.7)


def moved(picture: np.ndarray, right: float, down: float) -> np.ndarray:
    height, width = picture.shape[:2]
    by = np.float32([[1, 0, right * width], [0, 1, down * height]])
    return cv2.warpAffine(picture, by, (width, height), borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize("seed", range(4))
def test_a_drawing_that_lies_askew_is_told_how(seed: int) -> None:
    photo = scene(seed)
    drawn = drawing_of(photo)
    assert fault(photo, drawn, LEAST) == ""
    assert fault(photo, drawn[:, ::-1], LEAST) == "is mirrored"
    assert fault(photo, drawn[::-1, ::-1], LEAST) == "is upside down"
    assert fault(photo, drawn[::-1], LEAST) == "is upside down and mirrored"
    right, left = (fault(photo, moved(drawn, by, 0.05), LEAST) for by in (0.04, -0.04))
    assert re.fullmatch(r"lies [345]% to the right and [456]% lower: expected the same framing", right)
    assert re.fullmatch(r"lies [345]% to the left and [456]% lower: expected the same framing", left)
    assert fault(photo, moved(drawn, 0.004, 0), LEAST) == ""
    other = drawing_of(scene(seed + 50)[:, ::-1])
    assert fault(photo, other, 0.7).startswith("shows something else (their edges agree by ")


def test_of_flat_pictures_nothing_is_said() -> None:
    flat = np.full((200, 300, 3), 70, np.uint8)
    assert fault(flat, scene(0)[:200, :300], LEAST) == "" == fault(scene(0)[:200, :300], flat, LEAST)


def test_published_looks_lie_on_their_photos(shared: Callable[[str], Path]) -> None:
    """What redraws faces most, anime, must not be refused, nor its mirror image taken."""
    photos = sorted(shared("photos").glob("*/*.jpg"))
    for path in photos[:: len(photos) // 6]:
        photo = read_picture(path).rgb
        drawn = stylize(photo, style="anime")
        assert fault(photo, drawn, LEAST) == "", path
        assert fault(photo, np.ascontiguousarray(drawn[:, ::-1]), LEAST) == "is mirrored", path
