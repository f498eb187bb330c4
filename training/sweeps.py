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
#: parts of a target canvas, whose nose is in the middle: where `training.crops.CropOptions` has eyes and mouth
PARTS = {
    "eyes": (slice(SIDE // 2 - 60, SIDE // 2 - 22), slice(SIDE // 2 - 58, SIDE // 2 + 58)),
    "mouth": (slice(SIDE // 2 + 10, SIDE // 2 + 46), slice(SIDE // 2 - 36, SIDE // 2 + 36)),
}
#: what is under a face on a target canvas: shoulders and jackets
BODY = slice(SIDE * 3 // 4, SIDE)
#: the part that `aligned` cuts out
ALIGNED = slice(SIDE // 2 - 170, SIDE // 2 + 102), slice(SIDE // 2 - 136, SIDE // 2 + 136)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """dB between two uint8 pictures."""
    return min(99.0, float(cv2.PSNR(a, b)))  # equal pictures have no finite one


def drawn(run: Look, canvas: np.ndarray, eyes: int) -> np.ndarray:
    """The result for the canvas with its eyes ``eyes`` apart: uint8 [S, S, 3].

    Above twice `EYES` the canvas is enlarged: a face so large is softer than a photo of it.
    """
    side = round(SIDE * eyes / EYES / 16) * 16
    how = cv2.INTER_AREA if side < 2 * SIDE else cv2.INTER_CUBIC
    return run(np.ascontiguousarray(cv2.resize(canvas, (side, side), interpolation=how)))


def at_scale(run: Look, canvas: np.ndarray, eyes: int) -> np.ndarray:
    """What `drawn` gives, brought to the scale of `EYES`: uint8 [SIDE, SIDE, 3]."""
    return to_scale(drawn(run, canvas, eyes))


def closeup(run: Look, canvas: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
    """dB to ``wanted``, uint8 [SIDE, SIDE, 3], where the eyes are twice `EYES` apart: of all, and of `BODY`."""
    found = at_scale(run, canvas, 2 * EYES)
    return psnr(found, wanted), psnr(found[BODY], wanted[BODY])


def to_scale(result: np.ndarray) -> np.ndarray:
    """A result of any size at the scale of `EYES`: uint8 [SIDE, SIDE, 3]."""
    how = cv2.INTER_AREA if len(result) > SIDE else cv2.INTER_CUBIC
    return cv2.resize(result, (SIDE, SIDE), interpolation=how)


def lines(image: np.ndarray) -> np.ndarray:
    """float64 [H, W]: the Laplacian of the luminance smoothed by a pixel.

    Unsmoothed, a mesh of two or three pixels, which a network may draw where it cannot tell a line, counts as sharp.
    """
    return _lines(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def _lines(plane: np.ndarray) -> np.ndarray:
    return cv2.Laplacian(cv2.GaussianBlur(plane.astype(np.float64), (0, 0), 1), cv2.CV_64F)


def sharpness(image: np.ndarray) -> float:
    """Variance of the lines over the face: the middle half of uint8 [S, S, 3]."""
    return float(_face(lines(image)).var())


def part_sharpness(image: np.ndarray, part: str) -> float:
    """Variance of the lines in a part, of `PARTS`, of a target canvas."""
    return float(lines(image)[PARTS[part]].var())


def colour_sharpness(image: np.ndarray) -> float:
    """The same of Cr and Cb together: coloured specks, which luminance does not show."""
    planes = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb))[1:]
    return float(sum(_face(_lines(plane)).var() for plane in planes))


def _face(plane: np.ndarray) -> np.ndarray:
    middle = slice(len(plane) // 4, len(plane) - len(plane) // 4)
    return plane[middle, middle]


def clarity(result: np.ndarray, eyes: int) -> float:
    """Sharpness of what `drawn` gives, times the size: for lines drawn as steeply at every size, the same at each."""
    return sharpness(result) * eyes / EYES


def soft(image: np.ndarray) -> np.ndarray:
    """Out of focus by 1.5 pixels, as many a video is."""
    return cv2.GaussianBlur(image, (0, 0), 1.5)


def middle(image: np.ndarray) -> np.ndarray:
    """What of a target canvas is seen at every turn, the rest black."""
    disc = np.zeros(image.shape[:2], np.uint8)
    cv2.circle(disc, (SIDE // 2, SIDE // 2), SIDE // 2 - 24, 1, -1)
    return image * disc[..., None]


def aligned(image: np.ndarray) -> np.ndarray:
    """uint8 [256, 256, 3] of a target canvas: its face as `training.alignment.alignment` would cut it out."""
    return cv2.resize(image[ALIGNED], (256, 256), interpolation=cv2.INTER_AREA)
