"""Launching the Triton kernels: grids, strides and block sizes from torch's tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from engines.cuda import kernels
from engines.cuda.kernels_guided import guided
from engines.cuda.kernels_pixels import finish
from vidstyle.network import GUIDED_EPS, LEAKY_SLOPE

NONE, PLAIN, UPSAMPLE, SHUFFLE = (
    kind.value for kind in (kernels.NONE, kernels.PLAIN, kernels.UPSAMPLE, kernels.SHUFFLE)
)
ELEMENTS = 4096  # of one program: 32 a thread
GUIDED_ROWS, GUIDED_BLOCK = 16, 256
FINISH_BLOCK = 1024
#: a product and a sum may be rounded once, which Triton's own default no longer lets them from 3.10 on
OPTIONS = {"enable_fp_fusion": True}


@dataclass(frozen=True)
class Term:
    """What a kernel reads: see `engines.cuda.kernels`.

    Attributes:
        x: [n, height, width, channels]; channels side by side.
        bias: float32 [channels], None for none.
        kind, block: PLAIN, UPSAMPLE or SHUFFLE by ``block``.
    """

    x: Tensor
    bias: Tensor | None = None
    leaky: bool = False
    kind: int = PLAIN
    block: int = 1


@dataclass(frozen=True)
class Mixture:
    """How a look is written: by itself (the default), or as number ``index`` of ``count`` looks with ``shares``.

    ``total``: float32, like the pictures; what the looks before have changed. Not used where there is one look.
    """

    shares: Tensor | None = None
    total: Tensor | None = None
    index: int = 0
    count: int = 1

    @property
    def options(self) -> dict[str, bool]:
        return {"MIXED": self.shares is not None, "FIRST": self.index == 0, "LAST": self.index == self.count - 1}


def _arguments(term: Term | None) -> tuple[Any, ...]:
    if term is None:
        return None, None, 0, 0, 0, 0, 0
    n, y, x, _ = term.x.stride()
    return term.x, term.bias, n, y, x, term.x.shape[1], term.x.shape[2]


def _options(name: str, term: Term | None) -> dict[str, Any]:
    if term is None:
        term = Term(torch.empty(0), kind=NONE)
    return {
        f"{name}_KIND": term.kind,
        f"{name}_BLOCK": term.block,
        f"{name}_BIASED": term.bias is not None,
        f"{name}_LEAKY": term.leaky,
    }


def _blocks(channels: int, width: int) -> tuple[int, int]:
    """(columns, channels) of a program, powers of two."""
    block = triton.next_power_of_2(channels)
    return max(1, min(ELEMENTS // block, triton.next_power_of_2(width))), block


def combine(out: Tensor, terms: list[Term], leaky: bool = False) -> None:
    """``out`` [n, height, width, channels] is the sum of one or two terms, through a leaky ReLU where ``leaky``."""
    a, b = (*terms, None)[:2]
    n, height, width, channels = out.shape
    block_x, block_c = _blocks(channels, width)
    kernels.combine[(n * height, triton.cdiv(width, block_x))](
        out, *out.stride()[:3], height, width, LEAKY_SLOPE, *_arguments(a), *_arguments(b),
        C=channels, BLOCK_X=block_x, BLOCK_C=block_c, LEAKY=leaky, **_options("A", a), **_options("B", b), **OPTIONS,
    )  # fmt: skip


def from_pixels(frames: Tensor, out: Tensor, block: int) -> None:
    """``out`` [n, height, width, channels] from uint8 pictures: see the kernel."""
    n, height, width, channels = out.shape
    block_x, block_c = _blocks(channels, width)
    kernels.from_pixels[(n * height, triton.cdiv(width, block_x))](
        frames, out, *frames.shape[1:3], height, width,
        CHANNELS=channels, BLOCK=block, BLOCK_X=block_x, BLOCK_C=block_c, **OPTIONS,
    )  # fmt: skip


def finish_look(frames: Tensor, out: Tensor, a: Term, gate: Term | None, channels: int, mixture: Mixture) -> None:
    """End a look: a, plus the gate of ``channels`` (1 or 3) times the source where there is one."""
    n, height, width, _ = frames.shape
    finish[(n * height, triton.cdiv(3 * width, FINISH_BLOCK))](
        frames, mixture.total, out, mixture.shares, mixture.index, height, width, LEAKY_SLOPE,
        *_arguments(gate), *_arguments(a), **_options("GATE", gate), GATE_CHANNELS=channels,
        **_options("A", a), **mixture.options, BLOCK=FINISH_BLOCK, **OPTIONS,
    )  # fmt: skip


def finish_guided(frames: Tensor, out: Tensor, a: Term, padded: tuple[int, int], mixture: Mixture) -> None:
    """End a look: a, filtered with the source as guide, both of the ``padded`` height and width."""
    n, height, width, _ = frames.shape
    guided[(n * triton.cdiv(height, GUIDED_ROWS), triton.cdiv(3 * width, GUIDED_BLOCK))](
        frames, mixture.total, out, mixture.shares, mixture.index, height, width, *padded, LEAKY_SLOPE, GUIDED_EPS,
        *_arguments(a), **_options("A", a), **mixture.options, ROWS=GUIDED_ROWS, BLOCK=GUIDED_BLOCK, **OPTIONS,
    )  # fmt: skip
