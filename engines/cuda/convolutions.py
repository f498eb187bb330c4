"""Convolutions by cuDNN in exact other forms, of which a card may run one faster than another.

A form computes a block of neighbouring results as channels of one: a k x k window at stride s becomes one of
k + s * (fold - 1) at stride s * fold, which holds each result's window at its own place, with zeros beside. More is
multiplied, but tensor cores want 64 results a place and more, and each input is read less often. The kernel that
reads the sums puts them in their places, as after any shuffle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vidstyle.network import Pad

EIGHT = 8  # channels that tensor cores read at one time
FOLDS, WIDEST = (1, 2, 4), 256  # forms tried, and the most channels of one


@dataclass(frozen=True)
class Filters:
    """One convolution's weight [out, in, k, k] and bias [out].

    ``block``: its results are shuffled by this; its channels lie as block row, block column, channel.
    """

    weight: np.ndarray
    bias: np.ndarray
    block: int = 1

    def folded(self, fold: int, stride: int) -> Filters:
        """The same with ``fold`` x ``fold`` results as channels of one."""
        block, (out, inp, k, _) = self.block, self.weight.shape
        channels, size = out // block**2, k + stride * (fold - 1)
        weight = np.zeros((fold, block, fold, block, channels, inp, size, size), np.float32)
        bias = np.zeros(weight.shape[:5], np.float32)
        for dy, dx in np.ndindex(fold, fold):
            y, x = dy * stride, dx * stride
            weight[dy, :, dx, :, :, :, y : y + k, x : x + k] = self.weight.reshape(block, block, channels, inp, k, k)
            bias[dy, :, dx] = self.bias.reshape(block, block, channels)
        return Filters(weight.reshape(-1, inp, size, size), bias.reshape(-1), fold * block)


class Convolution:
    """Convolutions of one input and one geometry as one, ``fold`` x ``fold`` results a place; without their bias.

    Attributes:
        filters: of each, as folded.
        first: the first channel of each in the result.
        shape: (channels, height, width) of the result.
    """

    def __init__(self, filters: list[Filters], stride: int, pad: Pad, size: tuple[int, int], fold: int) -> None:
        """``size``: height and width of the result before it is folded, multiples of ``fold``."""
        self.fold = fold
        self.filters = [one.folded(fold, stride) for one in filters]
        weights = [eights(one.weight, 0) for one in self.filters]
        self.first = np.cumsum([0, *map(len, weights)]).tolist()[:-1]
        self._weight = torch.from_numpy(np.concatenate(weights))
        self._stride = stride * fold
        top, left, bottom, right = pad
        self._rows, self._columns = _evened(top, bottom, self._stride), _evened(left, right, self._stride)
        self.shape = (len(self._weight), size[0] // fold, size[1] // fold)

    def to(self, device: torch.device, dtype: torch.dtype) -> Convolution:
        self._weight = self._weight.to(device, dtype).contiguous(memory_format=torch.channels_last)
        return self

    @property
    def nbytes(self) -> int:
        return self._weight.nbytes

    def __call__(self, x: Tensor) -> Tensor:
        """[n, height, width, channels] of both; the result may be a window of a larger tensor."""
        (pad_y, skip_y), (pad_x, skip_x) = self._rows, self._columns
        y = F.conv2d(x.permute(0, 3, 1, 2), self._weight, None, self._stride, (pad_y, pad_x))
        _, height, width = self.shape
        return y.permute(0, 2, 3, 1).contiguous()[:, skip_y : skip_y + height, skip_x : skip_x + width]


def forms(filters: list[Filters], stride: int, pad: Pad, size: tuple[int, int], may_fold: bool) -> list[Convolution]:
    """Every form of a convolution that is worth a trial, the plain one first."""
    out, k = sum(len(one.bias) for one in filters), filters[0].weight.shape[2]
    folds = [f for f in FOLDS if f == 1 or (may_fold and k > 1 and out * f * f <= WIDEST)]
    fitting = [f for f in folds if size[0] % f == 0 and size[1] % f == 0]
    return [Convolution(filters, stride, pad, size, fold) for fold in fitting]


def _evened(before: int, after: int, stride: int) -> tuple[int, int]:
    """(padding on both sides, results to leave out at the beginning) to the same effect."""
    skip = -(-max(0, after - before) // stride)
    return before + skip * stride, skip


def blocks_first(array: np.ndarray, axis: int, block: int) -> np.ndarray:
    """Channels of ``axis`` from colour, block row, block column to block row, block column, colour."""
    shape = (*array.shape[:axis], -1, block * block, *array.shape[axis + 1 :])
    return array.reshape(shape).swapaxes(axis, axis + 1).reshape(array.shape)


def eights(array: np.ndarray, axis: int) -> np.ndarray:
    """With zeros up to whole eights along ``axis``."""
    return np.pad(array, [(0, -size % EIGHT if i == axis else 0) for i, size in enumerate(array.shape)])
