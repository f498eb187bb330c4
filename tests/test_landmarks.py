"""Dense landmarks: found where they are however a face lies, kept beside its portraits, fetched once."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from faces import POINTS, draw_face, write_crops

from training import landmarks
from training.landmarks import CORNERS, COUNT, FIVE, SEEN, FaceMesh
from vidstyle.errors import SourceError, StyleError


class Spotter:
    """Stands in for the network: its points lie at the middle of what is red, in the form of a face of ``apart``."""

    def __init__(self, apart: float = 56) -> None:
        self.apart = apart

    def setInput(self, blob: np.ndarray) -> None:  # noqa: N802 - OpenCV's name
        assert blob.shape == (1, 3, SEEN, SEEN) and blob.min() >= 0 and blob.max() <= 1
        self.red = blob[0, 0] + 1e-9

    def getUnconnectedOutLayersNames(self) -> tuple[str, ...]:  # noqa: N802
        return ("points", "certainty")

    def forward(self, names: tuple[str, ...]) -> list[np.ndarray]:
        assert names == self.getUnconnectedOutLayersNames()
        y, x = np.mgrid[:SEEN, :SEEN]
        points = np.zeros((COUNT, 3))
        points[:, 0], points[:, 1] = (np.average(axis, weights=self.red) for axis in (x, y))
        shape = (POINTS - POINTS.mean(0)) * (self.apart / 64)
        for part, at in zip(FIVE, shape, strict=True):
            points[list(part), :2] += at
        points[[10, 152], 1] += (-64, 64)  # forehead and chin: the face fills what is seen, as it should
        return [np.ones((1, 1, 1, 1), np.float32), points.reshape(1, 3 * COUNT, 1, 1).astype(np.float32)]


@pytest.fixture
def spotter(monkeypatch: pytest.MonkeyPatch) -> Spotter:
    net = Spotter()
    monkeypatch.setattr(cv2.dnn, "readNetFromTFLite", lambda _: net)
    return net


@pytest.mark.usefixtures("spotter")
@pytest.mark.parametrize("angle", [0, 35, -80])
def test_points_come_back_to_where_they_are_in_the_portrait(angle: float) -> None:
    face = np.zeros((256, 256, 3), np.uint8)
    middle = POINTS.mean(0)
    cv2.circle(face, (round(float(middle[0]) * 16), round(float(middle[1]) * 16)), 9 * 16, (255, 0, 0), -1, shift=4)
    warp = cv2.getRotationMatrix2D((128, 128), angle, 0.9)
    five, spot = (points @ warp[:, :2].T + warp[:, 2] for points in (POINTS, middle))
    found = FaceMesh(Path("mesh"))(cv2.warpAffine(face, warp, (256, 256)), five)
    assert found.shape == (COUNT, 2) and found.dtype == np.float32
    np.testing.assert_allclose(found[0], spot, atol=0.5)
    eyes = found[CORNERS[1]] - found[CORNERS[0]]
    assert np.degrees(np.arctan2(eyes[1], eyes[0])) == pytest.approx(-angle, abs=0.5)


def test_points_that_are_not_where_the_detector_saw_a_face_are_none(spotter: Spotter) -> None:
    face = np.zeros((256, 256, 3), np.uint8)
    cv2.circle(face, (128, 148), 9, (255, 0, 0), -1)
    net = FaceMesh(Path("mesh"))
    assert np.isfinite(net(face, POINTS)).all()
    spotter.apart = 8
    assert np.isnan(net(face, POINTS)).all()


@pytest.mark.usefixtures("spotter")
def test_they_are_found_once_for_a_folder_of_portraits(tmp_path: Path) -> None:
    faces = np.stack([draw_face(seed) for seed in range(4)])
    folder = write_crops(tmp_path / "crops", faces)
    (folder / landmarks.FILE).unlink()
    landmarks.ensure(folder, Path(__file__))
    kept = np.load(folder / landmarks.FILE)
    assert kept.shape == (4, COUNT, 2)
    landmarks.ensure(folder, tmp_path / "gone")  # not looked at
    np.testing.assert_array_equal(np.load(folder / landmarks.FILE), kept)
    assert sorted(path.name for path in folder.iterdir()) == ["dense.npy", "faces.npy", "landmarks.npy", "split.json"]


@pytest.mark.parametrize("kind", ["none", "bad"])
def test_another_network_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mesh.tflite"
    if kind == "bad":
        path.write_bytes(b"bad")
    with pytest.raises(SourceError, match=r"no face mesh|is not MediaPipe's face mesh"):
        FaceMesh(landmarks.mesh_file(path))


def test_a_network_with_other_results_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Spotter()
    monkeypatch.setattr(net, "forward", lambda _: [np.zeros((1, 213))])
    monkeypatch.setattr(cv2.dnn, "readNetFromTFLite", lambda _: net)
    with pytest.raises(SourceError, match="expected its face_landmark"):
        FaceMesh(tmp_path / "iris.tflite")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(landmarks, "cache_dir", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_it_is_fetched_once_out_of_the_wheel(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None]] = []

    def download(url: str, path: Path, digest: str | None, *_: object) -> None:
        asked.append((url, digest))
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("mediapipe/modules/face_landmark/face_landmark.tflite", b"weights")

    monkeypatch.setattr(landmarks, "download", download)
    for _ in range(2):
        assert landmarks.mesh_file(None).read_bytes() == b"weights"
    assert asked == [(landmarks.WHEEL_URL, landmarks.WHEEL_SHA256)]
    assert [path.name for path in cache.iterdir()] == ["face_landmark.tflite"]


def test_without_a_network_it_is_said_what_to_give(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object) -> None:
        raise StyleError("cannot reach files.pythonhosted.org (gone): check the network")

    monkeypatch.setattr(landmarks, "download", download)
    with pytest.raises(StyleError, match=r"face_landmark\.tflite by --mesh"):
        landmarks.mesh_file(None)
    assert not (cache / "face_landmark.tflite").exists()
