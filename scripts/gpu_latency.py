"""One frame at a time, from the host's memory to the host's memory: what a live picture waits."""

from __future__ import annotations

import time
from typing import Any

from gpu_figures import Book
from gpu_setup import Setup
from gpu_table import aimed
from gpu_timing import percentile

LEAST, MOST = 20, 2000  # frames
SIZES = ("1080p", "720p")


def latency(setup: Setup, book: Book) -> None:
    for text in SIZES:
        for net in setup.nets:
            key, name = f"latency.{net}.{text}", f"{net} {text}: one frame, upload to download"
            with book.attempt(key, name):
                milliseconds = _waits(setup, net, text)
                for label, share in (("p50", 0.5), ("p95", 0.95)):
                    book.add(aimed(f"{key}.{label}", f"{name}, {label}", percentile(milliseconds, share), "ms"))


def _waits(setup: Setup, net: str, text: str) -> list[float]:
    """Milliseconds of every frame; each is a new one, and its result is the caller's own array."""
    size = setup.sizes[text]
    frames = setup.pictures(4, size).cpu().numpy()
    with setup.loaded(setup.nets[net], size, setup.engine, in_flight=1) as engine:
        for frame in frames:  # warms up
            _wait(engine, frame[None])
        ends, waits = time.perf_counter() + setup.seconds, list[float]()
        while len(waits) < LEAST or (time.perf_counter() < ends and len(waits) < MOST):
            waits.append(_wait(engine, frames[len(waits) % len(frames)][None]))
    return waits


def _wait(engine: Any, batch: Any) -> float:
    started = time.perf_counter()
    engine.submit(batch)()
    return 1e3 * (time.perf_counter() - started)
