"""Choosing among exact ways to compute the same: by measuring them on the card, at its size of picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from triton.errors import TritonError

from engines.cuda.convolutions import Convolution
from engines.cuda.launches import Mixture
from engines.cuda.steps import Call, Step
from vidstyle import compiled

CALLS, RUNS = 8, 3
HEAD_START = 4_000_000  # clock cycles, about 2 ms: the host is ahead of the card when the calls begin

Shape = tuple[int, int, int]  # channels, height, width


class Trial(Protocol):
    def form(self, found: Sequence[Convolution], shape: Shape) -> Convolution:
        """One form of a convolution whose input has ``shape``; the plain one comes first."""

    def way(self, ways: Sequence[list[Step]], inputs: dict[int, Shape], same: Hashable) -> int:
        """Number of one of ``ways``, which read ``inputs``; ``same``: equal for ways that cost the same."""


class First:
    """Measures nothing: cuDNN's convolution in its plain form."""

    def form(self, found: Sequence[Convolution], shape: Shape) -> Convolution:  # noqa: ARG002
        return found[0]

    def way(self, ways: Sequence[list[Step]], inputs: dict[int, Shape], same: Hashable) -> int:  # noqa: ARG002
        return 0


class Measured:
    """What takes least time on a CUDA device, for ``batch`` pictures."""

    def __init__(self, batch: int, device: torch.device, dtype: torch.dtype) -> None:
        self._batch, self._device, self._dtype = batch, device, dtype
        self._ways: dict[Hashable, int] = {}

    def form(self, found: Sequence[Convolution], shape: Shape) -> Convolution:
        if len(found) == 1:
            return found[0]
        x = self._random(shape)
        return found[_quickest([partial(one.to(self._device, self._dtype), x) for one in found])]

    def way(self, ways: Sequence[list[Step]], inputs: dict[int, Shape], same: Hashable) -> int:
        if same not in self._ways:
            nothing = torch.empty((self._batch, 0, 0, 3), dtype=torch.uint8, device=self._device)
            call = Call(nothing, nothing, Mixture(), {i: self._random(shape) for i, shape in inputs.items()})
            self._ways[same] = _quickest([partial(_run, way, call) for way in ways])
        return self._ways[same]

    def _random(self, shape: Shape) -> torch.Tensor:
        channels, height, width = shape
        return torch.randn((self._batch, height, width, channels), device=self._device, dtype=self._dtype)


class Remembered:
    """Another trial's choices, kept in the user's cache: the next engine of the same kind takes them at once.

    Measuring takes seconds, and may fall out differently the next time: a resumed run would round otherwise.
    """

    def __init__(self, key: str, trial: Trial) -> None:
        """``key`` names all that the plan and the times depend on: networks, sizes, precision, card, versions, code."""
        self._key, self._trial = key, trial
        self._known: list[int] = json.loads(compiled.fetch("cuda", key) or b"[]")
        self._made: list[int] = []

    def form(self, found: Sequence[Convolution], shape: Shape) -> Convolution:
        def measured() -> int:
            chosen = self._trial.form(found, shape)
            return next(i for i, one in enumerate(found) if one is chosen)

        return found[self._next(measured)]

    def way(self, ways: Sequence[list[Step]], inputs: dict[int, Shape], same: Hashable) -> int:
        return self._next(lambda: self._trial.way(ways, inputs, same))

    def _next(self, measured: Callable[[], int]) -> int:
        number = len(self._made)
        self._made.append(self._known[number] if number < len(self._known) else measured())
        return self._made[-1]

    def keep(self) -> None:
        """Once the plan is made."""
        if self._made != self._known:
            compiled.store("cuda", self._key, json.dumps(self._made).encode())


def _run(way: list[Step], call: Call) -> None:
    for step in way:
        step.run(call)


def _quickest(calls: Sequence[Callable[[], Any]]) -> int:
    """Number of the one that takes least time; those that this card, or its memory, does not take are passed over.

    cuDNN has no way for some windows and sizes; Triton's kernel may want more shared memory than there is.

    Raises:
        TritonError, RuntimeError: none can be run; what the first one says.
    """
    times, refused = list[float](), list[Exception]()
    for call in calls:
        try:
            times.append(milliseconds(call))
        except (TritonError, RuntimeError) as error:
            times.append(float("inf"))
            refused.append(error.with_traceback(None))  # whose frames hold memory that the next one may need
    if len(refused) == len(times):
        raise refused[0]
    return times.index(min(times))


def milliseconds(function: Callable[[], Any]) -> float:
    """Of some calls one after the other, the least of some runs, on the current stream."""
    for _ in range(2):  # compiles, and lets cuDNN choose
        function()
    times = []
    for _ in range(RUNS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(HEAD_START)
        begin.record()
        for _ in range(CALLS):
            function()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return min(times)
