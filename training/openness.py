"""How open eyes and mouths of aligned portraits are (DCT-Net section 3.4.2): labels from dense landmarks.

Height over width of the box around a component's landmarks in the upright face, as in the paper, brought to 0-1 over
the set. The landmarks lie in ``dense.npy`` beside the portraits: those of `training.landmarks`, or anyone's in the
layouts of iBUG (68 points a face) or WFLW (98).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training import landmarks, portraits
from training.inputs import DAMAGED
from training.world import TrainingError

HEADS = ("left eye", "right eye", "mouth")  # the person's left and right
COMPONENTS: dict[int, tuple[Sequence[int], ...]] = {  # points of each, by how many landmarks there are
    68: (range(42, 48), range(36, 42), range(60, 68)),
    98: (range(68, 76), range(60, 68), range(88, 96)),
    landmarks.COUNT: (
        (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
        (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),
        (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95),  # inner lips
    ),
}


def from_dense(points: np.ndarray) -> np.ndarray:
    """[N, 3] height over width of each component's box in the upright face; ``points`` [N, 68, 98 or 468, 2].

    Raises:
        TrainingError: another number of landmarks.
    """
    parts = _parts(points.shape[1])
    across = points[:, list(parts[0])].mean(1) - points[:, list(parts[1])].mean(1)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    upright = np.stack([across, np.stack([-across[:, 1], across[:, 0]], 1)], 1)  # rows: right, down
    turned = np.einsum("nij,npj->npi", upright, points)
    boxes = [np.ptp(turned[:, list(part)], axis=1) for part in parts]
    return np.stack([box[:, 1] / np.maximum(box[:, 0], 1e-6) for box in boxes], 1)


def _parts(count: int) -> tuple[Sequence[int], ...]:
    if count not in COMPONENTS:
        raise TrainingError(f"dense landmarks are {', '.join(map(str, COMPONENTS))} a face, got {count}")
    return COMPONENTS[count]


@dataclass(frozen=True)
class Bounds:
    """What becomes 0 and 1, for each of the heads: the 2nd and the 98th of a hundred faces."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, raw: np.ndarray) -> Bounds:
        return cls(*(tuple(float(v) for v in np.percentile(raw, share, axis=0)) for share in (2, 98)))

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        low, high = np.array(self.low), np.array(self.high)
        return np.clip((raw - low) / np.maximum(high - low, 1e-6), 0, 1).astype(np.float32)


def dense_of(crops: Path, part: str = "train") -> np.ndarray:
    """float64 [N, points, 2] pixels of portraits of full size: the landmarks of a folder's ``part``.

    Raises:
        SourceError, TrainingError: there are no portraits, or no landmarks of theirs.
    """
    rows, path = portraits.rows(crops, part), crops / landmarks.FILE
    try:
        return np.load(path)[rows].astype(np.float64)
    except (*DAMAGED, IndexError) as error:
        remedy = f"python -m training.landmarks {crops}"
        raise TrainingError(f"no landmarks of its portraits in {path} ({error}): make them with {remedy}") from error


def raw_labels(crops: Path, part: str = "train") -> np.ndarray:
    """float64 [N, 3] height over width for a folder's ``part``; NaN for a face without landmarks."""
    return from_dense(dense_of(crops, part))


@dataclass(frozen=True)
class Seen:
    """Portraits with landmarks: uint8 [N, S, S, 3], of `HEADS` [N, 3] height over width and [N, 3, 2] pixels."""

    faces: np.ndarray
    raw: np.ndarray
    places: np.ndarray

    @classmethod
    def of(cls, crops: Path, size: int, part: str = "train") -> Seen:
        dense, faces = dense_of(crops, part), portraits.load(crops, part, size).faces
        whole = portraits.load_all(crops).faces.shape[1]
        known = np.isfinite(dense).all((1, 2))
        dense = dense[known]
        parts = _parts(dense.shape[1])
        places = np.stack([dense[:, list(part)].mean(1) for part in parts], 1) * (size / whole)
        return cls(faces[known], from_dense(dense), places)


def kept(sources: np.ndarray, results: np.ndarray) -> dict[str, float]:
    """How well results follow their photos: correlation of how open eyes and mouths are, from landmarks [N, points, 2].

    Looks may widen all eyes: that counts for nothing. Faces without landmarks (NaN) in either are left out; 0 where
    there is nothing to compare.
    """
    known = np.isfinite(sources).all((1, 2)) & np.isfinite(results).all((1, 2))
    a, b = from_dense(sources[known]), from_dense(results[known])
    eyes = _correlation(a[:, :2].ravel(), b[:, :2].ravel())
    return {"eyes open (r)": eyes, "mouth open (r)": _correlation(a[:, 2], b[:, 2])}


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    spread = a.std() * b.std() if len(a) else 0.0
    return round(float(((a - a.mean()) * (b - b.mean())).mean() / spread), 3) if spread else 0.0
