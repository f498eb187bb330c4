"""Calls in flight: results, the order of what is asked of the device, and errors; CUDA is played by the CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from subprocess import CalledProcessError
from typing import Any

import cuda_fakes
import numpy as np
import pytest
import torch
from torch import Tensor

from engines.device import lane as lane_module
from engines.device import lanes as lanes_module
from engines.device.errors import device_errors
from engines.device.lanes import Lanes
from vidstyle.engine import EngineSpec
from vidstyle.errors import DeviceLostError, EngineError, OutOfMemoryError

CPU = torch.device("cpu")


def spec(in_flight: int = 2, max_batch: int = 2) -> EngineSpec:
    return EngineSpec(3, 4, max_batch, "f16", "cuda:0", 1, in_flight)


def batch(value: int, n: int = 1) -> np.ndarray:
    return np.full((n, 3, 4, 3), value, np.uint8)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[cuda_fakes.Cuda]:
    """The log of a CUDA device that the CPU plays."""
    fake = cuda_fakes.Torch()
    monkeypatch.setattr(lane_module, "torch", fake)
    monkeypatch.setattr(lanes_module, "torch", fake)
    yield fake.cuda


def doubling(cuda: cuda_fakes.Cuda | None = None, log: bool = True) -> Callable[[int], Callable[..., Tensor]]:
    """A network that doubles, or multiplies by the first share; tells the fake graph what to replay."""

    def make(i: int) -> Callable[..., Tensor]:
        output = torch.zeros(0)

        def run(frames: Tensor, shares: Tensor | None) -> Tensor:
            nonlocal output
            factor = 2 if shares is None else int(shares[0])
            if cuda is None or cuda.capturing is None:
                if cuda is not None and log:
                    cuda.log.append(f"network {i} on {cuda.current_stream().name}")
                return frames * factor
            output = frames * factor
            cuda.capturing.replayed = lambda: output.copy_(frames * (2 if shares is None else int(shares[0])))
            return output

        return run

    return make


def lanes_on(where: Any, graph: bool = True, styles: int = 0, in_flight: int = 2) -> Lanes:
    if where is None:
        return Lanes(CPU, spec(in_flight), doubling(), graph, styles)
    return Lanes(cuda_fakes.DEVICE, spec(in_flight), doubling(where), graph, styles)


@pytest.fixture(params=["cpu", "graph", "eager"])
def made(request: pytest.FixtureRequest) -> Callable[..., Lanes]:
    where = None if request.param == "cpu" else request.getfixturevalue("cuda")
    return lambda **options: lanes_on(where, request.param == "graph", **options)


def test_results_come_in_any_order_and_belong_to_the_caller(made: Callable[..., Lanes]) -> None:
    lanes, memory = made(), batch(0)
    waiting = []
    for value in range(1, 6):  # more than there are lanes
        memory[:] = value
        waiting.append(lanes.submit(memory))
    results = {i: waiting[i]() for i in (4, 0, 3, 1, 2, 0)}
    assert {i: int(result[0, 0, 0, 0]) for i, result in results.items()} == {i: 2 * i + 2 for i in range(5)}
    assert all(result.flags.writeable and result.flags.owndata for result in results.values())


def test_fewer_pictures_than_a_lane_holds(made: Callable[..., Lanes]) -> None:
    lanes = made(in_flight=1)
    assert lanes.submit(batch(7, 2))().shape == (2, 3, 4, 3)
    np.testing.assert_array_equal(lanes.submit(batch(3))(), batch(6))
    assert lanes.submit_on_device(torch.from_numpy(batch(3)))().equal(torch.from_numpy(batch(6)))


def test_any_layout_in_memory_is_taken(made: Callable[..., Lanes]) -> None:
    pictures = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    read_only = pictures.copy()
    read_only.flags.writeable = False
    for layout in (read_only, pictures[::-1][::-1], np.asfortranarray(pictures)):
        np.testing.assert_array_equal(made().submit(layout)(), pictures * 2)


def test_shares_are_those_of_the_call(made: Callable[..., Lanes]) -> None:
    lanes, shares = made(styles=2), np.array([3, 9], np.float32)
    first = lanes.submit(batch(1), shares)
    shares[0] = 5
    second = lanes.submit(batch(1), shares)
    on_device = lanes.submit_on_device(torch.from_numpy(batch(2)), shares)
    assert (first()[0, 0, 0, 0], second()[0, 0, 0, 0], int(on_device()[0, 0, 0, 0])) == (3, 5, 10)


def test_a_lane_is_warmed_up_on_its_stream_and_then_captured(cuda: cuda_fakes.Cuda) -> None:
    lanes_on(cuda)
    one = [
        "stream 1 waits for the caller's stream",
        "network 0 on stream 1",
        "network 0 on stream 1",
        "host waits for stream 1",
        "capture on stream 1, errors thread_local",
    ]
    assert cuda.log == one + [line.replace("network 0", "network 1").replace("stream 1", "stream 2") for line in one]


def test_a_capture_that_fails_leaves_the_callers_stream_current(cuda: cuda_fakes.Cuda) -> None:
    """What is computed next would not be waited for, as nobody knows of the lane's stream."""
    cuda.no_graph = True
    with pytest.raises(OutOfMemoryError):
        lanes_on(cuda)
    assert cuda.current_stream().name == "the caller's stream"


