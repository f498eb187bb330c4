"""A live look that keeps up: a size that follows the load and the faces, still backgrounds used again, detail kept."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import numpy as np

from vidstyle import faces
from vidstyle.engine import EngineSpec, Recipe, load_engine
from vidstyle.engine_options import EngineOptions
from vidstyle.frame import working_size
from vidstyle.live.adaptive import AdaptiveSize, Cost, Sample, Size, working_sizes
from vidstyle.live.change import same
from vidstyle.live.fade import Fade
from vidstyle.live.region import RegionStylizer
from vidstyle.live.upscale import apply_change, shrunk
from vidstyle.steady import Steady

PORTION = 0.75  # of the time between two pictures that a look may take: the rest of the session needs some too
HISTORY = 2000  # pictures
PROBES = 3  # pictures that a size is timed with, after a first one
GLANCE = 2.0  # seconds between two looks for faces
GLANCES = 5  # that count


class KeepUp:
    """Give a session's pictures, all of one size, a look; of one thread. Sizes are loaded on another.

    Args:
        recipe: the look.
        size: short side the network works at, None for the size that keeps up.
        options: runtime, device, precision, threads.
        rate: pictures a second to keep up with.
        noise: see `RegionStylizer`.
        steady: see `vidstyle.steady.Steady`.
        cost: what pictures were found to take before, as `cost` of another look of its kind: saves measuring.
        now: seconds.

    Attributes:
        cost: seconds by size, once it is measured.
        unchanged: pictures that were equal to the one before.
    """

    def __init__(
        self,
        recipe: Recipe,
        size: int | None,
        options: EngineOptions,
        *,
        rate: float = 30.0,
        noise: float | None = None,
        steady: float = 0.0,
        cost: Cost | None = None,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.cost, self.unchanged = cost, 0
        self._recipe, self._short, self._options = recipe, size, options
        self._budget, self._noise, self._now = PORTION / rate, noise, now
        self._steady = Steady(steady) if steady else None
        self._background = ThreadPoolExecutor(1, "vidstyle-size")
        self._coming: Future[RegionStylizer] | None = None
        self._glance: Future[np.ndarray] | None = None
        self._glanced = -GLANCE
        self._seen: deque[np.ndarray] = deque(maxlen=GLANCES)
        self._adaptive = AdaptiveSize(((1, 1),), self._budget)
        self._region: RegionStylizer | None = None
        self._history: deque[Sample] = deque(maxlen=HISTORY)
        self._fade: Fade | None = None
        self._source = self._look = np.zeros((0, 0, 3), np.uint8)
        self._error = ""

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] RGB in and out; neither is written to afterwards."""
        began = self._now()
        first = self._region is None or picture.shape != self._source.shape
        if first:
            self._prepare(picture)
        elif same(picture, self._source):
            self.unchanged += 1
            return self._look
        assert self._region is not None
        look = self._styled(self._region, picture)
        computed = self._region.cost > 0 and not first
        if self._coming is not None:
            look = self._switched(self._coming, picture, look)
        elif computed:
            self._history.append(Sample(self._now(), self._now() - began))
            self._look_for_faces(picture)
            self._follow()
        if self._fade is not None:
            look = self._fade(picture, look)
            self._fade = self._fade if self._fade.left else None
        self._source, self._look = picture, look
        return look

    def status(self) -> dict[str, Any]:
        """JSON-ready: size the network sees, share of a whole picture's work that the last one took, and more."""
        if self._region is None:
            return {}
        height, width = self._region.size
        return {
            "working": [width, height],
            "size": "auto" if self._short is None else self._short,
            "computed": round(self._region.cost, 3),
            "ms": round(1000 * statistics.median(s.seconds for s in list(self._history)[-30:] or [Sample(0, 0)]), 1),
            "unchanged": self.unchanged,
            "noise": self._region.noise,
            "engine": self._region.description,
            **({"error": self._error} if self._error else {}),
        }

    def close(self) -> None:
        """Wait for a size that is being loaded, and free everything."""
        self._background.shutdown(wait=True, cancel_futures=True)
        if self._coming is not None and not self._coming.cancelled() and self._coming.exception() is None:
            self._coming.result().close()
        if self._region is not None:
            self._region.close()  # its figures stay
        self._coming = None

    def _styled(self, region: RegionStylizer, picture: np.ndarray) -> np.ndarray:
        small = shrunk(picture, *region.size)
        styled = region(small)
        if self._steady is not None:  # of another size it begins anew
            styled = self._steady(small, styled)
        return styled if small is picture else apply_change(picture, small, styled)

    def _load(self, size: Size) -> RegionStylizer:
        """A stylizer that is warm: the first pictures take longest."""
        o = self._options
        region = RegionStylizer(
            self._recipe,
            *size,
            runtime=o.engine,
            precision=o.precision,
            device=o.device,
            threads=o.threads,
            noise=self._noise,
        )
        try:
            region.warm()
        except BaseException:
            region.close()
            raise
        return region

    def _prepare(self, picture: np.ndarray) -> None:
        """Choose the size for pictures like this one and load it; the machine is measured where it was not yet."""
        height, width = picture.shape[:2]
        fixed = self._short and working_size(width, height, Fraction(1), self._short)
        sizes = (fixed,) if fixed else working_sizes(height, width)
        self._adaptive = AdaptiveSize(sizes, self._budget)
        if self._heeds_faces:
            self._saw(faces.faces_in(picture))
        if len(sizes) > 1:
            probed = sizes[-1], sizes[(len(sizes) - 1) // 2]
            self._adaptive.start(self.cost or [(size, self._measure(size, picture)) for size in probed])
            self.cost = self._adaptive.cost
        if self._region is not None:
            self._region.close()
        self._region, self._fade = self._load(self._adaptive.size), None
        self._history.clear()

    def _measure(self, size: Size, picture: np.ndarray) -> float:
        """Seconds that a whole picture takes at a size."""
        o = self._options
        times = []
        with load_engine(self._recipe, EngineSpec(*size, 1, o.precision, o.device, o.threads), o.engine) as engine:
            for _ in range(1 + PROBES):
                began = self._now()
                small = shrunk(picture, *size)
                apply_change(picture, small, engine(small[None])[0])
                times.append(self._now() - began)
        return statistics.median(times[1:])

    def _look_for_faces(self, picture: np.ndarray) -> None:
        """Now and then, beside the pictures."""
        if self._glance is not None and self._glance.done():
            if self._glance.exception() is None:  # otherwise the load alone decides
                self._saw(self._glance.result())
            self._glance = None
        elif self._glance is None and self._heeds_faces and self._now() - self._glanced >= GLANCE:
            self._glanced = self._now()
            self._glance = self._background.submit(faces.faces_in, picture)

    @property
    def _heeds_faces(self) -> bool:
        return self._short is None and min(self._adaptive.sizes[0]) > min(faces.LADDER)

    def _saw(self, found: np.ndarray) -> None:
        """Sizes at which the faces of the last pictures are too large are not taken."""
        self._seen.append(found)
        sizes = [min(size) for size in self._adaptive.sizes]
        best = faces.best_size(self._seen, sizes[0], sizes)
        self._adaptive.largest = sizes.index(best)

    def _follow(self) -> None:
        """Start to load another size where the load asks for one."""
        present = self._adaptive.size
        wanted = self._adaptive.decide(self._history)
        if wanted != present:
            self._coming = self._background.submit(self._load, wanted)

    def _switched(self, coming: Future[RegionStylizer], picture: np.ndarray, look: np.ndarray) -> np.ndarray:
        """Go over to another size when it is loaded; the look to show, and fade from."""
        if not coming.done():
            return look
        old, self._coming = self._region, None
        assert old is not None
        self._history.clear()
        try:
            fresh = coming.result()
        except Exception as error:  # the present size goes on
            self._error = " ".join(str(error).split())
            self._adaptive.place = self._adaptive.sizes.index(old.size)
            return look
        self._region = fresh
        new = self._styled(fresh, picture)
        self._fade = Fade(picture, look, new)
        self._background.submit(old.close)
        return new
