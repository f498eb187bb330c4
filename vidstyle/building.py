"""Engines made ready: built, checked against the reference on a picture of their own size, and timed."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from statistics import median

import numpy as np

from vidstyle import built
from vidstyle.built import Key, Record
from vidstyle.choice import installed
from vidstyle.engine import Engine, EngineSpec, Recipe, load_engine
from vidstyle.errors import EngineError
from vidstyle.style import Style

LEAST_PSNR = 45.0  # dB against the reference in f32: about 1.4 levels of 255
EQUAL = 999.0  # stands for endless, which JSON has no number for
_CALLS = 20


def build(style: Style, spec: EngineSpec, runtime: str) -> Record:
    """What is known of the engine for one style, after it was built where it was not, checked, timed and kept.

    Raises:
        EngineError: it cannot be loaded or built, or it is wrong.
    """
    recipe = Recipe(((style, 1.0),))
    with load_engine(recipe, spec, runtime) as engine:
        known = getattr(engine, "records", None)  # of one that is built: checked when it was loaded
        ms, fps = measure(engine)
        if known:
            return built.measured(known[0], ms, fps)
        if (found := verify(engine, recipe)) < LEAST_PSNR:
            raise EngineError(f"{engine.description} differs from the reference, {found:.1f} dB: use --precision f32")
        record = Record(_key(engine, recipe, runtime), style.card.name, 0, 0.0, found, ms=ms, fps=fps)
    built.store(record, b"")
    return record


def _key(engine: Engine, recipe: Recipe, runtime: str) -> Key:
    """Of an engine that needs no build: its record is for people alone."""
    spec, torch = engine.spec, installed("torch")
    size = (spec.height, spec.width, spec.max_batch, spec.precision)
    return Key(runtime, *size, engine.description, f"torch {torch}", torch, recipe.key(), "", 0, "none")


def picture(height: int, width: int) -> np.ndarray:
    """uint8 [height, width, 3]: slopes, an edge and noise, the same each time; a network answers to all three."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    slopes = np.stack([x / width, y / height, (x + y) / (width + height)], -1) * 200
    slopes[(x // 32 + y // 32) % 2 == 0] += 40
    noise = np.random.default_rng(0).integers(0, 16, slopes.shape)
    return (slopes + noise).clip(0, 255).astype(np.uint8)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """dB between two uint8 pictures; `EQUAL` where they are."""
    mean = float(np.mean(np.square(one.astype(np.float64) - other)))
    return 10 * float(np.log10(255**2 / mean)) if mean else EQUAL


def reference(recipe: Recipe, spec: EngineSpec, image: np.ndarray) -> np.ndarray:
    """``image`` as the reference engine styles it, in f32 on the device of ``spec``."""
    with load_engine(recipe, replace(spec, max_batch=1, precision="f32", threads=0, in_flight=1), "torch") as engine:
        return engine(image[None])[0]


def verify(engine: Engine, recipe: Recipe) -> float:
    """dB between a loaded engine and the reference: the worse of the first and the last picture of a full batch.

    Raises:
        OutOfMemoryError: there is no room for the reference.
    """
    spec = engine.spec
    image = picture(spec.height, spec.width)
    styled = engine(np.repeat(image[None], spec.max_batch, 0))
    right = reference(recipe, spec, image)
    return min(psnr(styled[0], right), psnr(styled[-1], right))


def measure(engine: Engine, calls: int = _CALLS) -> tuple[float, float]:
    """(median ms of one call alone, pictures a second with all calls under way), both from array to array."""
    spec = engine.spec
    batch = np.repeat(picture(spec.height, spec.width)[None], spec.max_batch, 0)
    times = []
    for _ in range(3 + calls):
        start = time.perf_counter()
        engine(batch)
        times.append(time.perf_counter() - start)
    waiting = deque(engine.submit(batch) for _ in range(spec.in_flight))
    start = time.perf_counter()
    for _ in range(calls):
        waiting.popleft()()
        waiting.append(engine.submit(batch))
    seconds = time.perf_counter() - start
    for wait in waiting:
        wait()
    return median(times[3:]) * 1000, calls * spec.max_batch / seconds
