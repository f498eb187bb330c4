"""What the generator's and the content calibration network's training share: losses, regularisers, state, phases.

Non-saturating logistic loss; R1 (gamma 10) every 16 steps and path length (weight 2) every 4 on half of the batch, both
weighted up for the steps left out, with Adam's rate and betas adjusted for the additional updates; mixed styles; an
average of the generator. All as in Karras et al., CVPR 2020; augmentation as in `training.ada`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from training import ada
from training.loop import Loop, follow, frozen
from training.options import Basics, rate, share
from training.stylegan2 import Discriminator, Generator


@dataclass(frozen=True)
class GanOptions(Basics):
    size: int = 256  # pixels
    lr: float = rate(0.002)
    r1: float = 10.0  # gamma
    r1_every: int = 16
    path: float = 2.0
    path_every: int = 4
    mixing: float = share(0.9)  # share of pictures with two styles
    average_pictures: float = 10_000  # the average forgets half in so many pictures
    ada_target: float = share(0.6)  # mean sign of the critic on real pictures; 0 leaves augmentation out
    ada_pictures: float = 100_000  # pictures in which p may go from 0 to 1
    ada_start: float = share(0.0)
    flip: bool = True  # real pictures are mirrored at random


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Logistic: the mean of softplus(-D(real)) + softplus(D(fake))."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """Non-saturating: the mean of softplus(-D(fake))."""
    return F.softplus(-fake).mean()


def r1_penalty(critic: Discriminator, images: Tensor) -> Tensor:
    """The mean over pictures of the squared norm of the logit's gradient (Mescheder et al., 2018).

    Taken at the pictures as the critic sees them, after augmentation.
    """
    images = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def path_lengths(images: Tensor, w: Tensor, direction: Tensor) -> Tensor:
    """[N]: the norm of the picture's change with w, per layer, in a random direction (Karras et al., appendix B).

    ``images`` [N, 3, S, S] made from ``w`` [N, styles, latent]; ``direction`` normal noise like the pictures.
    """
    noise = direction / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * noise).sum(), w, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


def path_penalty(lengths: Tensor, mean: Tensor, decay: float = 0.01) -> Tensor:
    """Mean squared distance of the lengths from their running mean, moved towards theirs by ``decay`` first."""
    return (lengths - mean.lerp(lengths.mean(), decay)).square().mean()


class PathMean:
    """The running mean of path lengths, as a checkpoint holds it."""

    def __init__(self) -> None:
        self.value = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value = state["value"]


def lazy_adam(module: torch.nn.Module, lr: float, every: int) -> torch.optim.Adam:
    """Adam for a network that is also regularised every ``every`` steps: betas (0, 0.99) and rate adjusted."""
    ratio = every / (every + 1)
    return torch.optim.Adam(module.parameters(), lr * ratio, betas=(0.0, 0.99**ratio), eps=1e-8)


class Gan:
    """Generator, its average and critic with their optimisers, path mean and augmentation: a checkpoint's parts."""

    def __init__(self, generator: Generator, average: Generator, critic: Discriminator, options: GanOptions) -> None:
        self.options = options
        self.generator, self.average, self.critic = generator, average, critic
        self.opt_generator = lazy_adam(generator, options.lr, options.path_every)
        self.opt_critic = lazy_adam(critic, options.lr, options.r1_every)
        self.path_mean = PathMean()
        self.adaptive = ada.Adaptive(options.ada_target, options.ada_pictures, options.ada_start)
        self.average.requires_grad_(False)

    def parts(self) -> dict[str, Any]:
        names = ("generator", "average", "critic", "opt_generator", "opt_critic", "path_mean", "adaptive")
        return {name: getattr(self, name) for name in names}

    def follow(self) -> None:
        follow(self.average, self.generator, 0.5 ** (self.options.batch / self.options.average_pictures))


@dataclass(frozen=True)
class Drawn:
    """A batch's latents: two z, and the layer from which the second counts; and where noise comes from."""

    z: Tensor  # [2, N, latent]
    cross: Tensor  # [N]
    noise: list[Tensor]

    @classmethod
    def of(cls, generator: Generator, batch: int, mixing: float, rng: torch.Generator) -> Drawn:
        shape = generator.shape
        z = torch.randn(2, batch, shape.latent, generator=rng)
        cross = torch.randint(1, shape.styles, (batch,), generator=rng)
        mixed = torch.rand(batch, generator=rng) < mixing
        return cls(z, torch.where(mixed, cross, torch.full_like(cross, shape.styles)), generator.noise(batch, rng))

    def latents(self, generator: Generator, rows: slice) -> Tensor:
        """w [rows, styles, latent]."""
        device = next(generator.parameters()).device
        first, second = (generator.spread(generator.mapping(z[rows].to(device))) for z in self.z)
        layer = torch.arange(generator.shape.styles, device=device)
        return torch.where((layer < self.cross[rows].to(device)[:, None])[..., None], first, second)

    def images(self, generator: Generator, rows: slice, w: Tensor | None = None) -> Tensor:
        device = next(generator.parameters()).device
        noise = [part[rows].to(device) for part in self.noise]
        return generator.synthesis(self.latents(generator, rows) if w is None else w, noise)


