"""Crops cut from canvases at any place, scale and turn: many of one size at a time.

A GPU waits for the host where a picture takes a hundred small steps: what all pictures share is computed for all at
once, and only what is read of each canvas differs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Place:
    """Where a crop lies: the middle of canvas ``index`` is at ``at`` (x, y) from the crop's middle.

    ``scale``: pixels of the crop to one of the canvas. ``angle`` in degrees; ``flip`` comes before the turn.
    """

    index: int
    scale: float
    angle: float
    flip: bool
    at: tuple[float, float]


@dataclass(frozen=True)
class _View:
    """What a crop reads of its canvas, and the numbers of `_grids`; without them it is the crop itself."""

    pixels: Tensor
    numbers: tuple[float, ...] = ()


def pyramid(x: Tensor, levels: int) -> list[Tensor]:
    """uint8 [N, 3, S, S] at its own size, half, quarter, ... of it; on its device."""
    out = [x]
    while len(out) < levels:
        halves = [F.avg_pool2d(part.float(), 2).round().to(torch.uint8) for part in out[-1].split(64)]
        out.append(torch.cat(halves))
    return out


def cut(pyramids: Sequence[list[Tensor]], places: Sequence[Place], size: int) -> Tensor:
    """[n, 3, size, size] in -1..1: each place, cut from its own of ``pyramids``."""
    views = [_view(levels, place, size) for levels, place in zip(pyramids, places, strict=True)]
    grids = _grids([view.numbers for view in views if view.numbers], size, views[0].pixels.device)
    return torch.stack([_picked(view, grids) for view in views]).clamp_(-1, 1)


def _view(levels: list[Tensor], place: Place, size: int) -> _View:
    level = min(max(0, math.floor(-math.log2(place.scale) + 0.2)), len(levels) - 1)
    image = levels[level][place.index]
    step = 1 / (place.scale * 2**level)  # canvas pixels of this level per crop pixel
    if step == 1 and not place.angle:  # whole pixels: no resampling
        return _View(_whole(image, place, size))
    angle, side = math.radians(place.angle), image.shape[-1]
    cos, sin, mirror = math.cos(angle) * step, math.sin(angle) * step, -1 if place.flip else 1
    corners = [(x - size // 2 - place.at[0], y - size // 2 - place.at[1]) for x in (0, size) for y in (0, size)]
    across = [mirror * (cos * x - sin * y) + side / 2 for x, y in corners]
    window, left, top = _window(image, across, [sin * x + cos * y + side / 2 for x, y in corners])
    return _View(window, (cos, sin, *place.at, mirror, side / 2, left, top, 2 / window.shape[2], 2 / window.shape[1]))


def _whole(image: Tensor, place: Place, size: int) -> Tensor:
    side = image.shape[-1]
    left, top = (side // 2 - size // 2 - round(at) for at in place.at)
    rows, cols = (_reflect(torch.arange(at, at + size, device=image.device), side) for at in (top, left))
    if place.flip:
        cols = side - 1 - cols
    return image[:, rows][:, :, cols]


def _grids(numbers: list[tuple[float, ...]], size: int, device: torch.device) -> Iterator[Tensor]:
    """Where each pixel of each crop lies in its view, [1, size, size, 2] as grid_sample takes it."""
    if not numbers:
        return iter(())
    columns = torch.tensor(numbers).to(device)[..., None, None].unbind(1)
    cos, sin, x, y, mirror, middle, left, top, wide, high = columns
    xy = torch.arange(size, device=device, dtype=torch.float32) - size // 2
    x, y = xy[None, None, :] - x, xy[None, :, None] - y
    u = mirror * (cos * x - sin * y) + middle  # from the canvas's corner
    v = sin * x + cos * y + middle
    return iter(torch.stack([(u - left) * wide - 1, (v - top) * high - 1], -1).split(1))


def _picked(view: _View, grids: Iterator[Tensor]) -> Tensor:
    pixels = view.pixels.float() / 127.5 - 1
    if not view.numbers:
        return pixels
    return F.grid_sample(pixels[None], next(grids), "bicubic", "reflection", align_corners=False)[0]


def _window(image: Tensor, across: list[float], down: list[float]) -> tuple[Tensor, int, int]:
    """What bicubic sampling inside these corners reads of ``image``, and where it begins; all of it at a border."""
    side = image.shape[-1]
    (left, right), (top, bottom) = ((math.floor(min(x)) - 3, math.ceil(max(x)) + 3) for x in (across, down))
    if min(left, top) < 0 or max(right, bottom) > side:
        return image, 0, 0
    return image[:, top:bottom, left:right], left, top


def _reflect(index: Tensor, side: int) -> Tensor:
    index = index.remainder(2 * side)
    return torch.where(index >= side, 2 * side - 1 - index, index)
