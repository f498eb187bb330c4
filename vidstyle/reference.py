"""The networks in plain NumPy: slow, without any runtime, to tell whether a runtime computes right here."""

from __future__ import annotations

from typing import Any

import numpy as np

from vidstyle.network import LEAKY_SLOPE, Pad, Weights, prepare, run
from vidstyle.style import Style


class NumpyOps:
    """`vidstyle.network.Ops` on float32 arrays."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def size(self, x: np.ndarray) -> tuple[int, int]:
        return x.shape[2], x.shape[3]

    def pad_edge(self, x: np.ndarray, bottom: int, right: int) -> np.ndarray:
        return np.pad(x, ((0, 0), (0, 0), (0, bottom), (0, right)), mode="edge")

    def crop(self, x: np.ndarray, height: int, width: int) -> np.ndarray:
        return x[:, :, :height, :width]

    def conv(self, x: np.ndarray, name: str, stride: int = 1, pad: Pad = (1, 1, 1, 1)) -> np.ndarray:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        top, left, bottom, right = pad
        padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], (2, 3))[:, :, ::stride, ::stride]
        return np.einsum("nchwij,ocij->nohw", windows, weight, optimize=True) + bias[:, None, None]

    def leaky_relu(self, x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x, np.float32(LEAKY_SLOPE) * x)

    def add(self, x: np.ndarray, y: Any) -> np.ndarray:
        return x + y

    def sub(self, x: np.ndarray, y: Any) -> np.ndarray:
        return x - y

    def mul(self, x: np.ndarray, y: Any) -> np.ndarray:
        return x * y

    def div(self, x: np.ndarray, y: Any) -> np.ndarray:
        return x / y

    def upsample2(self, x: np.ndarray) -> np.ndarray:
        for axis in (2, 3):  # even outputs copy, odd ones lie halfway to the next
            after = np.concatenate([np.delete(x, 0, axis), np.take(x, [-1], axis)], axis)
            x = np.stack([x, (x + after) / 2], axis + 1).reshape(*x.shape[:axis], -1, *x.shape[axis + 1 :])
        return x

    def unshuffle(self, x: np.ndarray, block: int) -> np.ndarray:
        n, c, h, w = x.shape
        cells = x.reshape(n, c, h // block, block, w // block, block).transpose(0, 1, 3, 5, 2, 4)
        return cells.reshape(n, c * block * block, h // block, w // block)

    def shuffle(self, x: np.ndarray, block: int) -> np.ndarray:
        n, c, h, w = x.shape
        cells = x.reshape(n, c // block**2, block, block, h, w).transpose(0, 1, 4, 2, 5, 3)
        return cells.reshape(n, c // block**2, h * block, w * block)

    def box3(self, x: np.ndarray) -> np.ndarray:
        ones = np.pad(np.ones_like(x), ((0, 0), (0, 0), (1, 1), (1, 1)))
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        total, count = (np.lib.stride_tricks.sliding_window_view(a, (3, 3), (2, 3)).sum((4, 5)) for a in (padded, ones))
        return total / count


def style_exactly(image: np.ndarray, style: Style) -> np.ndarray:
    """uint8 [H, W, 3] RGB in and out: what every engine should give, but for rounding."""
    x = image.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(127.5) - 1
    y = run(NumpyOps(prepare(style.card.architecture, style.weights)), style.card.architecture, x)
    return np.clip(np.rint((y[0].transpose(1, 2, 0) + 1) * 127.5), 0, 255).astype(np.uint8)
