"""Content calibration (DCT-Net section 3.2): G_t from G_s and about 100 exemplars: `python -m training.ccn --help`.

G_t starts as a copy of G_s and is fine-tuned against D_t on the exemplars, while R_id holds what it makes of a z near
what G_s makes of the same z, with a gradient (the released code cuts it). Then pairs are sampled: the same z, w and
noise through G_s and through G_t with its first k layers from G_s (`training.stylegan2_weights.blend`).
"""

from __future__ import annotations

import copy
import logging
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training import pairs, portraits, stylegan2_weights
from training.gan import Drawn, Gan, GanOptions, Reals, critic_phase, generator_phase, path_phase
from training.identity import identity_loss, load_identity
from training.loop import Loop, OnStep
from training.options import from_arguments, parser, run_command
from training.sheets import write_sheet
from training.stylegan2 import Discriminator, Generator, Shape
from training.stylegan2_weights import blend
from training.world import TrainingError, World, join
from vidstyle.errors import UsageError

log = logging.getLogger("ccn")

RESULT = "ccn.safetensors"
SAMPLED = ("samples", "shard", "truncation", "layers", "seed", "batch")  # the options that `sample` takes


@dataclass(frozen=True)
class Options(GanOptions):
    steps: int = 1000  # of 8 pictures: what the released code's checkpoint has seen
    batch: int = 8
    size: int = 0  # follows from the weights
    r1: float = 10.0  # gamma for 256 pixels; smaller pictures get less, with their area
    average_pictures: float = 2500  # its average forgets as fast
    identity: float = 1.0  # weight of R_id's term
    identity_net: str = ""  # file for `training.identity.load_identity`
    layers: int = field(default=4, metadata={"least": 0})  # k
    truncation: float = 0.7
    samples: int = 10_000
    shard: int = 500  # pairs in a file
    save_every: int = 100
    sheet_every: int = 250


def check_layers(layers: int, shape: Shape) -> None:
    """
    Raises:
        UsageError: a generator of this shape has fewer.
    """
    if layers > (most := len(stylegan2_weights.module_order(shape))):
        raise UsageError(f"layers is {layers}: a generator of {shape.size} pixels has {most}, expected 0 to {most}")


def begin(generator: Path, options: Options, world: World) -> tuple[Generator, Gan]:
    """(G_s, the networks to fine-tune), from published weights or from `training.generator`.

    Weights without a discriminator get a new one, which costs many steps.

    Raises:
        UsageError: see `check_layers`; the first pairs are sampled after many steps.
    """
    weights = stylegan2_weights.load(generator)
    check_layers(options.layers, weights.teacher.shape)
    source = weights.teacher.to(world.device).eval().requires_grad_(False)
    target, average = (copy.deepcopy(source).requires_grad_(True) for _ in range(2))
    torch.manual_seed(options.seed)
    critic = weights.critic or Discriminator(source.shape)
    if weights.critic is None:
        log.warning("%s has no discriminator: a new one begins untrained", generator)
    options = replace(options, r1=options.r1 * (source.shape.size / 256) ** 2)
    return source, Gan(target, average, critic.to(world.device), options)


def train(
    run: Path,
    generator: Path,
    exemplars: Path,
    options: Options,
    on_step: OnStep | None = None,
    world: World | None = None,
) -> Path:
    """Fine-tune from where ``run`` stands on the crops in ``exemplars``; return the weights' file.

    Raises:
        TrainingError: see `training.loop.Loop` and `training.stylegan2_weights.load`; or there are no exemplars.
    """
    world = world or join()
    source, gan = begin(generator, options, world)
    faces = portraits.load(exemplars, "train", source.shape.size).faces
    if not len(faces):
        raise TrainingError(f"no exemplars to train on in {exemplars}")
    kind, identity = load_identity(options.identity_net, world.device)
    log.info("identity held by %s", kind)

    def also(latent: Drawn, rows: slice, images: Tensor) -> dict[str, Tensor]:
        if not options.identity:
            return {}
        with torch.no_grad():
            wanted = latent.images(source, rows)
        return {"identity": options.identity * identity_loss(identity, images, wanted)}

    loop = Loop(run, options, gan.parts(), world, on_step)
    for step in loop:
        rng = loop.rng(step)
        critic_phase(gan, loop, Reals.of(faces, options, rng), rng, step % options.r1_every == 0)
        generator_phase(gan, loop, rng, also)
        if step % options.path_every == 0:
            path_phase(gan, loop, rng)
        gan.follow()
        if loop.leads and loop.due(options.sheet_every):
            samples = Sampler(source, gan.average, options)(np.arange(8))
            write_sheet(run / f"sheet-{step + 1:06d}.png", list(samples))
    if loop.leads:
        stylegan2_weights.save(run / RESULT, gan.generator, gan.average, gan.critic, asdict(options))
    world.wait()
    return run / RESULT


