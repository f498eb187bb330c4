"""Who is held out: photos are split by name, and collections show people twice, under names that do not tell.

Two photos of one person under one light, or one photo kept twice at two sizes, are found by their aligned faces without
broad light and shade. That is no face recognition: somebody's later photo in another light is not found.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from training import data
from training.alignment import aligned
from vidstyle.errors import SourceError

ALIKE = 0.85  # cosine; of strangers, the most alike in 1,600 portraits reach 0.88, most stay below 0.8
SIZE = 40  # pixels of a face that is compared
INNER = slice(6, -4), slice(8, -8)  # without hair and background


def likeness(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """float32, of length 1: the face at ``points`` [5, 2], to be compared with others by their product."""
    face, _ = aligned(image, points, SIZE)
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)[INNER].astype(np.float32)
    grey -= cv2.GaussianBlur(grey, (0, 0), 6)
    grey -= grey.mean()
    return (grey / max(float(np.linalg.norm(grey)), 1e-6)).ravel()


def strangers(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Held-out photos of ``folder``, uint8 RGB, with the five points of their first face: people not trained on.

    Raises:
        SourceError: there are none.
    """
    known = [likeness(image, _points(faces)) for image, faces in data.photos(folder, training=True) if faces]
    held = [(image, _points(faces)) for image, faces in data.photos(folder, training=False) if faces]
    trained = np.array(known)
    found = [face for face in held if not known or (trained @ likeness(*face)).max() < ALIKE]
    if not found:
        raise SourceError(f"{folder} has no held-out photos of people not trained on: about 6 in 100 are held out")
    return found


def _points(faces: list[np.ndarray]) -> np.ndarray:
    return faces[0][4:14].reshape(5, 2)
