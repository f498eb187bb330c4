"""Eyes and mouths, each brought upright to one size, and a critic that sees them beside their source.

They are a hundredth of a picture and what is looked at most. Where a small network cannot tell how its teacher would
draw an eye, every loss of single pixels is least for the mean of all eyes, which is a smudge; a critic refuses that
(Isola et al., CVPR 2017), and its features say what is missing (Wang et al., pix2pixHD, CVPR 2018, section 3.3).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from training.crops import Crops
from training.data import EYES
from training.losses import features_apart
from vidstyle.network import LEAKY_SLOPE

SIDE = 64  # pixels of a close-up, whose eyes are `EYES` apart
LEAST = 20  # of them must lie between its middle and the crop's border: the rest is mirrored


@dataclass(frozen=True)
class CloseUps:
    """Where a step's crops have one: ``rows`` int [P] of them, ``grids`` [P, SIDE, SIDE, 2] as grid_sample takes."""

    crops: Crops
    rows: Tensor
    grids: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def given(self) -> tuple[Tensor, Tensor]:
        """Of the source, and of the target: both critic and student see them."""
        return self.of(self.crops.source), self.of(self.crops.target)

    def of(self, x: Tensor) -> Tensor:
        """[P, C, SIDE, SIDE] of the crops' pictures [N, C, S, S]."""
        return F.grid_sample(x[self.rows], self.grids, "bilinear", "reflection", align_corners=False)


def find(crops: Crops, eyes: tuple[float, float]) -> CloseUps:
    """Those of faces in focus with so many pixels between the eyes."""
    side, device = crops.source.shape[-1], crops.source.device
    places, apart, turn, crisp = crops.places, crops.eyes, crops.turn, crops.crisp
    if len(apart) < len(crops.source):  # paired: b shows what a shows, moved
        dy, dx = crops.shift
        places = torch.cat([places, places - torch.tensor([dx, dy], device=device)])
        apart, turn, crisp = (torch.cat([x, x]) for x in (apart, turn, crisp))
    scale = apart / EYES
    least = (LEAST * scale)[:, None, None]
    inside = ((places >= least) & (places <= side - least)).all(-1)
    sure = crisp & (apart >= eyes[0]) & (apart <= eyes[1])
    rows, which = torch.nonzero(inside & sure[:, None], as_tuple=True)
    middle, scale = places[rows, which].round(), scale[rows, None, None]  # whole: unturned, nothing is resampled
    cos, sin = (part(torch.deg2rad(turn[rows]))[:, None, None] for part in (torch.cos, torch.sin))
    from_middle = torch.arange(SIDE, device=device) - SIDE // 2
    v, u = from_middle[:, None], from_middle[None]
    x = middle[:, :1, None] + scale * (cos * u + sin * v)
    y = middle[:, 1:, None] + scale * (cos * v - sin * u)
    return CloseUps(crops, rows, (2 * torch.stack([x, y], -1) + 1) / side - 1)


class CloseUpCritic(nn.Module):
    """Judges close-ups beside their sources: spectral norm, 32-64-128 at stride 2, one logit for 38 pixels."""

    def __init__(self) -> None:
        super().__init__()
        widths = (6, 32, 64, 128)
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(inp, out, 4, 2, 1)) for inp, out in itertools.pairwise(widths)
        )
        self.last = spectral_norm(nn.Conv2d(widths[-1], 1, 3, 1, 1))

    def forward(self, source: Tensor, drawn: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits, high for what the teacher drew, and the features of each layer."""
        h, features = torch.cat([source, drawn], 1), []
        for layer in self.layers:
            h = F.leaky_relu(layer(h), LEAKY_SLOPE)
            features.append(h)
        return self.last(h), features


def critic_loss(critic: CloseUpCritic, source: Tensor, target: Tensor, out: Tensor) -> Tensor:
    """Hinge loss of the critic (Lim and Ye, 2017)."""
    real, fake = (critic(source, x)[0].float() for x in (target, out))
    return torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()


def student_losses(critic: CloseUpCritic, source: Tensor, target: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
    """What the critic says against ``out``, and how far its features of it are from those of ``target``."""
    logits, features = critic(source, out)
    with torch.no_grad():
        wanted = critic(source, target)[1]
    return -logits.float().mean(), features_apart(features, wanted)
