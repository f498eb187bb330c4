"""The operations of a look in OpenVINO's graph, in the precision of the model or with convolutions in eight bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from engines.openvino.core import op
from vidstyle import int8
from vidstyle.int8 import Ranges
from vidstyle.network import LEAKY_SLOPE, Pad, Weights, prepare
from vidstyle.style import Style

Node = Any
Span = tuple[np.ndarray | float, np.ndarray | float]  # the least and the greatest value


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
        return _convolution(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"], stride, pad)

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


class Int8Ops(OpenVINOOps):
    """The same, with the convolutions of `vidstyle.int8.is_eight_bits` on whole numbers.

    OpenVINO computes a convolution so where both of its inputs are fake-quantised to 256 values.
    """

    def __init__(self, weights: Weights, ranges: Ranges) -> None:
        super().__init__(weights)
        self._ranges = ranges

    def conv(self, x: Node, name: str, stride: int = 1, pad: Pad = (1, 1, 1, 1)) -> Node:
        if not int8.is_eight_bits(name):
            return super().conv(x, name, stride, pad)
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        gain, span, together = np.ones((1, 1, 1, 1), np.float32), int8.PIXELS, 1
        if name == int8.FIRST:  # what pads the picture is half a level off by this
            x, bias = op.subtract(x, _node(int8.HALF_LEVEL)), bias + weight.sum((1, 2, 3)) * int8.HALF_LEVEL
            together = 16
        else:
            gain = int8.gains(weight, self._ranges[name]).reshape(1, -1, 1, 1)
            low, high = np.array(self._ranges[name]) * gain.ravel()
            span = int8.grid(low.min(), high.max())
        whole, step = int8.rounded(weight / gain, together)
        x = _quantised(x, (span[0] / gain, span[1] / gain), span, 256)
        ends = -127 * step, 127 * step
        kernel = _quantised(op.constant(whole * step), ends, ends, 255)
        return _convolution(x, kernel, bias.astype(np.float32), stride, pad)


def _convolution(x: Node, kernel: Node | np.ndarray, bias: np.ndarray, stride: int, pad: Pad) -> Node:
    top, left, bottom, right = pad
    y = op.convolution(x, kernel, [stride] * 2, [top, left], [bottom, right], [1, 1])
    return op.add(y, bias.reshape(1, -1, 1, 1))


def _quantised(x: Node, taken: Span, given: Span, levels: int) -> Node:
    """``x``, of the range ``taken``, as so many values over the range ``given``."""
    return op.fake_quantize(x, *(op.constant(np.asarray(end, np.float32)) for end in taken + given), levels)


def operations(style: Style, precision: str) -> OpenVINOOps:
    """For a look at a precision of `vidstyle.engine.EngineSpec`; "int8" needs its ranges."""
    weights = prepare(style.card.architecture, style.weights)
    return Int8Ops(weights, style.ranges) if precision == "int8" else OpenVINOOps(weights)


def _node(value: Any) -> Node:
    return op.constant(np.float32(value)) if isinstance(value, (int, float)) else value


def from_pixels(frames: Node) -> Node:
    """float32 [n, 3, height, width] of -1 to 1 from uint8 [n, height, width, 3]."""
    x = op.convert(op.transpose(frames, op.constant(np.array([0, 3, 1, 2]))), "f32")
    return op.subtract(op.multiply(x, _node(1 / 127.5)), _node(1.0))


def to_pixels(y: Node) -> Node:
    """The way back, rounded and clipped."""
    y = op.multiply(op.add(y, _node(1.0)), _node(127.5))
    y = op.convert(op.round(op.clamp(y, 0.0, 255.0), "half_to_even"), "u8")
    return op.transpose(y, op.constant(np.array([0, 2, 3, 1])))
