"""The one definition of the networks that make a look; every engine and the training run this.

A network is a function of ``ops`` alone: `Ops` holds the weights by name and supplies about ten
operations for one runtime (OpenVINO, torch, ...). Tensors are NCHW inside the graph; pictures are
uint8 NHWC RGB outside of it. Two architectures exist:

``ttn``
    The texture translation network of DCT-Net (Men et al., ACM TOG 41(4), 2022, section 3.4) exactly
    as published: TensorFlow's asymmetric padding and legacy bilinear grid, and the 3x3 guided filter.
``student``
    A small residual U-Net at 1/4 of the picture and below, distilled from the former.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from vidstyle.errors import StyleError

LEAKY_SLOPE = 0.2  # tf.nn.leaky_relu's default, which the published network was trained with
GUIDED_EPS = 0.01  # squared, in the network's -1..1 range; radius is 1

Weights = dict[str, np.ndarray]
Pad = tuple[int, int, int, int]  # top, left, bottom, right


class Ops(Protocol):
    """What a runtime supplies. ``x`` and ``y`` are that runtime's own NCHW tensors."""

    def size(self, x: Any) -> tuple[int, int]: ...  # height, width
    def pad_edge(self, x: Any, bottom: int, right: int) -> Any: ...  # repeats the last row and column
    def crop(self, x: Any, height: int, width: int) -> Any: ...  # keeps the top left
    def conv(self, x: Any, name: str, stride: int = 1, pad: Pad = (1, 1, 1, 1)) -> Any: ...
    def leaky_relu(self, x: Any) -> Any: ...
    def add(self, x: Any, y: Any) -> Any: ...
    def sub(self, x: Any, y: Any) -> Any: ...
    def mul(self, x: Any, y: Any) -> Any: ...  # y: tensor (one channel serves all) or float
    def div(self, x: Any, y: Any) -> Any: ...
    def upsample2(self, x: Any) -> Any: ...  # bilinear, even outputs copy (TF's legacy grid)
    def unshuffle(self, x: Any, block: int) -> Any: ...  # space to depth, channel order c*block*block
    def shuffle(self, x: Any, block: int) -> Any: ...  # its inverse
    def box3(self, x: Any) -> Any: ...  # 3x3 mean over the pixels inside the picture


@dataclass(frozen=True)
class Architecture:
    """Which network, and its shape; stored in a style's card.

    ``widths`` are the student's channels at 1/4, 1/8, 1/16 ... of the picture, ``blocks`` its residual
    blocks at each level (the middle once, every other level on the way up, ``down_blocks`` on the way
    down). ``guided`` filters the result along the edges of the source as the published network does.
    ``smooth`` averages 3x3 before each halving and after each doubling, so that a moved picture moves the result.
    """

    name: str = "ttn"
    widths: tuple[int, ...] = ()
    blocks: tuple[int, ...] = ()
    down_blocks: tuple[int, ...] = ()
    guided: bool = True
    smooth: bool = False

    def __post_init__(self) -> None:
        if self.name not in NETWORKS:
            known = ", ".join(NETWORKS)
            raise StyleError(f"unknown network architecture {self.name!r}; this version knows {known}: update vidstyle")
        levels = len(self.widths)
        if self.name == "student" and not (levels >= 2 and len(self.blocks) == len(self.down_blocks) == levels):
            raise StyleError(f"a student needs widths, blocks and down_blocks of one length >= 2, got {self}")

    @property
    def multiple(self) -> int:
        """Heights and widths are padded to a multiple of this inside the graph."""
        return 4 if self.name == "ttn" else 4 * 2 ** (len(self.widths) - 1)

    @classmethod
    def from_card(cls, card: dict[str, Any]) -> Architecture:
        """Read the ``architecture`` entry of a card; lists become tuples, unknown keys are refused."""
        known = cls.__dataclass_fields__
        if unknown := set(card) - set(known):
            raise StyleError(f"unknown architecture options {sorted(unknown)}: this style needs a newer vidstyle")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in card.items()}
        return cls(**values)

    def to_card(self) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Layer:
    """Shape of one convolution: weight [out, in, k, k] under ``{name}.weight``, bias [out] under ``{name}.bias``."""

    out: int
    inp: int
    k: int
    #: pixels of the full picture per position of its output, for counting operations
    area: int = field(default=1)


