"""What a file's frames move between host and device, as CUDA's own profiler counts it, and as the program does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gpu_clip import repeated_clip, whole_job
from gpu_figures import Book, Figure, NotMeasuredError
from gpu_setup import Setup
from gpu_table import aimed

NAME, FRAMES = "file, 1080p", 60
UP, DOWN = "HtoD", "DtoH"  # in the names of the profiler's events
SMALL = 1024  # bytes: tables and shares, not pictures


@dataclass
class Moved:
    """Of a whole trace: bytes each way, the part of them in pageable memory, and what ran at one time."""

    up: int = 0
    down: int = 0
    pageable: int = 0
    streams: int = 0  # that kernels ran on
    copying: float = 0.0  # microseconds of copies of pictures
    hidden: float = 0.0  # of those, while a kernel ran

    @property
    def overlap(self) -> float:
        return self.hidden / self.copying if self.copying else 0.0


@dataclass(frozen=True)
class Run:
    """A run of a file: the profiler's events, frames, calls that may be under way, and bytes as the program counts."""

    events: list[dict[str, Any]]
    frames: int
    in_flight: int
    up: int
    down: int


def copies(setup: Setup, book: Book) -> None:
    with book.attempt("copies", f"{NAME}: what is copied"):
        run = _run(setup)
        for figure in counted(run):
            book.add(figure)
        setup.need_gpu()
        for figure in figures(moved(run.events), run):
            book.add(figure)


def counted(run: Run) -> list[Figure]:
    """What the program itself knows."""
    up, down = run.up / run.frames / 1e6, run.down / run.frames / 1e6
    return [
        aimed("copies.in_flight", f"{NAME}: frames in flight", run.in_flight),
        Figure("copies.counted_up", f"{NAME}: uploaded a frame, by our count", up, "MB"),
        Figure("copies.counted_down", f"{NAME}: downloaded a frame, by our count", down, "MB"),
    ]


def figures(found: Moved, run: Run) -> list[Figure]:
    """What CUDA says.

    Raises:
        NotMeasuredError: the profiler saw no copy.
    """
    if not found.up and not found.down:
        raise NotMeasuredError("the profiler saw no copies")
    up, down, pageable = (count / run.frames / 1e6 for count in (found.up, found.down, found.pageable))
    return [
        aimed("copies.up", f"{NAME}: uploaded a frame", up, "MB"),
        aimed("copies.down", f"{NAME}: downloaded a frame", down, "MB"),
        Figure("copies.pageable", f"{NAME}: of that in pageable memory", pageable, "MB", 0.01, True),
        Figure("copies.overlap", f"{NAME}: share of the copies' time that kernels run in", found.overlap),
        Figure("copies.streams", f"{NAME}: streams with kernels", found.streams),
    ]


def _run(setup: Setup) -> Run:
    """Of a file, with an engine that is warm."""
    from torch.profiler import ProfilerActivity, profile

    net = "student" if "student" in setup.nets else next(iter(setup.nets))
    clip, trace = repeated_clip(setup, min(FRAMES, setup.limit)), setup.folder / "trace.json"
    with whole_job(setup, clip, setup.nets[net]) as run, _counting() as memories:
        run()
        memories.clear()
        with profile(activities=[ProfilerActivity.CUDA if setup.on_gpu else ProfilerActivity.CPU]) as profiler:
            report = run()
        in_flight = run.stylizer.engine_for(*setup.sizes["1080p"]).spec.in_flight
    profiler.export_chrome_trace(str(trace))
    events = json.loads(trace.read_text())["traceEvents"]
    up = sum(memory.uploaded for memory in memories)
    down = sum(memory.downloaded for memory in memories)
    return Run(events, report.frames_out, in_flight, up, down)


@contextmanager
def _counting() -> Iterator[list[Any]]:
    """The `DeviceMemory` of every run inside."""
    from engines.device import memory as device_memory

    plain, made = device_memory.DeviceMemory, []

    class Noted(plain):  # type: ignore[misc, valid-type]
        def __init__(self, name: str) -> None:
            super().__init__(name)
            made.append(self)

    device_memory.DeviceMemory = Noted  # type: ignore[misc]
    try:
        yield made
    finally:
        device_memory.DeviceMemory = plain  # type: ignore[misc]


def moved(events: list[dict[str, Any]]) -> Moved:
    """Add up a trace's events: complete ones ("X"), of the categories gpu_memcpy and kernel."""
    found, kernels, pictures = Moved(), [], []
    streams = set()
    for event in events:
        arguments = event.get("args", {})
        span = (float(event.get("ts", 0)), float(event.get("ts", 0)) + float(event.get("dur", 0)))
        if event.get("cat") == "kernel":
            kernels.append(span)
            streams.add(arguments.get("stream"))
        if event.get("cat") != "gpu_memcpy" or not any(way in event["name"] for way in (UP, DOWN)):
            continue
        size = int(arguments.get("bytes", 0))
        found.up += size if UP in event["name"] else 0
        found.down += size if DOWN in event["name"] else 0
        if size > SMALL:
            found.pageable += size if "Pageable" in event["name"] else 0
            pictures.append(span)
    found.streams = len(streams)
    found.copying = sum(end - start for start, end in pictures)
    found.hidden = sum(_covered(span, merged) for merged in [_merged(kernels)] for span in pictures)
    return found


def _merged(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Sorted, and joined where they touch."""
    joined: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _covered(span: tuple[float, float], merged: list[tuple[float, float]]) -> float:
    return sum(max(0.0, min(span[1], end) - max(span[0], start)) for start, end in merged)
