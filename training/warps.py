"""Faces bent by their points, and masks of their parts: plain NumPy and OpenCV, pixels throughout."""

from __future__ import annotations

import cv2
import numpy as np

from training.alignment import resampled


def warp_to(image: np.ndarray, points: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The picture bent so that ``points`` come to ``wanted`` (both [5, 2]), its border at rest: thin-plate splines."""
    side = image.shape[0]
    rim = np.array([(x, y) for x in (0, 0.5, 1) for y in (0, 0.5, 1) if (x, y) != (0.5, 0.5)]) * (side - 1)
    here, there = np.vstack([wanted, rim]), np.vstack([points, rim])
    coefficients = _spline(here, there - here)
    grid = np.stack(np.meshgrid(np.arange(0, side, 4), np.arange(0, side, 4)), -1).astype(np.float64)
    coarse = _bend(grid.reshape(-1, 2), here, coefficients).reshape(grid.shape).astype(np.float32)
    # Between its knots the spline is smooth: every fourth pixel is enough.
    xy = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).astype(np.float32)
    return resampled(image, xy + resampled(coarse, xy / 4), cv2.INTER_CUBIC)


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    d2 = ((a[:, None] - b[None]) ** 2).sum(-1)
    return d2 * np.log(np.maximum(d2, 1e-12))


def _spline(knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Coefficients [K + 3, 2] of the thin-plate spline through ``values`` at ``knots``."""
    plane = np.hstack([np.ones((len(knots), 1)), knots])
    system = np.block([[_kernel(knots, knots), plane], [plane.T, np.zeros((3, 3))]])
    return np.linalg.lstsq(system, np.vstack([values, np.zeros((3, 2))]), rcond=None)[0]


def _bend(at: np.ndarray, knots: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    return np.hstack([_kernel(at, knots), np.ones((len(at), 1)), at]) @ coefficients


def oval(points: np.ndarray, side: int, grow: float = 1.0) -> np.ndarray:
    """Soft mask float32 [side, side] of the inner face: eyes, nose and mouth."""
    middle, apart = points.mean(0), float(np.hypot(*(points[1] - points[0]))) * grow
    x, y = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    away = ((x - middle[0]) / (1.05 * apart)) ** 2 + ((y - middle[1]) / (1.15 * apart)) ** 2
    return np.clip((1.25 - away) / 0.5, 0, 1)


def features_of(points: np.ndarray, side: int) -> list[np.ndarray]:
    """Soft masks float32 [side, side] of the eyes with their brows, and of the mouth."""
    x, y = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    apart, mouth = float(np.hypot(*(points[1] - points[0]))), points[3:].mean(0)

    def oval(at: np.ndarray, width: float, height: float) -> np.ndarray:
        away = ((x - at[0]) / (width * apart)) ** 2 + ((y - at[1]) / (height * apart)) ** 2
        return np.clip((1.5 - away) / 1.0, 0, 1)

    eyes = [oval(eye - np.array([0, 0.06 * apart]), 0.38, 0.3) for eye in points[:2]]
    return [np.maximum(*eyes), oval(mouth, 0.5, 0.24)]
