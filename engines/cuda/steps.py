"""The steps of a `engines.cuda.fused.Plan`, and what they pass on to each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from engines.cuda.launches import PLAIN, Mixture, Term


@dataclass
class Call:
    """One run's memory: the pictures, where they go, and the values by number."""

    frames: Tensor
    out: Tensor
    mixture: Mixture
    values: dict[int, Tensor] = field(default_factory=dict)


@dataclass
class Step:
    """One launch. ``reads`` and ``writes`` are numbers of values; ``bytes`` and ``flops`` are of one picture."""

    name: str
    run: Callable[[Call], None]
    reads: tuple[int, ...]
    writes: int | None
    bytes: int
    flops: int = 0
    last: tuple[int, ...] = ()  # values that no later step reads


@dataclass(frozen=True)
class Raw:
    """Where a convolution's bare sums lie: channels from ``first`` of value ``number``, and the bias to add.

    ``block``: a shuffle by it puts them in their places.
    """

    number: int
    first: int
    bias: Tensor
    block: int


@dataclass(frozen=True)
class Read:
    """A `Term` before there are tensors; ``channels`` from ``first`` of value ``number``."""

    number: int
    channels: int
    first: int = 0
    bias: Tensor | None = None
    leaky: bool = False
    kind: int = PLAIN
    block: int = 1

    def of(self, call: Call) -> Term:
        x = call.values[self.number][..., self.first : self.first + self.channels]
        return Term(x, self.bias, self.leaky, self.kind, self.block)
