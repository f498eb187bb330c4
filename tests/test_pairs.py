"""The pair maker and the open looks: geometry against the points given, content kept, the same by seed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from faces import POINTS, draw_face, drawn_as, write_crops

from training import open_looks, pairs, portraits
from training.analogies import Maker, Pieces
from training.measures import identity
from training.pairs import Options, load, train, write
from training.warps import oval, warp_to
from vidstyle.errors import SourceError

SIDE = 64
SMALL = Options(count=5, side=SIDE, pieces=Pieces(exemplars=4, reach=8))


@pytest.mark.parametrize("side", [16, 63, 65])
def test_a_face_of_any_size_is_bent(side: int) -> None:
    """Of a side that is no multiple of four the bend could not be computed."""
    face, points = draw_face(1, side), POINTS * (side / 256)
    assert np.array_equal(warp_to(face, points, points), face)
    bent = warp_to(face, points, points + 0.05 * side)
    assert bent.shape == face.shape and not np.array_equal(bent, face)


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of photos, and of exemplars that show other faces in another look."""
    root = tmp_path_factory.mktemp("crops")
    photos = np.stack([draw_face(seed, SIDE) for seed in range(10)])
    looks = np.stack([drawn_as(draw_face(100 + seed, SIDE)) for seed in range(14)])
    return write_crops(root / "photos", photos), write_crops(root / "exemplars", looks)


def spot(image: np.ndarray) -> np.ndarray:
    """Where the white spot's middle is (x, y)."""
    ys, xs = np.nonzero(image[..., 0] > 100)
    return np.array([xs.mean(), ys.mean()])


def test_a_warp_moves_points_to_where_they_are_wanted_and_leaves_the_border() -> None:
    points = POINTS / 2
    wanted = points + np.random.default_rng(0).normal(0, 4, points.shape)
    for index in range(5):
        image = np.zeros((128, 128, 3), np.uint8)
        cv2.circle(image, tuple(np.round(points[index]).astype(int).tolist()), 3, (255, 255, 255), -1)
        moved = spot(warp_to(image, points, wanted)) - np.round(points[index]) + points[index]
        np.testing.assert_allclose(moved, wanted[index], atol=1.2)
    frame = draw_face(0, 128)
    bent = warp_to(frame, points, wanted)
    for corner in (slice(0, 2), slice(-2, None)):
        assert np.abs(bent[corner, corner].astype(int) - frame[corner, corner]).max() < 30
    assert np.abs(warp_to(frame, points, points).astype(int) - frame).max() <= 1


def test_shards_are_written_whole_and_read_in_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    source, target = rng.integers(0, 256, (2, 6, 8, 8, 3), np.uint8)
    points = rng.normal(0, 1, (6, 5, 2)).astype(np.float32)
    write(tmp_path, 1, source[4:], target[4:], points[4:])
    write(tmp_path, 0, source[:4], target[:4], points[:4], points[:4] + 1)
    (tmp_path / "pairs-00002.part").write_bytes(b"half")
    found = load(tmp_path)
    np.testing.assert_array_equal(found.source, source)
    np.testing.assert_array_equal(found.target, target)
    np.testing.assert_array_equal(found.target_landmarks, np.concatenate([points[:4] + 1, points[4:]]))
    assert len(load(tmp_path, 3).source) == 3
    with pytest.raises(SourceError, match="no pairs"):
        load(tmp_path / "none")


