"""A face cut out of its picture, its eyes and mouth always at the same place, as FFHQ's portraits are."""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 256  # pixels of a crop


def alignment(points: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Similarity [2, 3] from picture to crop as FFHQ is aligned, with mouth corners in place of the whole mouth."""
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    across, down = points[1] - points[0], mouth - eyes
    x = across - np.array([-down[1], down[0]])
    x *= max(np.hypot(*across) * 2.0, np.hypot(*down) * 1.8) / max(np.hypot(*x), 1e-6)
    centre = eyes + 0.1 * down
    scale = side / (2 * np.hypot(*x))
    cos, sin = x / np.hypot(*x) * scale
    turn = np.array([[cos, sin], [-sin, cos]])
    return np.hstack([turn, (side / 2 - turn @ centre)[:, None]])


def aligned(image: np.ndarray, points: np.ndarray, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 [side, side, 3], the points in it); outside of the picture is what is inside, mirrored and blurred."""
    scale = float(np.hypot(*alignment(points, side)[0, :2]))
    if scale < 0.7:  # warpAffine does not filter when it shrinks
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        points = points * scale
    warp = alignment(points, side)
    crop = cv2.warpAffine(image, warp, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    inside = cv2.warpAffine(np.ones(image.shape[:2], np.float32), warp, (side, side))
    if inside.min() < 1:
        crop = _softened(crop, inside)
    return crop, (points @ warp[:, :2].T + warp[:, 2]).astype(np.float32)


def _softened(crop: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Blurred where ``inside`` is 0, so that no second forehead is seen above the first; the border is soft."""
    side = crop.shape[0]
    mask = cv2.GaussianBlur(
        cv2.erode(inside, np.ones((3, 3), np.uint8), iterations=max(1, side // 64)), (0, 0), side / 64
    )
    blurred = cv2.GaussianBlur(crop, (0, 0), side / 16, borderType=cv2.BORDER_REPLICATE)
    mask = np.where(inside > 0.99, mask, mask * inside)[..., None]
    return np.clip(crop * mask + blurred * (1 - mask) + 0.5, 0, 255).astype(np.uint8)


def resampled(image: np.ndarray, xy: np.ndarray, how: int = cv2.INTER_LINEAR) -> np.ndarray:
    """The picture's values at ``xy`` [H, W, 2]; outside it mirrors itself."""
    x, y = (np.ascontiguousarray(xy[..., axis], np.float32) for axis in (0, 1))
    return cv2.remap(image, x, y, how, borderMode=cv2.BORDER_REFLECT_101)