def guided_filter(ops: Ops, guide: Any, x: Any) -> Any:
    """Guided filter of radius 1, guide and filtered picture per channel (dctnet.md section 1.1, layer 18)."""
    mean_g, mean_x = ops.box3(guide), ops.box3(x)
    cov = ops.sub(ops.box3(ops.mul(guide, x)), ops.mul(mean_g, mean_x))
    var = ops.sub(ops.box3(ops.mul(guide, guide)), ops.mul(mean_g, mean_g))
    a = ops.div(cov, ops.add(var, GUIDED_EPS))
    b = ops.sub(mean_x, ops.mul(a, mean_g))
    return ops.add(ops.mul(ops.box3(a), guide), ops.box3(b))


def _ttn(ops: Ops, _: Architecture, x: Any) -> Any:
    def down(x: Any, name: str) -> Any:  # TF "SAME" at stride 2 on even sizes pads the end only
        return ops.leaky_relu(ops.conv(x, name, stride=2, pad=(0, 0, 1, 1)))

    def conv(x: Any, name: str) -> Any:
        return ops.leaky_relu(ops.conv(x, name))

    skip_a = ops.leaky_relu(ops.conv(x, "conv0", pad=(3, 3, 3, 3)))
    skip_b = conv(down(skip_a, "conv1"), "conv2")
    h = conv(down(skip_b, "conv3"), "conv4")
    for i in range(4):
        h = ops.add(ops.conv(conv(h, f"block{i}.conv1"), f"block{i}.conv2"), h)
    h = ops.add(ops.upsample2(conv(h, "conv5")), skip_b)
    h = ops.add(ops.upsample2(conv(conv(h, "conv6"), "conv7")), skip_a)
    # The folded last layer: see fold_last_conv.
    return ops.shuffle(ops.conv(conv(h, "conv8"), "conv9", stride=2, pad=(3, 3, 3, 3)), 2)


def _ttn_layers(_: Architecture) -> dict[str, Layer]:
    layers = {
        "conv0": Layer(32, 3, 7, 1),
        "conv1": Layer(32, 32, 3, 4),
        "conv2": Layer(64, 32, 3, 4),
        "conv3": Layer(64, 64, 3, 16),
        "conv4": Layer(128, 64, 3, 16),
    }
    layers |= {f"block{i}.conv{j}": Layer(128, 128, 3, 16) for i in range(4) for j in (1, 2)}
    return layers | {
        "conv5": Layer(64, 128, 3, 16),
        "conv6": Layer(64, 64, 3, 4),
        "conv7": Layer(32, 64, 3, 4),
        "conv8": Layer(32, 32, 3, 1),
        "conv9": Layer(3, 32, 7, 1),
    }


def fold_last_conv(weights: Weights) -> Weights:
    """Rewrite the last 7x7 convolution to 3 channels as 8x8, stride 2, 12 channels, before a x2 shuffle.

    Exact: every output pixel keeps its 49 taps. Three outputs would fill 3 of 16 vector lanes; this
    takes 12-15 % off the whole network's CPU time (performance.md section 0).
    """
    w, b = weights["conv9.weight"], weights["conv9.bias"]
    folded = np.zeros((12, w.shape[1], 8, 8), w.dtype)
    for dy in range(2):
        for dx in range(2):
            folded[dy * 2 + dx :: 4, :, dy : dy + 7, dx : dx + 7] = w
    return weights | {"conv9.weight": folded, "conv9.bias": np.repeat(b, 4)}


