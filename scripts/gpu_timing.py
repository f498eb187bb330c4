"""Times of work on a device, taken in turns: what warms or slows the machine meets all alike."""

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import torch

#: does a number of calls and returns when all of them are under way, or done
Work = Callable[[int], None]
SEGMENT = 0.05  # seconds of calls between two readings of the clock
LEAST_ROUNDS = 3


def seconds_per_call(work: Work, count: int, device: torch.device) -> float:
    """On a GPU by CUDA's events on the current stream, which all of ``work`` must be ordered by."""
    if device.type != "cuda":
        started = time.perf_counter()
        work(count)
        return (time.perf_counter() - started) / count
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(device)
    start.record(torch.cuda.current_stream(device))
    work(count)
    end.record(torch.cuda.current_stream(device))
    end.synchronize()
    return start.elapsed_time(end) / 1e3 / count


def interleaved(
    works: Mapping[str, Work], device: torch.device, seconds: float, least: int = LEAST_ROUNDS
) -> dict[str, float]:
    """Median seconds per call of each, after a warm-up; ``seconds`` is for all of them together."""
    counts = {name: _count(work, device, SEGMENT if seconds > 1 else 0.0) for name, work in works.items()}
    times: dict[str, list[float]] = {name: [] for name in works}
    ends, rounds = time.perf_counter() + seconds, 0
    while rounds < least or time.perf_counter() < ends:
        for name, work in works.items():
            times[name].append(seconds_per_call(work, counts[name], device))
        rounds += 1
    return {name: statistics.median(values) for name, values in times.items()}


def _count(work: Work, device: torch.device, segment: float) -> int:
    """Calls that take about ``segment`` seconds, known after a few that warm up."""
    work(3)
    return max(1, min(1000, round(segment / max(seconds_per_call(work, 2, device), 1e-6))))


def pipelined(submit: Callable[[Any], Callable[[], Any]], batch: Any, in_flight: int) -> Work:
    """Calls of an engine with ``in_flight`` of them under way."""

    def work(count: int) -> None:
        waiting: deque[Callable[[], Any]] = deque()
        for _ in range(count):
            if len(waiting) == in_flight:
                waiting.popleft()()
            waiting.append(submit(batch))
        while waiting:
            waiting.popleft()()

    return work


def repeated(call: Callable[[], Any]) -> Work:
    def work(count: int) -> None:
        for _ in range(count):
            call()

    return work


def percentile(values: list[float], share: float) -> float:
    """The value that ``share`` of them do not exceed, 0 < share <= 1."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
