"""Other colours for training pictures, as one matrix a picture.

A look decides colours by what it sees: a published network makes skin as light as its drawings have it under any lamp,
and greys most backgrounds. So source and target cannot be coloured alike (a student of such pairs keeps every cast of
its source): the teacher is asked what it makes of the coloured picture.
"""

from __future__ import annotations

import colorsys

import cv2
import numpy as np

LUMA = np.array([0.299, 0.587, 0.114])


def draw(empty: np.ndarray, seed: int = 0) -> np.ndarray:
    """float32 [N, 3, 4]: red, green, blue and 1 in levels of 255 to red, green, blue; ``empty`` [N]: without a face.

    Faces get another lamp, exposure, contrast and saturation, now and then another hue. Pictures without a face get any
    hue, and half of them hardly differ from one strong colour: painted walls, green screens.
    """
    rng = np.random.default_rng(seed)
    return np.stack([_backdrop(rng) if none and rng.random() < 0.5 else _light(rng, bool(none)) for none in empty])


def _light(rng: np.random.Generator, any_hue: bool) -> np.ndarray:
    hue = rng.uniform(-180, 180) if any_hue or rng.random() < 0.1 else rng.uniform(-15, 15)
    saturation = rng.uniform(0.4, 1.6)
    gains = np.exp(rng.uniform(-0.2, 0.2, 3) + rng.uniform(-0.45, 0.2))
    matrix = gains[:, None] * (saturation * _turn(hue) + (1 - saturation) * np.tile(LUMA, (3, 1)))
    return np.concatenate([matrix, np.full((3, 1), rng.uniform(-8, 20))], 1).astype(np.float32)


def _backdrop(rng: np.random.Generator) -> np.ndarray:
    contrast = rng.uniform(0.05, 0.5)
    colour = 255 * np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.5, 1), rng.uniform(0.25, 1)))
    return np.concatenate([contrast * np.eye(3), (1 - contrast) * colour[:, None]], 1).astype(np.float32)


def _turn(degrees: float) -> np.ndarray:
    """The rotation of RGB about its grey axis (Rodrigues' formula)."""
    return cv2.Rodrigues(np.radians(degrees) * np.full(3, 3**-0.5))[0]


def apply(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] in the colours of one of `draw`'s matrices."""
    return cv2.transform(np.ascontiguousarray(image), matrix)
