"""The middle stage: frames in, styled frames out, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from vidstyle.engine import Engine, EngineSpec, Recipe, load_engine
from vidstyle.frame import Frame


class Stylizer:
    """Give pictures a look. A context manager; one size of picture per engine, loaded when first seen.

    Usable by itself for single pictures (``stylizer(image)``) and by the pipeline for streams (`frames`).

    Args:
        recipe: the look, from `vidstyle.catalog.parse_recipe`.
        engine: runtime, "openvino" or "torch".
        device, precision, threads, in_flight: see `vidstyle.engine.EngineSpec`.
    """

    def __init__(
        self,
        recipe: Recipe,
        engine: str = "openvino",
        device: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        in_flight: int = 1,
    ) -> None:
        self.recipe = recipe
        self.reused = 0  # pictures equal to the one before, whose result was used again
        self._runtime = engine
        self._spec = EngineSpec(1, 1, 1, precision, device, threads, in_flight)
        self._engine: Engine | None = None

    def engine_for(self, height: int, width: int) -> Engine:
        """The engine for pictures of this size; loads it when the size is new.

        Raises:
            EngineError: see `vidstyle.engine.load_engine`.
        """
        if self._engine is None or (self._engine.spec.height, self._engine.spec.width) != (height, width):
            self.close()
            self._engine = load_engine(self.recipe, replace(self._spec, height=height, width=width), self._runtime)
        return self._engine

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Style one picture, uint8 [H, W, 3] RGB; a new array of the same shape."""
        return self.engine_for(*image.shape[:2])(image[None])[0]

    def frames(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Style a stream: as many frames, in the same order, with the same times.

        Several are in the engine at a time. A picture equal to the one before is not computed again.
        """
        waiting: deque[tuple[Frame, Callable[[], Any]]] = deque()
        previous: Frame | None = None
        result: Callable[[], Any] = _nothing
        for frame in frames:
            if previous is not None and previous.image.shape != frame.image.shape:  # another engine is needed
                while waiting:
                    yield _styled(*waiting.popleft())
            engine = self.engine_for(*frame.image.shape[:2])
            if previous is not None and np.array_equal(previous.image, frame.image):
                self.reused += 1
            else:
                while self._running(waiting) >= engine.spec.in_flight:
                    yield _styled(*waiting.popleft())
                result = _once(engine.submit(frame.image[None]))
            previous = frame
            waiting.append((frame, result))
            if len(waiting) > 2 * engine.spec.in_flight:  # a long still must not pile up
                yield _styled(*waiting.popleft())
        while waiting:
            yield _styled(*waiting.popleft())

    @staticmethod
    def _running(waiting: deque[tuple[Frame, Callable[[], Any]]]) -> int:
        return len({id(result) for _, result in waiting})

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def __enter__(self) -> Stylizer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _nothing() -> Any:
    raise AssertionError("no result yet")


def _once(wait: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
    """Wait at the first call and remember: repeated pictures share one result."""
    kept: list[np.ndarray] = []

    def result() -> np.ndarray:
        if not kept:
            kept.append(wait()[0])
        return kept[0]

    return result


def _styled(frame: Frame, result: Callable[[], np.ndarray]) -> Frame:
    return replace(frame, image=result())
