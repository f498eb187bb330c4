"""Looks for pictures of which only a part changes: unchanged pictures and a still background are used again."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from vidstyle.choice import choose
from vidstyle.engine import EngineSpec, Recipe, load_engine
from vidstyle.live.area import Area
from vidstyle.live.change import Changes, Rect, bounds
from vidstyle.live.partial import Networks, Partial, can_be_partial

REFRESH = 300  # pictures computed in part until one is computed whole
WORTH = 0.85  # of the cost of a whole picture: beyond it a part is not worth its trouble
PLAIN_BLOCK = 16  # pixels, where only unchanged pictures are told apart
SETTLED = 2  # pictures in a row with a still background until features are kept

log = logging.getLogger(__name__)


class RegionStylizer:
    """Give pictures of one size a look, computing again only what changed. Of one thread; a context manager.

    A part of a picture can be computed where the look is one student at full strength on OpenVINO
    (`vidstyle.live.partial`). Elsewhere only unchanged pictures are used again. What a new size of part needs is
    compiled on a thread of its own; whole pictures are computed until it is there.

    Args:
        recipe: the look.
        height, width: of every picture.
        runtime, precision, device, threads: see `vidstyle.engine`.
        noise: levels by which an unchanged place may differ from picture to picture: 0 for clean input, where
            the result is that of the whole computation; None to measure it.
        refresh: pictures computed in part until one is computed whole.
        waits: wait for what is compiled, so that the same pictures always take the same way.

    Attributes:
        cost: of the last picture, as a share of a whole one: 0 where it was used again.
        reused: pictures that were equal to the one before.
    """

    def __init__(
        self,
        recipe: Recipe,
        height: int,
        width: int,
        *,
        runtime: str = "auto",
        precision: str = "auto",
        device: str = "auto",
        threads: int = 0,
        noise: float | None = 0.0,
        refresh: int = REFRESH,
        waits: bool = False,
    ) -> None:
        runtime, device = choose(runtime, device)
        partial = can_be_partial(recipe, runtime)
        block = recipe.parts[0][0].card.architecture.multiple if partial else PLAIN_BLOCK
        self._height, self._width = height, width
        self._padding = (0, -height % block), (0, -width % block), (0, 0)
        whole = EngineSpec(height + -height % block, width + -width % block, 1, precision, device, threads)
        self._engine = load_engine(recipe, whole, runtime)
        self._partial = Partial(recipe.parts[0][0], self._engine.spec, runtime) if partial else None
        self._changes, self._refresh = Changes(block, noise), refresh
        self._area = Area(whole.height // block, whole.width // block)
        self._compiler = ThreadPoolExecutor(1, "vidstyle-parts") if partial else None
        self._compiling: Future[Networks] | None = None
        self._waits = waits
        self._look: np.ndarray | None = None
        self._kept = False  # whether the features kept are those of the look
        self._calm = self._since = 0  # pictures in a row worth computing in part; computed so since a whole one
        self.cost, self.reused = 0.0, 0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self._height, self._width

    @property
    def noise(self) -> float:
        """Levels, given or measured."""
        return self._changes.noise

    @property
    def description(self) -> str:
        """For people: the engine."""
        return self._engine.description

    def warm(self) -> None:
        """Compute an empty picture, whole and by parts: memory is taken, and machine code made."""
        blank = np.zeros((self._engine.spec.height, self._engine.spec.width, 3), np.uint8)
        self._engine(blank[None])
        if self._partial is not None:
            self._partial.keep(self._partial.compiled(self._partial.all))
            self._partial.whole(blank)

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] RGB in and out; the result is never written to afterwards."""
        padded = np.pad(picture, self._padding, "edge") if any(map(any, self._padding)) else picture
        changed = self._changes.find(np.ascontiguousarray(padded))
        if self._look is not None and not changed.any():
            self.cost, self.reused = 0.0, self.reused + 1
        else:
            self._look = self._compute(padded, changed)[: self._height, : self._width]
        return self._look

    def _compute(self, picture: np.ndarray, changed: np.ndarray) -> np.ndarray:
        partial = self._partial
        rect = self._area.follow(bounds(changed)) if self._look is not None else None
        if partial is not None and rect is not None:
            partial.near = self.noise > 0
            self._settle(partial.cost(rect) < WORTH)
        if partial is None or rect is None or self._calm < SETTLED or not self._is_ready(partial, partial.all):
            self._changes.take(picture)
            self.cost, self._kept = 1.0, False
            return self._engine(picture[None])[0]
        if self._kept and self._since < self._refresh and self._is_ready(partial, rect):
            self._update(partial, picture, rect)
        else:
            self._changes.take(picture)
            partial.whole(picture)
            self.cost, self._kept, self._since = 1.0, True, 0
        return partial.look.copy()

    def _settle(self, worth: bool) -> None:
        self._calm = self._calm + 1 if worth else 0
        if not worth:
            self._area.forget()

    def _update(self, partial: Partial, picture: np.ndarray, rect: Rect) -> None:
        self._kept = False  # where this fails the features are neither the old nor the new picture's
        partial.update(picture, rect)
        self._changes.take(picture, rect)
        self._kept, self._since = True, self._since + 1
        self.cost = partial.cost(rect)

    def _is_ready(self, partial: Partial, rect: Rect) -> bool:
        """Whether ``rect`` can be computed now; has it compiled where not."""
        if not partial.is_ready(rect) and self._compiling is None and self._compiler is not None:
            self._compiling = self._compiler.submit(partial.compiled, rect)
        if self._compiling is not None and (self._waits or self._compiling.done()):
            self._take(partial, self._compiling)
        return partial.is_ready(rect)

    def _take(self, partial: Partial, compiling: Future[Networks]) -> None:
        self._compiling = None
        try:
            partial.keep(compiling.result())
        except Exception as error:  # no part is needed to go on
            log.warning("parts of pictures cannot be computed, whole ones are: %s", " ".join(str(error).split()))
            self._partial = None

    def close(self) -> None:
        if self._compiler is not None:
            self._compiler.shutdown(wait=True, cancel_futures=True)
        self._engine.close()
        self._partial = None

    def __enter__(self) -> RegionStylizer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
