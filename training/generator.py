"""Train G_s on a person's own photos: `python -m training.generator --help`.

StyleGAN2 with adaptive augmentation at 32 to 256 pixels, where published weights cannot be had. Few photos make a
narrow generator: its samples are mixtures of those people. The result is ``generator.safetensors`` in the run's folder.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from training import portraits, stylegan2_weights
from training.gan import Gan, GanOptions, Reals, critic_phase, generator_phase, path_phase
from training.loop import Loop, OnStep
from training.options import from_arguments, parser, run_command
from training.sheets import write_sheet
from training.stylegan2 import Discriminator, Generator, Shape, small
from training.world import TrainingError, World, join

log = logging.getLogger("generator")

RESULT = "generator.safetensors"
SIZES = (32, 64, 128, 256)


@dataclass(frozen=True)
class Options(GanOptions):
    steps: int = 20_000
    batch: int = 16
    size: int = field(default=64, metadata={"choices": SIZES})
    full: bool = False  # the channels of configuration f in place of `training.stylegan2.small`'s
    r1: float = 0.0  # gamma; 0: 0.0002 * side^2 / batch, as StyleGAN2-ADA's automatic configuration has it
    sheet_every: int = 1000


def begin(options: Options, world: World) -> Gan:
    """New networks, the same in every process.

    Raises:
        TrainingError: the size is no power of two from 32 to 256.
    """
    if options.size not in SIZES:
        raise TrainingError(f"a generator of {options.size} pixels cannot be trained: choose 32, 64, 128 or 256")
    options = replace(options, r1=options.r1 or 0.0002 * options.size**2 / options.batch)
    torch.manual_seed(options.seed)
    shape = Shape(options.size) if options.full else small(options.size)
    generator, critic = Generator(shape), Discriminator(shape)
    average = copy.deepcopy(generator)
    return Gan(generator.to(world.device), average.to(world.device), critic.to(world.device), options)


def train(run: Path, photos: Path, options: Options, on_step: OnStep | None = None, world: World | None = None) -> Path:
    """Train on the crops in ``photos`` from where ``run`` stands; return the weights' file.

    Raises:
        TrainingError: see `training.loop.Loop`; or there are no photos.
    """
    world = world or join()
    faces = portraits.load(photos, "train", options.size).faces
    if not len(faces):
        raise TrainingError(f"no photos to train on in {photos}")
    gan = begin(options, world)
    loop = Loop(run, options, gan.parts(), world, on_step)
    for step in loop:
        rng = loop.rng(step)
        critic_phase(gan, loop, Reals.of(faces, options, rng), rng, step % options.r1_every == 0)
        generator_phase(gan, loop, rng)
        if step % options.path_every == 0:
            path_phase(gan, loop, rng)
        gan.follow()
        if loop.leads and loop.due(options.sheet_every):
            sheet(gan.average, run / f"sheet-{step + 1:06d}.png")
    if loop.leads:
        stylegan2_weights.save(run / RESULT, gan.generator, gan.average, gan.critic, asdict(options))
    world.wait()
    return run / RESULT


@torch.no_grad()
def sheet(generator: Generator, path: Path, rows: int = 4, columns: int = 8) -> None:
    """Samples of the same z every time."""
    rng = torch.Generator().manual_seed(1)
    device = next(generator.parameters()).device
    z = torch.randn(rows, columns, generator.shape.latent, generator=rng)
    noise = [part.to(device) for part in generator.noise(columns, rng)]
    mean = generator.mean_latent()
    images = []
    for row in z:
        w = mean.lerp(generator.mapping(row.to(device)), 0.7)
        images.append(generator.synthesis(generator.spread(w), noise))
    write_sheet(path, images)


def main() -> None:
    arguments = parser("generator", __doc__, Options())
    arguments.add_argument("--photos", type=Path, required=True, help="folder of crops (training.portraits)")
    args = arguments.parse_args()
    options = from_arguments(Options(), args)
    log.info("wrote %s", train(args.run, args.photos, options, world=join(args.device)))


if __name__ == "__main__":
    run_command(main)
