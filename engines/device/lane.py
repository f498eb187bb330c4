"""One call at a time on a device: its stream, its memory and its network, as `engines.device.lanes` has several of."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vidstyle.engine import EngineSpec

#: torch takes one capture at a time in a process: to begin one it waits for the device, which another's capture forbids
_CAPTURING = threading.Lock()
WARM_UPS = 2  # the first compiles kernels and picks convolutions, the second runs as all later ones do

#: uint8 [max_batch, height, width, 3] on the device and float32 [styles] or None, to a tensor like the first
Function = Callable[[Tensor, Tensor | None], Tensor]


class Lane:
    """Buffers and the network of one call at a time; this one for the CPU, where a call is done when it returns."""

    def __init__(self, device: torch.device, spec: EngineSpec, function: Function, styles: int) -> None:
        shape = (spec.max_batch, spec.height, spec.width, 3)
        self._device, self._function = device, function
        self.frames = torch.zeros(shape, dtype=torch.uint8, device=device)
        self.shares = torch.zeros(styles, dtype=torch.float32, device=device) if styles else None

    def warm_up(self, graph: bool) -> None:
        pass

    def start(self, batch: np.ndarray, shares: np.ndarray | None) -> Callable[[], np.ndarray]:
        """Put the pictures on their way; gives what waits for the result and copies it out."""
        self.frames[: len(batch)].numpy()[:] = batch
        self._set_shares(shares)
        result = self._function(self.frames, self.shares)[: len(batch)].numpy().copy()
        return lambda: result

    def start_on_device(self, batch: Tensor, shares: np.ndarray | None) -> tuple[Tensor, Any]:
        """(where the result will be, an event after which it is there)."""
        self.frames[: len(batch)].copy_(batch)
        self._set_shares(shares)
        return self._function(self.frames, self.shares)[: len(batch)].clone(), None

    def _set_shares(self, shares: np.ndarray | None) -> None:
        if self.shares is not None:
            self.shares.copy_(torch.tensor(shares))

    def wait(self) -> None:
        """Block until nothing of this lane is under way."""


class CudaLane(Lane):
    def __init__(self, device: torch.device, spec: EngineSpec, function: Function, styles: int) -> None:
        super().__init__(device, spec, function, styles)
        self._stream = torch.cuda.Stream(device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._output: Tensor | None = None  # the graph's
        with torch.cuda.device(device):  # whose context the pinned memory belongs to
            self._host_in = torch.empty(self.frames.shape, dtype=torch.uint8, pin_memory=True)
            self._host_out = torch.empty(self.frames.shape, dtype=torch.uint8, pin_memory=True)
            self._host_shares = torch.empty(styles, dtype=torch.float32, pin_memory=True) if styles else None

    @contextmanager
    def _current(self) -> Iterator[None]:
        """The lane's stream as the current one."""
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            yield

    def warm_up(self, graph: bool) -> None:
        """Run the network until it does no more than it will do each time; capture it where ``graph``.

        Other threads may allocate and copy meanwhile (decoders do): only what this thread does is held to the
        rules of a capture.
        """
        self._stream.wait_stream(torch.cuda.current_stream(self._device))  # weights and buffers are being made there
        with self._current():
            for _ in range(WARM_UPS):
                self._function(self.frames, self.shares)
        self._stream.synchronize()
        if graph:
            self._graph = torch.cuda.CUDAGraph()
            capture = torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local")
            # Inside of the lane's own: where a capture's end fails, torch leaves its stream the current one.
            with _CAPTURING, self._current(), capture:
                self._output = self._function(self.frames, self.shares)

    def _run(self) -> Tensor:
        if self._graph is None:
            return self._function(self.frames, self.shares)
        self._graph.replay()
        assert self._output is not None
        return self._output

    def start(self, batch: np.ndarray, shares: np.ndarray | None) -> Callable[[], np.ndarray]:
        n = len(batch)
        self._host_in[:n].numpy()[:] = batch
        with self._current():
            self.frames[:n].copy_(self._host_in[:n], non_blocking=True)
            self._set_shares(shares)
            self._host_out[:n].copy_(self._run()[:n], non_blocking=True)
            done = self._recorded()

        def read() -> np.ndarray:
            done.synchronize()
            return self._host_out[:n].numpy().copy()

        return read

    def start_on_device(self, batch: Tensor, shares: np.ndarray | None) -> tuple[Tensor, Any]:
        # Copied, and the result's memory taken, on the caller's stream: so both are the caller's in its own order.
        current = torch.cuda.current_stream(self._device)
        with torch.cuda.device(self._device):
            self.frames[: len(batch)].copy_(batch, non_blocking=True)
            result = torch.empty_like(batch, memory_format=torch.contiguous_format)
        self._stream.wait_stream(current)
        with self._current():
            self._set_shares(shares)
            result.copy_(self._run()[: len(batch)], non_blocking=True)
            return result, self._recorded()

    def _recorded(self) -> torch.cuda.Event:
        done = torch.cuda.Event(blocking=True)  # a waiting thread sleeps: decoder and encoder need the core
        done.record(self._stream)
        return done

    def _set_shares(self, shares: np.ndarray | None) -> None:
        if self.shares is not None and self._host_shares is not None:
            self._host_shares.numpy()[:] = shares
            self.shares.copy_(self._host_shares, non_blocking=True)

    def wait(self) -> None:
        self._stream.synchronize()
