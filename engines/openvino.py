"""OpenVINO: the default engine, on any CPU (and Intel GPUs and NPUs), without torch.

The model is built in memory from `vidstyle.network`, one operation of OpenVINO per operation of ours;
nothing is converted from another format. The compiled model is kept by `vidstyle.compiled`: OpenVINO's
own cache grows without limit and takes damaged weights for good ones (black pictures).
"""
# ruff: noqa: E402 - see the comment on telemetry

from __future__ import annotations

import hashlib
import io
import logging
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

# Importing openvino reports the import to Google Analytics, in a process of its own that may hold up
# our exit for seconds where there is no network. Without this package OpenVINO does without.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov
from openvino import opset13 as op

from vidstyle import compiled, network
from vidstyle.cores import usable_cores
from vidstyle.engine import EngineSpec, Recipe, check_batch, check_shares
from vidstyle.errors import EngineError
from vidstyle.network import LEAKY_SLOPE, Pad, Weights, prepare, run

Node = Any
log = logging.getLogger(__name__)

#: what a compiled model depends on besides its weights: how the graph is built
_CODE = hashlib.sha256(b"".join(Path(f).read_bytes() for f in (__file__, network.__file__))).hexdigest()[:16]


class OpenVINOOps:
    """`vidstyle.network.Ops` for OpenVINO's graph builder."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._slope = op.constant(np.float32(LEAKY_SLOPE))

    def size(self, x: Node) -> tuple[int, int]:
        height, width = list(x.get_output_partial_shape(0))[2:]
        return height.get_length(), width.get_length()

    def pad_edge(self, x: Node, bottom: int, right: int) -> Node:
        return op.pad(x, [0, 0, 0, 0], [0, 0, bottom, right], "edge")

    def crop(self, x: Node, height: int, width: int) -> Node:
        return op.slice(x, [0, 0], [height, width], [1, 1], [2, 3])

    def conv(self, x: Node, name: str, stride: int = 1, pad: Pad = (1, 1, 1, 1)) -> Node:
        top, left, bottom, right = pad
        y = op.convolution(x, self._weights[f"{name}.weight"], [stride] * 2, [top, left], [bottom, right], [1, 1])
        return op.add(y, self._weights[f"{name}.bias"].reshape(1, -1, 1, 1))

    def leaky_relu(self, x: Node) -> Node:
        return op.prelu(x, self._slope)

    def add(self, x: Node, y: Any) -> Node:
        return op.add(x, _node(y))

    def sub(self, x: Node, y: Any) -> Node:
        return op.subtract(x, _node(y))

    def mul(self, x: Node, y: Any) -> Node:
        return op.multiply(x, _node(y))

    def div(self, x: Node, y: Any) -> Node:
        return op.divide(x, _node(y))

    def upsample2(self, x: Node) -> Node:
        height, width = self.size(x)
        return op.interpolate(
            x,
            op.constant(np.array([2 * height, 2 * width], np.int64)),
            "linear_onnx",
            "sizes",
            axes=op.constant(np.array([2, 3], np.int64)),
            coordinate_transformation_mode="asymmetric",
        )

    def unshuffle(self, x: Node, block: int) -> Node:
        return op.space_to_depth(x, "depth_first", block)

    def shuffle(self, x: Node, block: int) -> Node:
        return op.depth_to_space(x, "depth_first", block)

    def box3(self, x: Node) -> Node:
        return op.avg_pool(x, [1, 1], [1, 1], [1, 1], [3, 3], exclude_pad=True)


def _node(value: Any) -> Node:
    return op.constant(np.float32(value)) if isinstance(value, (int, float)) else value


def build_model(recipe: Recipe, height: int, width: int, batch: int) -> ov.Model:
    """The graph for ``recipe``: uint8 [batch, height, width, 3] RGB in and out.

    A recipe that is not plain has a second input, float32 [styles]: the share of each style. The
    strength can so change from picture to picture without compiling again. Looks are clipped before they are
    mixed: a half of the strength is the middle between two pictures.
    """
    frames = op.parameter([batch, height, width, 3], np.uint8, name="frames")
    x = from_pixels(frames)
    styled = [
        run(OpenVINOOps(prepare(style.card.architecture, style.weights)), style.card.architecture, x)
        for style, _ in recipe.parts
    ]
    inputs = [frames]
    if recipe.is_plain:
        y = styled[0]
    else:
        shares = op.parameter([len(styled)], np.float32, name="shares")
        inputs.append(shares)
        y = x
        for i, look in enumerate(styled):
            share = op.gather(shares, op.constant(np.int64(i)), op.constant(np.int64(0)))
            change = op.subtract(op.clamp(look, -1.0, 1.0), x)
            y = op.add(y, op.multiply(change, share))
    return ov.Model([to_pixels(y)], inputs, "vidstyle")


def from_pixels(frames: Node) -> Node:
    """float32 [n, 3, height, width] of -1 to 1 from uint8 [n, height, width, 3]."""
    x = op.convert(op.transpose(frames, op.constant(np.array([0, 3, 1, 2]))), "f32")
    return op.subtract(op.multiply(x, _node(1 / 127.5)), _node(1.0))


def to_pixels(y: Node) -> Node:
    """The way back, rounded and clipped."""
    y = op.multiply(op.add(y, _node(1.0)), _node(127.5))
    y = op.convert(op.round(op.clamp(y, 0.0, 255.0), "half_to_even"), "u8")
    return op.transpose(y, op.constant(np.array([0, 2, 3, 1])))


class _Call:
    """A batch under way; calling it waits for the result, in any order and as often as wanted."""

    def __init__(self, request: Any, n: int, release: Callable[[_Call], None]) -> None:
        self.request = request
        self._n, self._release = n, release
        self._outcome: np.ndarray | EngineError | None = None

    def finish(self) -> np.ndarray | EngineError:
        """Wait, copy the result out of the request, and release the request for the next batch."""
        if self._outcome is None:
            try:
                self.request.wait()
                self._outcome = self.request.get_output_tensor(0).data[: self._n].copy()
            except RuntimeError as error:
                self._outcome = EngineError(f"OpenVINO failed on a picture: {_reason(error)}")
            self._release(self)
            self.request = None  # it holds the network's memory, which may outlive the engine otherwise
        return self._outcome

    def __call__(self) -> np.ndarray:
        outcome = self.finish()
        if isinstance(outcome, EngineError):
            raise outcome
        return outcome


class OpenVINOEngine:
    """See `vidstyle.engine.Engine`. A batch is copied at `submit`: the caller may then reuse its memory."""

    def __init__(self, recipe: Recipe, spec: EngineSpec) -> None:
        core = ov.Core()
        device = _device(core, spec.device)
        precision = _precision(core, device, spec.precision)
        threads = spec.threads or usable_cores()
        in_flight = spec.in_flight or threads + 1  # one waits while every thread works
        self.spec = replace(spec, device=device.lower(), precision=precision, threads=threads, in_flight=in_flight)
        self._shares = None if recipe.is_plain else recipe.shares
        try:
            model = _compile(core, recipe, self.spec, device)
            self._free = [model.create_infer_request() for _ in range(in_flight)]
            name = core.get_property(device, "FULL_DEVICE_NAME")
        except (RuntimeError, MemoryError) as error:
            raise EngineError(f"OpenVINO cannot build it for {device} at {precision}: {_reason(error)}") from error
        self._running: deque[_Call] = deque()
        self._closed = False
        where = f"{name}, {precision}" + (f", {threads} threads" if device == "CPU" else "")
        self.description = f"OpenVINO {ov.__version__.split('-')[0]} on {where}"

    def submit(self, batch: np.ndarray) -> Callable[[], np.ndarray]:
        if self._closed:
            raise EngineError("the engine is closed: load it again")
        n = check_batch(batch, self.spec)
        if self._shares is not None and not self._shares.any():  # strength 0: the source, to the byte
            source = np.array(batch, order="C")
            return lambda: source
        if not self._free:  # wait for the oldest, whose result then waits in its call
            self._running[0].finish()
        request = self._free.pop()
        request.get_input_tensor(0).data[:n] = batch
        if self._shares is not None:
            request.get_input_tensor(1).data[:] = self._shares
        request.start_async()
        self._running.append(_Call(request, n, self._release))
        return self._running[-1]

    def _release(self, call: _Call) -> None:
        self._running.remove(call)
        self._free.append(call.request)

    def set_shares(self, shares: np.ndarray) -> None:
        """Change the share of each style, float32 [styles], from the next `submit` on (see `Recipe.shares`)."""
        self._shares = check_shares(shares, self._shares)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return self.submit(batch)()

    def close(self) -> None:
        """Stop what is under way and free the network; results not yet waited for may be lost."""
        self._closed = True
        for call in self._running:
            call.request.cancel()
        for call in list(self._running):
            call.finish()
        self._free.clear()

    def __enter__(self) -> OpenVINOEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def load(recipe: Recipe, spec: EngineSpec) -> OpenVINOEngine:
    return OpenVINOEngine(recipe, spec)


def _device(core: ov.Core, wanted: str) -> str:
    """OpenVINO's name of the device; "GPU" stands for the first of "GPU.0", "GPU.1"."""
    device = "CPU" if wanted == "auto" else wanted.upper()
    have = core.available_devices
    if device not in {*have, *(name.split(".")[0] for name in have)}:
        raise EngineError(f"no device {wanted!r} for OpenVINO here: it has {', '.join(have).lower() or 'none'}")
    return device


