"""Keeps an engine that the device's memory holds: where it is full, less at a time, in the end parts of a picture."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from vidstyle.choice import choose
from vidstyle.engine import Engine, EngineSpec, Recipe, load_engine
from vidstyle.errors import EngineError, OutOfMemoryError, TooSmallError

MOST_PARTS = 64
MEGAPIXELS, MOST = 2, 8  # of a call on a GPU, and pictures: smaller ones go together, to have work for all of it


def batch_for(runtime: str, device: str, height: int, width: int) -> int:
    """Pictures a call where nobody says. TensorRT's engines are built for a number, which is 1 there too."""
    if runtime != "cuda" and not (runtime == "torch" and device.startswith("cuda")):
        return 1
    return max(1, min(MOST, round(MEGAPIXELS * 1e6 / (height * width))))


@dataclass(frozen=True)
class _Way:
    """``batch`` pictures a call, ``in_flight`` calls at a time, each picture in ``rows`` x ``columns`` parts."""

    batch: int
    in_flight: int
    rows: int = 1
    columns: int = 1

    def __str__(self) -> str:
        if (parts := self.rows * self.columns) > 1:
            return f"in about {parts} parts"
        return f"{self.batch} at a time" + (", one call under way" if self.in_flight == 1 else "")


def _ways(spec: EngineSpec) -> Iterator[_Way]:
    """From what was asked for to what needs least; ``in_flight`` 0 leaves the number to the engine."""
    batch = spec.max_batch
    while batch >= 1:
        yield _Way(batch, spec.in_flight)
        batch //= 2
    if spec.in_flight != 1:
        yield _Way(1, 1)
    rows = columns = 1
    while rows * columns < MOST_PARTS:
        rows, columns = (rows, 2 * columns) if spec.width * rows > spec.height * columns else (2 * rows, columns)
        yield _Way(1, 1, rows, columns)


@dataclass
class _Loaded:
    """An engine, what was asked for, and what is left to try where it needs too much."""

    engine: Engine
    spec: EngineSpec
    ways: Iterator[_Way]


class FittingEngine:
    """One engine at a time, for the size of picture last asked for; those of sizes that are to be kept besides.

    Attributes:
        notes: what was done because the memory was full, for the report.
        count: engines loaded so far; results of an earlier one are lost where its successor was loaded.
    """

    def __init__(self, recipe: Recipe, spec: EngineSpec, runtime: str, batch: int) -> None:
        """``spec`` without a size; ``batch``: most pictures a call, 0 for `batch_for`."""
        self._recipe, self._spec, self._runtime, self._batch = recipe, spec, runtime, batch
        self._engine: Engine | None = None
        self._kept: dict[tuple[int, int], _Loaded] = {}  # other engines than that
        self._keep: frozenset[tuple[int, int]] = frozenset()
        self._closed = False
        self._ways: Iterator[_Way] = iter(())
        self.notes: list[str] = []
        self.count = 0
        self._process = os.getpid()
        self._before: list[object] = []  # of the process this one was forked from; to free it might wait, too

    def keep(self, sizes: Iterable[tuple[int, int]]) -> None:
        """Have the engines for these sizes, (height, width), stay loaded once they are; of all others the last one."""
        self._keep = frozenset(sizes)
        for size in [size for size in self._kept if size not in self._keep]:
            self._kept.pop(size).engine.close()

    def of_size(self, height: int, width: int) -> Engine:
        """The engine for pictures of this size; loads it when the size is new.

        Raises:
            EngineError: see `vidstyle.engine.load_engine`; or this is closed.
        """
        if self._closed:
            raise EngineError("the stylizer is closed: open it again")
        if self._process != os.getpid():  # a fork copies no threads: an engine that was loaded before waits for ever
            self._process, self._before = os.getpid(), [*self._before, self._engine, self._kept]
            self._engine, self._kept = None, {}
        if self._engine is None or (self._spec.height, self._spec.width) != (height, width):
            self._put_aside()
            if (kept := self._kept.pop((height, width), None)) is not None:
                self._engine, self._spec, self._ways = kept.engine, kept.spec, kept.ways
                return self._engine
            batch = self._batch or batch_for(*choose(self._runtime, self._spec.device), height, width)
            self._spec = replace(self._spec, height=height, width=width, max_batch=batch)
            self._ways = _ways(self._spec)
            self._engine = self._load(next(self._ways))
        return self._engine

    def _put_aside(self) -> None:
        """The engine in use: among those that are kept, or it is freed."""
        size = self._spec.height, self._spec.width
        if self._engine is not None and size in self._keep:
            self._kept[size] = _Loaded(self._engine, self._spec, self._ways)
        elif self._engine is not None:
            self._engine.close()
        self._engine = None

    def smaller(self, error: OutOfMemoryError) -> Engine:
        """An engine that needs less, after ``error``.

        Raises:
            OutOfMemoryError: there is no less.
            EngineError: see `vidstyle.engine.load_engine`.
        """
        self.unload()
        for way in self._ways:
            try:
                self._engine = self._load(way, may_shrink=False)
            except OutOfMemoryError as again:
                error = again
            except TooSmallError:
                break
            else:
                size = (
                    f"the device's memory was full: pictures of {self._spec.width}x{self._spec.height} went through it"
                )
                self.notes = [*(note for note in self.notes if not note.startswith(size)), f"{size} {way}"]
                return self._engine
        raise OutOfMemoryError(
            f"{error}; it does not suffice for a small part of a picture: close other programs that use it"
        ) from error

    def _load(self, way: _Way, may_shrink: bool = True) -> Engine:
        spec = replace(self._spec, max_batch=way.batch, in_flight=way.in_flight)
        self.count += 1
        try:
            if way.rows * way.columns == 1:
                return load_engine(self._recipe, spec, self._runtime)
            from vidstyle.tiling import TiledEngine

            return TiledEngine(
                self._recipe, spec, way.rows, way.columns, lambda recipe, part: load_engine(recipe, part, self._runtime)
            )
        except OutOfMemoryError as error:
            if not may_shrink:
                raise
            return self.smaller(error)

    def close(self) -> None:
        self._closed = True
        self.unload()

    def unload(self) -> None:
        """Free every engine; the next picture loads its own again."""
        for engine in (self._engine, *(kept.engine for kept in self._kept.values())):
            if engine is not None:
                engine.close()
        self._engine, self._kept = None, {}
