"""Calls in flight on a CUDA device: copies and computation of several batches at one time, each in a lane of its own.

A lane has a stream, static device buffers and pinned memory both ways, so that one batch goes up while another is
computed and a third comes down. Where a network can be captured, a lane replays it as one CUDA graph. Each graph has
memory of its own: graphs that run at one time may not share it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engines.device.errors import device_errors
from engines.device.lane import CudaLane, Function, Lane
from vidstyle.engine import EngineSpec
from vidstyle.errors import EngineError

#: lanes where a spec leaves the number open: one goes up, one is computed, one comes down
IN_FLIGHT = 3


class _Call:
    """Pictures under way in a lane; calling it gives the result, in any order, on any thread, as often as wanted."""

    def __init__(self, lane: Lane, read: Callable[[], Any], device: torch.device, release: Callable[..., None]) -> None:
        self._lane: Lane | None = lane
        self._read: Callable[[], Any] | None = read
        self._device, self._release = device, release
        self._finishing = threading.Lock()
        self._outcome: Any = None

    def finish(self) -> Any:
        """Wait for the result and free the lane; gives the result, or the error in its place."""
        with self._finishing:
            if self._lane is not None and self._read is not None:
                try:
                    with device_errors(self._device):
                        self._outcome = self._read()
                except EngineError as error:
                    self._outcome = error
                self._release(self, self._lane)
                self._lane = self._read = None
            return self._outcome

    def __call__(self) -> Any:
        outcome = self.finish()
        if isinstance(outcome, EngineError):
            raise outcome
        return outcome


class _DeviceCall(_Call):
    """The same for a result that stays on the device: the current stream waits for it, not the host."""

    def __init__(
        self, lane: Lane, result: Tensor, event: Any, device: torch.device, release: Callable[..., None]
    ) -> None:
        self._result, self._event = result, event
        super().__init__(lane, self._wait, device, release)

    def _wait(self) -> Tensor:
        if self._event is not None:
            self._event.synchronize()
        return self._result

    def __call__(self) -> Tensor:
        if isinstance(self._outcome, EngineError):
            raise self._outcome
        if self._event is not None:
            with device_errors(self._device):
                current = torch.cuda.current_stream(self._device)
                current.wait_event(self._event)
                self._result.record_stream(current)  # it may not be the stream that the memory was taken on
        return self._result


class Lanes:
    """Up to ``spec.in_flight`` calls at a time. Submitted from one thread at a time; results wait on any.

    Args:
        device: a CUDA device; on the CPU there are no streams, and each call is done at once.
        spec: settled: ``in_flight`` is at least 1.
        make: gives the network of lane i, a `Function` of its own (execution contexts and buffers are not shared).
            It works on the current stream. What it returns may be overwritten by its next call.
        graph: capture each network as a CUDA graph. It may then not wait for the device, nor depend on values.
        styles: length of the shares it takes; 0 where it takes None.

    Raises:
        EngineError: see `device_errors`; of a result, when it is waited for.
    """

    def __init__(
        self, device: torch.device, spec: EngineSpec, make: Callable[[int], Function], graph: bool, styles: int = 0
    ) -> None:
        self._device, self._guard, self._closed = device, threading.Lock(), False
        self._running: deque[_Call] = deque()
        self._free: list[Lane] = []
        kind = CudaLane if device.type == "cuda" else Lane
        try:
            with device_errors(device), torch.no_grad():
                for i in range(spec.in_flight):
                    self._free.append(kind(device, spec, make(i), styles))
                    self._free[-1].warm_up(graph)
        except EngineError:
            self._free.clear()  # the error holds this object; its memory must be free for a smaller one
            raise

    def submit(self, batch: np.ndarray, shares: np.ndarray | None = None) -> Callable[[], np.ndarray]:
        """uint8 [n, height, width, 3], n at most ``max_batch``; the caller may use its memory again at once.

        With every lane under way it first waits for the oldest, whose result is kept.
        """

        def start(lane: Lane) -> _Call:
            return _Call(lane, lane.start(batch, shares), self._device, self._release)

        return self._start(start)

    def submit_on_device(self, batch: Tensor, shares: np.ndarray | None = None) -> Callable[[], Tensor]:
        """The same for a tensor on the device: see `vidstyle.engine.DeviceEngine`."""

        def start(lane: Lane) -> _Call:
            return _DeviceCall(lane, *lane.start_on_device(batch, shares), self._device, self._release)

        return self._start(start)

    def _start(self, start: Callable[[Lane], _Call]) -> _Call:
        lane = self._take()
        try:
            with device_errors(self._device), torch.no_grad():
                call = start(lane)
        except EngineError:
            self._free.append(lane)
            with device_errors(self._device):
                lane.wait()  # for what was started, before the lane's memory is written to again
            raise
        with self._guard:
            self._running.append(call)
        return call

    def _take(self) -> Lane:
        """A lane with nothing under way. This thread alone takes lanes, others only give them back."""
        if self._closed:
            raise EngineError("the engine is closed: load it again")
        with self._guard:
            oldest = None if self._free else self._running[0]
        if oldest is not None:
            oldest.finish()
        with self._guard:
            return self._free.pop()

    def _release(self, call: _Call, lane: Lane) -> None:
        with self._guard:
            self._running.remove(call)
            if not self._closed:
                self._free.append(lane)

    def close(self) -> None:
        """Wait for what is under way, whose results are kept, and free the memory. Never raises."""
        self._closed = True
        for call in list(self._running):
            call.finish()
        self._free.clear()