def _precision(core: ov.Core, device: str, wanted: str) -> str:
    """bf16 where the CPU computes in it natively, else f32; a named precision is never replaced."""
    native = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    if wanted == "auto":
        return "bf16" if "BF16" in native else "f32"
    if wanted != "f32" and {"bf16": "BF16", "f16": "FP16"}[wanted] not in native:
        raise EngineError(f"{device} has no {wanted} arithmetic: use --precision f32")
    return wanted


def _compile(core: ov.Core, recipe: Recipe, spec: EngineSpec, device: str) -> Any:
    """The compiled model, from the user's cache where the same was compiled before."""
    options = _options(spec)
    shape = spec.max_batch, spec.height, spec.width
    key = repr((ov.__version__, core.get_property(device, "FULL_DEVICE_NAME"), options, shape, recipe.key(), _CODE))
    if (stored := compiled.fetch("openvino", key)) is not None:
        try:
            return core.import_model(io.BytesIO(stored), device, options)
        except RuntimeError as error:
            log.info("a stored network was refused, compiling again: %s", _reason(error))
    model = core.compile_model(build_model(recipe, spec.height, spec.width, spec.max_batch), device, options)
    try:
        compiled.store("openvino", key, model.export_model().getvalue())
    except RuntimeError as error:  # some devices cannot
        log.info("the compiled network cannot be kept: %s", _reason(error))
    return model


def _options(spec: EngineSpec) -> dict[str, Any]:
    options: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": spec.precision,  # explicit: OpenVINO's own choice differs by machine
        "PERFORMANCE_HINT": "THROUGHPUT" if spec.in_flight > 1 else "LATENCY",
    }
    if spec.device == "cpu":
        options |= {
            "INFERENCE_NUM_THREADS": spec.threads,
            "NUM_STREAMS": min(spec.in_flight, spec.threads),
            "ENABLE_CPU_PINNING": False,  # decoder and encoder threads share these cores
        }
    return options


def _reason(error: Exception) -> str:
    """The last line of OpenVINO's report: the ones above are places in its own sources."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
