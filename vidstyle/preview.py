"""One picture in every look there is, on one sheet."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from vidstyle.catalog import list_styles, load_found
from vidstyle.convert import at_short_side, resize
from vidstyle.engine import Recipe
from vidstyle.engine_options import EngineOptions
from vidstyle.errors import SourceError, StyleError, UsageError
from vidstyle.faces import AT_MOST, size_of_picture
from vidstyle.frame import AUTO
from vidstyle.lettering import HEIGHT, shorten, text_width, write_text
from vidstyle.picture import NotAPictureError, on_white, read_picture
from vidstyle.source import SourceOptions, VideoSource
from vidstyle.style import Style
from vidstyle.stylizer import Stylizer

TILE = (600, 480)  # the box, height and width, that a picture is fitted into
MARGIN, LETTER = 16, 3  # pixels around a tile; size of a label's letters
PAPER, INK = 246, (48, 48, 52)
SHAPE = 1.5  # width of the sheet divided by its height, as near as whole tiles allow


def sample_picture(path: Path, at: Fraction | None = None, size: int | str | None = AUTO) -> np.ndarray:
    """uint8 [H, W, 3] at the working size: a still, or a video's picture at ``at`` seconds (default: a third in).

    `vidstyle.frame.AUTO` is by its faces.

    Raises:
        SourceError: it cannot be read.
        UsageError: ``at`` is beyond the end, or of a still.
    """
    if isinstance(size, str):
        image = sample_picture(path, at, AT_MOST)
        return at_short_side(image, size_of_picture(image, AT_MOST), enlarge=True)
    try:
        image = on_white(read_picture(path)).rgb
    except NotAPictureError:
        return _video_picture(path, at, size)
    if at is not None:
        raise UsageError(f"--at is for videos, and {path} is a picture: leave it out")
    return at_short_side(image, size)


def _video_picture(path: Path, at: Fraction | None, size: int | None) -> np.ndarray:
    with VideoSource(path, SourceOptions(size)) as source:
        length, first = source.info.duration, next(iter(source)).image
    if at is not None and length is not None and at >= length:
        raise UsageError(f"--at {float(at):g} is beyond the end of {path}, which has {float(length):.2f} seconds")
    start = at if at is not None else (length or 0) / Fraction(3)
    if not start:
        return first
    try:
        with VideoSource(path, SourceOptions(size, start)) as source:
            return next(iter(source)).image
    except SourceError:
        if at is not None:
            raise
        return first  # a stream shorter than it says


def usable_styles() -> tuple[list[tuple[str, Style]], list[str]]:
    """(name, style) of every style that a name can reach and that is whole; why the others are left out.

    Raises:
        StyleError: there is none.
    """
    styles, left_out = [], []
    for found in list_styles():
        if found.shadowed:
            left_out.append(f"{found.name} ({found.origin}): another of this name comes first")
            continue
        try:
            styles.append((found.name, load_found(found)))
        except StyleError as error:
            left_out.append(str(error))
    if not styles:
        raise StyleError("no style to show: get one with vidstyle styles pull dctnet/anime")
    return styles, left_out


def looks(
    image: np.ndarray, styles: list[tuple[str, Style]], engine: EngineOptions
) -> Iterator[tuple[str, np.ndarray]]:
    """(label, picture) of the source, then of every style at full strength."""
    yield "source", image
    for name, style in styles:
        recipe = Recipe(((style, 1.0),))
        with Stylizer(recipe, engine.engine, engine.device, engine.precision, engine.threads) as stylizer:
            yield name, stylizer(image)


def contact_sheet(tiles: list[tuple[str, np.ndarray]]) -> np.ndarray:
    """One uint8 [H, W, 3] picture of labelled tiles; pictures are of one size, labels stand below them."""
    height, width = tiles[0][1].shape[:2]
    scale = min(TILE[0] / height, TILE[1] / width)
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    cell = height + MARGIN + HEIGHT * LETTER + MARGIN, max(width, TILE[1] // 3) + MARGIN
    columns = _columns(len(tiles), *cell)
    rows = math.ceil(len(tiles) / columns)
    sheet = np.full((rows * cell[0] + MARGIN, columns * cell[1] + MARGIN, 3), PAPER, np.uint8)
    for i, (label, image) in enumerate(tiles):
        y, x = MARGIN + i // columns * cell[0], MARGIN + i % columns * cell[1]
        room = cell[1] - MARGIN
        left = x + (room - width) // 2
        sheet[y : y + height, left : left + width] = resize(image, height, width)
        label = shorten(label, room, LETTER)
        write_text(sheet, label, x + (room - text_width(label, LETTER)) // 2, y + height + MARGIN // 2, INK, LETTER)
    return sheet


def _columns(count: int, height: int, width: int) -> int:
    """How many tiles a row: a sheet near `SHAPE` with few empty places."""

    def cost(columns: int) -> float:
        rows = math.ceil(count / columns)
        return abs(math.log(columns * width / (rows * height) / SHAPE)) + (rows * columns - count) / count

    return min(range(1, count + 1), key=cost)