def test_a_run_that_was_stopped_equals_a_straight_one(
    crops: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "SHARD", 2)

    class StopHere(BaseException): ...

    def stop(done: int, _of: int, _figures: dict[str, float]) -> None:
        if done == 3:
            raise StopHere

    train(tmp_path / "straight", *crops, SMALL)
    with pytest.raises(StopHere):
        train(tmp_path / "stopped", *crops, SMALL, stop)
    assert len(pairs.shards(tmp_path / "stopped")) == 1
    train(tmp_path / "stopped", *crops, SMALL)
    one, two = load(tmp_path / "straight"), load(tmp_path / "stopped")
    assert len(one.source) == 5
    for name in ("source", "target", "landmarks", "target_landmarks"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert cv2.imread(str(tmp_path / "straight" / "sheet.png")) is not None


def test_a_drawing_has_the_looks_texture_and_the_photos_content(crops: tuple[Path, Path]) -> None:
    photos, exemplars = (portraits.load(folder, "train", SIDE) for folder in crops)
    maker = Maker(photos, exemplars, SMALL.pieces)
    made = [
        maker.draw(np.ascontiguousarray(face), points)
        for face, points in zip(photos.faces, photos.landmarks, strict=True)
    ]
    drawings = np.stack([drawing for drawing, _ in made])
    who = identity(np.ascontiguousarray(photos.faces), drawings)
    assert who["ID first (layout)"] > 0.8 and who["ID same (layout)"] > who["ID other (layout)"] + 0.1
    noise = [np.abs(cv2.Laplacian(x.astype(np.float32), cv2.CV_32F)).mean() for x in (photos.faces[0], drawings[0])]
    assert noise[1] < 0.9 * noise[0]  # the flat tones of the look, not the photo's grain
    shift = exemplars.landmarks.mean(0) - photos.landmarks.mean(0)
    for (_, points), before in zip(made, photos.landmarks, strict=True):
        np.testing.assert_allclose(points, before + shift, atol=1e-4)


def test_larger_eyes_and_a_smaller_chin_are_seen_in_the_average_faces() -> None:
    """Exemplars of other people with eyes 1.4 times as large: a photo's eyes are drawn larger."""
    points = np.repeat((POINTS / 2)[None], 24, 0)

    def domain(first: int, eyes: float) -> portraits.Faces:
        faces = [draw_face(first + seed, 128) for seed in range(24)]
        bent = [open_looks.features_warped(face, POINTS / 2, eyes, 1.0) for face in faces]
        return portraits.Faces(np.stack(bent), points, [""] * 24)

    photos, looks = domain(0, 1.0), domain(100, 1.4)
    flow = Maker(photos, looks, Pieces())._flow
    left, right = (flow[60, x, 0] for x in (41, 56))  # either side of an eye whose middle is at 48
    assert 6 < right - left < 14  # of the photo's 15 pixels: it is enlarged
    same = Maker(photos, domain(200, 1.0), Pieces())._flow
    assert abs(same[60, 56, 0] - same[60, 41, 0] - 15) < 1


def test_photos_are_varied_with_their_points(crops: tuple[Path, Path]) -> None:
    faces = portraits.load(crops[0], "train", SIDE)
    still = Options(side=SIDE, varied=0.0, morphed=0.0)
    image, points = pairs.varied(faces, 0, still, np.random.default_rng(0))
    np.testing.assert_array_equal(image, faces.faces[0])
    np.testing.assert_array_equal(points, faces.landmarks[0])
    mixed, middle = pairs.varied(faces, 0, Options(side=SIDE, varied=0.0, morphed=1.0), np.random.default_rng(1))
    gap = np.abs(mixed.astype(float) - faces.faces[0]).mean(-1)
    mask = oval(middle, SIDE) > 0.9
    assert gap[mask].mean() > 2 * gap[:4].mean()  # the other person is in the face, not in the background
    assert any(np.allclose(middle, (faces.landmarks[0] + other) / 2, atol=1e-3) for other in faces.landmarks[1:])


@pytest.mark.parametrize("look", open_looks.LOOKS)
def test_open_looks_are_the_same_by_seed_and_bend_the_eyes(look: str) -> None:
    face, points = draw_face(0, open_looks.SIDE), POINTS * 2
    draw = open_looks.LOOKS[look]
    one, two = (draw(face, [points], np.random.default_rng([7, 1])) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.shape == face.shape and one.dtype == np.uint8
    assert not np.array_equal(one, draw(face, [points], np.random.default_rng([7, 2])))
    assert np.abs(one.astype(float) - face).mean() > 8  # it is a look


def test_eyes_grow_by_the_factor_asked_for() -> None:
    image = np.zeros((256, 256, 3), np.uint8)
    for x, y in POINTS[:2]:
        cv2.circle(image, (int(x), int(y)), 6, (255, 255, 255), -1)
    before = (image[..., 0] > 127).sum()
    after = (open_looks.features_warped(image, POINTS, eyes=1.4, chin=1.0)[..., 0] > 127).sum()
    assert after / before == pytest.approx(1.4**2, rel=0.12)


def test_a_smaller_chin_is_narrower_below_the_mouth_alone() -> None:
    image = np.zeros((256, 256, 3), np.uint8)
    image[:, 88:168] = 255
    widths = (open_looks.features_warped(image, POINTS, eyes=1.0, chin=0.8)[..., 0] > 127).sum(1)
    assert widths[225] < 72 and abs(int(widths[100]) - 80) <= 1


def test_a_portrait_under_a_tinted_lamp_is_drawn_as_under_a_white_one() -> None:
    face = draw_face(0)
    grey = np.where(_behind(face), np.uint8(190), face)
    tinted = (grey * np.array([1.0, 0.84, 0.95])).astype(np.uint8)
    mended = open_looks.neutral(tinted).astype(float)
    assert np.ptp(np.median(mended[_behind(face)[..., 0]], axis=0)) < 2  # the backdrop is grey again
    skin = ~_behind(face)[..., 0]
    ratios = mended[skin].mean(0) / tinted[skin].mean(0)
    assert ratios[1] / ratios[0] == pytest.approx(1 / 0.84, rel=0.04)  # and the person is lit as it is
    gap = np.abs(open_looks.neutral(grey).astype(float) - grey)
    assert gap.max() <= 1


@pytest.mark.parametrize("backdrop", [(40, 70, 190), (20, 16, 18)])
def test_a_coloured_or_dark_backdrop_tells_nothing_of_the_lamp(backdrop: tuple[int, int, int]) -> None:
    face = draw_face(0)
    face = np.where(_behind(face), np.uint8(backdrop), face)
    np.testing.assert_array_equal(open_looks.neutral(face), face)


def test_hair_that_reaches_the_border_is_no_lamp() -> None:
    face = np.where(_behind(draw_face(0)), np.uint8(200), draw_face(0))
    face[:, :50] = face[:, -50:] = (150, 115, 95)  # more than half of it
    assert np.abs(open_looks.neutral(face).astype(float) - face).max() <= 1


def _behind(face: np.ndarray) -> np.ndarray:
    """bool [H, W, 1]: the outer frame of a portrait, where no face is."""
    behind = np.ones((*face.shape[:2], 1), bool)
    behind[24:, 40:-40] = False
    return behind


def test_no_usable_portrait_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_looks, "Detector", lambda *_: lambda _: np.zeros((0, 15)))
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "a.png"), draw_face(0))
    with pytest.raises(SourceError, match="good enough"):
        open_looks.make(tmp_path / "in", tmp_path / "out", "comic", Path(__file__))
