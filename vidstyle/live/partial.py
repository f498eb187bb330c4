"""A student's features kept from picture to picture, so that only what a change touches is computed again."""

from __future__ import annotations

import importlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from vidstyle.engine import PARTS, EngineSpec, Recipe
from vidstyle.live.change import Rect
from vidstyle.live.parts import PICTURE, Part, Tensor, margin, student_parts, work_share
from vidstyle.network import Architecture
from vidstyle.style import Style

LOOK = "look"  # the last part's result is kept under this name: PICTURE is the source
KEPT = 6  # sizes of rectangles whose networks are kept
#: what a part costs for the whole picture, as a share of the fused network: of its arithmetic, and for a picture
ARITHMETIC, PICTURES = 0.9, 0.04

Sizes = tuple[tuple[int, int], ...]  # rows and columns of each part's window
Networks = tuple[Sizes, list[Any]]  # and each part compiled for its own


def can_be_partial(recipe: Recipe, runtime: str) -> bool:
    """Whether there are parts for this look and runtime: one student at full strength."""
    return runtime in PARTS and recipe.is_plain and recipe.parts[0][0].card.architecture.name == "student"


class Partial:
    """One student and its features for the last picture.

    A rectangle, in blocks of `Architecture.multiple` pixels, is what changed of a picture. Each part computes a
    window around it: as far as the change reaches through the parts before it, and its own margin on top.
    The parts are compiled for windows of a size: `compiled` and `keep`.

    Args:
        style: of the architecture ``student``.
        spec: of the whole picture's engine; a block's side divides both of its.

    Attributes:
        near: let a change reach one block per part instead of as far as it can be felt: for pictures whose noise
            changes more than that anyway (1 pixel in 500 is then more than a level off).
    """

    def __init__(self, style: Style, spec: EngineSpec, runtime: str) -> None:
        arch = style.card.architecture
        self._load_part: Callable[..., Any] = importlib.import_module(PARTS[runtime]).load_part
        self._style, self._spec, self._block = style, spec, arch.multiple
        self._rows, self._columns = spec.height // self._block, spec.width // self._block
        self.all = Rect(0, 0, self._rows, self._columns)
        self._parts = student_parts(arch)
        self._costs = [_cost(arch, part) for part in self._parts]
        self._margins = [margin(arch, part) // self._block for part in self._parts]
        self.near = False
        self._networks: OrderedDict[Sizes, list[Any]] = OrderedDict()
        self._kept: dict[str, np.ndarray] = {}

    @property
    def look(self) -> np.ndarray:
        """uint8 [H, W, 3], changed in place by the next call."""
        return self._kept[LOOK]

    def windows(self, rect: Rect) -> list[tuple[Rect, Rect]]:
        """For each part the window it is computed in, and the place in the picture where its results are kept."""
        found, reach = [], 0
        for around in self._margins:
            reach += min(around, 1) if self.near else around
            place = rect.grown(reach, self._rows, self._columns)
            found.append((place.grown(around, self._rows, self._columns), place))
        return found

    def cost(self, rect: Rect) -> float:
        """Of an update, as a share of the fused network's cost for the whole picture."""
        areas = (window.area / self.all.area for window, _ in self.windows(rect))
        return sum(cost * area for cost, area in zip(self._costs, areas, strict=True))

    def is_ready(self, rect: Rect) -> bool:
        """Whether a rectangle of this size and place needs no compiling."""
        return self._sizes(rect) in self._networks

    def compiled(self, rect: Rect) -> Networks:
        """What ``rect`` needs, for `keep`. On any thread."""
        sizes, block = self._sizes(rect), self._block
        specs = [replace(self._spec, height=rows * block, width=columns * block) for rows, columns in sizes]
        return sizes, [self._load_part(self._style, part, spec) for part, spec in zip(self._parts, specs, strict=True)]

    def keep(self, networks: Networks) -> None:
        """Be ready for these from now on; those that were not used for longest are forgotten."""
        whole = self._sizes(self.all)
        while len(self._networks) >= KEPT:
            self._networks.pop(next(sizes for sizes in self._networks if sizes != whole))
        self._networks[networks[0]] = networks[1]

    def _sizes(self, rect: Rect) -> Sizes:
        return tuple((w.bottom - w.top, w.right - w.left) for w, _ in self.windows(rect))

    def whole(self, picture: np.ndarray) -> None:
        """Compute all of ``picture``, uint8 [H, W, 3]; `all` must be ready."""
        self._kept = {PICTURE: np.empty_like(picture), LOOK: np.empty_like(picture)}
        self.update(picture, self.all)

    def update(self, picture: np.ndarray, rect: Rect) -> None:
        """Bring the look up to ``picture``, which differs only inside ``rect``, which must be ready."""
        networks = self._networks[self._sizes(rect)]
        self._networks.move_to_end(self._sizes(rect))
        pixels = rect.times(self._block).slices
        self._kept[PICTURE][pixels] = picture[pixels]
        for part, network, (window, place) in zip(self._parts, networks, self.windows(rect), strict=True):
            given = network(*(self._kept[t.name][self._slices(window, t)] for t in part.takes))
            for tensor, values in zip(part.gives, given, strict=True):
                inside = values[self._slices(place.within(window), tensor)]
                self._array(tensor, values)[self._slices(place, tensor)] = inside

    def _array(self, tensor: Tensor, like: np.ndarray) -> np.ndarray:
        """Where a tensor is kept, for the whole picture."""
        name = LOOK if tensor.name == PICTURE else tensor.name
        if name not in self._kept:
            shape = self._spec.height // tensor.stride, self._spec.width // tensor.stride, tensor.channels
            self._kept[name] = np.empty(shape, like.dtype)
        return self._kept[name]

    def _slices(self, rect: Rect, tensor: Tensor) -> tuple[slice, slice]:
        return rect.times(self._block // tensor.stride).slices


def _cost(arch: Architecture, part: Part) -> float:
    pictures = sum(tensor.name == PICTURE for tensor in (*part.takes, *part.gives))
    return ARITHMETIC * work_share(arch, part) + PICTURES * pictures
