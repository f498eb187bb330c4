"""Geometry expansion: its ranges, and the same transform for a picture and its landmarks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from training import gem
from training.gem import Geometry, Transform
from training.world import TrainingError

pytestmark = pytest.mark.usefixtures("one_thread")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_scale_turn_and_flip_are_drawn_as_the_paper_says() -> None:
    drawn = gem.draw(20_000, Geometry(), rng())
    degrees = torch.rad2deg(drawn.angle)
    assert 0.8 <= drawn.scale.min() < 0.801 and 1.199 < drawn.scale.max() <= 1.2
    assert -90 <= degrees.min() < -89.9 and 89.9 < degrees.max() <= 90
    assert float(drawn.flip.float().mean()) == pytest.approx(0.5, abs=0.02)
    for values, low, high in ((drawn.scale, 0.8, 1.2), (degrees, -90, 90)):  # even, not bunched
        counts = torch.histc(values, 10, low, high) / len(values)
        assert (counts - 0.1).abs().max() < 0.01
        assert float(values.mean()) == pytest.approx((low + high) / 2, abs=0.02 * (high - low))
    together = torch.corrcoef(torch.stack([drawn.scale, drawn.angle, drawn.flip.float()]))
    assert (together - torch.eye(3)).abs().max() < 0.03


def test_other_ranges_are_taken() -> None:
    drawn = gem.draw(500, Geometry(scale=(1.0, 1.0), turn=10.0, flip=False), rng())
    assert (drawn.scale == 1).all() and not drawn.flip.any() and torch.rad2deg(drawn.angle).abs().max() <= 10
    assert len(drawn[3:8].scale) == 5


def dots(points: np.ndarray, side: int) -> torch.Tensor:
    """[1, 3, side, side]: a soft dot at each point."""
    y, x = np.mgrid[:side, :side]
    image = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / 3) for px, py in points)
    return torch.from_numpy(np.repeat(image[None, None], 3, 1)).float() * 1.8 - 0.9


def middle_of(image: np.ndarray, near: np.ndarray) -> np.ndarray:
    """The centre of brightness within 4 pixels."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    weight = np.maximum(image + 0.9, 0) * (np.hypot(x - near[0], y - near[1]) < 4)
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("seed", range(6))
def test_picture_and_landmarks_go_the_same_way(seed: int) -> None:
    points = np.array([[24, 26], [42, 27], [33, 36], [26, 43], [41, 44]], np.float64)
    drawn = gem.draw(1, Geometry(), rng(seed))
    image = gem.apply(dots(points, 64), drawn)[0, 0].numpy()
    moved = gem.move(torch.from_numpy(points)[None], drawn, 64)[0].numpy()
    inside = (moved > 6).all(1) & (moved < 57).all(1)
    assert inside.sum() >= 3
    for point in moved[inside]:
        np.testing.assert_allclose(middle_of(image, point), point, atol=0.15)


def test_in_a_mirrored_picture_the_right_eye_is_still_the_first() -> None:
    points = torch.tensor([[[20.0, 20], [40, 20], [30, 30], [22, 40], [38, 40]]])
    mirror = Transform(torch.ones(1), torch.zeros(1), torch.tensor([True]))
    moved = gem.move(points, mirror, 64)
    torch.testing.assert_close(moved[0, 0], torch.tensor([63.0 - 40, 20]))
    assert moved[0, 0, 0] < moved[0, 1, 0] and moved[0, 3, 0] < moved[0, 4, 0]
    torch.testing.assert_close(gem.move(points[:, :3], mirror, 64)[0, 0], torch.tensor([43.0, 20]))  # any others stay


def test_quarter_turns_and_mirrors_move_whole_pixels() -> None:
    x = torch.rand(1, 3, 16, 16, generator=rng()) * 1.8 - 0.9
    for quarter in range(-1, 2):
        for flip in (False, True):
            drawn = Transform(torch.ones(1), torch.tensor([quarter * math.pi / 2]), torch.tensor([flip]))
            want = torch.rot90(x.flip(3) if flip else x, -quarter, (2, 3))
            torch.testing.assert_close(gem.apply(x, drawn), want, rtol=0, atol=2e-5)


def test_what_is_left_empty_is_mirrored_or_white() -> None:
    x = torch.full((1, 3, 20, 20), -0.5)
    drawn = Transform(torch.tensor([0.8]), torch.tensor([0.5]), torch.tensor([False]))
    torch.testing.assert_close(gem.apply(x, drawn), x)
    white = gem.apply(x, Transform(drawn.scale, drawn.angle, drawn.flip, "white"))
    assert white[0, 0, 0, 0] == 1 and white[0, 0, 10, 10] == pytest.approx(-0.5)
    with pytest.raises(TrainingError, match="reflection or white"):
        Geometry(border="black")


def test_a_batch_is_its_pictures_one_by_one() -> None:
    x = torch.rand(4, 3, 24, 24, generator=rng()) * 2 - 1
    drawn = gem.draw(4, Geometry(), rng(1))
    whole = gem.apply(x, drawn)
    for n in range(4):
        torch.testing.assert_close(gem.apply(x[n : n + 1], drawn[n : n + 1]), whole[n : n + 1])
    assert whole.abs().max() <= 1
