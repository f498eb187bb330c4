"""swscale's filters from one grid of samples to another, in torch: the area of a pixel when shrinking, else cubic."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

Size = tuple[int, int]  # height, width


class Taps(NamedTuple):
    """Target sample i is the sum over k of ``weights[i, k]`` times source sample ``places[i, k]``."""

    places: np.ndarray  # int64 [target, k]
    weights: np.ndarray  # float64 [target, k], each row summing to 1


@lru_cache(256)
def taps(source: int, target: int, area: bool, at: float = 0.5, to: float = 0.5) -> Taps | None:
    """swscale's filter from ``source`` samples to ``target``; None where nothing changes.

    Args:
        area: swscale's "area" in place of its cubic filter.
        at, to: where in its pixel a sample of the source's and the target's plane lies: 0.5 is the middle.
    """
    if source == target and at == to:
        return None
    ratio = source / target
    centres = (np.arange(target) + to) * ratio - at
    wide = max(ratio, 1.0)
    reach = 1.0 if area and ratio <= 1 else (ratio + 1) / 2 if area else 2 * wide
    count = int(np.ceil(2 * reach)) + 1
    places = np.ceil(centres - reach).astype(np.int64)[:, None] + np.arange(count)
    far = np.abs(places - centres[:, None])
    if area:
        weights = np.clip(1 - far, 0, 1) if ratio <= 1 else np.clip((ratio + 1) / 2 - far, 0, 1)
    else:
        weights = _cubic(far / wide)
    used = np.flatnonzero((weights != 0).any(0))
    places, weights = places[:, used[0] : used[-1] + 1], weights[:, used[0] : used[-1] + 1]
    return Taps(np.clip(places, 0, source - 1), weights / weights.sum(1, keepdims=True))


def _cubic(far: np.ndarray) -> np.ndarray:
    sharp = 0.6
    near = (2 - sharp) * far**3 - (3 - sharp) * far**2 + 1
    tail = -sharp * (far**3 - 5 * far**2 + 8 * far - 4)
    return np.where(far < 1, near, np.where(far < 2, tail, 0.0))


class Grid:
    """Samples [..., h, w] to a grid of another size; ``down`` and ``across`` are `taps`."""

    def __init__(
        self, source: Size, target: Size, down: Taps | None, across: Taps | None, device: torch.device
    ) -> None:
        self.target, self._device = target, device
        self._kept = {-2: source[0], -1: source[1]}
        self._ways = {dim: _on(way, device) for dim, way in ((-1, across), (-2, down)) if way is not None}

    def __call__(self, x: Tensor) -> Tensor:
        """float32, from any kind of number."""
        x = x.float()
        for dim, (places, weights) in self._ways.items():
            shares = weights.unsqueeze(-1) if dim == -2 else weights
            total = x.index_select(dim, places[0]).mul_(shares[0])
            for place, share in zip(places[1:], shares[1:], strict=True):
                total.addcmul_(x.index_select(dim, place), share)
            x = total
        return x

    @cached_property
    def tables(self) -> tuple[list[Tensor], int, int]:
        """(places and weights down, places and weights across), and how many of each there are, for a kernel."""
        found = [self._ways.get(dim) or _on(_identity(self._kept[dim]), self._device) for dim in (-2, -1)]
        return [table for way in found for table in way], len(found[0][0]), len(found[1][0])


def _identity(length: int) -> Taps:
    return Taps(np.arange(length)[:, None], np.ones((length, 1)))


def _on(way: Taps, device: torch.device) -> tuple[Tensor, Tensor]:
    """int32 and float32 [k, target]."""
    places = torch.from_numpy(np.ascontiguousarray(way.places.T, np.int32)).to(device)
    return places, torch.from_numpy(np.ascontiguousarray(way.weights.T, np.float32)).to(device)


def in_pairs(way: Taps | None, source: int) -> Taps:
    """Taps for the means of every two of ``source`` samples, as taps for the samples themselves."""
    way = way or _identity(-(-source // 2))
    places = np.stack([2 * way.places, np.minimum(2 * way.places + 1, source - 1)], -1)
    return Taps(places.reshape(len(places), -1), np.repeat(way.weights / 2, 2, 1))