def as_pictures(faces: Any, picks: Tensor, flips: Tensor, device: torch.device) -> Tensor:
    """Rows ``picks`` of uint8 [N, S, S, 3] as [n, 3, S, S] in -1..1, mirrored where ``flips``."""
    import numpy as np

    rows = torch.from_numpy(np.ascontiguousarray(faces[picks.numpy()])).to(device)
    x = rows.permute(0, 3, 1, 2).float() / 127.5 - 1
    return torch.where(flips.to(device).view(-1, 1, 1, 1), x.flip(3), x)


@dataclass(frozen=True)
class Reals:
    """A batch's real pictures, by number."""

    faces: Any
    picks: Tensor
    flips: Tensor

    @classmethod
    def of(cls, faces: Any, options: GanOptions, rng: torch.Generator) -> Reals:
        picks = torch.randint(len(faces), (options.batch,), generator=rng)
        flips = (torch.rand(options.batch, generator=rng) < 0.5) & options.flip
        return cls(faces, picks, flips)

    def images(self, rows: slice, device: torch.device) -> Tensor:
        return as_pictures(self.faces, self.picks[rows], self.flips[rows], device)


def _cut(drawn: tuple[Tensor, Tensor], rows: slice) -> tuple[Tensor, Tensor]:
    return drawn[0][rows], drawn[1][rows]


def critic_phase(gan: Gan, loop: Loop, reals: Reals, rng: torch.Generator, regularise: bool) -> None:
    """One step of the critic, and every so often one of R1 alone."""
    options, device = gan.options, loop.world.device
    latent = Drawn.of(gan.generator, options.batch, options.mixing, rng)
    views = [ada.draw(options.batch, gan.generator.shape.size, gan.adaptive.p, rng) for _ in range(2)]
    logits: list[Tensor] = []

    def loss(rows: slice) -> dict[str, Tensor]:
        with torch.no_grad():
            fake = latent.images(gan.generator, rows)
        real = gan.critic(ada.augment(reals.images(rows, device), _cut(views[0], rows)))
        logits.append(real.detach())
        return {"loss": critic_loss(real, gan.critic(ada.augment(fake, _cut(views[1], rows))))}

    loop.descend(gan.opt_critic, options.batch, loss, "critic_")
    if options.ada_target > 0:
        gan.adaptive.seen(torch.cat(logits), options.batch, loop.world)
        loop.note("ada_p", gan.adaptive.p)

    def r1(rows: slice) -> dict[str, Tensor]:
        seen = ada.augment(reals.images(rows, device), _cut(views[0], rows))
        return {"r1": r1_penalty(gan.critic, seen) * (options.r1 / 2 * options.r1_every)}

    if regularise:
        loop.descend(gan.opt_critic, options.batch, r1, "critic_")


def path_phase(gan: Gan, loop: Loop, rng: torch.Generator) -> None:
    """One step of the path length regularisation, on half of the batch where the processes can share it."""
    options, world = gan.options, loop.world
    batch = (
        options.batch // 2
        if options.batch // 2 >= world.size and options.batch // 2 % world.size == 0
        else options.batch
    )
    latent = Drawn.of(gan.generator, batch, options.mixing, rng)
    size = gan.generator.shape.size
    direction = torch.randn(batch, 3, size, size, generator=rng)
    seen: list[Tensor] = []

    def loss(rows: slice) -> dict[str, Tensor]:
        w = latent.latents(gan.generator, rows)
        lengths = path_lengths(latent.images(gan.generator, rows, w), w, direction[rows].to(world.device))
        seen.append(lengths.detach())
        mean = torch.tensor(gan.path_mean.value, device=world.device)
        return {"path": path_penalty(lengths, mean) * (options.path * options.path_every)}

    loop.descend(gan.opt_generator, batch, loss)
    mean = float(world.mean(torch.cat(seen).mean()))
    gan.path_mean.value += 0.01 * (mean - gan.path_mean.value)
    loop.note("path_length", mean)


def generator_phase(gan: Gan, loop: Loop, rng: torch.Generator, also: Any = None) -> None:
    """One step of the generator; ``also(latent, rows, images)`` gives further terms."""
    options = gan.options
    latent = Drawn.of(gan.generator, options.batch, options.mixing, rng)
    view = ada.draw(options.batch, gan.generator.shape.size, gan.adaptive.p, rng)

    def loss(rows: slice) -> dict[str, Tensor]:
        images = latent.images(gan.generator, rows)
        terms = {"generator": generator_loss(gan.critic(ada.augment(images, _cut(view, rows))))}
        return terms | (also(latent, rows, images) if also else {})

    with frozen(gan.critic):
        loop.descend(gan.opt_generator, options.batch, loss)
