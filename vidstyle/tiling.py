"""An engine for pictures too large for the device's memory: computed in parts, exactly.

A network's output pixel depends on the input pixels up to `vidstyle.live.parts.halo` away and no others, so a part
that is cut out with that many around it comes out as in the whole picture. Parts begin at multiples of the
network's own grid, and the last ends with the picture: borders are seen as borders, and nothing else is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from vidstyle.engine import Engine, EngineSpec, Recipe, check_batch
from vidstyle.errors import TooSmallError
from vidstyle.live.parts import halo

#: (first pixel of the part with its surroundings, first and last + 1 pixel that are taken from it)
Span = tuple[int, int, int]


def spans(length: int, parts: int, around: int, grid: int) -> tuple[int, list[Span]]:
    """Cut ``length`` pixels into about ``parts``: (length of every part with its surroundings, where they are).

    Every part has ``around`` pixels more on each side than are taken from it, but at the picture's borders.
    """
    inner = -(-length // parts)
    size = -(-(inner + 2 * around) // grid) * grid + length % grid
    if size >= length:
        return length, [(0, 0, length)]
    step = (size - 2 * around) // grid * grid
    starts = [*range(0, length - size, step), length - size]
    ends = [start + size - around for start in starts[:-1]]
    return size, list(zip(starts, [0, *ends], [*ends, length], strict=True))


class TiledEngine:
    """See `vidstyle.engine.Engine`: one picture a call, in about ``rows`` x ``columns`` parts one after the other.

    A `vidstyle.engine.DeviceEngine` where the engine for the parts is one.

    Args:
        spec: of the whole picture; its ``max_batch`` becomes 1.
        load: makes the engine for the parts, as `vidstyle.engine.load_engine`.

    Raises:
        TooSmallError: the picture cannot be cut so.
    """

    def __init__(
        self, recipe: Recipe, spec: EngineSpec, rows: int, columns: int, load: Callable[[Recipe, EngineSpec], Engine]
    ) -> None:
        networks = [style.card.architecture for style, _ in recipe.parts]
        grid = max(network.multiple for network in networks)  # powers of two
        around = -(-max(map(halo, networks)) // grid) * grid
        height, self._rows = spans(spec.height, rows, around, grid)
        width, self._columns = spans(spec.width, columns, around, grid)
        if len(self._rows) * len(self._columns) == 1:
            raise TooSmallError(f"a picture of {spec.width}x{spec.height} cannot be cut into smaller parts")
        self._engine = load(recipe, replace(spec, height=height, width=width, max_batch=1))
        self.spec = replace(self._engine.spec, height=spec.height, width=spec.width)
        self.description = f"{self._engine.description}, in {len(self._rows) * len(self._columns)} parts"

    def submit(self, batch: np.ndarray) -> Callable[[], np.ndarray]:
        result = self._parts(batch, np.empty_like, lambda part: self._engine.submit(part)())
        return lambda: result

    def submit_on_device(self, batch: Any) -> Callable[[], Any]:
        engine: Any = self._engine
        result = self._parts(batch, lambda like: like.new_empty(like.shape), lambda p: engine.submit_on_device(p)())
        return lambda: result

    def _parts(self, batch: Any, empty: Callable[[Any], Any], style: Callable[[Any], Any]) -> Any:
        check_batch(batch, self.spec)
        whole = empty(batch)
        height, width = self._engine.spec.height, self._engine.spec.width
        for y, top, bottom in self._rows:
            for x, left, right in self._columns:
                part = style(batch[:, y : y + height, x : x + width])
                whole[:, top:bottom, left:right] = part[:, top - y : bottom - y, left - x : right - x]
        return whole

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return self.submit(batch)()

    def set_shares(self, shares: np.ndarray) -> None:
        self._engine.set_shares(shares)

    def close(self) -> None:
        self._engine.close()

    def __enter__(self) -> TiledEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
