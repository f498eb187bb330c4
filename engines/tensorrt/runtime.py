"""TensorRT's own side: its module, a GPU for it, a built engine, and one run of it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from engines.device.errors import device_errors
from engines.tensorrt.builder import IO_TYPES, MIDDLE
from vidstyle.built import Record
from vidstyle.choice import INSTALL_TENSORRT, TENSORRT_LIBRARIES, choose, tensorrt_module
from vidstyle.engine import EngineSpec
from vidstyle.errors import EngineError


class RefusedError(Exception):
    """A built engine is not to be used; the message says why."""


class Plan:
    """A built engine in TensorRT's runtime, and its record.

    Raises:
        RefusedError: TensorRT does not take it, or it is for other pictures.
        EngineError: TensorRT does not start.
        RuntimeError: the device has no room for it; `device_errors` makes it an OutOfMemoryError.
    """

    def __init__(self, trt: Any, data: bytes, record: Record) -> None:
        self.record, self.log = record, _log_of(trt)
        # What is deserialised is code that runs: `vidstyle.built` gives nothing that this user did not build.
        try:
            self._runtime = trt.Runtime(self.log)
        except TypeError as error:  # its factory gave nothing
            raise EngineError(f"TensorRT cannot start: {self.log.last or error}; update the NVIDIA driver") from error
        self.engine = self._runtime.deserialize_cuda_engine(data)
        if self.engine is None and self.log.full:  # it is good: less at a time, or another time
            raise RuntimeError(f"out of memory: TensorRT loads no engine: {self.log.last}")
        if self.engine is None:
            raise RefusedError(self.log.last or "TensorRT refuses it")
        names = [self.engine.get_tensor_name(i) for i in range(self.engine.num_io_tensors)]
        inputs = [name for name in names if self.engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        shapes = {tuple(self.engine.get_tensor_shape(name)) for name in names}
        key = record.key
        if len(names) != 2 or len(inputs) != 1 or shapes != {(key.batch, 3, key.height, key.width)}:
            raise RefusedError(f"it takes or gives {shapes}")
        wanted = {torch.float16: trt.DataType.HALF, torch.float32: trt.DataType.FLOAT}[IO_TYPES[key.precision]]
        types = {self.engine.get_tensor_dtype(name) for name in names}
        if types != {wanted}:  # a longer one would be written beyond the memory that it is given
            raise RefusedError(f"it takes or gives numbers of {sorted(map(str, types))}, expected {wanted}")
        self.input = inputs[0]
        self.output = next(name for name in names if name != self.input)


class Run:
    """An execution context with its memory: uint8 [n, H, W, 3] to levels of the look, half precision, the same shape.

    Raises:
        RuntimeError: the device has no room for it; `device_errors` makes it an OutOfMemoryError.
    """

    def __init__(self, plan: Plan, spec: EngineSpec, device: torch.device) -> None:
        shape, dtype = (spec.max_batch, 3, spec.height, spec.width), IO_TYPES[spec.precision]
        self._plan, self._device = plan, device
        self._x = torch.empty(shape, dtype=dtype, device=device)
        self._y = torch.empty(shape, dtype=dtype, device=device)
        self._context = plan.engine.create_execution_context()
        if self._context is None:
            raise RuntimeError(f"out of memory: TensorRT makes no context: {plan.log.last or 'it says no reason'}")
        for name, tensor in ((plan.input, self._x), (plan.output, self._y)):
            if not self._context.set_tensor_address(name, tensor.data_ptr()):
                raise RuntimeError(f"TensorRT takes no memory for {name}: {plan.log.last}")

    def __call__(self, frames: Tensor) -> Tensor:
        """On the current stream; overwritten by the next call."""
        torch.sub(frames.permute(0, 3, 1, 2), MIDDLE, out=self._x)  # computed in f32, and exact in half precision
        if not self._context.execute_async_v3(stream_of(self._device)):
            raise RuntimeError(f"TensorRT failed: {self._plan.log.last}")
        return self._y.permute(0, 2, 3, 1)


def import_tensorrt() -> Any:
    """TensorRT's module.

    Raises:
        EngineError: it is not installed, or its libraries are not.
    """
    name = tensorrt_module()
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            raise EngineError(f"TensorRT is not installed: {INSTALL_TENSORRT}") from error
        raise EngineError(f"TensorRT is not whole ({error}): {TENSORRT_LIBRARIES}") from error
    except (ImportError, OSError) as error:
        # The package on PyPI fetches the libraries from NVIDIA's own index; where that was not to be reached they lack.
        raise EngineError(f"TensorRT's libraries are missing ({error}): {TENSORRT_LIBRARIES}") from error


def cuda_device(name: str) -> torch.device:
    """The GPU of ``name``, after something was computed on it.

    Raises:
        EngineError: TensorRT can run on none, or not on that one; with the line that mends it.
    """
    _, name = choose("tensorrt", name)
    if not name.startswith("cuda"):
        raise EngineError(f"TensorRT runs on NVIDIA GPUs alone, not on {name!r}: leave out --engine")
    device = torch.device(name)
    try:
        with device_errors(device):
            torch.ones(1, device=device).add(1).cpu()
    except AssertionError as error:  # torch without CUDA
        raise EngineError(f"torch has no device {name!r}: {error}") from error
    return device


def device_of(device: torch.device) -> Any:
    """TensorRT works on the current device."""
    return torch.cuda.device(device)


def empty_cache(device: torch.device) -> None:
    """Give back what torch keeps of the device's memory for itself: TensorRT takes its own beside it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def stream_of(device: torch.device) -> int:
    return torch.cuda.current_stream(device).cuda_stream


def gpu_name(device: torch.device) -> str:
    found = torch.cuda.get_device_properties(device)
    return f"{found.name}, {found.major}.{found.minor}"


def runtime_name(trt: Any) -> str:
    return f"TensorRT{' for RTX' if tensorrt_module() == 'tensorrt_rtx' else ''} {trt.__version__}"


def _log_of(trt: Any) -> Any:
    class Log(trt.ILogger):
        """TensorRT gives reasons to its log alone; ``last`` is the newest error's, ``full`` that one was of memory."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last, self.full = "", False

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.last = " ".join(msg.split())[:300]
                self.full = self.full or "outofmemory" in self.last.lower().replace(" ", "")

    return Log()
