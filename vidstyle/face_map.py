"""Where faces are in a picture, and how large.

A small network (`training.finder`), in the form of a look, paints a map of a picture: red where a face is, green how
large it is, in cells of `CELL` pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from vidstyle.convert import resize
from vidstyle.engine import Recipe
from vidstyle.style import load_style
from vidstyle.stylizer import Stylizer

SIDE = 320  # pixels: the map is of a square that the picture is fitted into
FINE = 640  # pixels: in place of `SIDE` for faces so small that those of 22 pixels look like those of 30 there
CELL = 8  # pixels of a cell of the map
REACH = 0.8  # radius of a face's disc on the map, in eye distances
SMALLEST, LARGEST = 5.0, 130.0  # eye distances that are learned, in the map's pixels
SURE = 0.7  # of 1: a cell that is less red shows no face
SEEN = 0.5  # faces a picture, on average, from which on they are taken for sure
LIKE = 1.5  # times another size that cells of one face may say

Network = Callable[[np.ndarray], np.ndarray]


def level_of(eyes: float) -> float:
    """An eye distance in the map's pixels as its green: 0.1 at the smallest, 0.9 at the largest."""
    return 0.1 + 0.8 * math.log(eyes / SMALLEST) / math.log(LARGEST / SMALLEST)


def cells_in(image: np.ndarray, network: Network | None = None, side: int = SIDE) -> np.ndarray:
    """float64 [N, 4] of uint8 [H, W, 3] RGB: x and y of a cell's middle, eye distance, in pixels; how many faces.

    Args:
        network: makes the map of a square picture; None for the one that is bundled.
        side: of that square: a larger one shows smaller faces, and takes longer.
    """
    height, width = image.shape[:2]
    scale = side / max(height, width)
    fitted = resize(image, max(1, round(height * scale)), max(1, round(width * scale)))
    square = np.zeros((side, side, 3), np.uint8)
    square[: fitted.shape[0], : fitted.shape[1]] = fitted
    cells = (network or _network())(square).reshape(side // CELL, CELL, side // CELL, CELL, 3).mean((1, 3)) / 255
    rows, columns = np.nonzero(cells[..., 0] > SURE)
    red, green = cells[rows, columns, :2].T
    eyes = SMALLEST * (LARGEST / SMALLEST) ** ((green.clip(0.1, 0.9) - 0.1) / 0.8)
    counts = red / np.maximum(1, math.pi * (REACH * eyes / CELL) ** 2)
    places = [(at + 0.5) * CELL / scale for at in (columns, rows)]
    return np.stack([*places, eyes / scale, counts], 1)


def faces_in(image: np.ndarray, network: Network | None = None, side: int = SIDE) -> np.ndarray:
    """float64 [N, 2] of uint8 [H, W, 3] RGB: eye distance ÷ the short side, and how many faces; a row for each cell.

    For ``network`` and ``side`` see `cells_in`.
    """
    cells = cells_in(image, network, side)
    return np.stack([cells[:, 2] / min(image.shape[:2]), cells[:, 3]], 1)


def largest_face(image: np.ndarray) -> tuple[float, float, float] | None:
    """x and y of its middle, and its eye distance, in pixels of uint8 [H, W, 3] RGB; None where none is for sure."""
    cells = cells_in(image)
    while len(cells):
        x, y, eyes, _ = cells[np.argmax(cells[:, 2])]
        near = np.hypot(cells[:, 0] - x, cells[:, 1] - y) < 2 * REACH * eyes
        own = cells[near & (cells[:, 2] < LIKE * eyes) & (cells[:, 2] > eyes / LIKE)]
        if own[:, 3].sum() >= SEEN:
            middle = np.average(own[:, :3], axis=0, weights=own[:, 3])
            return float(middle[0]), float(middle[1]), float(middle[2])
        cells = cells[~near]
    return None


@cache
def _network() -> Stylizer:
    """In float32 on the CPU, whatever the look runs on: equal pictures are to give equal sizes."""
    style = load_style(Path(__file__).parent / "faces.safetensors")
    network = Stylizer(Recipe(((style, 1.0),)), "openvino", "cpu", "f32")
    network.keep([(SIDE, SIDE), (FINE, FINE)])
    return network