def test_two_threads_capture_one_after_the_other(cuda: cuda_fakes.Cuda) -> None:
    captures, going_on = threading.Event(), threading.Event()

    def make(_: int) -> Callable[..., Tensor]:
        def function(frames: Tensor, _: Any) -> Tensor:
            if cuda.capturing is not None and threading.current_thread() is first:
                captures.set()
                assert going_on.wait(30)
            return frames

        return function

    def load() -> None:
        Lanes(cuda_fakes.DEVICE, spec(1), make, graph=True)

    def begun() -> int:
        return sum(line.startswith("capture on") for line in cuda.log)

    first, second = threading.Thread(target=load), threading.Thread(target=load)
    first.start()
    assert captures.wait(30)
    second.start()
    second.join(0.5)
    assert second.is_alive() and begun() == 1
    going_on.set()
    for thread in (first, second):
        thread.join(30)
    assert begun() == 2


def test_the_host_waits_for_a_result_and_for_nothing_else(cuda: cuda_fakes.Cuda) -> None:
    lanes = lanes_on(cuda)
    cuda.log.clear()
    results = [lanes.submit(batch(1)), lanes.submit(batch(2))]
    assert cuda.log == ["replay", "event 0 on stream 2", "replay", "event 1 on stream 1"]
    results[1]()
    assert cuda.log[4:] == ["host waits for event 1"]
    lanes.submit(batch(3))  # the lane of the one waited for is free
    assert cuda.log[5:] == ["replay", "event 2 on stream 1"]
    lanes.submit(batch(4))  # and now the oldest is waited for
    assert cuda.log[7:] == ["host waits for event 0", "replay", "event 3 on stream 2"]
    results[0]()
    assert len(cuda.log) == 10  # its result was kept


def test_on_the_device_the_streams_wait_and_not_the_host(cuda: cuda_fakes.Cuda) -> None:
    lanes = lanes_on(cuda)
    cuda.log.clear()
    result = lanes.submit_on_device(torch.from_numpy(batch(1)))
    assert cuda.log == ["stream 2 waits for the caller's stream", "replay", "event 0 on stream 2"]
    result()
    assert cuda.log[3:] == ["the caller's stream waits for event 0", "result recorded on the caller's stream"]
    cuda.log.clear()
    for _ in range(2):
        lanes.submit_on_device(torch.from_numpy(batch(1)))
    assert [line for line in cuda.log if line.startswith("host")] == ["host waits for event 0"]  # not without bound


def test_results_wait_on_another_thread(made: Callable[..., Lanes]) -> None:
    lanes, waiting, found = made(), [], []  # type: ignore[var-annotated]
    there = threading.Semaphore(0)

    def wait() -> None:
        for i in range(50):
            there.acquire()
            found.append(int(waiting[i]()[0, 0, 0, 0]))

    thread = threading.Thread(target=wait)
    thread.start()
    for value in range(50):
        waiting.append(lanes.submit(batch(value)))
        there.release()
    thread.join(30)
    assert found == [2 * value for value in range(50)]


def test_a_closed_engine_says_so_and_keeps_what_was_under_way(made: Callable[..., Lanes]) -> None:
    lanes = made()
    waiting = [lanes.submit(batch(4)), lanes.submit_on_device(torch.from_numpy(batch(4)))]
    lanes.close()
    lanes.close()
    assert [int(result()[0, 0, 0, 0]) for result in waiting] == [8, 8]
    for use in (lanes.submit, lanes.submit_on_device):
        with pytest.raises(EngineError, match="closed"):
            use(batch(1))  # type: ignore[operator]


