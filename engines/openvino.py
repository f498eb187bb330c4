"""OpenVINO: the default engine, on any CPU (and Intel GPUs and NPUs), without torch.

The model is built in memory from `vidstyle.network`, one operation of OpenVINO per operation of ours;
nothing is converted from another format. Compiled models are kept in the user's cache.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from vidstyle.engine import EngineSpec, Recipe
from vidstyle.errors import EngineError
from vidstyle.network import LEAKY_SLOPE, Pad, Weights, prepare, run
from vidstyle.paths import cache_dir

Node = Any


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
    strength can so change from picture to picture without compiling again.
    """
    frames = op.parameter([batch, height, width, 3], np.uint8, name="frames")
    x = op.convert(op.transpose(frames, op.constant(np.array([0, 3, 1, 2]))), "f32")
    x = op.subtract(op.multiply(x, _node(1 / 127.5)), _node(1.0))
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
            y = op.add(y, op.multiply(op.subtract(look, x), share))
    y = op.multiply(op.add(y, _node(1.0)), _node(127.5))
    y = op.convert(op.round(op.clamp(y, 0.0, 255.0), "half_to_even"), "u8")
    return ov.Model([op.transpose(y, op.constant(np.array([0, 2, 3, 1])))], inputs, "vidstyle")


class OpenVINOEngine:
    """See `vidstyle.engine.Engine`."""

    def __init__(self, recipe: Recipe, spec: EngineSpec) -> None:
        core = ov.Core()
        device = _device(core, spec.device)
        precision = _precision(core, device, spec.precision)
        threads = spec.threads or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.spec = replace(spec, device=device.lower(), precision=precision, threads=threads)
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": {"f32": "f32", "bf16": "bf16"}[precision],
            "PERFORMANCE_HINT": "THROUGHPUT" if spec.in_flight > 1 else "LATENCY",
        }
        if device == "CPU":
            options |= {
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": min(spec.in_flight, threads),
                "ENABLE_CPU_PINNING": False,  # decoder and encoder threads share these cores
            }
        self._shares = None if recipe.is_plain else recipe.shares
        try:
            self._compiled = _compile(core, recipe, self.spec, device, options)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise EngineError(f"OpenVINO cannot build the network for {device} at {precision}: {reason}") from error
        self._requests = [self._compiled.create_infer_request() for _ in range(spec.in_flight)]
        self._free = deque(self._requests)
        name = core.get_property(device, "FULL_DEVICE_NAME")
        self.description = f"OpenVINO {ov.__version__.split('-')[0]} on {name}, {precision}, {threads} threads"

    def submit(self, batch: np.ndarray) -> Callable[[], np.ndarray]:
        n = _check_batch(batch, self.spec)
        if not self._free:
            raise EngineError(f"more than {self.spec.in_flight} pictures in flight: wait for an earlier one first")
        request = self._free.popleft()
        full = batch if n == self.spec.max_batch else np.concatenate([batch, np.repeat(batch[-1:], self.spec.max_batch - n, 0)])
        inputs: dict[int, Any] = {0: np.ascontiguousarray(full)}
        if self._shares is not None:
            inputs[1] = self._shares
        request.start_async(inputs, share_inputs=True)

        def result(kept: Any = inputs) -> np.ndarray:  # the input must live until the request is done
            try:
                request.wait()
                return request.get_output_tensor(0).data[:n].copy()
            except RuntimeError as error:
                raise EngineError(f"OpenVINO failed: {str(error).strip().splitlines()[-1]}") from error
            finally:
                self._free.append(request)

        return result

    def set_shares(self, shares: np.ndarray) -> None:
        """Change the share of each style from the next picture on (recipes that are not plain)."""
        if self._shares is None or shares.shape != self._shares.shape:
            raise EngineError("this engine was built for one style at full strength: build it again to mix")
        self._shares = shares.astype(np.float32)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return self.submit(batch)()

    def close(self) -> None:
        for request in self._requests:
            request.cancel()
            request.wait()
        self._requests.clear()
        self._free.clear()

    def __enter__(self) -> OpenVINOEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def load(recipe: Recipe, spec: EngineSpec) -> OpenVINOEngine:
    return OpenVINOEngine(recipe, spec)


def _device(core: ov.Core, wanted: str) -> str:
    device = "CPU" if wanted == "auto" else wanted.upper()
    if device not in core.available_devices:
        have = ", ".join(d.lower() for d in core.available_devices)
        raise EngineError(f"no device {wanted!r} for OpenVINO here: it has {have}")
    return device


def _precision(core: ov.Core, device: str, wanted: str) -> str:
    """bf16 where the CPU computes in it natively, else f32; a named precision is never replaced."""
    native = "BF16" in core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    if wanted == "bf16" and not native:
        raise EngineError(f"{device} has no bf16 arithmetic: use --precision f32")
    return ("bf16" if native else "f32") if wanted == "auto" else wanted


def _compile(core: ov.Core, recipe: Recipe, spec: EngineSpec, device: str, options: dict[str, Any]) -> Any:
    """Compile, or load from the user's cache: OpenVINO's own, keyed by graph, weights, options, version."""
    cache = cache_dir() / "openvino"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        options = options | {"CACHE_DIR": str(cache)}
    except OSError:
        pass  # an unwritable cache costs a second a run, nothing else
    model = build_model(recipe, spec.height, spec.width, spec.max_batch)
    return core.compile_model(model, device, options)


def _check_batch(batch: np.ndarray, spec: EngineSpec) -> int:
    n, *rest = batch.shape
    if batch.dtype != np.uint8 or rest != [spec.height, spec.width, 3] or not 1 <= n <= spec.max_batch:
        want = f"uint8 [1..{spec.max_batch}, {spec.height}, {spec.width}, 3]"
        raise EngineError(f"the engine takes {want}, got {batch.dtype} {list(batch.shape)}")
    return n
