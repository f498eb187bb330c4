"""A torch whose CUDA is played by the CPU, and which notes in what order it is used.

Tensors made through it are ordinary ones. Names and arguments are checked against the real torch: what the fake
takes, the real one takes too.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

DEVICE = torch.device("cuda:0")


class Pictures(torch.Tensor):
    """Tensors that note the streams they are recorded on, as only tensors on a device can."""

    log: list[str]

    def record_stream(self, stream: Any) -> None:
        Pictures.log.append(f"result recorded on {stream.name}")


class Stream:
    def __init__(self, log: list[str], name: str) -> None:
        self._log, self.name = log, name

    def wait_stream(self, other: Stream) -> None:
        self._log.append(f"{self.name} waits for {other.name}")

    def wait_event(self, event: Event) -> None:
        self._log.append(f"{self.name} waits for {event.name}")

    def synchronize(self) -> None:
        self._log.append(f"host waits for {self.name}")


class Event:
    def __init__(self, log: list[str], name: str) -> None:
        self._log, self.name, self.error = log, name, None

    def record(self, stream: Stream) -> None:
        self._log.append(f"{self.name} on {stream.name}")

    def synchronize(self) -> None:
        self._log.append(f"host waits for {self.name}")


class Graph:
    """Replays by calling what was captured again: `cuda.graph` cannot know it, so the test's function is told."""

    def __init__(self, log: list[str]) -> None:
        self._log = log
        self.replayed: Any = None

    def replay(self) -> None:
        self._log.append("replay")
        if self.replayed is not None:
            self.replayed()


class Cuda:
    """``torch.cuda``; ``log`` is what was done, in order."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.streams = [Stream(self.log, "the caller's stream")]
        self.now = self.streams[0]
        self.events: list[Event] = []
        self.graphs: list[Graph] = []
        self.capturing: Graph | None = None
        self.no_graph = False  # nothing that is captured can be made a graph

    def Stream(self, *args: Any, **kwargs: Any) -> Stream:  # noqa: N802
        inspect.signature(torch.cuda.Stream.__new__).bind(None, *args, **kwargs)
        self.streams.append(Stream(self.log, f"stream {len(self.streams)}"))
        return self.streams[-1]

    def Event(self, *args: Any, **kwargs: Any) -> Event:  # noqa: N802
        inspect.signature(torch.cuda.Event.__new__).bind(None, *args, **kwargs)
        self.events.append(Event(self.log, f"event {len(self.events)}"))
        return self.events[-1]

    def CUDAGraph(self) -> Graph:  # noqa: N802
        self.graphs.append(Graph(self.log))
        return self.graphs[-1]

    def current_stream(self, *args: Any) -> Stream:
        inspect.signature(torch.cuda.current_stream).bind(*args)
        return self.now

    @contextmanager
    def device(self, device: torch.device) -> Iterator[None]:
        assert device == DEVICE
        yield

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        before, self.now = self.now, stream
        try:
            yield
        finally:
            self.now = before

    def graph(self, *args: Any, **kwargs: Any) -> Capture:
        given = inspect.signature(torch.cuda.graph.__init__).bind(None, *args, **kwargs).arguments
        assert given.get("pool") is None, "graphs that run at one time may not share memory"
        return Capture(self, given)


class Capture:
    """As ``torch.cuda.graph``: where its end fails, its stream stays the current one."""

    def __init__(self, cuda: Cuda, given: dict[str, Any]) -> None:
        self._cuda, self._given = cuda, given

    def __enter__(self) -> None:
        stream = self._given["stream"]
        self._cuda.log.append(f"capture on {stream.name}, errors {self._given['capture_error_mode']}")
        self._cuda.capturing = self._given["cuda_graph"]
        self._before, self._cuda.now = self._cuda.now, stream

    def __exit__(self, *_: Any) -> None:
        self._cuda.capturing = None
        if self._cuda.no_graph:
            raise RuntimeError("CUDA error: out of memory")
        self._cuda.now = self._before


class Torch:
    """The real torch but for ``cuda`` and for where tensors are made."""

    def __init__(self) -> None:
        self.cuda = Cuda()
        Pictures.log = self.cuda.log

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def zeros(self, *shape: Any, dtype: Any, device: Any) -> torch.Tensor:
        assert device == DEVICE
        return torch.zeros(*shape, dtype=dtype)

    def empty(self, *shape: Any, dtype: Any, pin_memory: bool) -> torch.Tensor:
        assert pin_memory, "only what the host copies from and to is made empty"
        return torch.empty(*shape, dtype=dtype)

    def empty_like(self, x: torch.Tensor, memory_format: torch.memory_format) -> torch.Tensor:
        return torch.empty_like(x, memory_format=memory_format).as_subclass(Pictures)
