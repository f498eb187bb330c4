"""The terms of the texture translation network's loss (DCT-Net equations 2, 3 and 5), in two normalisations.

The weights (200, 1, 10^4) mean something only with the sums or means they stand before, and the paper and the released
code differ there. With h, w, c the feature map's height, width and channels (32, 32, 512 at 256 pixels):

| term    | ``paper``                                 | ``released``                                            |
|---------|-------------------------------------------|---------------------------------------------------------|
| content | mean of abs(difference)                   | that ÷ (h w c): with 200, 3.8e-4 a unit                 |
| tv      | Euclidean norm of (du + dv) ÷ (3 side^2)  | (mean du^2 + mean dv^2) ÷ (3 * 256^2): with 10^4, 0.051 |

Under ``paper`` the content term is half a million times the other: read so, it outweighs all else and the network gives
the source back. ``released`` is what the published weights were trained with, and the default. Its divisors are held at
their values for 256 pixels whatever the size of the crops, so that the weights mean the same at every size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.features import TORCHVISION_255, Features
from training.world import TrainingError

NORMALISATIONS = ("released", "paper")
CONTENT_DIVISOR = 32 * 32 * 512
TV_DIVISOR = 3 * 256 * 256


def check_normalisation(name: str) -> None:
    if name not in NORMALISATIONS:
        raise TrainingError(f"the normalisation is {' or '.join(NORMALISATIONS)}, got {name!r}")


def content_loss(net: Features, made: Tensor, source: Tensor, normalisation: str) -> Tensor:
    """L1 between features (equation 2), on the scale of the original VGG's.

    Where a network's scale is not known, the difference is taken relative to the source's features and counts like
    torchvision's VGG, whose features are about 1.
    """
    with torch.no_grad():
        wanted = net(source)
    dims = tuple(range(1, wanted.dim()))  # picture by picture, so that a batch in pieces counts the same
    difference = (net(made) - wanted).abs().mean(dims)
    unit = net.unit if net.unit is not None else TORCHVISION_255 / wanted.abs().mean(dims).clamp_min(1e-6)
    return (difference * unit).mean() / (CONTENT_DIVISOR if normalisation == "released" else 1)


def perception_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean over pictures of the Euclidean distance of expressions [N, n] (equation 3); 0 where ``wanted`` is NaN."""
    wanted = torch.where(wanted.isfinite(), wanted, found.detach())
    return ((found - wanted).square().sum(1) + 1e-12).sqrt().mean()


def tv_loss(x: Tensor, normalisation: str) -> Tensor:
    """Total variation (equation 5)."""
    across, down = x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]
    if normalisation == "released":
        return (across.square().mean() + down.square().mean()) / TV_DIVISOR
    both = across[..., :-1, :] + down[..., :, :-1]
    return (both.square().sum((1, 2, 3)) + 1e-12).sqrt().mean() / (3 * x.shape[-1] * x.shape[-2])


class Pyramid(Features):
    """In place of a feature network where there is none: luminance bands at four scales, without any weights."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.name, self.unit = "pyramid", None

    def forward(self, x: Tensor) -> Tensor:
        grey = (x * x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
        bands = []
        for _ in range(4):
            low = F.avg_pool2d(grey, 2)
            band = grey - F.interpolate(low, size=grey.shape[-2:], mode="bilinear", align_corners=False)
            bands.append(band.flatten(1))
            grey = low
        return torch.cat([*bands, grey.flatten(1)], 1)
