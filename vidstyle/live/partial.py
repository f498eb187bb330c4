"""A student's features kept from picture to picture, so that only what a change touches is computed again."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from vidstyle.engine import ENGINES, EngineSpec, Recipe
from vidstyle.live.change import Rect, rectangles, spread
from vidstyle.live.opencv import opencv
from vidstyle.live.parts import PICTURE, Part, Tensor, margin, student_parts, work_share
from vidstyle.network import Architecture
from vidstyle.style import Style

STEP = 2  # blocks: the sides of a window are a multiple of this, for fewer different shapes
LOOK = "look"  # the last part's result is kept under this name: PICTURE is the source
#: what a part costs for the whole picture, as a share of the fused network: of its arithmetic, and for a picture
ARITHMETIC, PICTURES = 1.1, 0.05


@dataclass(frozen=True)
class Care:
    """What counts as a change of features, and how far one matters.

    Attributes:
        quiet: a block whose features changed by less than this share of their standard deviation counts as
            unchanged, and keeps its old values, so that nothing adds up. 0 is exact: all that is computed changed.
        reach: blocks around changed features that a part computes again, at most.
    """

    quiet: float = 0.0
    reach: int = 99


EXACT = Care()
LOOSE = Care(0.3, 1)  # where a camera's noise changes more anyway: 1 in 500 pixels is more than a level off


def can_be_partial(recipe: Recipe, runtime: str) -> bool:
    """Whether there are parts for this look and runtime: one student at full strength."""
    known = find_spec(f"{ENGINES[runtime]}_parts") is not None
    return known and recipe.is_plain and recipe.parts[0][0].card.architecture.name == "student"


class Partial:
    """One student and its features for the last picture.

    Args:
        style: of the architecture ``student``.
        spec: of the whole picture's engine; `Architecture.multiple`, the side of a block, divides both sides.

    Attributes:
        care: may change from call to call.
        areas: share of the picture that each part computed at the last call.
    """

    def __init__(self, style: Style, spec: EngineSpec, runtime: str) -> None:
        arch = style.card.architecture
        load: Callable[[Style, Part, EngineSpec], Any] = importlib.import_module(f"{ENGINES[runtime]}_parts").load_part
        self._block, self.care = arch.multiple, EXACT
        self._rows, self._columns = spec.height // self._block, spec.width // self._block
        parts = student_parts(arch)
        self._engines = [(part, load(style, part, spec)) for part in parts]
        self._costs = [_cost(arch, part) for part in parts]
        self._margins = [margin(arch, part) // self._block for part in parts]
        self._kept: dict[str, np.ndarray] = {}
        self._deviation: dict[str, float] = {}
        self.areas: tuple[float, ...] = ()

    @property
    def look(self) -> np.ndarray:
        """uint8 [H, W, 3], changed in place by the next call."""
        return self._kept[LOOK]

    @property
    def cost(self) -> float:
        """Of the last call, as a share of the fused network's for the whole picture."""
        return sum(cost * area for cost, area in zip(self._costs, self.areas, strict=True))

    def expected_cost(self, changed: np.ndarray) -> float:
        """Of an update, before it is known how far a change reaches; something must have changed."""
        areas = []
        for place, around in enumerate(self._margins):  # each part's features change about a block further out
            reach = 2 * around + place
            found = [rect.grown(reach, *changed.shape) for rect in rectangles(changed, reach)]
            areas.append(sum(rect.area for rect in found) / changed.size)
        return sum(cost * area for cost, area in zip(self._costs, areas, strict=True))

    def whole(self, picture: np.ndarray) -> None:
        """Compute all of ``picture``, uint8 [H, W, 3]."""
        self._kept = {PICTURE: picture.copy(), LOOK: np.empty_like(picture)}
        for part, engine in self._engines:
            given = engine(*(self._kept[t.name] for t in part.takes))
            for tensor, values in zip(part.gives, given, strict=True):
                if tensor.name == PICTURE:
                    opencv().merge(list(values), self._kept[LOOK])
                else:
                    self._kept[tensor.name] = values.copy()
                    self._deviation[tensor.name] = float(values.std())
        self.areas = (1.0,) * len(self._engines)

    def update(self, picture: np.ndarray, changed: np.ndarray) -> list[Rect]:
        """Bring the look up to ``picture``, of which only the rectangles of the mask ``changed`` differ.

        Returns:
            The rectangles, in pixels, in which `look` was computed again.
        """
        for rect in rectangles(changed, 0):
            self._part_of(Tensor(PICTURE), rect)[:] = picture[rect.times(self._block).slices]
        source, wanted, areas = changed, [], []
        for (part, engine), around in zip(self._engines, self._margins, strict=True):
            wanted = rectangles(spread(source, around) | spread(changed, min(around, self.care.reach)), around)
            changed, area = np.zeros_like(source), 0
            for rect in wanted:
                area += self._compute(part, engine, rect, around, changed)
            areas.append(area / changed.size)
        self.areas = tuple(areas)
        return [rect.times(self._block) for rect in wanted]

    def _compute(self, part: Part, engine: Any, rect: Rect, around: int, changed: np.ndarray) -> int:
        """Compute ``rect``, in blocks, and note in ``changed`` where the last tensor did; blocks it took."""
        window = rect.grown(around, self._rows, self._columns).stepped(STEP, self._rows, self._columns)
        given = engine(*(self._part_of(tensor, window) for tensor in part.takes))
        inside = rect.within(window).times(self._block)
        for tensor, whole in zip(part.gives, given, strict=True):
            values = inside.of(whole, tensor.stride)
            if tensor.name == PICTURE:
                opencv().merge(list(values), self.look[rect.times(self._block).slices])
            elif tensor is part.gives[-1]:
                rect.of(changed)[:] |= self._replace(tensor, values, rect)
            else:
                self._part_of(tensor, rect)[:] = values
        return window.area

    def _part_of(self, tensor: Tensor, rect: Rect) -> np.ndarray:
        kept = self._kept[tensor.name]
        pixels = rect.times(self._block)
        return kept[pixels.slices] if tensor.name == PICTURE else pixels.of(kept, tensor.stride)

    def _replace(self, tensor: Tensor, values: np.ndarray, rect: Rect) -> np.ndarray:
        """Keep ``values`` in the blocks where they changed enough; which those are."""
        kept, cells = self._part_of(tensor, rect), self._block // tensor.stride
        rows, columns = kept.shape[1] // cells, kept.shape[2] // cells
        if not self.care.quiet:
            kept[:] = values
            return np.ones((rows, columns), bool)
        change = np.abs(values - kept).max(0).reshape(rows, cells, columns, cells).max((1, 3))
        blocks: np.ndarray = change > self.care.quiet * self._deviation[tensor.name]
        np.copyto(kept, values, where=blocks.repeat(cells, 0).repeat(cells, 1))
        return blocks


def _cost(arch: Architecture, part: Part) -> float:
    pictures = sum(tensor.name == PICTURE for tensor in (*part.takes, *part.gives))
    return ARITHMETIC * work_share(arch, part) + PICTURES * pictures
