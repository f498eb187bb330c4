"""The training of the network that finds faces."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.torch import Network
from training import data, finder
from training.finder import SIDE, Photo, _pasted, _placed, batch, loss_of, map_of, measured, train
from vidstyle.errors import UsageError
from vidstyle.face_map import CELL, REACH, level_of
from vidstyle.paths import bundled_dir


def photo(seed: int, faces: int = 1) -> Photo:
    """Noise with a bright disc for a face, of which the mark is red in its middle."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 90, (200, 160, 3), np.uint8)
    y, x = np.mgrid[:200, :160]
    image[np.hypot(x - 80, y - 90) < 36] = (230, 200, 180)
    image[np.hypot(x - 80, y - 90) < 4] = (255, 0, 0)
    return Photo(image, np.array([[80, 90, 30]] * faces, np.float32).reshape(-1, 3))


PHOTOS = [photo(0), photo(1), photo(2, faces=0)]


def test_a_turned_head_is_measured_by_its_height() -> None:
    frontal = np.array([[-34, 0], [34, 0], [0, 38], [-25, 70], [25, 70]], float)
    assert measured(frontal) == (0.0, 35.0, pytest.approx(68.0))
    profile = frontal * (0.2, 1.0)
    assert measured(profile)[2] == pytest.approx(0.95 * 70)


@pytest.mark.parametrize("eyes", [9.0, 30.0, 80.0])
def test_a_face_lies_where_it_is_said_to_be(eyes: float) -> None:
    rng, seen = np.random.default_rng(3), 0
    for _ in range(12):
        picture = np.zeros((SIDE, SIDE, 3), np.uint8)
        matrix, faces = _placed(PHOTOS[0], eyes, rng)
        _pasted(picture, PHOTOS[0], matrix)
        assert faces[0, 2] == pytest.approx(eyes)
        red = picture[..., 0].astype(int) - picture[..., 1]
        if red.max() > 100:  # the mark is in the picture
            y, x = np.argwhere(red > 100).mean(0)
            assert np.hypot(x - faces[0, 0], y - faces[0, 1]) < 0.15 * eyes + 1
            seen += 1
    assert seen >= 5


def test_the_map_has_a_disc_for_each_face() -> None:
    there, level, weight = map_of(np.array([[128, 128, 60], [40, 40, 12]], np.float32))
    assert there.shape == (SIDE // CELL, SIDE // CELL)
    large = there[8:24, 8:24].sum() * CELL**2
    assert large == pytest.approx(np.pi * (REACH * 60) ** 2, rel=0.1)
    assert level[16, 16] == pytest.approx(level_of(60)) and level[5, 5] == pytest.approx(level_of(12))
    assert weight[5, 5] > weight[16, 16], "a small face counts as a large one"
    assert not map_of(np.zeros((0, 3), np.float32))[0].any()


def test_batches_are_drawn_by_seed_and_step() -> None:
    one, same, other = (list(batch(PHOTOS, 0, step, 2)) for step in (5, 5, 6))
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one[0], other[0])
    assert one[0].shape == (2, 3, SIDE, SIDE) and one[1].shape == (2, SIDE // CELL, SIDE // CELL)


def test_it_learns(one_thread: None) -> None:  # noqa: ARG001
    asked = list(batch(PHOTOS, 1, 0, 2))

    def after(steps: int) -> float:
        network: Network = train(PHOTOS, steps, 2, seed=0)
        with torch.no_grad():
            return float(loss_of(network, *asked)["presence"])

    assert after(12) < 0.8 * after(0)


def test_clips_need_a_detector(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = ["finder", "--photos", str(tmp_path), "--out", str(tmp_path / "f.safetensors"), "--clips", "a.mp4"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(UsageError, match="--detector"):
        finder.main()


def test_held_out_faces_are_measured(shared: Callable[[str], Path]) -> None:
    photos = finder.read(islice(data.photos(shared("photos"), training=False), 8))
    found = finder.measure(bundled_dir().parent / "faces.safetensors", photos)
    assert found["photos"] >= 7 and found["found"] == 1.0
    assert found["eye distance off by, half of them"] < 0.1
    assert found["and nine in ten"] < 0.25