def _student(ops: Ops, arch: Architecture, x: Any) -> Any:
    def block(h: Any, name: str) -> Any:
        return ops.add(ops.conv(ops.leaky_relu(ops.conv(h, f"{name}.conv1")), f"{name}.conv2"), h)

    def calm(h: Any) -> Any:
        return ops.box3(h) if arch.smooth else h

    last = len(arch.widths) - 1
    h = ops.leaky_relu(ops.conv(ops.unshuffle(x, 4), "stem"))
    skips = []
    for level in range(last + 1):
        if level:  # 4x4 at stride 2 is centred between the pixels it joins, and can hold a blur
            h = ops.leaky_relu(ops.conv(calm(h), f"down{level}", stride=2))
        for i in range(arch.down_blocks[level]):
            h = block(h, f"down{level}.block{i}")
        skips.append(h)
    for level in range(last, -1, -1):
        for i in range(arch.blocks[level]):
            h = block(h, f"up{level}.block{i}")
        if level:
            h = ops.add(calm(ops.shuffle(ops.conv(h, f"up{level}", pad=(0, 0, 0, 0)), 2)), skips[level - 1])
    # The gate says how much of the source stays: skin must lose its texture, a background keeps its edges.
    return ops.add(ops.mul(x, ops.shuffle(ops.conv(h, "gate"), 4)), ops.shuffle(ops.conv(h, "head"), 4))


def _student_layers(arch: Architecture) -> dict[str, Layer]:
    widths = arch.widths
    layers = {"stem": Layer(widths[0], 48, 3, 16)}
    for level, width in enumerate(widths):
        area = 16 * 4**level
        if level:
            layers[f"down{level}"] = Layer(width, widths[level - 1], 4, area)
            layers[f"up{level}"] = Layer(4 * widths[level - 1], width, 1, area)
        for side, count in (("down", arch.down_blocks[level]), ("up", arch.blocks[level])):
            for i in range(count):
                layers |= {f"{side}{level}.block{i}.conv{j}": Layer(width, width, 3, area) for j in (1, 2)}
    return layers | {"gate": Layer(16, widths[0], 3, 16), "head": Layer(48, widths[0], 3, 16)}


NETWORKS = {"ttn": (_ttn, _ttn_layers), "student": (_student, _student_layers)}


def layers(arch: Architecture) -> dict[str, Layer]:
    """Every convolution of the network, by name, in order of definition."""
    return NETWORKS[arch.name][1](arch)


def flops_per_pixel(arch: Architecture) -> float:
    """Floating point operations (2 per multiply-add) of the convolutions per pixel of the picture."""
    return sum(2.0 * layer.out * layer.inp * layer.k**2 / layer.area for layer in layers(arch).values())


def prepare(arch: Architecture, weights: Weights) -> Weights:
    """Check every weight's name and shape against ``arch`` and apply the exact rewrites; float32 out.

    Raises:
        StyleError: a weight is missing, left over, of another shape, or not finite.
    """
    want = layers(arch)
    names = {f"{name}.{part}" for name in want for part in ("weight", "bias")}
    if names != set(weights):
        wrong = sorted(names ^ set(weights))
        raise StyleError(f"weights do not fit the {arch.name} network: {', '.join(wrong[:4])} missing or left over")
    for name, layer in want.items():
        shape = weights[f"{name}.weight"].shape
        if shape != (layer.out, layer.inp, layer.k, layer.k) or weights[f"{name}.bias"].shape != (layer.out,):
            raise StyleError(f"weight {name} has shape {shape}, expected {layer}")
    ready = {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}
    for name, value in ready.items():
        if not np.isfinite(value).all():
            raise StyleError(f"weight {name} holds values that are not numbers: no picture can come of it")
    return fold_last_conv(ready) if arch.name == "ttn" else ready


def run(ops: Ops, arch: Architecture, x: Any) -> Any:
    """Translate ``x`` [N, 3, H, W] RGB in -1..1 into the look; same shape, about -1..1, not clipped.

    Any height and width: the picture is padded to `Architecture.multiple` and cropped again.
    """
    height, width = ops.size(x)
    bottom, right = -height % arch.multiple, -width % arch.multiple
    padded = ops.pad_edge(x, bottom, right) if bottom or right else x
    y = NETWORKS[arch.name][0](ops, arch, padded)
    if arch.guided:
        y = guided_filter(ops, padded, y)
    return ops.crop(y, height, width) if bottom or right else y
