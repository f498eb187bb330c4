"""Losses of distillation, each a mean over the batch, in the network's -1..1 range."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from engines.torch import Network, TorchOps
from training.colours import LUMA
from vidstyle.network import LEAKY_SLOPE

WINDOW = 8  # pixels
BORDER = 6  # pixels that rolling a picture makes wrong, at most
PLATE = 96  # pixels of a side of a picture of one colour
BROAD = 16  # pixels


def weighted_l1(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    return ((x - y).abs() * weight).mean()


def gradient_l1(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """L1 of horizontal and vertical differences and of the Laplacian: what L1 alone leaves soft."""
    d = x - y
    w = weight[..., 1:-1, 1:-1]
    dx, dy = d[..., 1:-1, 2:] - d[..., 1:-1, 1:-1], d[..., 2:, 1:-1] - d[..., 1:-1, 1:-1]
    around = d[..., 1:-1, 2:] + d[..., 1:-1, :-2] + d[..., 2:, 1:-1] + d[..., :-2, 1:-1]
    laplacian = around - 4 * d[..., 1:-1, 1:-1]
    return (dx.abs() * w).mean() + (dy.abs() * w).mean() + 0.5 * (laplacian.abs() * w).mean()


def line_contrast(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """L1 of the RMS of second differences in windows of `WINDOW` pixels, half overlapping: of luminance, and of colour.

    A line that is not certain to the pixel comes out soft under L1: soft costs less than a little beside. Here a line
    costs little for being beside, and all for being soft. Each of four directions is compared at three widths of lines,
    as else a mesh of any kind, or a bright rim, serves for a line that the network cannot tell; and a coloured speck,
    if luminance alone were compared. Of colour only what is too much counts: asked for as much as there is, a network
    that cannot tell where an eye's red rim goes drew a green one beside it.
    """
    with torch.no_grad():
        wanted = _contrasts(y)
        w = F.avg_pool2d(weight[..., BORDER:-BORDER, BORDER:-BORDER], WINDOW, WINDOW // 2)
    terms = [(_wrong(a - b) * w).mean((0, 2, 3)).sum() for a, b in zip(_contrasts(x), wanted, strict=True)]
    return torch.stack(terms).mean()


def _wrong(d: Tensor) -> Tensor:
    """Of a difference of contrasts [N, 3, H, W]: luminance's either way, colour's where it is too much."""
    return torch.cat([d[:, :1].abs(), d[:, 1:].clamp_min(0)], 1)


def _contrasts(z: Tensor) -> list[Tensor]:
    """Lines of one, two and four pixels, in each of four directions; `BORDER` is left out.

    Each [N, 3, H, W]: of luminance, and of what red and blue are beyond it.
    """
    red, green, blue = LUMA
    luma = red * z[:, :1] + green * z[:, 1:2] + blue * z[:, 2:]
    parts = torch.cat([luma, z[:, :1] - luma, z[:, 2:] - luma], 1)
    found = []
    for width in (1, 2, 4):
        step = max(1, width // 2)
        if width > 1:
            for across in ((step, 0), (0, step)):
                parts = 0.5 * parts + 0.5 * _beside(parts, across)
        for along in ((0, step), (step, 0), (step, step), (step, -step)):
            inner = (parts - _beside(parts, along))[..., BORDER:-BORDER, BORDER:-BORDER]
            found.append((F.avg_pool2d(inner.square(), WINDOW, WINDOW // 2) + 1e-4).sqrt())
    return found


def _beside(x: Tensor, way: tuple[int, int]) -> Tensor:
    """Mean of the two places that way, and back, from each."""
    dy, dx = way
    return 0.5 * (x.roll((dy, dx), (2, 3)) + x.roll((-dy, -dx), (2, 3)))


def broad_l1(x: Tensor, y: Tensor) -> Tensor:
    """L1 of means over windows of `BROAD` pixels, half overlapping, everywhere alike.

    A tone that is a little off over a whole wall hardly moves the L1 of single pixels, whose signs the texture decides.
    """
    return F.avg_pool2d(x - y, BROAD, BROAD // 2).abs().mean()


def draw_plates(rng: torch.Generator, device: torch.device) -> Tensor:
    """Two pictures of one colour each, any: [2, 3, `PLATE`, `PLATE`], -1..1."""
    return (2 * torch.rand(2, 3, 1, 1, generator=rng) - 1).expand(2, 3, PLATE, PLATE).to(device)


def unevenness(x: Tensor) -> Tensor:
    """L1 of what a look makes of `draw_plates` to its mean, far from the edges: a mesh that the colour does not have.

    Pixels are worked on 4 by 4: where few pictures have a colour, as a green wall, nothing says that they are alike.
    """
    inside = x[..., PLATE // 3 : -PLATE // 3, PLATE // 3 : -PLATE // 3]
    return (inside - inside.mean((2, 3), keepdim=True)).abs().mean()


def features_apart(found: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """L1 of features as a share of what the wanted ones are on average, summed over the layers."""
    shares = ((a - b).abs().mean() / b.abs().mean().clamp_min(1e-3) for a, b in zip(found, wanted, strict=True))
    return sum(shares, start=torch.zeros((), device=wanted[0].device))


class TeacherFeatures(nn.Module):
    """The published network's own encoder as a feature space: it knows what its look depends on."""

    def __init__(self, teacher: Network) -> None:
        super().__init__()
        self._weights = {name: value.detach() for name, value in teacher.named_weights().items()}

    def features(self, x: Tensor) -> list[Tensor]:
        ops = TorchOps(self._weights)
        full = ops.leaky_relu(ops.conv(x, "conv0", pad=(3, 3, 3, 3)))
        half = ops.leaky_relu(ops.conv(ops.leaky_relu(ops.conv(full, "conv1", 2, (0, 0, 1, 1))), "conv2"))
        quarter = ops.leaky_relu(ops.conv(ops.leaky_relu(ops.conv(half, "conv3", 2, (0, 0, 1, 1))), "conv4"))
        return [half, quarter]

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self.features(y)
        return features_apart(self.features(x), wanted)


