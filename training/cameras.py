"""What lenses, motion and codecs do to a picture, and its undoing on an enlarged drawing; on the training's device.

Sources are softened and coded while their targets stay as they are: a look is to be as clear on a soft video as on a
photo. Targets are enlarged beyond the size the teacher draws best, and made as clear as a drawing of that size.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 8


def uniform(rng: torch.Generator, low: float = 0.0, high: float = 1.0) -> float:
    return low + (high - low) * float(torch.rand(1, generator=rng))


def draw_blur(rng: torch.Generator) -> Tensor:
    """[k, k], on the CPU, out of focus or in motion: a Gaussian of 0.3 to 2.2 px, one way up to twice that."""
    across = uniform(rng, 0.3, 2.2)
    along, angle = across * uniform(rng, 1, 2), uniform(rng, 0, math.pi)
    reach = math.ceil(2.5 * along)
    at = torch.arange(-reach, reach + 1, dtype=torch.float32)
    u = math.cos(angle) * at[None, :] + math.sin(angle) * at[:, None]
    v = math.cos(angle) * at[:, None] - math.sin(angle) * at[None, :]
    kernel = torch.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2))
    return kernel / kernel.sum()


def blurred(x: Tensor, kernel: Tensor) -> Tensor:
    """[3, H, W] in -1..1 through the kernel."""
    kernel = kernel.to(x.device)[None, None]
    return F.conv2d(F.pad(x[:, None], (kernel.shape[-1] // 2,) * 4, "replicate"), kernel)[:, 0]


def code(x: Tensor, rng: torch.Generator) -> Tensor:
    """[3, H, W] in -1..1 with the errors of a block codec: a cosine transform of 8x8 in steps that grow with frequency.

    The steps are 3 to 24 levels at the lowest frequency, six times that at the highest, about as JPEG's from quality 90
    to 35; colour has half of the picture's resolution.
    """
    step = math.exp(uniform(rng, math.log(3), math.log(24))) / 127.5
    height, width = x.shape[-2:]
    bottom, right = -height % (2 * BLOCK), -width % (2 * BLOCK)
    to_ycc, to_rgb = _on(x.device)[2:]
    ycc = _mixed(F.pad(x[None], (0, right, 0, bottom), "replicate")[0], to_ycc)
    colour = F.interpolate(_quantised(F.avg_pool2d(ycc[1:], 2), step)[None], scale_factor=2, mode="bilinear")[0]
    rgb = _mixed(torch.cat([_quantised(ycc[:1], step), colour]), to_rgb)
    return rgb[:, :height, :width].clamp(-1, 1)


def clear(x: Tensor, scale: float) -> Tensor:
    """[3, H, W], enlarged ``scale`` times, with lines as steep as before it was: sharpened, but within what is around.

    Without the bound a line would get a bright rim.
    """
    sigma, reach = 0.6 * scale, round(0.75 * scale)
    sharp = x + 2 * (x - _gaussian(x, sigma))
    rows = F.max_pool2d(torch.cat([x, -x]), (2 * reach + 1, 1), 1, (reach, 0))
    high, minus_low = F.max_pool2d(rows, (1, 2 * reach + 1), 1, (0, reach)).chunk(2)
    return torch.minimum(torch.maximum(sharp, -minus_low), high)


def _gaussian(x: Tensor, sigma: float) -> Tensor:
    reach = math.ceil(2.5 * sigma)
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=x.device) / sigma) ** 2)
    line = line / line.sum()
    padded = F.pad(x[:, None], (reach,) * 4, "replicate")
    return F.conv2d(F.conv2d(padded, line.view(1, 1, 1, -1)), line.view(1, 1, -1, 1))[:, 0]


def _quantised(x: Tensor, step: float) -> Tensor:
    """[C, H, W], sides multiples of `BLOCK`, its cosine transform in whole steps."""
    c, height, width = x.shape
    basis, growth = _on(x.device)[:2]
    blocks = x.view(c, height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(2, 3)
    steps = step * growth
    coefficients = basis @ blocks @ basis.T
    blocks = basis.T @ ((coefficients / steps).round() * steps) @ basis
    return blocks.transpose(2, 3).reshape(c, height, width)


def _mixed(x: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("ck,khw->chw", matrix, x)


def _cosines() -> Tensor:
    """The orthonormal cosine transform, [frequency, place]."""
    at = torch.arange(BLOCK, dtype=torch.float32)
    basis = torch.cos(math.pi / BLOCK * (at[None, :] + 0.5) * at[:, None]) * math.sqrt(2 / BLOCK)
    basis[0] /= math.sqrt(2)
    return basis


def _growth() -> Tensor:
    """What the step of each frequency is, to one at the lowest."""
    u = torch.arange(BLOCK, dtype=torch.float32)
    return 1 + 5 * (u[:, None] + u[None, :]) / (2 * (BLOCK - 1))


@cache
def _on(device: torch.device) -> tuple[Tensor, ...]:
    """The codec's tables on a device, copied there once: each copy would wait for all that the device has to do."""
    return tuple(table.to(device) for table in (COSINES, _growth(), _YCC, _RGB))


COSINES = _cosines()
_YCC = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])  # JFIF
_RGB = torch.linalg.inv(_YCC)