ERRORS = [
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore"), OutOfMemoryError),
    (torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors"), OutOfMemoryError),
    (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), OutOfMemoryError),
    (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), OutOfMemoryError),
    (RuntimeError("FIND was unable to find an engine to execute this computation"), OutOfMemoryError),
    (torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nmore"), DeviceLostError),
    (RuntimeError("Triton Error [CUDA]: unspecified launch failure"), DeviceLostError),
    (torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered"), DeviceLostError),
    (RuntimeError("Given groups=1, weight of size"), EngineError),
    (type("CompilationError", (Exception,), {"__module__": "triton.compiler.errors"})("at 1:1"), EngineError),
]


@pytest.mark.parametrize(("raised", "expected"), ERRORS, ids=lambda value: str(value)[:40])
def test_errors_are_named_where_they_are_met(cuda: cuda_fakes.Cuda, raised: Exception, expected: type) -> None:
    lanes = lanes_on(cuda)
    waiting = lanes.submit(batch(1))

    def fail() -> None:
        raise raised

    cuda.events[-1].synchronize = fail  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(EngineError) as caught:
            waiting()
        assert type(caught.value) is expected and "cuda:0" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: no kernel image is available for execution on the device",
        "CUDA error: the provided PTX was compiled with an unsupported toolchain.",
        "CUDA error: CUDA driver version is insufficient for CUDA runtime version",
    ],
)
def test_a_torch_that_does_not_fit_the_card_or_its_driver_is_told_with_the_remedy(said: str) -> None:
    wanted = r"torch is not built for cuda:0 \(CUDA error: .*update NVIDIA's driver, or uv pip install"
    with pytest.raises(EngineError, match=wanted), device_errors(cuda_fakes.DEVICE):
        raise torch.AcceleratorError(f"{said}\nCUDA kernel errors might be asynchronously reported")


@pytest.mark.parametrize(
    "raised",
    [
        CalledProcessError(1, ["/usr/bin/gcc", "/tmp/main.c", "-O3"]),  # fatal error: Python.h: No such file
        RuntimeError("Failed to find C compiler. Please specify via CC environment variable or set triton.knobs"),
    ],
)
def test_what_triton_compiles_with_is_named_where_it_lacks(raised: Exception) -> None:
    with pytest.raises(EngineError, match="a C compiler and Python's headers: apt install"), device_errors(CPU):
        raise raised


def test_a_graph_that_does_not_fit_is_known_by_what_ended_it() -> None:
    """What torch raises at the end of the capture hides what was raised inside of it."""

    @contextmanager
    def capture() -> Iterator[None]:
        try:
            yield
        finally:
            raise torch.AcceleratorError("CUDA error: operation failed due to a previous error during capture")

    with pytest.raises(OutOfMemoryError, match="Tried to allocate"), device_errors(CPU), capture():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    with pytest.raises(EngineError, match="previous error during capture"), device_errors(CPU), capture():
        pass


def test_a_failed_start_gives_its_lane_back(cuda: cuda_fakes.Cuda) -> None:
    failing = False

    def make(_: int) -> Callable[..., Tensor]:
        def run(frames: Tensor, _: Tensor | None) -> Tensor:
            if failing:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return frames

        return run

    lanes = Lanes(cuda_fakes.DEVICE, spec(1), make, graph=False)
    failing = True
    cuda.log.clear()
    for _ in range(3):
        with pytest.raises(OutOfMemoryError):
            lanes.submit(batch(1))
    assert cuda.log == ["host waits for stream 1"] * 3  # what was started still uses the lane's memory
    failing = False
    np.testing.assert_array_equal(lanes.submit(batch(9))(), batch(9))


def test_an_engine_that_does_not_fit_leaves_nothing_behind() -> None:
    class Big:
        alive = 0

        def __init__(self) -> None:
            Big.alive += 1

        def __del__(self) -> None:
            Big.alive -= 1

    def make(i: int) -> Callable[..., Tensor]:
        memory = Big()
        if i == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return lambda frames, _: frames * memory.alive

    with pytest.raises(OutOfMemoryError) as caught:
        Lanes(CPU, spec(4), make, graph=True)
    assert Big.alive == 0, "while the error is held, as it is where a smaller engine is loaded next"
    assert caught.value.__cause__ is None


def test_errors_of_other_kinds_pass() -> None:
    for error in (KeyboardInterrupt, TypeError):
        with pytest.raises(error), device_errors(CPU):
            raise error