def shift_consistency(a: Tensor, b: Tensor, weight: Tensor, shift: tuple[int, int]) -> Tensor:
    """RMS difference of two results of one picture moved by whole pixels (see `training.crops.Crops`).

    ``weight`` [N, 1, H, W] is that of the places of ``a``; only its shape counts, not its mean.
    """
    dy, dx = shift
    height, width = a.shape[-2:]
    d = a[..., dy:, dx:] - b[..., : height - dy, : width - dx]
    w = weight[..., dy:, dx:] / weight[..., dy:, dx:].mean((1, 2, 3), keepdim=True)
    return ((d.square() * w).mean((1, 2, 3)) + 1e-6).sqrt().mean()


def texture(x: Tensor, mix: Tensor) -> Tensor:
    """Grey of randomised channel weights (DCT-Net section 3.4's texture representation): [N, 1, H, W]."""
    return (x * mix.view(1, 3, 1, 1)).sum(1, keepdim=True)


def draw_mix(rng: torch.Generator, device: torch.device) -> Tensor:
    """Channel weights: R 0.199-0.399, G 0.487-0.687, B 0.014-0.214, normalised (dctnet.md section 2.1)."""
    mix = torch.tensor([0.199, 0.487, 0.014]) + 0.2 * torch.rand(3, generator=rng)
    return (mix / mix.sum()).to(device)


class PatchGAN(nn.Module):
    """The published discriminator (dctnet.md section 2.2): spectral norm, 32-64-128, one logit per 8x8."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for width in (32, 64, 128):
            for stride in (2, 1):
                parts += [spectral_norm(nn.Conv2d(channels, width, 3, stride, 1)), nn.LeakyReLU(LEAKY_SLOPE)]
                channels = width
        self.body = nn.Sequential(*parts, spectral_norm(nn.Conv2d(channels, 1, 1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Least squares (LSGAN), as the released code trains."""
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def generator_loss(fake: Tensor) -> Tensor:
    return (fake - 1).square().mean()


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """dB of pictures in -1..1."""
    return -10 * torch.log10(F.mse_loss(x.clamp(-1, 1), y.clamp(-1, 1)) / 4)
