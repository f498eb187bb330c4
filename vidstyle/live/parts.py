"""A student cut into parts whose borders can be kept: so a part of a picture can be computed exactly.

    picture ─▶ way down ─▶ blocks at the smallest scale ─▶ one scale up ─▶ ... ─▶ look
                   └─────────── skips ───────────────────────┘

A whole network is of little use for a part of a picture: an output pixel depends on up to 163 pixels to each
side (`halo`), and a change reaches as far, so that a window would have to be 330 pixels wider on each side than
what changed. With the features at the borders kept from the picture before, each part sees true neighbours, and
needs only its own, smaller margin.

The parts are cut out of `vidstyle.network.run` by the names of its convolutions, for any runtime's operations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidstyle.network import Architecture, Layer, Pad, layers, prepare, run

PICTURE = "picture"  # the name of the network's input, and of its output


@dataclass(frozen=True)
class Tensor:
    """Features that part of a network takes or gives: ``channels`` at 1/``stride`` of the picture.

    ``name`` is the convolution they come from, with all that follows it up to the next one: its activation,
    shuffle, and the addition of a skip. `PICTURE` stands for the picture: uint8 in and out of a part.
    """

    name: str
    channels: int = 3
    stride: int = 1


@dataclass(frozen=True)
class Part:
    """A stretch of a network, from some of its tensors to others."""

    takes: tuple[Tensor, ...]
    gives: tuple[Tensor, ...]


def student_parts(arch: Architecture) -> tuple[Part, ...]:
    """The way down in one part, then one for each residual block at the smallest scale and each scale above.

    A part takes the picture or the last tensor of the part before, and skips; what it hands on comes last.
    """
    last = len(arch.widths) - 1
    picture = Tensor(PICTURE)
    skips = [_last_block(arch, "down", level, arch.down_blocks[level]) for level in range(last)]
    deep = Tensor(f"down{last}", arch.widths[last], arch.multiple)
    between = [_last_block(arch, "up", last, count) for count in range(1, arch.blocks[last])]
    joins = [Tensor(f"up{level}", arch.widths[level - 1], skips[level - 1].stride) for level in range(last, 0, -1)]
    handed = [deep, *between, *joins]
    beside = [*[()] * len(between), *[(skip,) for skip in reversed(skips)], (picture,)]
    later = [
        Part((*extra, before), (after,))
        for before, after, extra in zip(handed, [*handed[1:], picture], beside, strict=True)
    ]
    return Part((picture,), (*skips, deep)), *later


def _last_block(arch: Architecture, side: str, level: int, blocks: int) -> Tensor:
    """What a level has after so many residual blocks; without one, its entry on the way down."""
    entry = f"down{level}" if level else "stem"
    name = f"{side}{level}.block{blocks - 1}.conv2" if blocks else entry
    return Tensor(name, arch.widths[level], 4 * 2**level)


class _Given:
    """Stands for a tensor that comes from outside, through the steps that would finish making it."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Cut:
    """`vidstyle.network.Ops` around a runtime's: takes some tensors from outside, and notes the others.

    ``made`` has every tensor by the name of the convolution it comes from (see `Tensor`).
    """

    def __init__(self, ops: Any, given: Mapping[str, Any]) -> None:
        self._ops, self._given = ops, given
        self._noted: dict[int, tuple[str, Any]] = {}  # by id; holding the tensor keeps the id its own
        self._shuffled: set[int] = set()
        self.made: dict[str, Any] = {}

    def conv(self, x: Any, name: str, stride: int = 1, pad: Pad = (1, 1, 1, 1)) -> Any:
        if name in self._given:
            return _Given(self._given[name])
        return self._note(name, self._ops.conv(_value(x), name, stride, pad))

    def leaky_relu(self, x: Any) -> Any:
        return self._follow(self._ops.leaky_relu, x)

    def shuffle(self, x: Any, block: int) -> Any:
        y = self._follow(self._ops.shuffle, x, block)
        if not isinstance(y, _Given):
            self._shuffled.add(id(y))
        return y

    def box3(self, x: Any) -> Any:
        # On the way up it follows the shuffle; on the way down it begins the next step, and the skip is from before it.
        if isinstance(x, _Given) or id(x) in self._shuffled:
            return self._follow(self._ops.box3, x)
        return self._ops.box3(x)

    def add(self, x: Any, y: Any) -> Any:
        return self._follow(self._ops.add, x, _value(y))

    def _follow(self, step: Callable[..., Any], x: Any, *more: Any) -> Any:
        if isinstance(x, _Given):
            return x
        y = step(x, *more)
        return self._note(self._noted[id(x)][0], y) if id(x) in self._noted else y

    def _note(self, name: str, y: Any) -> Any:
        self._noted[id(y)] = name, y
        self.made[name] = y
        return y

    def __getattr__(self, name: str) -> Any:  # the operations that only pass through
        step = getattr(self._ops, name)
        return lambda *values: step(*map(_value, values))


def _value(x: Any) -> Any:
    return x.value if isinstance(x, _Given) else x


def run_part(ops: Any, arch: Architecture, part: Part, inputs: Mapping[str, Any], picture: Any) -> list[Any]:
    """What ``part`` gives, from its ``inputs`` by name; ``picture`` has the picture's size where it is no input."""
    cut = Cut(ops, {name: value for name, value in inputs.items() if name != PICTURE})
    result = _value(run(cut, arch, picture))
    return [result if tensor.name == PICTURE else cut.made[tensor.name] for tensor in part.gives]


