"""StyleGAN2 (Karras et al., CVPR 2020), generator with skips and residual discriminator, in plain torch operations.

At 256 pixels with the default channels it is configuration f: 30.0 M and 28.9 M parameters. Weights have the names of
NVIDIA's published torch layout, without the buffers that follow from the shape (filters, fixed noise).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
GAIN = math.sqrt(2)  # after every leaky ReLU, so that variance is kept
BLUR = (1.0, 3.0, 3.0, 1.0)


@dataclass(frozen=True)
class Shape:
    """``channels`` at 4, 8, ... ``size`` pixels; empty: those of configuration f."""

    size: int = 256
    channels: tuple[int, ...] = ()
    latent: int = 512
    mapping: int = 8  # layers from z to w

    def __post_init__(self) -> None:
        if self.size < 8 or self.size & (self.size - 1):
            raise ValueError(f"a generator's side is a power of two from 8 on, got {self.size}")
        if not self.channels:
            object.__setattr__(self, "channels", tuple(min(512, 32768 // side) for side in self.sides))
        object.__setattr__(self, "channels", tuple(self.channels))
        if len(self.channels) != len(self.sides):
            raise ValueError(f"{self.size} pixels need {len(self.sides)} channel counts, got {self.channels}")

    @property
    def sides(self) -> tuple[int, ...]:
        return tuple(4 * 2**i for i in range(int(math.log2(self.size)) - 1))

    @property
    def styles(self) -> int:
        """Vectors w that the synthesis takes: one a convolution, and one for the last picture."""
        return 2 * len(self.sides)


def small(size: int) -> Shape:
    """A shape for training from nothing on few photos and a small machine, at 32 to 128 pixels."""
    sides = [4 * 2**i for i in range(int(math.log2(size)) - 1)]
    return Shape(size, tuple(min(128, 4096 // side) for side in sides), latent=128, mapping=4)


def _blur(x: Tensor, pad: tuple[int, int], gain: float = 1.0) -> Tensor:
    """Filter every channel with [1 3 3 1] in both directions, after zero padding (before, behind)."""
    taps = torch.tensor(BLUR, device=x.device, dtype=x.dtype)
    kernel = (taps[:, None] * taps[None, :]) * (gain / float(sum(BLUR)) ** 2)
    channels = x.shape[1]
    x = F.pad(x, (*pad, *pad))
    return F.conv2d(x, kernel.expand(channels, 1, 4, 4), groups=channels)


def upsample(x: Tensor) -> Tensor:
    """Twice the size: zeros between the pixels, then the blur."""
    n, c, h, w = x.shape
    spread = F.pad(x.reshape(n, c, h, 1, w, 1), (0, 1, 0, 0, 0, 1))
    return _blur(spread.reshape(n, c, 2 * h, 2 * w), (2, 1), 4.0)


def activate(x: Tensor, bias: Tensor, gain: float = GAIN) -> Tensor:
    """Bias [C], leaky ReLU, gain."""
    return F.leaky_relu(x + bias.view(1, -1, *([1] * (x.dim() - 2))), SLOPE) * gain


class Linear(nn.Module):
    """Fully connected with the learning rate equalised: stored weights have unit variance, ÷ ``rate``."""

    def __init__(self, inp: int, out: int, rate: float = 1.0, bias: float = 0.0, active: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, inp) / rate)
        self.bias = nn.Parameter(torch.full((out,), bias))
        self.scale, self.rate, self.active = rate / math.sqrt(inp), rate, active

    def forward(self, x: Tensor) -> Tensor:
        y, bias = F.linear(x, self.weight * self.scale), self.bias * self.rate
        return activate(y, bias) if self.active else y + bias


class Mapping(nn.Module):
    """z to w: [N, latent] both."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        for i in range(shape.mapping):
            self.add_module(f"fc{i}", Linear(shape.latent, shape.latent, rate=0.01, active=True))

    def forward(self, z: Tensor) -> Tensor:
        w = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.children():
            w = layer(w)
        return w


class Modulated(nn.Module):
    """A convolution whose input channels are scaled by the style, and its outputs brought back to unit variance.

    Inputs and outputs are scaled, not the weights of each picture: the same numbers, one convolution for the batch.
    """

    def __init__(self, inp: int, out: int, kernel: int, latent: int, up: bool = False, demodulate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, inp, kernel, kernel))
        self.affine = Linear(latent, inp, bias=1.0)
        self.scale, self.up, self.demodulate = 1 / math.sqrt(inp * kernel**2), up, demodulate

    def convolve(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.affine(w)
        weight = self.weight * self.scale
        x = x * style[:, :, None, None]
        if self.up:
            x = _blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), (1, 1), 4.0)
        else:
            x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        if self.demodulate:
            energy = style.square() @ weight.square().sum((2, 3)).t()
            x = x * (energy + 1e-8).rsqrt()[:, :, None, None]
        return x


class Layer(Modulated):
    """3x3 convolution, noise, bias, leaky ReLU; twice the size where ``up``."""

    def __init__(self, inp: int, out: int, latent: int, up: bool) -> None:
        super().__init__(inp, out, 3, latent, up)
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        return activate(self.convolve(x, w) + self.noise_strength * noise, self.bias)


