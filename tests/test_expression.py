"""R_exp: labels from dense landmarks by their geometry; where it looks; what it learns."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from faces import POINTS, dense_points, write_crops

from training import expression, gem, openness
from training.expression import Expression, Options
from training.gem import Geometry, Transform
from training.openness import Bounds
from training.world import TrainingError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("count", [68, 98, 468])
def test_dense_labels_are_height_over_width_however_the_head_is_turned(count: int) -> None:
    wanted = (0.5, 0.2, 0.8)
    upright = dense_points(wanted, count)
    turned = upright @ cv2.getRotationMatrix2D((0, 0), 40, 1.3)[:, :2].T + 7
    found = openness.from_dense(np.stack([upright, turned]))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
    # Six points on an ellipse do not reach its top: the sine of 60 degrees.
    reach = (np.sin(np.pi / 3), np.sin(np.pi / 3), 1.0) if count == 68 else (1.0, 1.0, 1.0)
    np.testing.assert_allclose(found[0], np.array(wanted) * reach, rtol=1e-6)
    with pytest.raises(TrainingError, match="68, 98, 468 a face, got 106"):
        openness.from_dense(np.zeros((1, 106, 2)))


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


def face(openness: tuple[float, float, float], side: int = 64) -> np.ndarray:
    """uint8 [side, side, 3]: dark ellipses on skin, as open as said: left eye, right eye, mouth."""
    image = np.full((256, 256, 3), 190, np.uint8)
    places = ((POINTS[1], 18), (POINTS[0], 18), (POINTS[3:].mean(0), 26))
    for (at, width), share in zip(places, openness, strict=True):
        centre, axes = (int(at[0] * 16), int(at[1] * 16)), (width * 16, int(width * share * 16))
        cv2.ellipse(image, centre, axes, 0, 0, 360, (50, 30, 30), -1, cv2.LINE_AA, 4)
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


def crops(folder: Path, count: int) -> Path:
    """Faces as open as their landmarks say, at random."""
    shares = np.random.default_rng(0).uniform(0.1, 0.7, (count, 3))
    write_crops(folder, np.stack([face(tuple(row)) for row in shares]), held=8)
    np.save(folder / "dense.npy", np.stack([dense_points(tuple(row), side=64) for row in shares]))
    return folder


def test_faces_without_landmarks_are_not_learned_from(tmp_path: Path) -> None:
    folder = crops(tmp_path / "crops", 12)
    dense = np.load(folder / "dense.npy")
    dense[1] = np.nan
    np.save(folder / "dense.npy", dense)
    seen, raw = openness.Seen.of(folder, 32), openness.raw_labels(folder)
    assert len(seen.faces) == 3 and len(raw) == 4 and np.isnan(raw[1]).all()
    np.testing.assert_allclose(seen.raw, raw[[0, 2, 3]])
    np.testing.assert_allclose(seen.places[0], np.array([POINTS[1], POINTS[0], POINTS[3:].mean(0)]) / 8)


@pytest.mark.parametrize("harm", ["none", "short", "cut"])
def test_without_landmarks_it_is_said_how_to_make_them(tmp_path: Path, harm: str) -> None:
    folder = crops(tmp_path / "crops", 12)
    file = folder / "dense.npy"
    if harm == "none":
        file.unlink()
    elif harm == "short":
        np.save(file, np.load(file)[:2])
    else:
        file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(TrainingError, match=r"python -m training\.landmarks"):
        expression.train(tmp_path / "run", [folder], Options(steps=1, batch=2, size=32))


def test_where_the_components_are_is_least_loss_when_the_heads_look_there() -> None:
    places = torch.tensor([[[40.0, 20.0], [24.0, 20.0], [32.0, 44.0]]])
    y, x = (torch.arange(8) + 0.5) * 8 - 0.5, (torch.arange(8) + 0.5) * 8 - 0.5
    losses = []
    for moved in (0.0, 8.0, 24.0):
        away = (x[None, :] - places[..., 0, None, None] - moved) ** 2 + (y[:, None] - places[..., 1, None, None]) ** 2
        shares = (-away / (2 * (expression.PLACE * 64) ** 2)).flatten(2).log_softmax(-1).unflatten(-1, (8, 8))
        losses.append(float(expression.place_loss(shares, places, 64)))
    assert losses[0] < losses[1] < losses[2]


def test_places_go_with_the_picture_through_t_geo() -> None:
    """A bright spot at a component is where the moved place says, mirrored and turned."""
    places = torch.tensor([[[40.0, 20.0], [24.0, 20.0], [32.0, 44.0]]])
    transform = Transform(torch.tensor([1.1]), torch.tensor([0.7]), torch.tensor([True]))
    moved = expression.mirrored(gem.move(places, transform, 64), transform.flip)
    for head, source in enumerate((1, 0, 2)):  # in a mirrored picture the left eye is the right one
        spot = torch.zeros(1, 3, 64, 64)
        spot[..., int(places[0, source, 1]), int(places[0, source, 0])] = 1
        at = int(gem.apply(spot * 2 - 1, transform)[0, 0].detach().argmax())
        assert np.hypot(at % 64 - float(moved[0, head, 0]), at // 64 - float(moved[0, head, 1])) < 1.5


def test_it_learns_how_open_eyes_and_mouth_are(tmp_path: Path) -> None:
    options = Options(steps=240, batch=8, size=32, geometry=Geometry(turn=20.0))
    file = expression.train(tmp_path / "run", [crops(tmp_path / "crops", 200)], options)
    net, bounds = expression.load(file, torch.device("cpu"))
    shares = np.random.default_rng(7).uniform(0.1, 0.7, (48, 3))
    fresh = np.stack([face(tuple(row), 32) for row in shares])
    with torch.no_grad():
        found = net(torch.from_numpy(fresh).permute(0, 3, 1, 2).float() / 127.5 - 1).numpy()
    for head in range(3):
        assert np.corrcoef(found[:, head], bounds(shares)[:, head])[0, 1] > 0.8
