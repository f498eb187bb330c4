"""Faces drawn by code: a detector and photos for tests that need no network and no person."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from training import landmarks
from training import openness as openness_

#: Where FFHQ's alignment puts the five points of an average face, on 256 pixels.
POINTS = np.array([[96, 121], [160, 121], [128, 160], [99, 187], [157, 187]], np.float32)


def draw_face(seed: int, side: int = 256, points: np.ndarray = POINTS) -> np.ndarray:
    """uint8 [side, side, 3]: an oval with hair, eyes, nose and mouth, in colours and textures by ``seed``."""
    rng = np.random.default_rng(seed)
    picture = np.full((side, side, 3), rng.integers(60, 220, 3), np.uint8)
    scale = side / 256
    skin = tuple(int(v) for v in np.array([224, 172, 140]) * rng.uniform(0.4, 1.1))
    hair = tuple(int(v) for v in rng.integers(10, 160, 3))

    def at(x: float, y: float) -> tuple[int, int]:
        return round(x * scale), round(y * scale)

    cv2.ellipse(picture, at(128, 120), at(78 + rng.uniform(-8, 8), 100), 0, 0, 360, hair, -1, cv2.LINE_AA)
    cv2.ellipse(picture, at(128, 145), at(62 + rng.uniform(-6, 6), 82), 0, 0, 360, skin, -1, cv2.LINE_AA)
    for x, y in points[:2]:
        cv2.ellipse(picture, at(x, y), at(15, 8 + rng.uniform(-2, 2)), 0, 0, 360, (245, 245, 245), -1, cv2.LINE_AA)
        cv2.circle(picture, at(x, y), round(6 * scale), (40, 30, 20), -1, cv2.LINE_AA)
        cv2.line(picture, at(x - 16, y - 18), at(x + 16, y - 20), hair, max(1, round(4 * scale)), cv2.LINE_AA)
    cv2.line(picture, at(*(points[2] - [0, 25])), at(*points[2]), (120, 80, 60), max(1, round(3 * scale)), cv2.LINE_AA)
    cv2.line(picture, at(*points[3]), at(*points[4]), (150, 40, 50), max(1, round(6 * scale)), cv2.LINE_AA)
    light = cv2.resize(rng.uniform(0.5, 1.3, (3, 3)), (side, side), interpolation=cv2.INTER_CUBIC)[..., None]
    return np.clip(picture * light + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)


def drawn_as(face: np.ndarray) -> np.ndarray:
    """A look for tests: few flat tones, dark lines."""
    soft = cv2.bilateralFilter(face, 9, 60, 5)
    edges = cv2.Laplacian(cv2.cvtColor(soft, cv2.COLOR_RGB2GRAY), cv2.CV_32F, ksize=5)
    flat = (soft // 64 * 64 + 40).astype(np.uint8)
    flat[np.abs(edges) > 200] = 20
    return flat


def ellipse(at: tuple[float, float], width: float, height: float, count: int) -> np.ndarray:
    angle = np.arange(count) * 2 * np.pi / count
    return np.stack([at[0] + width / 2 * np.cos(angle), at[1] + height / 2 * np.sin(angle)], 1)


def dense_points(openness: tuple[float, float, float], count: int = landmarks.COUNT, side: int = 256) -> np.ndarray:
    """[count, 2] landmarks of a face whose left eye, right eye and mouth have these heights over widths."""
    points = np.full((count, 2), 128.0)
    places = ((POINTS[1], 32), (POINTS[0], 32), (POINTS[3:].mean(0), 56))
    for part, (at, width), share in zip(openness_.COMPONENTS[count], places, openness, strict=True):
        points[list(part)] = ellipse(at, width, width * share, len(part))
    return points * (side / 256)


class FixedMesh:
    """Stands in for MediaPipe's: eyes and mouths are as open as the picture is bright."""

    def __init__(self, *_: object) -> None: ...

    def each(self, faces: np.ndarray, fives: np.ndarray) -> np.ndarray:
        return np.stack([self(face, five) for face, five in zip(faces, fives, strict=True)])

    def __call__(self, face: np.ndarray, _: np.ndarray) -> np.ndarray:
        share = 0.1 + float(face.mean()) / 512
        return dense_points((share, share / 2, share * 1.5), side=face.shape[0]).astype(np.float32)


def write_crops(folder: Path, faces: np.ndarray, held: int = 2) -> Path:
    """A folder as `training.portraits` writes it, the last ``held`` faces held out."""
    folder.mkdir(parents=True)
    side = faces.shape[1]
    rng = np.random.default_rng(0)
    points = POINTS * (side / 256) + rng.normal(0, side / 256, (len(faces), 5, 2))
    np.save(folder / "faces.npy", faces)
    np.save(folder / "landmarks.npy", points.astype(np.float32))
    shares = rng.uniform(0.1, 0.7, (len(faces), 3))
    np.save(folder / "dense.npy", np.stack([dense_points(tuple(row), side=side) for row in shares]))
    rows, names = list(range(len(faces))), [f"{row}.png" for row in range(len(faces))]
    split = {"train": rows[: len(rows) - held], "held": rows[len(rows) - held :], "names": names}
    (folder / "split.json").write_text(json.dumps(split))
    return folder
