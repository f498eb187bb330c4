"""Held-out people: one who was trained on, under another name, is found."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from training import people
from training.data import held_out

POINTS = np.array([[70, 90], [130, 90], [100, 125], [76, 155], [124, 155]], np.float64)


def portrait(seed: int, points: np.ndarray = POINTS, light: float = 0.0) -> np.ndarray:
    """uint8 [220, 200, 3]: features of a person's own drawn by their seed, lit from one side by ``light``."""
    rng = np.random.default_rng(seed)
    image = np.full((220, 200, 3), 150.0)
    for point in points:
        for _ in range(6):
            x, y = point + rng.normal(0, 10, 2)
            cv2.circle(image, (int(x), int(y)), int(rng.integers(2, 8)), (float(rng.uniform(20, 230)),) * 3, -1)
    image += light * np.linspace(-1, 1, 200)[None, :, None] + np.random.default_rng(seed + 99).normal(0, 2, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def test_one_person_is_more_like_themselves_than_like_others() -> None:
    first = people.likeness(portrait(1), POINTS)
    smaller = cv2.resize(portrait(1, light=40.0), None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    assert first @ people.likeness(smaller, POINTS * 0.7) > people.ALIKE
    assert all(first @ people.likeness(portrait(seed), POINTS) < people.ALIKE for seed in range(2, 12))


def test_who_was_trained_on_is_not_measured_under_another_name(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(400)]
    held = [name for name in names if held_out(name)][:3]
    trained = [name for name in names if not held_out(name)][:3]
    row = [60, 60, 80, 110, *POINTS.ravel().tolist(), 1.0]
    (tmp_path / "faces.json").write_text(json.dumps({name: [row] for name in (*held, *trained)}))
    for name, seed in zip((*held, *trained), (1, 2, 3, 4, 2, 5), strict=True):  # person 2 is on both sides
        cv2.imwrite(str(tmp_path / name), portrait(seed, light=10.0 * (name in held)))
    found = people.strangers(tmp_path)
    wanted = [portrait(seed, light=10.0) for seed in (1, 3)]
    found = sorted(found, key=lambda pair: pair[0].mean())
    wanted = sorted(wanted, key=lambda image: image.mean())
    assert len(found) == 2
    assert all(np.array_equal(image[..., ::-1], mine) for (image, _), mine in zip(found, wanted, strict=True))
    assert all(np.array_equal(points, POINTS) for _, points in found)