class Sampler:
    """Pairs of the same z: from G_s, and from G_t with G_s's first layers. Number n is the same in every run."""

    def __init__(self, source: Generator, target: Generator, options: Options) -> None:
        self.source, self.target, self.options = source, blend(source, target, options.layers), options
        self.mean = source.mean_latent(options.seed)
        self.target_mean = self.mean if options.layers else self.target.mean_latent(options.seed)

    @torch.no_grad()
    def __call__(self, numbers: np.ndarray) -> tuple[Tensor, Tensor]:
        """(sources, targets), each [N, 3, S, S] in about -1..1."""
        shape, device = self.source.shape, self.mean.device
        rngs = [torch.Generator().manual_seed((self.options.seed << 32) + int(n)) for n in numbers]
        z = torch.cat([torch.randn(1, shape.latent, generator=rng) for rng in rngs]).to(device)
        noise = [torch.cat(parts).to(device) for parts in zip(*(self.source.noise(1, r) for r in rngs), strict=True)]
        psi = self.options.truncation
        made = []
        for network, mean in ((self.source, self.mean), (self.target, self.target_mean)):
            made.append(network.synthesis(network.spread(mean.lerp(network.mapping(z), psi)), noise))
        return made[0], made[1]


def _bytes(x: Tensor) -> np.ndarray:
    levels = ((x.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).cpu().numpy()


def sample(
    generator: Path,
    calibrated: Path,
    crops: Path,
    out: Path,
    options: Options,
    on_step: OnStep | None = None,
    world: World | None = None,
) -> Path:
    """Write ``options.samples`` pairs as shards in ``out``; shards that are there are kept.

    ``generator``: G_s's weights; ``calibrated``: G_t's; ``crops``: a folder of the crops G_s was aligned like, whose
    mean landmarks all samples are given (a generator of aligned faces puts them there, within a few pixels).

    Raises:
        TrainingError: weights or crops cannot be read, or a shard cannot be written.
    """
    world = world or join()
    networks = [stylegan2_weights.load(path).average.to(world.device).eval() for path in (generator, calibrated)]
    sampler = Sampler(networks[0], networks[1], options)
    side = networks[0].shape.size
    mean = portraits.load(crops, "train", side).landmarks.mean(0)
    total = -(-options.samples // options.shard)
    for index in range(total):
        path = out / f"pairs-{index:05d}.npz"
        numbers = np.arange(index * options.shard, min((index + 1) * options.shard, options.samples))
        if index % world.size == world.rank and not path.exists():
            parts = [sampler(part) for part in np.array_split(numbers, -(-len(numbers) // options.batch))]
            columns = [np.concatenate([_bytes(part[i]) for part in parts]) for i in range(2)]
            landmarks = np.repeat(mean[None].astype(np.float32), len(numbers), 0)
            try:
                pairs.write(out, index, columns[0], columns[1], landmarks)
            except OSError as error:
                raise TrainingError(f"cannot write {path}: {error.strerror or error}") from error
        if on_step:
            on_step(index + 1, total, {})
    return out


def main() -> None:
    arguments = parser("ccn", __doc__, Options())
    arguments.add_argument("--generator", type=Path, required=True, help="G_s: weights, as training.generator writes")
    arguments.add_argument("--exemplars", type=Path, required=True, help="folder of crops (training.portraits)")
    arguments.add_argument("--pairs", type=Path, help="folder to write pairs to, after training")
    args = arguments.parse_args()
    options = from_arguments(Options(), args)
    world = join(args.device)
    result = train(args.run, args.generator, args.exemplars, options, world=world)
    log.info("wrote %s", result)
    if args.pairs:
        log.info("wrote pairs to %s", sample(args.generator, result, args.exemplars, args.pairs, options, world=world))


if __name__ == "__main__":
    run_command(main)
