"""Geometry expansion (DCT-Net section 3.3): T_geo on pictures and their landmarks, on the device of the pictures.

Scale is drawn evenly from 0.8-1.2, the angle evenly from +-90 degrees, half of the pictures are mirrored. What a
smaller or turned picture leaves empty is filled with the picture mirrored at its border (``reflection``), as the
released code does for turns; it fills with white where it shrinks, which teaches white borders (``white``). The paper
does not say. `training.crops` draws its own for distillation, where a face's place and scale in pixels are set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from training.world import TrainingError

BORDERS = ("reflection", "white")
MIRRORED = (1, 0, 2, 4, 3)  # of the five points, in a mirrored picture: right and left change places


@dataclass(frozen=True)
class Geometry:
    scale: tuple[float, float] = field(default=(0.8, 1.2), metadata={"least": 0.1})
    turn: float = 90.0  # degrees either way
    flip: bool = True
    border: str = field(default="reflection", metadata={"choices": BORDERS})

    def __post_init__(self) -> None:
        if self.border not in BORDERS:
            raise TrainingError(f"the border is {' or '.join(BORDERS)}, got {self.border!r}")


@dataclass(frozen=True)
class Transform:
    """What was drawn for each of N pictures, on the CPU."""

    scale: Tensor  # [N], above 1 enlarges
    angle: Tensor  # [N] radians, positive turns what points right to what points down
    flip: Tensor  # [N] bool, before the turn
    border: str = "reflection"

    def __getitem__(self, rows: slice) -> Transform:
        return Transform(self.scale[rows], self.angle[rows], self.flip[rows], self.border)


def draw(n: int, geometry: Geometry, rng: torch.Generator) -> Transform:
    """T_geo of ``n`` pictures."""
    low, high = geometry.scale
    scale = low + (high - low) * torch.rand(n, generator=rng)
    angle = (torch.rand(n, generator=rng) * 2 - 1) * math.radians(geometry.turn)
    flip = (torch.rand(n, generator=rng) < 0.5) & geometry.flip
    return Transform(scale, angle, flip, geometry.border)


def matrices(transform: Transform) -> Tensor:
    """[N, 2, 2]: from a picture's point to its place in the result, both in pixels from the middle."""
    cos, sin = transform.angle.cos() * transform.scale, transform.angle.sin() * transform.scale
    mirror = 1 - 2 * transform.flip.float()
    return torch.stack([torch.stack([cos * mirror, -sin], -1), torch.stack([sin * mirror, cos], -1)], -2)


def apply(images: Tensor, transform: Transform) -> Tensor:
    """``images`` [N, 3, S, S] in -1..1, each through its own transform; bicubic, the same size."""
    back = torch.linalg.inv(matrices(transform)).to(images.device, torch.float32)
    theta = torch.cat([back, torch.zeros_like(back[..., :1])], -1)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    if transform.border == "white":
        return (F.grid_sample(images - 1, grid, "bicubic", "zeros", align_corners=False) + 1).clamp(-1, 1)
    return F.grid_sample(images, grid, "bicubic", "reflection", align_corners=False).clamp(-1, 1)


def move(points: Tensor, transform: Transform, side: int) -> Tensor:
    """Where `apply` puts ``points`` [N, P, 2] (x, y; the middle of pixel 0 is 0) of pictures ``side`` pixels wide.

    Five points stay in their order of right eye, left eye, nose, right and left mouth corner in mirrored pictures.
    """
    middle = (side - 1) / 2
    moved = (points - middle) @ matrices(transform).to(points).transpose(1, 2) + middle
    if points.shape[1] == len(MIRRORED):
        moved = torch.where(transform.flip.to(points.device).view(-1, 1, 1), moved[:, list(MIRRORED)], moved)
    return moved
