"""Thumbnails of the page show the person, not a face too small to be drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidstyle.face_map import largest_face
from vidstyle.picture import read_picture
from vidstyle.ui import studio
from vidstyle.ui.studio import THUMB, THUMB_EYES, framed


@pytest.fixture
def scene() -> np.ndarray:
    """uint8 [720, 1280, 3] whose pixels say where they are: red by the column, green by the row."""
    y, x = np.mgrid[0:720, 0:1280]
    return np.stack([x * 255 // 1279, y * 255 // 719, np.full_like(x, 60)], -1).astype(np.uint8)


def place(picture: np.ndarray, row: int, column: int) -> tuple[float, float]:
    """Where a pixel of a thumbnail of ``scene`` comes from: (x, y)."""
    red, green, _ = picture[row, column].astype(float)
    return red / 255 * 1279, green / 255 * 719


def seen(monkeypatch: pytest.MonkeyPatch, *face: float) -> None:
    monkeypatch.setattr(studio, "largest_face", lambda _: face or None)


def test_without_a_face_all_of_a_picture_is_shown(scene: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch)
    assert framed(scene).shape == (180, 320, 3)
    assert place(framed(scene), -1, -1) == pytest.approx((1277, 717), abs=6)


def test_a_large_face_is_shown_with_all_around_it(scene: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    seen(monkeypatch, 640.0, 360.0, 230.0)
    assert place(framed(scene), 0, 0) == pytest.approx((2, 2), abs=6)


@pytest.mark.parametrize("at", [(640.0, 360.0), (30.0, 20.0), (1270.0, 700.0)])
def test_a_small_face_is_brought_near_within_the_picture(
    scene: np.ndarray, monkeypatch: pytest.MonkeyPatch, at: tuple[float, float]
) -> None:
    eyes = 80.0
    seen(monkeypatch, *at, eyes)
    picture = framed(scene)
    assert picture.shape == (180, 320, 3)
    left, top = place(picture, 0, 0)
    right, bottom = place(picture, -1, -1)
    assert eyes * THUMB / (right - left) == pytest.approx(THUMB_EYES, rel=0.05)
    assert left - 6 <= at[0] <= right + 6 and top - 6 <= at[1] <= bottom + 6
    if at == (640.0, 360.0):
        assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx(at, abs=8)


def test_a_face_in_a_crowd_is_not_brought_nearer_than_there_are_pixels(
    scene: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen(monkeypatch, 640.0, 360.0, 8.0)
    picture = framed(scene)
    assert place(picture, -1, -1)[0] - place(picture, 0, 0)[0] == pytest.approx(1280 / studio.ZOOM, rel=0.05)


def test_the_largest_of_two_real_faces_is_found(shared: Callable[[str], Path]) -> None:
    photo = read_picture(min(shared("photos").glob("london*/*.jpg"))).rgb
    whole = largest_face(photo)
    assert whole is not None
    x, y, eyes = whole
    canvas = np.full((720, 1280, 3), 110, np.uint8)
    corners = []
    for left, top, side in ((60, 120, 200), (700, 160, 400)):
        scale = side / max(photo.shape[:2])
        small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
        corners.append((left + x * scale, top + y * scale, eyes * scale))
    found = largest_face(canvas)
    assert found is not None
    assert found[:2] == pytest.approx(corners[1][:2], abs=0.6 * corners[1][2])
    assert found[2] == pytest.approx(corners[1][2], rel=0.3)


def test_no_face_is_found_where_none_is(scene: np.ndarray) -> None:
    assert largest_face(scene) is None
