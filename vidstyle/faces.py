"""How large the faces of a picture or a video are, and the size that the network is to work at for them: `--size auto`.

The looks draw best where eyes are about 70 pixels apart: in close-ups at 720 lines they get flat and their eyes hollow.
A small network (`training.finder`), in the form of a look, paints a map of a picture: red where a face is, green how
large it is, in cells of `CELL` pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np

from vidstyle.convert import resize
from vidstyle.engine import Recipe
from vidstyle.errors import SourceError
from vidstyle.frame import Frame, working_size
from vidstyle.inputs import Input
from vidstyle.source import VideoSource
from vidstyle.source_options import SourceOptions
from vidstyle.style import load_style
from vidstyle.stylizer import Stylizer

AT_MOST = 720  # pixels of the short side that is worked at
LESS = (608, 512, 432, 368, 304, 256, 208)  # few, as every engine makes itself ready for each
SIDE = 320  # pixels: the map is of a square that the picture is fitted into
CELL = 8  # pixels of a cell of the map
REACH = 0.8  # radius of a face's disc on the map, in eye distances
SMALLEST, LARGEST = 5.0, 130.0  # eye distances that are learned, in the map's pixels
SURE = 0.7  # of 1: a cell that is less red shows no face
FEW = 0.2  # faces a picture, on average: fewer may be errors
MOMENTS = 12  # of a video that are looked at
SHORT = 120  # seconds of video that are decoded to their middle where no key picture is there
#: eye distance worked at, and how far the looks are from their teachers there, in dB below the best (anime's sweep)
EYES = (12.0, 24.0, 34.0, 48.0, 64.0, 80.0, 96.0, 136.0, 200.0, 400.0)
LOSS = (9.0, 4.9, 3.1, 1.0, 0.0, 0.0, 0.7, 2.2, 3.8, 7.0)
SOFTER = 0.4  # dB that half of the size costs besides: what is no face gets softer


def level_of(eyes: float) -> float:
    """An eye distance in the map's pixels as its green: 0.1 at the smallest, 0.9 at the largest."""
    return 0.1 + 0.8 * math.log(eyes / SMALLEST) / math.log(LARGEST / SMALLEST)


def faces_in(image: np.ndarray, network: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
    """float64 [N, 2] of uint8 [H, W, 3] RGB: eye distance ÷ the short side, and how many faces; a row for each cell.

    Args:
        network: makes the map of a square picture; None for the one that is bundled.
    """
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    fitted = resize(image, max(1, round(height * scale)), max(1, round(width * scale)))
    square = np.zeros((SIDE, SIDE, 3), np.uint8)
    square[: fitted.shape[0], : fitted.shape[1]] = fitted
    cells = (network or _network())(square).reshape(SIDE // CELL, CELL, SIDE // CELL, CELL, 3).mean((1, 3)) / 255
    red, green = cells[cells[..., 0] > SURE][:, :2].T
    eyes = SMALLEST * (LARGEST / SMALLEST) ** ((green.clip(0.1, 0.9) - 0.1) / 0.8)
    counts = red / np.maximum(1, math.pi * (REACH * eyes / CELL) ** 2)
    return np.stack([eyes / scale / min(height, width), counts], 1)


@cache
def _network() -> Stylizer:
    """In float32 on the CPU, whatever the look runs on: equal pictures are to give equal sizes."""
    style = load_style(Path(__file__).parent / "faces.safetensors")
    return Stylizer(Recipe(((style, 1.0),)), "openvino", "cpu", "f32")


def best_size(found: Iterable[np.ndarray], at_most: int = AT_MOST, less: Sequence[int] = LESS) -> int:
    """The short side, ``at_most`` or one of ``less``, at which the looks lose least on the faces of these pictures.

    Args:
        found: `faces_in` of every picture.
    """
    pictures = list(found)
    eyes, counts = np.concatenate([np.zeros((0, 2)), *pictures]).T
    if not pictures or counts.sum() < FEW * len(pictures):
        return at_most
    weights = counts * eyes / (counts * eyes).sum()  # a close-up's face is more of the picture
    sizes = [at_most, *(size for size in less if size < at_most)]

    def loss(size: int) -> float:
        lost = np.interp(np.log(eyes * size), np.log(EYES), LOSS)
        return float(weights @ lost) + SOFTER * math.log2(at_most / size)

    return min(sizes, key=loss)


def size_of_picture(image: np.ndarray) -> int:
    """The short side to work at for uint8 [H, W, 3] RGB."""
    at_most = min(AT_MOST, *image.shape[:2])
    return best_size([faces_in(image)], at_most) if at_most > min(LESS) else at_most


def settled(source: Input, reading: SourceOptions) -> SourceOptions:
    """``reading`` with the size that its ``by_faces`` asks for; as it is where it asks for none.

    What can be read only once, as standard input, is not looked at beforehand, and keeps its size.

    Raises:
        SourceError: as `VideoSource`.
    """
    if not reading.by_faces:
        return reading
    usual = replace(reading, by_faces=False)
    if source.path is None:
        return usual
    look = replace(usual, size=SIDE, originals=False, deinterlace="never")
    with VideoSource(source, look) as video:
        info, first = video.info, next(iter(video))
    at_most = min(working_size(info.width, info.height, info.aspect, reading.size))
    if at_most <= min(LESS):
        return usual
    frames = [first, *_later(source, look, first.pts, info.duration or Fraction(0))]
    size = best_size((faces_in(frame.image) for frame in frames), at_most)
    return usual if size == at_most else replace(usual, size=size)


def _later(source: Input, reading: SourceOptions, last: int, length: Fraction) -> Iterator[Frame]:
    """Pictures after the pts ``last`` from all over it, as far as key pictures are: those alone are quick to reach."""
    first, begins = last, reading.start or Fraction(0)
    for moment in (length * i / MOMENTS for i in range(1, MOMENTS)):
        found = _at(source, replace(reading, start=begins + moment, glance=True))
        if found is not None and found.pts > last:
            last = found.pts
            yield found
    if last == first and length <= SHORT and (found := _at(source, replace(reading, start=begins + length / 2))):
        yield found


def _at(source: Input, reading: SourceOptions) -> Frame | None:
    """The first picture of a part; None where it has none."""
    with suppress(SourceError), VideoSource(source, reading) as video:
        return next(iter(video))
    return None
