"""Crops drawn ahead of a GPU's training: in order, by several threads and streams, no longer than they are read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import torch
from distilling import CPU, SMALL, crops

from training import ahead as module
from training.ahead import AHEAD, THREADS, Drawn, ahead

CUDA = torch.device("cuda:0")


class Stream:
    def __init__(self) -> None:
        self.waited = 0

    def synchronize(self) -> None:
        self.waited += 1


class Cuda:
    """``torch.cuda`` whose streams are each thread's own."""

    def __init__(self) -> None:
        self.default = Stream()
        self._mine, self.streams = threading.local(), [self.default]

    def Stream(self, device: torch.device) -> Stream:  # noqa: N802
        assert device == CUDA
        self.streams.append(Stream())
        return self.streams[-1]

    def set_stream(self, stream: Stream) -> None:
        self._mine.stream = stream

    def current_stream(self, _: torch.device) -> Stream:
        return getattr(self._mine, "stream", self.default)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The streams that crops are recorded on, a CUDA of the CPU in place."""
    seen: list[Any] = []
    monkeypatch.setattr(module.torch, "cuda", Cuda())
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda _, stream: seen.append(stream))
    yield seen
    module._threads(CUDA).shutdown()
    module._threads.cache_clear()


def draw(step: int) -> Drawn:
    rng = torch.Generator().manual_seed(step)
    return rng, crops(SMALL, step)


def test_steps_come_in_order_each_complete_and_kept_for_the_training(recorded: list[Any]) -> None:
    def slow(step: int) -> Drawn:
        time.sleep(0.02 * (step % 3 == 0))
        return draw(step)

    found = list(ahead(slow, range(3, 15), CUDA))
    assert [rng.initial_seed() for rng, _ in found] == list(range(3, 15))
    for step, (_, made) in enumerate(found, 3):
        assert torch.equal(made.source, crops(SMALL, step).source)
    default, *streams = module.torch.cuda.streams
    assert 1 <= len(streams) <= THREADS and sum(stream.waited for stream in streams) == 12
    assert default.waited == 1, "the canvases are complete before the first is cut"
    assert len(recorded) == 12 * 7 and set(recorded) == {default}


@pytest.mark.usefixtures("recorded")
def test_the_next_training_has_the_same_threads() -> None:
    """Each would try cuDNN's ways anew."""
    seen: set[threading.Thread] = set()

    def noted(step: int) -> Drawn:
        seen.add(threading.current_thread())
        return draw(step)

    for _ in range(3):
        assert len(list(ahead(noted, range(9), CUDA))) == 9
    assert len(seen) <= THREADS and len(module.torch.cuda.streams) <= 1 + THREADS


@pytest.mark.usefixtures("recorded")
def test_it_stays_a_few_steps_ahead_and_ends_with_its_reader() -> None:
    begun: list[int] = []

    def noted(step: int) -> Drawn:
        begun.append(step)
        return draw(step)

    with closing(ahead(noted, range(1000), CUDA)) as drawn:
        next(drawn)
        time.sleep(0.1)
        assert len(begun) <= AHEAD + 1
    done = len(begun)
    time.sleep(0.1)
    assert len(begun) == done


@pytest.mark.usefixtures("recorded")
def test_an_error_comes_where_its_step_would() -> None:
    def failing(step: int) -> Drawn:
        if step == 2:
            raise MemoryError
        return draw(step)

    drawn = ahead(failing, range(9), CUDA)
    next(drawn)
    next(drawn)
    with pytest.raises(MemoryError):
        next(drawn)


def test_on_the_cpu_the_training_has_the_cores_to_itself() -> None:
    here: list[Any] = []

    def noted(step: int) -> Drawn:
        here.append((step, threading.current_thread()))
        return draw(step)

    with closing(ahead(noted, range(5), CPU)) as drawn:
        next(drawn)
        assert here == [(0, threading.main_thread())]
