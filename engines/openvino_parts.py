"""Parts of a student in OpenVINO, for pictures that change in part: see `vidstyle.live.parts`.

A part is compiled once for all sizes. Fixed sizes would be a tenth faster, but what changes has another size
in every picture, and a window of the nearest fixed one would cost more than that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from engines.openvino import Node, OpenVINOOps, _device, _node, _options, _reason, op, ov
from vidstyle.engine import EngineSpec
from vidstyle.errors import EngineError
from vidstyle.live.parts import PICTURE, Part, Tensor, run_part
from vidstyle.network import prepare
from vidstyle.style import Style

BLOCK = 4  # pixels: a student's coarsest look at the picture itself
KEPT = 120  # shapes of single layers whose machine code is kept, about half a MB each


class _Blocks:
    """Pixels still in the channels, where a shuffle will bring them into place; see `LateOps`."""

    def __init__(self, x: Node, block: int) -> None:
        self.x, self.block = x, block

    def shuffled(self) -> Node:
        return op.depth_to_space(self.x, "depth_first", self.block)


class LateOps(OpenVINOOps):
    """The same operations, with every shuffle put off until something needs its result.

    Additions and products of two shuffled tensors so work on 48 channels in place of 3: with shapes that are
    not known beforehand, three take seven times as long.
    """

    def size(self, x: Any) -> tuple[int, int]:  # noqa: ARG002
        return 0, 0  # unknown, and a multiple of all there is

    def conv(self, x: Any, *options: Any, **more: Any) -> Node:
        return super().conv(_shuffled(x), *options, **more)

    def leaky_relu(self, x: Any) -> Node:
        return super().leaky_relu(_shuffled(x))

    def shuffle(self, x: Any, block: int) -> _Blocks:
        return _Blocks(_shuffled(x), block)

    def unshuffle(self, x: Any, block: int) -> Node:
        return x.x if isinstance(x, _Blocks) and x.block == block else super().unshuffle(_shuffled(x), block)

    def add(self, x: Any, y: Any) -> Any:
        return self._by_element(op.add, x, y)

    def mul(self, x: Any, y: Any) -> Any:
        return self._by_element(op.multiply, x, y)

    @staticmethod
    def _by_element(operation: Callable[..., Node], x: Any, y: Any) -> Any:
        if not (isinstance(x, _Blocks) and isinstance(y, _Blocks) and x.block == y.block):
            return operation(_shuffled(x), _node(_shuffled(y)))
        times = _channels(x.x) // _channels(y.x)  # one channel of pixels serves all
        return _Blocks(operation(x.x, op.concat([y.x] * times, 1) if times > 1 else y.x), x.block)


def _shuffled(x: Any) -> Any:
    return x.shuffled() if isinstance(x, _Blocks) else x


def _channels(x: Node) -> int:
    channels: int = x.get_output_partial_shape(0)[1].get_length()
    return channels


class OpenVINOPart:
    """A part of a student for windows of any size, a multiple of `Architecture.multiple`; of one thread.

    A call takes one array for each of ``part.takes`` and gives one for each of ``part.gives``: features as
    float32 [channels, height / stride, width / stride], the picture as uint8 [height, width, 3] in and, for
    speed, [3, height, width] out. Results are the part's own memory, overwritten by its next call.
    """

    def __init__(self, style: Style, part: Part, spec: EngineSpec) -> None:
        core = ov.Core()
        device = _device(core, spec.device)
        options = _options(spec) | {"CPU_RUNTIME_CACHE_CAPACITY": KEPT}
        try:
            self._request = core.compile_model(build_part(style, part), device, options).create_infer_request()
        except (RuntimeError, MemoryError) as error:
            raise EngineError(f"OpenVINO cannot build a part of {style.name}: {_reason(error)}") from error
        self._gives = range(len(part.gives))

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        try:
            for i, array in enumerate(inputs):
                self._request.set_input_tensor(i, ov.Tensor(np.ascontiguousarray(array[None])))
            self._request.start_async()
            self._request.wait()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed on a part of a picture: {_reason(error)}") from error
        return [self._request.get_output_tensor(i).data[0] for i in self._gives]


def load_part(style: Style, part: Part, spec: EngineSpec) -> OpenVINOPart:
    """``spec`` is that of the whole picture's engine, every "auto" and 0 as it came out."""
    return OpenVINOPart(style, part, spec)


def build_part(style: Style, part: Part) -> ov.Model:
    """The graph of a part for any size: the picture as uint8 NHWC in and NCHW out, features as float32 NCHW."""
    arch = style.card.architecture
    inputs = {t.name: _input(t) for t in part.takes}
    x = _to_blocks(inputs.get(PICTURE) or _input(Tensor(PICTURE)))
    given = run_part(LateOps(prepare(arch, style.weights)), arch, part, inputs, x)
    results = [_to_pixels(y) if t.name == PICTURE else _shuffled(y) for t, y in zip(part.gives, given, strict=True)]
    return ov.Model(results, list(inputs.values()), "vidstyle part")


def _input(tensor: Tensor) -> Any:
    if tensor.name == PICTURE:
        return op.parameter(ov.PartialShape([1, -1, -1, 3]), np.uint8, name=PICTURE)
    return op.parameter(ov.PartialShape([1, tensor.channels, -1, -1]), np.float32, name=tensor.name)


def _to_blocks(picture: Node) -> _Blocks:
    x = op.space_to_depth(op.transpose(picture, op.constant(np.array([0, 3, 1, 2]))), "depth_first", BLOCK)
    return _Blocks(op.subtract(op.multiply(op.convert(x, "f32"), _node(1 / 127.5)), _node(1.0)), BLOCK)


def _to_pixels(y: _Blocks) -> Node:
    y = op.multiply(op.add(y.x, _node(1.0)), _node(127.5))
    return op.depth_to_space(op.convert(op.round(op.clamp(y, 0.0, 255.0), "half_to_even"), "u8"), "depth_first", BLOCK)
