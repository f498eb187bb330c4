"""Upscaling keeps the detail that a look keeps, and brings none back that it left out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage

from vidstyle.live.upscale import apply_change, kept_share, shrunk


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """uint8 [480, 512, 3]."""
    image = cv2.imread(str(Path(skimage.__file__).parent / "data" / "astronaut.png"))
    assert image is not None
    return np.ascontiguousarray(image[:480, :, ::-1])


def upscaled(photo: np.ndarray, look: object, height: int = 320, width: int = 341) -> np.ndarray:
    small = shrunk(photo, height, width)
    return apply_change(photo, small, look(small))  # type: ignore[operator]


def detail(picture: np.ndarray) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())


@pytest.mark.parametrize("gain", [1.0, 0.5, 0.35])
def test_a_look_that_keeps_a_share_of_the_detail(photo: np.ndarray, gain: float) -> None:
    def look(picture: np.ndarray) -> np.ndarray:
        return np.rint(picture * gain + 90 * (1 - gain)).astype(np.uint8)

    found, wanted = upscaled(photo, look), look(photo)
    plain = cv2.resize(look(shrunk(photo, 320, 341)), (512, 480), interpolation=cv2.INTER_CUBIC)
    assert cv2.PSNR(found, wanted) > cv2.PSNR(plain, wanted) + 1.5
    assert 0.6 < detail(found) / detail(wanted) < 1.15 and detail(plain) < 0.6 * detail(wanted)


def test_a_look_that_leaves_all_detail_out_gets_none(photo: np.ndarray) -> None:
    def look(picture: np.ndarray) -> np.ndarray:
        smooth = cv2.GaussianBlur(picture, (0, 0), 12)
        return np.rint(smooth * 0.2 + 150).astype(np.uint8)

    found = upscaled(photo, look)
    assert detail(found) < 0.02 * detail(photo)
    whole_change = np.clip(
        photo.astype(int)
        + cv2.resize(look(shrunk(photo, 320, 341)).astype(np.int16), (512, 480))
        - cv2.resize(shrunk(photo, 320, 341).astype(np.int16), (512, 480)),
        0,
        255,
    )
    assert detail(whole_change.astype(np.uint8)) > 10 * detail(found)


def test_a_negative_and_a_steep_look_stay_in_range(photo: np.ndarray) -> None:
    small = shrunk(photo, 240, 256)
    for styled in (255 - small, np.where(small > 127, 255, 0).astype(np.uint8)):
        found = apply_change(photo, small, styled)
        assert found.dtype == np.uint8 and found.shape == photo.shape
        assert np.abs(found.astype(int) - cv2.resize(styled, (512, 480))).mean() < 12
        shares = kept_share(*(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in (small, styled)))
        assert shares.min() >= 0 and shares.max() <= 256


def test_a_flat_picture_takes_the_looks_colour() -> None:
    flat = np.full((90, 160, 3), (200, 30, 90), np.uint8)
    styled = np.full((45, 80, 3), (10, 20, 250), np.uint8)
    assert (apply_change(flat, flat[:45, :80], styled) == (10, 20, 250)).all()
    assert apply_change(flat, flat[:1, :1], styled[:1, :1]).shape == flat.shape


def test_shrinking_keeps_the_mean_and_the_right_size_itself(photo: np.ndarray) -> None:
    assert shrunk(photo, 480, 512) is photo
    for height, width in ((320, 341), (240, 256), (100, 107)):
        small = shrunk(photo, height, width)
        assert small.shape == (height, width, 3)
        np.testing.assert_allclose(small.mean((0, 1)), photo.mean((0, 1)), atol=1)