class _Reach:
    """`vidstyle.network.Ops` on one line of pixels: which of the line's pixels each value depends on.

    A tensor is int [2, places]: the first and the last pixel. Networks treat rows and columns alike.
    """

    def __init__(self, arch: Architecture) -> None:
        zeros = {f"{n}.{p}": np.zeros(s, np.float32) for n, la in layers(arch).items() for p, s in _shapes(la)}
        self._kernels = {name: value.shape[-1] for name, value in prepare(arch, zeros).items()}

    def size(self, x: np.ndarray) -> tuple[int, int]:
        return x.shape[1], x.shape[1]

    def conv(self, x: np.ndarray, name: str, stride: int = 1, pad: Pad = (1, 1, 1, 1)) -> np.ndarray:
        return self._window(x, self._kernels[f"{name}.weight"], stride, pad[0], pad[2])

    def box3(self, x: np.ndarray) -> np.ndarray:
        return self._window(x, 3, 1, 1, 1)

    @staticmethod
    def _window(x: np.ndarray, size: int, stride: int, before: int, after: int) -> np.ndarray:
        padded = np.pad(x, ((0, 0), (before, after)), "edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, size, 1)[:, ::stride]
        return _span(windows)

    def unshuffle(self, x: np.ndarray, block: int) -> np.ndarray:
        return _span(x.reshape(2, -1, block))

    def shuffle(self, x: np.ndarray, block: int) -> np.ndarray:
        return x.repeat(block, 1)

    def upsample2(self, x: np.ndarray) -> np.ndarray:
        pairs = self._window(x, 2, 1, 0, 1)
        return np.stack([x, pairs], 2).reshape(2, -1)

    def leaky_relu(self, x: np.ndarray) -> np.ndarray:
        return x

    def add(self, x: np.ndarray, y: np.ndarray | float) -> np.ndarray:
        return _span(np.stack([x, y], 2)) if isinstance(y, np.ndarray) else x

    sub = mul = div = add


def _shapes(layer: Layer) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return ("weight", (layer.out, layer.inp, layer.k, layer.k)), ("bias", (layer.out,))


class _Needs:
    """`vidstyle.network.Ops` on sets of names: the convolutions a tensor comes from."""

    def size(self, x: frozenset[str]) -> tuple[int, int]:  # noqa: ARG002
        return 0, 0

    def conv(self, x: frozenset[str], name: str, stride: int = 1, pad: Pad = (1, 1, 1, 1)) -> frozenset[str]:  # noqa: ARG002
        return x | {name}

    def add(self, x: frozenset[str], y: Any) -> frozenset[str]:
        return x | y if isinstance(y, frozenset) else x

    def __getattr__(self, name: str) -> Any:
        return self.add if name in ("sub", "mul", "div") else lambda x, *_: x


def work_share(arch: Architecture, part: Part) -> float:
    """The part of the network's arithmetic that ``part`` does."""
    nothing: frozenset[str] = frozenset()
    given = run_part(_Needs(), arch, part, {t.name: nothing for t in part.takes}, nothing)
    work = {name: layer.out * layer.inp * layer.k**2 / layer.area for name, layer in layers(arch).items()}
    return sum(work[name] for name in frozenset().union(*given)) / sum(work.values())


def _span(x: np.ndarray) -> np.ndarray:
    """int [2, places] from [2, places, several]: the least first and the greatest last."""
    return np.stack([x[0].min(1), x[1].max(1)])


def margin(arch: Architecture, part: Part) -> int:
    """Pixels to each side of a block of `Architecture.multiple` pixels that what ``part`` gives there depends on.

    A multiple of that too. It is also how far a change in what the part takes may reach.
    """
    return -(-_reach(arch, part, arch.multiple) // arch.multiple) * arch.multiple


def halo(arch: Architecture) -> int:
    """Pixels to each side that an output pixel of the whole network may depend on: its receptive field."""
    picture = Tensor(PICTURE)
    return _reach(arch, Part((picture,), (picture,)), 1)


def _reach(arch: Architecture, part: Part, unit: int) -> int:
    """Pixels beyond the ``unit`` pixels around a value that it depends on, at most."""
    side = arch.multiple * (64 + 16 * len(layers(arch)))  # no layer reaches 8 multiples far: the middle sees no end
    pixels = np.arange(side)
    ends = {t.name: np.stack([pixels[:: t.stride], pixels[t.stride - 1 :: t.stride]]) for t in part.takes}
    given = run_part(_Reach(arch), arch, part, ends, ends.get(PICTURE, np.stack([pixels, pixels])))
    return max(_beyond(x, tensor.stride, unit) for tensor, x in zip(part.gives, given, strict=True))


def _beyond(x: np.ndarray, stride: int, unit: int) -> int:
    first = np.arange(x.shape[1]) * stride
    start, end = first // unit * unit, -(-(first + stride) // unit) * unit - 1
    middle = slice(x.shape[1] // 2, x.shape[1] // 2 + 64)
    return max(0, int((start - x[0])[middle].max()), int((x[1] - end)[middle].max()))
