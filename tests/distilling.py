"""Pictures, crops and tensors for the tests of distillation."""

from __future__ import annotations

import numpy as np
import torch

from training.crops import CropOptions, Cropper, Crops
from training.data import Canvases

CPU = torch.device("cpu")
SMALL = CropOptions(side=32, pairs=2, offset=3, soft=0, coded=0)


def canvases(n: int = 4, side: int = 48) -> Canvases:
    """Soft, lopsided pictures whose target is the source at half size; the last one has no face."""
    y, x = np.mgrid[: 2 * side, : 2 * side][..., None] / (2 * side)
    phase = np.random.default_rng(0).uniform(0, 1, (n, 1, 1, 3))
    source = (np.sin(2 * x + phase) + np.cos(3 * y + x - phase)) * 55 + 128
    target = source.reshape(n, side, 2, side, 2, 3).mean((2, 4))
    kind = np.array([0] * (n - 1) + [1], np.uint8)
    return Canvases(source.round().astype(np.uint8), target.round().astype(np.uint8), kind)


def crops(options: CropOptions, seed: int = 0, paired: bool = True) -> Crops:
    return Cropper(canvases(), options, CPU)(torch.Generator().manual_seed(seed), paired)


def pair(seed: int = 0, *shape: int) -> tuple[torch.Tensor, torch.Tensor, np.ndarray, np.ndarray]:
    """Two float32 tensors in -1..1, and the same as float64 arrays."""
    a, b = np.random.default_rng(seed).uniform(-1, 1, (2, *(shape or (2, 3, 9, 11)))).astype(np.float32)
    return torch.from_numpy(a), torch.from_numpy(b), a.astype(np.float64), b.astype(np.float64)