class ToRGB(Modulated):
    """1x1 convolution to three channels, added to the smaller picture so far."""

    def __init__(self, inp: int, latent: int) -> None:
        super().__init__(inp, 3, 1, latent, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor, image: Tensor | None) -> Tensor:
        rgb = self.convolve(x, w) + self.bias.view(1, 3, 1, 1)
        return rgb if image is None else rgb + upsample(image)


class Block(nn.Module):
    """Everything of one resolution."""

    def __init__(self, inp: int, out: int, latent: int) -> None:
        super().__init__()
        if inp:
            self.conv0 = Layer(inp, out, latent, up=True)
        else:
            self.const = nn.Parameter(torch.randn(out, 4, 4))
        self.conv1 = Layer(out, out, latent, up=False)
        self.torgb = ToRGB(out, latent)


class Synthesis(nn.Module):
    """w to pictures [N, 3, size, size] in about -1..1."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        inp = 0
        for side, out in zip(shape.sides, shape.channels, strict=True):
            self.add_module(f"b{side}", Block(inp, out, shape.latent))
            inp = out

    def forward(self, w: Tensor, noise: list[Tensor]) -> Tensor:
        """``w`` [N, styles, latent]; ``noise`` as `Generator.noise` draws it."""
        image: Tensor | None = None
        x, used = w, 0
        for block in self.children():
            assert isinstance(block, Block)
            if used == 0:
                x = block.const.expand(len(w), -1, -1, -1)
            else:
                x = block.conv0(x, w[:, used], noise[used])
                used += 1
            x = block.conv1(x, w[:, used], noise[used])
            used += 1
            image = block.torgb(x, w[:, used], image)
        assert image is not None
        return image


class Generator(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.mapping, self.synthesis = Mapping(shape), Synthesis(shape)

    def noise(self, count: int, rng: torch.Generator) -> list[Tensor]:
        """Noise for ``count`` pictures, one [count, 1, side, side] a convolution; drawn where ``rng`` lives."""
        sides = [4, *(side for side in self.shape.sides[1:] for _ in range(2))]
        return [torch.randn(count, 1, side, side, generator=rng, device=rng.device) for side in sides]

    def spread(self, w: Tensor) -> Tensor:
        """One w [N, latent] for every layer: [N, styles, latent]."""
        return w[:, None].expand(-1, self.shape.styles, -1)

    def forward(self, z: Tensor, noise: list[Tensor]) -> Tensor:
        return self.synthesis(self.spread(self.mapping(z)), noise)

    @torch.no_grad()
    def mean_latent(self, seed: int = 0, count: int = 4096) -> Tensor:
        """The mean w [latent] of ``count`` z, towards which truncation pulls."""
        z = torch.randn(count, self.shape.latent, generator=torch.Generator().manual_seed(seed))
        device = next(self.parameters()).device
        return self.mapping(z.to(device)).mean(0)


class Conv(nn.Module):
    """Equalised convolution of the discriminator; ``down`` blurs and halves; the output is scaled by ``gain``."""

    def __init__(self, inp: int, out: int, kernel: int, down: bool = False, bias: bool = True, gain: float = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, inp, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out)) if bias else None  # without a bias it is linear
        self.scale, self.down, self.gain = 1 / math.sqrt(inp * kernel**2), down, gain

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        if self.down:
            reach = weight.shape[-1] // 2 + 1
            x = F.conv2d(_blur(x, (reach, reach)), weight, stride=2)
        else:
            x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        return x * self.gain if self.bias is None else activate(x, self.bias, GAIN * self.gain)


class DBlock(nn.Module):
    def __init__(self, inp: int, out: int, first: bool) -> None:
        super().__init__()
        if first:
            self.fromrgb = Conv(3, inp, 1)
        self.conv0 = Conv(inp, inp, 3)
        self.conv1 = Conv(inp, out, 3, down=True, gain=math.sqrt(0.5))
        self.skip = Conv(inp, out, 1, down=True, bias=False, gain=math.sqrt(0.5))

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "fromrgb"):
            x = self.fromrgb(x)
        return self.skip(x) + self.conv1(self.conv0(x))


def minibatch_deviation(x: Tensor, group: int = 4) -> Tensor:
    """One more channel: the mean standard deviation over groups of pictures, which tells a lack of variety."""
    n, c, h, w = x.shape
    group = math.gcd(n, group)
    y = x.reshape(group, n // group, c, h, w)
    deviation = ((y - y.mean(0)).square().mean(0) + 1e-8).sqrt().mean((1, 2, 3))
    return torch.cat([x, deviation.repeat(group).view(n, 1, 1, 1).expand(n, 1, h, w)], 1)


class Epilogue(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv(channels + 1, channels, 3)
        self.fc = Linear(channels * 16, channels, active=True)
        self.out = Linear(channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.fc(self.conv(minibatch_deviation(x)).flatten(1)))


class Discriminator(nn.Module):
    """Pictures [N, 3, size, size] to logits [N, 1]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        channels = shape.channels
        for i in range(len(channels) - 1, 0, -1):
            block = DBlock(channels[i], channels[i - 1], first=i == len(channels) - 1)
            self.add_module(f"b{shape.sides[i]}", block)
        self.add_module("b4", Epilogue(channels[0]))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.children():
            x = block(x)
        return x
