"""The style's representations and their critics (DCT-Net section 3.4.1; representations of Wang and Yu, CVPR 2020).

Texture: grey of randomised channel weights (`training.losses.texture`). Surface: the picture smoothed by a guided
filter of radius 5 with itself as the guide. Two ways to judge them:

``paper``     one critic on both at once (four channels), logistic loss as in equation (1), the generator's in its
              non-saturating form; weight 1.
``released``  a critic for each, least squares, weight 0.1: what the released weights were trained with.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training import losses
from training.losses import PatchGAN
from training.world import TrainingError

RADIUS, EPS = 5, 0.2  # of the surface's guided filter, eps in the -1..1 range squared
KINDS = {"paper": 1.0, "released": 0.1}  # with the weight of the style term


def surface(x: Tensor, radius: int = RADIUS, eps: float = EPS) -> Tensor:
    """Guided filter (He et al., 2010) of each channel by itself; windows at the border are of what is inside."""
    with torch.autocast(x.device.type, enabled=False):  # a variance is a difference of two means
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        down, across = (_means(n, radius, x) for n in x.shape[-2:])

        def box(y: Tensor) -> Tensor:  # as two products: a third of the time that pooling takes on a CPU
            return down @ y @ across.mT

        mean = box(x)
        variance = box(x * x) - mean * mean
        a = variance / (variance + eps)
        return box(a) * x + box(mean - a * mean)


def _means(size: int, radius: int, like: Tensor) -> Tensor:
    """[size, size]: its product with a column is the mean of at most ``radius`` places either way of each."""
    place = torch.arange(size, device=like.device)
    near = ((place[:, None] - place).abs() <= radius).to(like.dtype)
    return near / near.sum(1, keepdim=True)


class StyleCritic(nn.Module):
    """The critics on the representations of pictures in -1..1."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        if kind not in KINDS:
            raise TrainingError(f"the style loss is {' or '.join(KINDS)}, got {kind!r}")
        self.kind, self.weight = kind, KINDS[kind]
        self.critics = nn.ModuleList([PatchGAN(4)] if kind == "paper" else [PatchGAN(1), PatchGAN(3)])

    def forward(self, x: Tensor, mix: Tensor) -> list[Tensor]:
        """Logit maps; ``mix`` as `training.losses.draw_mix` draws it, the same for real and made pictures."""
        views = [losses.texture(x, mix), surface(x)]
        if self.kind == "paper":
            views = [torch.cat(views, 1)]
        return [critic(view) for critic, view in zip(self.critics, views, strict=True)]

    def critic_loss(self, real: list[Tensor], made: list[Tensor]) -> Tensor:
        pairs = list(zip(real, made, strict=True))
        if self.kind == "paper":
            return torch.stack([F.softplus(-r).mean() + F.softplus(m).mean() for r, m in pairs]).sum()
        return torch.stack([losses.discriminator_loss(r, m) for r, m in pairs]).sum()

    def generator_loss(self, made: list[Tensor]) -> Tensor:
        """Weighted."""
        if self.kind == "paper":
            return self.weight * torch.stack([F.softplus(-m).mean() for m in made]).sum()
        return self.weight * torch.stack([losses.generator_loss(m) for m in made]).sum()
