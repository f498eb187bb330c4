"""Whether a drawing lies on its photo: told by where both have edges, whose kind a look changes, not their place."""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 256  # pixels of the longer side on which edges are compared
FAR = 0.08  # of the longer side, that a drawing is looked for around its place
ASKEW = 0.012  # of the longer side: three pixels here, as many as a line of a face at 384 is wide
CLEARER = 0.03  # of correlation, by which a mirrored drawing must fit better
SURER = 0.1  # the same of a moved one, which has a thousand places to fit by chance
FAINT = 1.0  # standard deviation of edges in levels ** 0.5, below which there is nothing to compare

#: as cv2.flip numbers them
FLIPS = {"is mirrored": 1, "is upside down and mirrored": 0, "is upside down": -1}


def fault(photo: np.ndarray, drawing: np.ndarray, least: float) -> str:
    """Why a drawing does not lie on its photo, for a sentence that begins with "its drawing"; "" where it does.

    Args:
        photo, drawing: uint8 RGB [H, W, 3] of the same proportions, of any sizes.
        least: correlation of their edges from which they show the same. Of pictures as DCT-Net's looks draw them it is
            0.6 to 0.95, of two that have nothing to do with each other 0.15, and rarely 0.6.
    """
    scale = SIDE / max(photo.shape[:2])
    size = tuple(max(8, round(length * scale)) for length in photo.shape[1::-1])
    a, b = _edges(photo, size), _edges(drawing, size)
    if min(a.std(), b.std()) < FAINT:
        return ""
    there = _correlation(a, b)
    amiss = {how: (_correlation(a, cv2.flip(b, flip)), CLEARER) for how, flip in FLIPS.items()}
    words, at = _moved(a, b)
    if words:
        amiss[f"lies {words}: expected the same framing"] = at, SURER
    best, (fits, by) = max(amiss.items(), key=lambda item: item[1][0])
    if fits > max(there + by, least):
        return best
    if there < least:
        return f"shows something else (their edges agree by {there:.2f}, at least {least:g} is expected)"
    return ""


def _edges(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Strength of edges, float32; roots, so that one strong outline does not outweigh all else."""
    grey = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    soft = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.5)
    strength = np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1))
    return cv2.GaussianBlur(np.sqrt(strength), (0, 0), 1.5)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def _moved(a: np.ndarray, b: np.ndarray) -> tuple[str, float]:
    """Where the middle of a lies in b, in words, "" where it is as good as in place; and their correlation there."""
    far = [max(1, round(FAR * length)) for length in a.shape]
    middle = a[far[0] : -far[0], far[1] : -far[1]]
    fits = cv2.matchTemplate(b, np.ascontiguousarray(middle), cv2.TM_CCOEFF_NORMED)
    down, right = (int(at) - most for at, most in zip(np.unravel_index(fits.argmax(), fits.shape), far, strict=True))
    shares = [(right / a.shape[1], "to the right", "to the left"), (down / a.shape[0], "lower", "higher")]
    words = [f"{abs(part):.0%} {after if part > 0 else before}" for part, after, before in shares if abs(part) >= 0.005]
    near = max(abs(right), abs(down)) < ASKEW * max(a.shape)
    return "" if near else " and ".join(words), float(fits.max())
