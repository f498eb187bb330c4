"""Adaptive discriminator augmentation (Karras et al., NeurIPS 2020): few pictures without a memorising critic.

The critic sees every picture, real or made, through random flips, turns, moves, scales and colour changes, each with
probability p; p follows from how sure the critic is of real pictures (`Adaptive`). Of the paper's pipeline: pixel
blitting, geometry and colour ("bgc"), without its image filters and corruptions, which it found to help little.
Pictures are resampled bilinearly at their own resolution, and mirrored at the border.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from training.world import World


class Adaptive:
    """The probability p: raised while the critic's mean sign on real pictures is above ``target``, else lowered."""

    def __init__(self, target: float = 0.6, pictures: float = 100_000, start: float = 0.0, every: int = 4) -> None:
        self.target, self.pictures, self.every = target, pictures, every
        self.p = start
        self._signs: list[float] = []

    def seen(self, logits: Tensor, batch: int, world: World) -> None:
        """Take a step's logits of real pictures; ``batch`` of them over all processes."""
        self._signs.append(float(world.mean(logits.detach().sign().mean())))
        if len(self._signs) == self.every:
            over = sum(self._signs) / self.every - self.target
            direction = (over > 0) - (over < 0)
            self.p = min(1.0, max(0.0, self.p + direction * batch * self.every / self.pictures))
            self._signs = []

    def state_dict(self) -> dict[str, Any]:
        return {"p": self.p, "signs": list(self._signs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.p, self._signs = state["p"], list(state["signs"])


def _uniform(n: int, rng: torch.Generator) -> Tensor:
    return torch.rand(n, generator=rng, dtype=torch.float64)


def _stack(rows: list[list[Tensor | float]], n: int) -> Tensor:
    """Matrices [n, R, C] of columns [n] and constants."""
    full = [[torch.as_tensor(v, dtype=torch.float64).expand(n) for v in row] for row in rows]
    return torch.stack([torch.stack(row, -1) for row in full], -2)


def _turn(angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    return _stack([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]], len(angle))


def _scale(x: Tensor, y: Tensor) -> Tensor:
    return _stack([[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, 1.0]], len(x))


def _move(x: Tensor, y: Tensor) -> Tensor:
    return _stack([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]], len(x))


def geometry(n: int, side: int, p: float, rng: torch.Generator) -> Tensor:
    """[n, 3, 3]: from a point of the result to one of the picture, both in pixels from the middle."""

    def on(values: Tensor, chance: float = p, neutral: float = 0.0) -> Tensor:
        return torch.where(_uniform(n, rng) < chance, values, torch.full_like(values, neutral))

    def normal(std: float) -> Tensor:
        return torch.randn(n, generator=rng, dtype=torch.float64) * std

    flip = on(1 - 2 * (_uniform(n, rng) < 0.5).double(), neutral=1.0)
    quarter = on((_uniform(n, rng) * 4).floor()) * (math.pi / 2)
    whole = [on(((_uniform(n, rng) * 2 - 1) * 0.125 * side).round()) for _ in range(2)]
    size = on(normal(0.2).exp2(), neutral=1.0)
    once = 1 - math.sqrt(1 - p)  # two turns, so that either happens with probability p
    before = on((_uniform(n, rng) * 2 - 1) * math.pi, once)
    aspect = on(normal(0.2).exp2(), neutral=1.0)
    after = on((_uniform(n, rng) * 2 - 1) * math.pi, once)
    part = [on(normal(0.125) * side) for _ in range(2)]
    matrices = [_scale(flip, torch.ones(n)), _turn(quarter), _move(*whole), _scale(size, size), _turn(before)]
    matrices += [_scale(aspect, 1 / aspect), _turn(after), _move(*part)]
    whole_matrix = torch.eye(3, dtype=torch.float64).expand(n, 3, 3)
    for matrix in matrices:
        whole_matrix = whole_matrix @ matrix
    return whole_matrix


def colour(n: int, p: float, rng: torch.Generator) -> Tensor:
    """[n, 4, 4]: what a colour (R, G, B, 1) in -1..1 is multiplied with."""

    def normal(std: float, neutral: float, exponential: bool = False) -> Tensor:
        drawn = torch.randn(n, generator=rng, dtype=torch.float64) * std
        values = drawn.exp2() if exponential else drawn
        return torch.where(_uniform(n, rng) < p, values, torch.full_like(values, neutral))

    eye = torch.eye(4, dtype=torch.float64)
    grey = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64) / math.sqrt(3)
    along = torch.outer(grey, grey)
    brightness, contrast = normal(0.2, 0.0), normal(0.5, 1.0, exponential=True)
    matrix = eye.repeat(n, 1, 1)
    matrix[:, :3, 3] += brightness[:, None]
    matrix = torch.diag_embed(torch.stack([contrast] * 3 + [torch.ones(n, dtype=torch.float64)], -1)) @ matrix
    luma = (_uniform(n, rng) < 0.5) & (_uniform(n, rng) < p)
    matrix = (eye - 2 * along * luma.double().view(n, 1, 1)) @ matrix
    hue = (_uniform(n, rng) * 2 - 1) * math.pi * (_uniform(n, rng) < p)
    matrix = _about_grey(hue) @ matrix
    saturation = normal(1.0, 1.0, exponential=True).view(n, 1, 1)
    keep = along + torch.diag(torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64))
    return (keep + (eye - keep) * saturation) @ matrix


def _about_grey(angle: Tensor) -> Tensor:
    """Turn about the grey axis by ``angle`` [n] (Rodrigues)."""
    cos, sin = angle.cos().view(-1, 1, 1), angle.sin().view(-1, 1, 1)
    k = 1 / math.sqrt(3)
    cross = torch.tensor([[0.0, -k, k], [k, 0.0, -k], [-k, k, 0.0]], dtype=torch.float64)
    turn = cos * torch.eye(3, dtype=torch.float64) + sin * cross + (1 - cos) / 3
    out = torch.eye(4, dtype=torch.float64).repeat(len(angle), 1, 1)
    out[:, :3, :3] = turn
    return out


def draw(n: int, side: int, p: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Everything random of ``n`` pictures' augmentation: (geometry, colour)."""
    return geometry(n, side, p, rng), colour(n, p, rng)


def augment(images: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
    """``images`` [N, 3, S, S] through the transforms of `draw`; gradients flow to ``images`` once."""
    place, paint = (part.to(images.device, images.dtype) for part in drawn)
    if not torch.equal(place, torch.eye(3, device=place.device, dtype=place.dtype).expand_as(place)):
        grid = F.affine_grid(_normalised(place, images.shape[-1]), list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid, "bilinear", "reflection", align_corners=False)
    flat = images.flatten(2)
    return (paint[:, :3, :3] @ flat + paint[:, :3, 3:]).view_as(images)


def _normalised(place: Tensor, side: int) -> Tensor:
    """[n, 2, 3] in the units of affine_grid, where the picture reaches from -1 to 1."""
    theta = place[:, :2].clone()
    theta[:, :, 2] *= 2 / side
    return theta
