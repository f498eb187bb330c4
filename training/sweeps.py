"""How a look holds over sizes of a face, and the face itself, on target canvases; for `training.evaluate`.

Every result is compared with the teacher's for the upright face at its best scale, `training.data.EYES` pixels
between the eyes: what a look should give at any size and turn.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from training.data import EYES, SIDE

Look = Callable[[np.ndarray], np.ndarray]
SWEEP = (24, 34, 48, 68, 96, 136, 200)  # pixels between the eyes; the photos themselves have about 110
TURNS = (-90, -60, -30, 0, 30, 60, 90)  # degrees
#: the nose is in the middle of a canvas
ALIGNED = slice(SIDE // 2 - 170, SIDE // 2 + 102), slice(SIDE // 2 - 136, SIDE // 2 + 136)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """dB between two uint8 pictures."""
    return min(99.0, float(cv2.PSNR(a, b)))  # equal pictures have no finite one


def at_scale(run: Look, canvas: np.ndarray, eyes: int) -> np.ndarray:
    """The result for the canvas with its eyes ``eyes`` apart, brought to the scale of `EYES`: uint8 [SIDE, SIDE, 3].

    Above twice `EYES` the canvas is enlarged: a face so large is softer than a photo of it.
    """
    side = round(SIDE * eyes / EYES / 16) * 16
    how = cv2.INTER_AREA if side < 2 * SIDE else cv2.INTER_CUBIC
    result = run(np.ascontiguousarray(cv2.resize(canvas, (side, side), interpolation=how)))
    return cv2.resize(result, (SIDE, SIDE), interpolation=cv2.INTER_AREA if side > SIDE else cv2.INTER_CUBIC)


def middle(image: np.ndarray) -> np.ndarray:
    """What of a target canvas is seen at every turn, the rest black."""
    disc = np.zeros(image.shape[:2], np.uint8)
    cv2.circle(disc, (SIDE // 2, SIDE // 2), SIDE // 2 - 24, 1, -1)
    return image * disc[..., None]


def aligned(image: np.ndarray) -> np.ndarray:
    """uint8 [256, 256, 3] of a target canvas: its face as `training.portraits.alignment` would cut it out."""
    return cv2.resize(image[ALIGNED], (256, 256), interpolation=cv2.INTER_AREA)
