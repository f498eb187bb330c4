"""Convolutions by Triton, with all up to the next value in the same launch: see `engines.cuda.kernels_convolve`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import triton
from torch import Tensor

from engines.cuda.convolutions import Filters
from engines.cuda.kernels_convolve import convolve
from engines.cuda.launches import OPTIONS
from vidstyle.network import LEAKY_SLOPE, Pad


@dataclass(frozen=True)
class Tiles:
    """Pixels of a program, its warps, and how many loads are under way."""

    pixels: int
    warps: int
    stages: int


def tiles(results: int) -> tuple[Tiles, Tiles]:
    """What is worth a trial for this many results: the sums of 128 x 128 fill the registers of 8 warps."""
    return Tiles(128, 8 if _power(results, 128) == 128 else 4, 3), Tiles(256, 8, 3)


def fits(channels: int, results: int, dtype: torch.dtype) -> bool:
    """Whether the kernel takes it: tensor cores multiply sixteens, of halves."""
    return channels % 16 == 0 and results % 16 == 0 and dtype != torch.float32


def _power(number: int, most: int) -> int:
    """The largest power of two, at most ``most``, that divides ``number``."""
    return min(number & -number, most)


class FusedConvolution:
    """leaky(leaky(convolution + bias) + value), each where it is asked for.

    Args:
        filters: not shuffled.
        size: height and width of the result.
    """

    def __init__(self, filters: Filters, stride: int, pad: Pad, size: tuple[int, int], tiles: Tiles) -> None:
        self._results, self._channels, self._k, _ = filters.weight.shape
        self._weight = torch.from_numpy(np.ascontiguousarray(filters.weight.transpose(2, 3, 1, 0), np.float32))
        self._bias = torch.from_numpy(np.ascontiguousarray(filters.bias, np.float32))
        self._stride, self._pad, self._size, self._tiles = stride, pad, size, tiles

    def to(self, device: torch.device, dtype: torch.dtype) -> FusedConvolution:
        self._weight, self._bias = self._weight.to(device, dtype), self._bias.to(device)
        return self

    @property
    def nbytes(self) -> int:
        return self._weight.nbytes

    def __call__(self, x: Tensor, value: Tensor | None, leaky: bool, last_leaky: bool) -> Tensor:
        """[n, height, width, channels] of all."""
        height, width = self._size
        out = torch.empty((len(x), height, width, self._results), dtype=x.dtype, device=x.device)
        pixels, results = len(x) * height * width, _power(self._results, 128)
        value_strides = (0, 0, 0) if value is None else value.stride()[:3]
        convolve[(triton.cdiv(pixels, self._tiles.pixels), self._results // results)](
            x, *x.stride()[:3], *x.shape[1:3], self._weight, self._bias, value, *value_strides,
            out, *out.stride()[:3], height, width, pixels, LEAKY_SLOPE,
            CHANNELS=self._channels, RESULTS=self._results, KERNEL=self._k, STRIDE=self._stride,
            TOP=self._pad[0], LEFT=self._pad[1], LEAKY=leaky, ADDED=value is not None, LAST_LEAKY=last_leaky,
            BLOCK_P=self._tiles.pixels, BLOCK_R=results, BLOCK_C=_power(self._channels, 64),
            num_warps=self._tiles.warps, num_stages=self._tiles.stages, **OPTIONS,
        )  # fmt: skip
        return out
