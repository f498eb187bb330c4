"""Dense landmarks of aligned portraits, by MediaPipe's face mesh: `python -m training.landmarks --help`.

468 points of a face (Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019),
from which `training.expression` reads how open eyes and mouth are. Five points do not tell that. The network (1.2 MB,
Apache-2.0) is part of MediaPipe's wheels on PyPI, and is fetched from there once.
"""

from __future__ import annotations

import argparse
import logging
import zipfile
from pathlib import Path

import cv2
import numpy as np

from training import portraits
from training.inputs import network_file
from training.options import run_command
from vidstyle.download import download
from vidstyle.errors import SinkError, SourceError, StyleError
from vidstyle.paths import cache_dir
from vidstyle.whole import whole, write_whole

log = logging.getLogger("landmarks")

FILE = "dense.npy"  # beside the portraits: float32 [N, 468, 2] pixels, NaN where the mesh found no face
COUNT = 468
MESH = "face_landmark.tflite"
WHEEL = "mediapipe-0.10.14-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
WHEEL_URL = f"https://files.pythonhosted.org/packages/2f/ee/2e9e730dc4d98c8a9541b57bad173bebddf0e4c78f179acc100248c58066/{WHEEL}"
WHEEL_SHA256 = "a807328339e7356fda0bb14df12fedbf1d33bdf81649c5f8666b0026b1cc30b4"

SEEN = 192  # pixels: the side of what the network sees
CORNERS = (33, 263)  # the outer ones of the person's right and left eye
FIVE = ((33, 133), (362, 263), (1,), (61,), (291,))  # where the mesh has right eye, left eye, nose, mouth's corners
AGREED = 0.35  # eye distances at most between these and a detector's: 0.1 is usual, 0.27 the most of 1,561 photos
FROM_FIVE = (0.45, 3.4)  # of the first look, in eye distances: its middle below the eyes, its side
AROUND = 1.5  # times the face's larger side: what the network was trained to see of it


class FaceMesh:
    """MediaPipe's network.

    Raises:
        SourceError: ``path`` is another network, or none.
    """

    def __init__(self, path: Path) -> None:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what fails is told by us
        try:
            self._net = cv2.dnn.readNetFromTFLite(str(path))
            self._found(np.zeros((SEEN, SEEN, 3), np.uint8))
        except (cv2.error, ValueError) as error:
            raise SourceError(f"{path} is not MediaPipe's face mesh: expected its {MESH}") from error

    def __call__(self, face: np.ndarray, five: np.ndarray) -> np.ndarray:
        """float32 [468, 2] pixels of a portrait uint8 [S, S, 3], whose five points are known.

        NaN where they are elsewhere than the five points say. It looks twice: where the five points say, then where the
        mesh says, as MediaPipe follows a face.
        """
        right, left = five[:2].astype(np.float64)
        across = left - right
        apart = float(np.hypot(*across))
        below = np.array([-across[1], across[0]]) * FROM_FIVE[0]
        points = self._look(face, (right + left) / 2 + below, across * FROM_FIVE[1])
        across = points[CORNERS[1]] - points[CORNERS[0]]
        across /= max(float(np.hypot(*across)), 1e-6)
        upright = np.stack([across, [-across[1], across[0]]])  # rows: right, down
        turned = points @ upright.T
        low, high = turned.min(0), turned.max(0)
        points = self._look(face, (low + high) / 2 @ upright, across * (high - low).max() * AROUND)
        off = np.stack([points[list(part)].mean(0) for part in FIVE]) - five
        known = np.hypot(*off.T).max() < AGREED * apart
        return (points if known else np.full_like(points, np.nan)).astype(np.float32)

    def each(self, faces: np.ndarray, fives: np.ndarray) -> np.ndarray:
        """float32 [N, 468, 2] of portraits uint8 [N, S, S, 3] and their five points [N, 5, 2]."""
        pairs = zip((np.ascontiguousarray(face) for face in faces), fives, strict=True)
        found = [self(face, five) for face, five in pairs]
        return np.stack(found) if found else np.zeros((0, COUNT, 2), np.float32)

    def _look(self, face: np.ndarray, middle: np.ndarray, across: np.ndarray) -> np.ndarray:
        """Points of the face in the square around ``middle`` whose upper side is as ``across``."""
        unit = across / SEEN
        turn = np.array([[unit[0], -unit[1]], [unit[1], unit[0]]])
        warp = np.hstack([turn, (middle - turn @ np.full(2, (SEEN - 1) / 2))[:, None]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(face, warp, (SEEN, SEEN), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return self._found(seen) @ turn.T + warp[:, 2]

    def _found(self, seen: np.ndarray) -> np.ndarray:
        self._net.setInput(cv2.dnn.blobFromImage(seen, 1 / 255))
        found = self._net.forward(self._net.getUnconnectedOutLayersNames())  # OpenCV 4 gives its certainty, too
        points = next((values for values in found if values.size == 3 * COUNT), np.zeros(0))
        return points.astype(np.float64).reshape(COUNT, 3)[:, :2]


def mesh_file(given: Path | None) -> Path:
    """MediaPipe's network: the one given, else fetched from its wheel, once, and checked.

    Raises:
        SourceError, StyleError, SinkError: as `training.inputs.network_file`.
    """
    return network_file(given, "face mesh", f"MediaPipe's {MESH}", cache_dir() / MESH, _fetch)


def _fetch(path: Path) -> None:
    wheel = path.with_name(WHEEL)
    log.info("fetching MediaPipe's face mesh, in its wheel of 36 MB")
    try:
        download(WHEEL_URL, wheel, WHEEL_SHA256, 64 << 20, lambda *_: None)
    except StyleError as error:
        raise StyleError(f"{error}; or give MediaPipe's {MESH} by --mesh") from error
    try:
        with zipfile.ZipFile(wheel) as archive:
            write_whole(path, archive.read(f"mediapipe/modules/face_landmark/{MESH}"))
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        wheel.unlink(missing_ok=True)


def ensure(folder: Path, mesh: Path | None) -> None:
    """Write the dense landmarks of a folder that `training.portraits` made, where it has none yet.

    ``mesh``: MediaPipe's network; fetched where left out.

    Raises:
        SourceError: there are no portraits, or ``mesh`` is no such network.
        StyleError, SinkError: it cannot be fetched, or the landmarks cannot be written.
    """
    if (folder / FILE).exists():
        return
    kept = portraits.load_all(folder)
    found = FaceMesh(mesh_file(mesh)).each(kept.faces, kept.landmarks)
    write(folder, found)
    if lost := int(np.isnan(found).any((1, 2)).sum()):
        log.info("%d of %d faces in %s have no landmarks: their expressions are left out", lost, len(found), folder)


def write(folder: Path, points: np.ndarray) -> None:
    """
    Raises:
        SinkError: it cannot be written.
    """
    try:
        with whole(folder / FILE) as part, open(part, "wb") as file:
            np.save(file, points.astype(np.float32))
    except OSError as error:
        raise SinkError(f"cannot write {folder / FILE}: {error.strerror or error}") from error


def main() -> None:
    run_command(_command)


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.landmarks", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", help="made by training.portraits")
    parser.add_argument("--mesh", type=Path, help=f"MediaPipe's {MESH} (default: fetched once)")
    args = parser.parse_args()
    for folder in args.folders:
        ensure(folder, args.mesh)
        log.info("landmarks in %s", folder / FILE)


if __name__ == "__main__":
    main()
