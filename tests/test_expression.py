"""R_exp: labels from dense landmarks by their geometry, from pictures by their order; what it learns."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from training import expression
from training.expression import Bounds, Expression, Options
from training.gem import Geometry
from training.world import TrainingError

POINTS = np.array([[45, 55], [83, 55], [64, 75], [50, 93], [78, 93]], np.float32)


pytestmark = pytest.mark.usefixtures("one_thread")


def ellipse(at: tuple[float, float], width: float, height: float, count: int) -> np.ndarray:
    angle = np.arange(count) * 2 * np.pi / count
    return np.stack([at[0] + width / 2 * np.cos(angle), at[1] + height / 2 * np.sin(angle)], 1)


def dense(openness: tuple[float, float, float], count: int) -> np.ndarray:
    """[count, 2] landmarks of a face whose left eye, right eye and mouth have these heights over widths."""
    points = np.full((count, 2), 64.0)
    places = (((83, 55), 16), ((45, 55), 16), ((64, 93), 28))
    for part, (at, width), share in zip(expression.DENSE[count], places, openness, strict=True):
        points[list(part)] = ellipse(at, width, width * share, len(part))
    return points


@pytest.mark.parametrize("count", [68, 98])
def test_dense_labels_are_height_over_width_however_the_head_is_turned(count: int) -> None:
    wanted = (0.5, 0.2, 0.8)
    upright = dense(wanted, count)
    turned = upright @ cv2.getRotationMatrix2D((0, 0), 40, 1.3)[:, :2].T + 7
    found = expression.from_dense(np.stack([upright, turned]))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
    # Six points on an ellipse do not reach its top: the sine of 60 degrees.
    reach = {68: (np.sin(np.pi / 3), np.sin(np.pi / 3), 1.0), 98: (1.0, 1.0, 1.0)}[count]
    np.testing.assert_allclose(found[0], np.array(wanted) * reach, rtol=1e-6)
    with pytest.raises(TrainingError, match="68 or 98"):
        expression.from_dense(np.zeros((1, 106, 2)))


def face(left: float, right: float, mouth: float) -> np.ndarray:
    """uint8 [128, 128, 3]: dark ellipses on skin, as open as said."""
    image = np.full((128, 128, 3), 190, np.uint8)
    places = ((POINTS[1], 9, left), (POINTS[0], 9, right), ((POINTS[3] + POINTS[4]) / 2, 13, mouth))
    for at, width, share in places:
        centre, axes = (int(at[0] * 16), int(at[1] * 16)), (width * 16, int(width * share * 16))
        cv2.ellipse(image, centre, axes, 0, 0, 360, (50, 30, 30), -1, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(image, (0, 0), 1)


@pytest.mark.parametrize("head", range(3))
def test_labels_from_pictures_grow_with_what_is_open(head: int) -> None:
    rows = []
    for share in (0.1, 0.3, 0.5, 0.7):
        shares = [0.3, 0.3, 0.3]
        shares[head] = share
        rows.append(expression.from_picture(face(*shares), POINTS))
    found = np.stack(rows)
    assert (np.diff(found[:, head]) > 0.02).all()
    others = [i for i in range(3) if i != head]
    np.testing.assert_allclose(np.diff(found[:, others], axis=0), 0, atol=0.01)


def test_labels_from_pictures_follow_a_turned_head() -> None:
    image = face(0.5, 0.2, 0.4)
    turn = cv2.getRotationMatrix2D((64, 64), 25, 1.0)
    turned = cv2.warpAffine(image, turn, (128, 128), borderMode=cv2.BORDER_REPLICATE)
    points = POINTS @ turn[:, :2].T + turn[:, 2]
    np.testing.assert_allclose(
        expression.from_picture(turned, points), expression.from_picture(image, POINTS), atol=0.05
    )


def test_bounds_bring_a_set_to_zero_and_one() -> None:
    raw = np.random.default_rng(0).normal(0.3, 0.1, (500, 3))
    bounds = Bounds.of(raw)
    labels = bounds(raw)
    assert labels.min() == 0 and labels.max() == 1 and 0.01 < (labels[:, 0] == 0).mean() < 0.03
    np.testing.assert_allclose(bounds(np.array([bounds.low, bounds.high])), [[0] * 3, [1] * 3])


def test_a_mirrored_face_has_its_eyes_exchanged() -> None:
    labels = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    got = expression.mirrored(labels, torch.tensor([True, False]))
    assert got.tolist() == [pytest.approx([0.2, 0.1, 0.3]), pytest.approx([0.4, 0.5, 0.6])]


def crops(folder: Path, count: int = 48) -> Path:
    """Crops whose right eye, left eye and mouth are open at random."""
    rng = np.random.default_rng(0)
    faces = np.stack([face(*rng.uniform(0.1, 0.7, 3)) for _ in range(count)])
    folder.mkdir()
    np.save(folder / "faces.npy", faces)
    np.save(folder / "landmarks.npy", np.repeat(POINTS[None], count, 0))
    split = {"train": list(range(count)), "held": [], "names": [str(i) for i in range(count)]}
    (folder / "split.json").write_text(json.dumps(split))
    return folder


def test_dense_landmarks_beside_the_crops_are_used(tmp_path: Path) -> None:
    folder = crops(tmp_path / "crops", 3)
    guessed = expression.raw_labels(folder)
    np.save(folder / "dense.npy", np.stack([dense((0.5, 0.2, 0.8), 98)] * 3))
    np.testing.assert_allclose(expression.raw_labels(folder), [[0.5, 0.2, 0.8]] * 3, rtol=1e-6)
    assert guessed.shape == (3, 3) and guessed.std(0).min() > 0


def test_heads_are_in_the_open_interval_and_the_file_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, bounds = Expression().eval(), Bounds((0.1, 0.1, 0.2), (0.5, 0.5, 0.9))
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    expression._save(tmp_path / "e.safetensors", net, bounds, Options())
    again, found = expression.load(tmp_path / "e.safetensors", torch.device("cpu"))
    with torch.no_grad():
        torch.testing.assert_close(again(x), net(x))
        assert again(x).shape == (2, 3) and again(x).min() > 0 and again(x).max() < 1
    assert found == bounds and not any(value.requires_grad for value in again.parameters())
    (tmp_path / "no").write_bytes(b"no")
    with pytest.raises(TrainingError, match="no expression network"):
        expression.load(tmp_path / "no", torch.device("cpu"))


def test_pictures_of_another_size_are_seen_at_that_of_its_training(tmp_path: Path) -> None:
    """The texture network's are of 256 pixels where it learned on 128: on twice its size what it says is noise."""
    torch.manual_seed(0)
    expression._save(tmp_path / "e", Expression(32), Bounds((0.1,) * 3, (0.5,) * 3), Options(size=32))
    net, _ = expression.load(tmp_path / "e", torch.device("cpu"))
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    for times in (2, 3):
        torch.testing.assert_close(net(x.repeat_interleave(times, 2).repeat_interleave(times, 3)), net(x))


@pytest.mark.slow
def test_it_learns_how_open_eyes_and_mouth_are(tmp_path: Path) -> None:
    folder = crops(tmp_path / "crops", 96)
    options = Options(steps=400, batch=8, size=64, geometry=Geometry(turn=20.0), lr=1e-3)
    file = expression.train(tmp_path / "run", [folder], options)
    net, bounds = expression.load(file, torch.device("cpu"))
    rng = np.random.default_rng(7)
    fresh = [face(*rng.uniform(0.1, 0.7, 3)) for _ in range(48)]
    wanted = bounds(np.stack([expression.from_picture(image, POINTS) for image in fresh]))
    small = np.stack([cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA) for image in fresh])
    with torch.no_grad():
        found = net(torch.from_numpy(small).permute(0, 3, 1, 2).float() / 127.5 - 1).numpy()
    for head in range(3):
        assert np.corrcoef(found[:, head], wanted[:, head])[0, 1] > 0.8
