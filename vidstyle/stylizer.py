"""The middle stage: frames in, styled frames out, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np

from vidstyle.engine import Engine, EngineSpec, Recipe
from vidstyle.errors import OutOfMemoryError, UsageError
from vidstyle.fitting import FittingEngine
from vidstyle.frame import Frame, check_array


class Stylizer:
    """Give pictures a look. A context manager; one size of picture per engine, loaded when first seen.

    Usable by itself for single pictures (``stylizer(image)``) and by the pipeline for streams (`frames`). Where the
    device's memory is too small, it goes on with smaller batches, or with parts of a picture, to the same result.

    Args:
        recipe: the look, from `vidstyle.catalog.parse_recipe`.
        engine: runtime, see `vidstyle.engine.load_engine`.
        device, precision, threads, in_flight: see `vidstyle.engine.EngineSpec`.
        batch: most pictures a call, of a stream; 0 for as many as suit the engine.
    """

    def __init__(
        self,
        recipe: Recipe,
        engine: str = "auto",
        device: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        in_flight: int = 1,
        batch: int = 1,
    ) -> None:
        self.recipe = recipe
        self.reused = 0  # pictures equal to the one before, whose result was used again
        spec = EngineSpec(1, 1, 1, precision, device, threads, in_flight)
        self._engines = FittingEngine(recipe, spec, engine, batch)
        self._calling = Lock()

    @property
    def notes(self) -> list[str]:
        """What was done because the device's memory was full, for the report."""
        return list(self._engines.notes)

    def engine_for(self, height: int, width: int) -> Engine:
        """The engine for pictures of this size; loads it when the size is new.

        Raises:
            EngineError: see `vidstyle.engine.load_engine`.
        """
        return self._engines.of_size(height, width)

    def keep(self, sizes: Iterable[tuple[int, int]]) -> None:
        """Leave the engines for pictures of these sizes, (height, width), loaded, for a stream that goes to and fro."""
        self._engines.keep(sizes)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Style one picture, uint8 [H, W, 3] RGB; a new array of the same shape. Threads take turns.

        Raises:
            UsageError: it is of another type or shape.
        """
        if check_array(image) is image:  # it has four dimensions already
            raise UsageError(f"got a batch {list(image.shape)}, expected one picture: vidstyle.stylize takes batches")
        with self._calling:
            return _Call(self._engines, image)[0]

    def frames(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Style a stream: as many frames, in the same order, with the same times.

        Several are in the engine at a time. A picture equal to the one before is not computed again.
        """
        waiting: deque[tuple[Frame, _Call, int]] = deque()  # with the place of its result in the call's
        previous: Frame | None = None
        call: _Call | None = None
        for frame in frames:
            if previous is not None and previous.image.shape != frame.image.shape:  # another engine is needed
                yield from _drained(waiting)
                call = None
            if call is not None and previous is not None and _same(previous.image, frame.image):
                self.reused += 1
            elif call is None or not call.add(frame.image):
                spec = self.engine_for(*frame.image.shape[:2]).spec
                while len({id(call) for _, call, _ in waiting}) >= spec.in_flight:
                    yield _styled(*waiting.popleft())
                call = _Call(self._engines, frame.image)
            previous = frame
            waiting.append((frame, call, call.count - 1))
            if len(waiting) > 2 * call.spec.in_flight * call.spec.max_batch:  # a long still must not pile up
                yield _styled(*waiting.popleft())
        yield from _drained(waiting)

    def unload(self) -> None:
        """Give up what is under way, and free the engine; the next picture loads it again."""
        self._engines.unload()

    def close(self) -> None:
        """Free the engine; every later use is an `EngineError`."""
        self._engines.close()

    def __enter__(self) -> Stylizer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Call:
    """Pictures that go to the engine together; ``call[i]`` waits for the result of the one added as number i.

    They go when there are as many as the engine takes, or when a result is asked for. They are kept until then:
    where the memory is full, they are computed once more by an engine that needs less.
    """

    def __init__(self, engines: FittingEngine, image: Any) -> None:
        self._engines, self._images = engines, [image]
        self.count = 1
        self.spec = engines.of_size(*image.shape[:2]).spec
        self._loaded = engines.count
        self._wait: Callable[[], Any] | None = None
        self._results: Any = None
        self._submit_when_full()

    def add(self, image: Any) -> bool:
        """False where it is too late for another picture."""
        if self._wait is not None or self._results is not None:
            return False
        self._images.append(image)
        self.count += 1
        self._submit_when_full()
        return True

    def _submit_when_full(self) -> None:
        if self.count == self.spec.max_batch:
            self._submit()

    def _submit(self) -> None:
        try:
            self._wait = _submitted(self._engines.of_size(*self._images[0].shape[:2]), self._images)
        except OutOfMemoryError as error:
            self._compute_with_less(error)

    def __getitem__(self, index: int) -> Any:
        if self._results is None:
            if self._wait is None:
                self._submit()
            self._finish()
        return self._results[index]

    def _finish(self) -> None:
        if self._results is not None:
            return
        try:
            if self._loaded != self._engines.count:  # another call's pictures did not fit: this result went with it
                self._compute_one_by_one(self._engines.of_size(*self._images[0].shape[:2]))
                return
            assert self._wait is not None
            self._results = self._wait()
            self._images.clear()
        except OutOfMemoryError as error:
            self._compute_with_less(error)

    def _compute_with_less(self, error: OutOfMemoryError) -> None:
        while self._results is None:
            engine = self._engines.smaller(error)  # raises where there is no less
            try:
                self._compute_one_by_one(engine)
            except OutOfMemoryError as again:
                error = again

    def _compute_one_by_one(self, engine: Engine) -> None:
        self._results = [_submitted(engine, [image])()[0] for image in self._images]
        self._images.clear()


def _submitted(engine: Any, images: list[Any]) -> Callable[[], Any]:
    if isinstance(images[0], np.ndarray):
        return engine.submit(images[0][None] if len(images) == 1 else np.stack(images))
    first = images[0]
    batch = first[None] if len(images) == 1 else first.new_empty((len(images), *first.shape))
    if len(images) > 1:
        for place, image in zip(batch, images, strict=True):
            place.copy_(image)
    return engine.submit_on_device(batch)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return bool(one.equal(other))


def _styled(frame: Frame, call: _Call, index: int) -> Frame:
    return replace(frame, image=call[index])


def _drained(waiting: deque[tuple[Frame, _Call, int]]) -> Iterator[Frame]:
    while waiting:
        yield _styled(*waiting.popleft())
