"""Crops of the steps to come, made by other threads while a GPU trains."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache

import torch

from training.crops import Crops

THREADS = 4  # a step's noise alone, drawn on the CPU, takes longer than its training
AHEAD = 6  # steps

Drawn = tuple[torch.Generator, Crops]


def ahead(draw: Callable[[int], Drawn], steps: range, device: torch.device) -> Generator[Drawn, None, None]:
    """``draw(step)`` of every step, in order; once it is closed nothing is drawn any more.

    On a GPU `THREADS` threads draw, each on a CUDA stream of its own: what follows from the step alone is the same
    from any thread. On the CPU they would take the cores from the training.
    """
    if device.type != "cuda":
        yield from map(draw, steps)
        return
    torch.cuda.current_stream(device).synchronize()  # the canvases are made there
    waiting: deque[Future[Drawn]] = deque()
    try:
        for step in steps:
            waiting.append(_threads(device).submit(_whole, draw, step))
            if len(waiting) > AHEAD:
                yield _handed_over(waiting.popleft().result(), device)
        while waiting:
            yield _handed_over(waiting.popleft().result(), device)
    finally:
        for future in waiting:
            future.cancel()
        wait(waiting)


@cache
def _threads(device: torch.device) -> ThreadPoolExecutor:
    """The process's: cuDNN tries its ways anew in every thread, which takes seconds, and a stream keeps its memory."""
    return ThreadPoolExecutor(THREADS, "vidstyle-crops", _use_stream, (device,))


def _use_stream(device: torch.device) -> None:
    """Of the calling thread, for good."""
    torch.cuda.set_stream(torch.cuda.Stream(device))


def _whole(draw: Callable[[int], Drawn], step: int) -> Drawn:
    """Complete: whoever takes it waits for nothing."""
    made = draw(step)
    torch.cuda.current_stream(made[1].source.device).synchronize()
    return made


def _handed_over(made: Drawn, device: torch.device) -> Drawn:
    """Its memory is not given to later crops before the training is done with it."""
    current = torch.cuda.current_stream(device)
    for value in vars(made[1]).values():
        if isinstance(value, torch.Tensor):
            value.record_stream(current)
    return made
