"""The colours that an unpaired training holds faces to: the exemplars' by place, with a person's own differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training import tones
from training.portraits import Faces

POINTS = np.array([[96, 121], [160, 121], [128, 150], [104, 175], [152, 175]], np.float32)


def flat(colours: list[tuple[int, int, int]], side: int = 64) -> Faces:
    """Portraits of one colour each."""
    faces = np.stack([np.full((side, side, 3), colour, np.uint8) for colour in colours])
    return Faces(faces, np.repeat(POINTS[None] * (side / 256), len(faces), 0), [str(i) for i in range(len(faces))])


def levels(colours: torch.Tensor) -> np.ndarray:
    """[N, 3]: the mean colour in levels."""
    return ((colours[:, :3].mean((2, 3)) + 1) * 127.5).numpy()


def test_the_mean_is_the_exemplars_and_the_order_the_photos() -> None:
    photos = flat([(100, 90, 80), (140, 130, 120), (180, 170, 160)])
    exemplars = flat([(170, 110, 60), (190, 130, 80), (210, 150, 100)])
    found = levels(tones.wanted(photos, exemplars))
    assert found.mean(0) == pytest.approx([190, 130, 80], abs=1)
    assert found[:, 0] == pytest.approx([170, 190, 210], abs=1), "half the spread, as the exemplars have"


def test_people_differ_at_least_a_little_and_not_much_more_than_before() -> None:
    photos, same = flat([(100, 100, 100), (140, 140, 140)]), flat([(120, 120, 120)] * 2)
    low, high = (factor * 40 for factor in tones.SPREAD)
    assert np.ptp(levels(tones.wanted(photos, same))[:, 0]) == pytest.approx(low, abs=0.5)
    apart = flat([(20, 20, 20), (220, 220, 220)])
    assert np.ptp(levels(tones.wanted(photos, apart))[:, 0]) == pytest.approx(high, abs=0.5)


def test_only_the_face_counts_and_it_goes_through_the_same_transform() -> None:
    colours = tones.wanted(flat([(100, 100, 100)] * 2), flat([(200, 100, 50)] * 2))
    large = tones.enlarged(colours, 64)
    right = torch.tensor([200, 100, 50]).view(1, 3, 1, 1).expand(2, 3, 64, 64) / 127.5 - 1
    assert float(tones.tones_loss(right, large)) == pytest.approx(0, abs=1e-3)
    beside, inside = right.clone(), right.clone()
    beside[..., :8, :] = -1  # above the hair
    inside[..., 32:40, 28:36] = -1  # the nose
    assert float(tones.tones_loss(beside, large)) == pytest.approx(0, abs=1e-3)
    assert float(tones.tones_loss(inside, large)) > 0.01
    turned = torch.rot90(large, 1, (2, 3))
    assert float(tones.tones_loss(torch.rot90(inside, 1, (2, 3)), turned)) > 0.01
