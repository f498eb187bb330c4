"""A style's network as TensorRT takes it, and the build: with torch-tensorrt, into TensorRT's own file format.

Static shapes; types as the graph says (strong typing is how torch-tensorrt builds from 2.11 on): the convolutions
compute in ``precision``, the picture, the guided filter and the last steps in f32. TensorRT takes and gives pictures
as NCHW in half precision (f32 for f32), not uint8: it has uint8 only for casts at a network's edges, and
torch-tensorrt converts none to uint8. `LevelsNetwork` loses nothing by it: see there.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engines import torch as reference
from engines.torch import DTYPES, TorchOps, reason
from vidstyle import network
from vidstyle.built import timing_cache
from vidstyle.choice import no_tensorrt
from vidstyle.engine import EngineSpec
from vidstyle.errors import EngineError, OutOfMemoryError
from vidstyle.network import prepare, run
from vidstyle.sealed import make_folder
from vidstyle.style import Style

MIDDLE = 127.5
IO_TYPES = {"f32": torch.float32, "bf16": torch.float16, "f16": torch.float16}

#: what an engine depends on besides its weights: how the graph is built
CODE = hashlib.sha256(
    b"".join(Path(str(f)).read_bytes() for f in (__file__, network.__file__, reference.__file__))
).hexdigest()[:16]


class MixedOps(TorchOps):
    """Convolutions and what is between them in ``dtype``; where f32 meets it, and in means, f32."""

    def __init__(self, weights: dict[str, Tensor], dtype: torch.dtype) -> None:
        super().__init__(weights)
        self._dtype = dtype

    def conv(self, x: Tensor, name: str, stride: int = 1, pad: network.Pad = (1, 1, 1, 1)) -> Tensor:
        return super().conv(x.to(self._dtype), name, stride, pad)

    def add(self, x: Tensor, y: Any) -> Tensor:
        return super().add(*_alike(x, y))

    def sub(self, x: Tensor, y: Any) -> Tensor:
        return super().sub(*_alike(x, y))

    def mul(self, x: Tensor, y: Any) -> Tensor:
        return super().mul(*_alike(x, y))

    def div(self, x: Tensor, y: Any) -> Tensor:
        return super().div(*_alike(x, y))

    def box3(self, x: Tensor) -> Tensor:
        return super().box3(x.float())


def _alike(x: Tensor, y: Any) -> tuple[Tensor, Any]:
    """TensorRT adds no two types, and what torch does by itself is written out."""
    return (x, y) if not isinstance(y, Tensor) or x.dtype == y.dtype else (x.float(), y.float())


class LevelsNetwork(nn.Module):
    """[n, 3, H, W] of levels less `MIDDLE`, -127.5 to 127.5, to levels of the look, 0 to 255, rounded.

    Halves from -127.5 to 127.5, and whole numbers to 255, are exact in half precision: it is as good as uint8.
    """

    def __init__(self, style: Style, precision: str) -> None:
        super().__init__()
        self.arch, self._dtype = style.card.architecture, DTYPES[precision]
        self._names = {}
        for name, value in prepare(self.arch, style.weights).items():
            self._names[name] = name.replace(".", "_")  # a buffer's name has no dots
            self.register_buffer(self._names[name], torch.from_numpy(value.copy()).to(self._dtype))

    def forward(self, x: Tensor) -> Tensor:
        weights = {name: self.get_buffer(buffer) for name, buffer in self._names.items()}
        y = run(MixedOps(weights, self._dtype), self.arch, x.float() * (1 / MIDDLE)).float()
        return ((y.clamp(-1, 1) + 1) * MIDDLE).round().to(x.dtype)


def build(
    style: Style, spec: EngineSpec, device: torch.device, optimization_level: int, tiling: str
) -> tuple[bytes, float]:
    """(TensorRT's engine, seconds it took).

    Raises:
        EngineError: torch-tensorrt is missing, or does not match, or cannot build it.
        OutOfMemoryError: the device's memory is full.
    """
    start = time.monotonic()
    make_folder(timing_cache().parent)
    x = torch.zeros((spec.max_batch, 3, spec.height, spec.width), dtype=IO_TYPES[spec.precision], device=device)
    # torch-tensorrt prints, and standard output may be a video's.
    with _complaints() as complaints, contextlib.redirect_stdout(sys.stderr):
        convert = _converter()
        try:
            graph = torch.export.export(LevelsNetwork(style, spec.precision).to(device).eval(), (x,))
            data = convert(
                graph,
                arg_inputs=[x],
                device=device,
                disable_tf32=spec.precision == "f32",
                max_aux_streams=0,  # streams of its own would run outside of a lane's order, for kernels this large
                optimization_level=optimization_level,
                timing_cache_path=str(timing_cache()),
                tiling_optimization_level=tiling,
            )
        except Exception as error:  # whatever it raises: 2.11 raises NameError where TensorRT gives no engine
            with contextlib.suppress(OSError):  # torch-tensorrt writes it in place: cut short, no build might succeed
                timing_cache().unlink()
            raise _failure(error, complaints, style, spec) from error
    return bytes(data), time.monotonic() - start


def _converter() -> Any:
    if trouble := no_tensorrt(torch.__version__):
        raise EngineError(f"TensorRT cannot build an engine: {trouble}")
    try:
        with _native_stdout_to_stderr():
            torch_tensorrt = importlib.import_module("torch_tensorrt")
    except Exception as error:  # it raises Exception itself where TensorRT's libraries are missing
        raise EngineError(
            f"torch-tensorrt cannot be loaded ({reason(error)}): use --engine cuda, or install it anew"
        ) from error
    return torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine


def _failure(error: Exception, complaints: list[str], style: Style, spec: EngineSpec) -> EngineError:
    """TensorRT says the reason to its log alone; the last error there is the reason, else what was raised."""
    cause = complaints[-1] if complaints else reason(error)
    said = " ".join([*complaints, str(error)]).lower().replace(" ", "")
    what = f"the engine of {style.name} at {spec.width}x{spec.height}, batch {spec.max_batch}"
    if isinstance(error, torch.OutOfMemoryError) or "outofmemory" in said:
        return OutOfMemoryError(f"the GPU has too little memory to build {what}: {cause}")
    return EngineError(f"TensorRT cannot build {what}: {cause}; --engine cuda needs no build")


@contextlib.contextmanager
def _native_stdout_to_stderr() -> Iterator[None]:
    """For what TensorRT's own C++ prints when torch-tensorrt is imported: a warning, to standard output."""
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextlib.contextmanager
def _complaints() -> Iterator[list[str]]:
    """The errors that torch-tensorrt and TensorRT log meanwhile, one line each, instead of on the terminal."""
    lines: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.ERROR and (said := record.getMessage().strip()):
                lines.append(said.splitlines()[0][:300])

    loggers = [logging.getLogger(name) for name in ("torch_tensorrt", "torch_tensorrt [TensorRT Conversion Context]")]
    before = [(logger, logger.propagate) for logger in loggers]
    handler = Collect()
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield lines
    finally:
        for logger, propagate in before:
            logger.removeHandler(handler)
            logger.propagate = propagate
