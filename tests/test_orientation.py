import struct

import numpy as np
import pytest

from vidstyle import orientation

#: (a, b, c, d) of the display matrix; a source point (x, y) is shown at (a x + c y, b x + d y)
MATRICES = [
    (1, 0, 0, 1),
    (-1, 0, 0, 1),
    (0, -1, 1, 0),
    (0, 1, 1, 0),
    (-1, 0, 0, -1),
    (1, 0, 0, -1),
    (0, 1, -1, 0),
    (0, -1, -1, 0),
]


def shown(image: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Move every pixel by the definition of the matrix."""
    a, b, c, d = matrix
    points = [(a * x + c * y, b * x + d * y, image[y, x]) for y in range(image.shape[0]) for x in range(image.shape[1])]
    left, top = min(p[0] for p in points), min(p[1] for p in points)
    width, height = max(p[0] for p in points) - left + 1, max(p[1] for p in points) - top + 1
    out = np.zeros((height, width, 3), np.uint8)
    for x, y, value in points:
        out[y - top, x - left] = value
    return out


@pytest.mark.parametrize("matrix", MATRICES)
def test_every_matrix_is_applied_as_defined(matrix: tuple[int, int, int, int]) -> None:
    a, b, c, d = (v << 16 for v in matrix)
    packed = struct.pack("=9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    image = np.random.default_rng(0).integers(0, 255, (3, 5, 3), np.uint8)
    found = orientation.from_matrix(packed)
    result = orientation.apply(image, found)
    np.testing.assert_array_equal(result, shown(image, matrix))
    assert orientation.swaps_sides(found) == (result.shape[:2] != image.shape[:2])
    assert result.flags["C_CONTIGUOUS"]


def test_an_oblique_matrix_is_left_alone() -> None:
    packed = struct.pack("=9i", 46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30)
    assert orientation.from_matrix(packed) == orientation.UPRIGHT
