"""Texture translation (DCT-Net section 3.4), from photos and drawings to a style: `python -m training.ttn --help`.

Unpaired: photos are the source; raw exemplars and generated targets, shuffled, are the style; both go through T_geo.
Before that ``warm`` steps on the pairs themselves (or, without pairs, on giving the photo back) save many steps of
finding out what a picture is; the paper has none, and ``warm=0`` leaves them out. The network is the published TTN's
shape, or a student's, through the one definition in `vidstyle.network`.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engines.torch import Network
from training import expression, gem, losses, tones
from training.features import Features, load_features
from training.gan import as_pictures
from training.gem import Geometry
from training.loop import Loop, OnStep, follow, frozen
from training.options import Basics, from_arguments, parser, rate, run_command, share
from training.run import DEFAULT, begin_as_source
from training.sheets import write_sheet
from training.texture import KINDS, StyleCritic
from training.ttn_losses import NORMALISATIONS, Pyramid, check_normalisation, content_loss, perception_loss, tv_loss
from training.ttn_pictures import Pictures
from training.world import TrainingError, World, half, join
from vidstyle.errors import StyleError
from vidstyle.network import Architecture, layers
from vidstyle.paths import bundled_dir
from vidstyle.style import Card, Style, check_name, load_style, save_style

log = logging.getLogger("ttn")

RESULT = "ttn.safetensors"
RISE = 100  # steps to the full learning rate
#: Both end in the guided filter, as the published network: what has no edge in the photo gets none, in no colour.
NETWORKS = {"ttn": Architecture("ttn"), "student": replace(DEFAULT, guided=True)}


@dataclass(frozen=True)
class Options(Basics):
    steps: int = 10_000
    batch: int = 16
    size: int = field(default=256, metadata={"least": 16})  # pixels of a crop
    network: str = field(default="ttn", metadata={"choices": tuple(NETWORKS)})
    start: str = ""  # a style of that shape, by name or path, to go on from; without one, random weights
    lr: float = rate(1e-4)
    critic_lr: float = 0.0  # of the critics; 0: as lr, as in the paper
    ema: float = share(0.998)
    style: str = field(default="released", metadata={"choices": tuple(KINDS)})  # see training.texture
    normalisation: str = field(default="released", metadata={"choices": NORMALISATIONS})  # see training.ttn_losses
    content: float = 200.0
    perception: float = 1.0
    tv: float = 1e4
    tones: float = 0.0  # of `training.tones`, which the paper has not
    features: str = ""  # file for training.features; without one, luminance bands at four scales
    expression: str = ""  # file of training.expression; without one, no facial perception loss
    exemplars: float = share(0.0)  # share of raw exemplars in the style pictures; 0: by how many there are
    geometry: Geometry = field(default_factory=Geometry)
    warm: int = field(default=500, metadata={"least": 0})
    warm_lr: float = rate(4e-4)
    bf16: bool = False  # arithmetic of the convolutions, where the device has it
    name: str = "mine"  # of the style, as all below
    look: str = ""
    licence: str = "CC-BY-4.0"
    provenance: str = "Trained with training/ttn.py."

    def check(self) -> str:
        """See `training.options.set_options`: the style gets its name when all steps are done."""
        try:
            check_name(self.name)
        except StyleError as error:
            return f"name={self.name}: {error}"
        return ""


class Translation:
    """The network, its average and the critics with their optimisers: a checkpoint's parts."""

    def __init__(self, options: Options, world: World) -> None:
        if options.network not in NETWORKS:
            raise TrainingError(f"the network is {' or '.join(NETWORKS)}, got {options.network!r}")
        torch.manual_seed(options.seed)
        arch = NETWORKS[options.network]
        self.network = Network(arch, generator=torch.Generator().manual_seed(options.seed))
        if arch.name == "student":
            begin_as_source(self.network)
        if options.start:
            self.network.load(begun_from(options).weights)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.critic = StyleCritic(options.style)
        for module in (self.network, self.average, self.critic):
            module.to(world.device)
        betas = (0.5, 0.99)
        self.opt_network = torch.optim.Adam(self.network.parameters(), options.lr, betas)
        self.opt_critic = torch.optim.Adam(self.critic.parameters(), options.critic_lr or options.lr, betas)

    def parts(self) -> dict[str, object]:
        names = ("network", "average", "critic", "opt_network", "opt_critic")
        return {name: getattr(self, name) for name in names}


def start_style(name: str) -> Style:
    """The style that ``Options.start`` names, or whose file it is.

    A bundled look comes before a person's own of the same name, unlike elsewhere: what a training begins from follows
    from its options. One's own is given by its file.
    """
    if name.endswith(".safetensors"):
        return load_style(Path(name))
    from vidstyle.catalog import SUFFIX, find_style  # where only packed portraits are, its packages may be missing

    bundled = bundled_dir() / f"{name}{SUFFIX}"
    return load_style(bundled) if bundled.is_file() else find_style(name)


def begun_from(options: Options) -> Style:
    """
    Raises:
        StyleError, TrainingError: there is no such style; it is of another shape than the network.
    """
    style, arch = start_style(options.start), NETWORKS[options.network]
    if layers(style.card.architecture) != layers(arch):
        what = f"{options.start} is of another shape than the network"
        raise TrainingError(f"{what}: start from a {arch.name}, or from nothing")
    return style


@dataclass(frozen=True)
class Judges:
    """Networks that stay as they are: the feature space, and R_exp with the photos' expressions."""

    features: Features
    expression: expression.Expression | None
    wanted: Tensor | None  # [photos, 3]
    tones: Tensor | None  # [photos, 4, places, places]

    @classmethod
    def of(cls, pictures: Pictures, options: Options, device: torch.device) -> Judges:
        features = load_features(Path(options.features)) if options.features else Pyramid()
        log.info("content is compared in features of %s", features.name)
        features, colours = features.to(device), pictures.tones() if options.tones else None
        if not options.expression:
            return cls(features, None, None, colours)
        net, bounds = expression.load(Path(options.expression), device)
        return cls(features, net, pictures.expressions(bounds), colours)


def _set_rate(t: Translation, lr: float, since: int) -> None:
    """Rise to ``lr`` over `RISE` steps, from no memory of other losses: on theirs Adam would step far beyond it."""
    if since == 0:
        t.opt_network.state.clear()
    for group in t.opt_network.param_groups:
        group["lr"] = lr * min(1.0, (since + 1) / RISE)


def warm_step(t: Translation, pictures: Pictures, options: Options, loop: Loop, rng: torch.Generator) -> None:
    """One step on pairs of the same z, or, without pairs, on giving the photo back."""
    device, batch = loop.world.device, options.batch
    sources = pictures.photos if pictures.sources is None else pictures.sources
    targets = pictures.photos if pictures.targets is None else pictures.targets
    picks = torch.randint(len(sources), (batch,), generator=rng)
    transform = gem.draw(batch, options.geometry, rng)

    def loss(rows: slice) -> dict[str, Tensor]:
        still = torch.zeros(len(picks[rows]), dtype=torch.bool)
        x, y = (gem.apply(as_pictures(p, picks[rows], still, device), transform[rows]) for p in (sources, targets))
        with _autocast(options, device):
            made = t.network(x)
        weight = torch.ones(1, 1, *x.shape[-2:], device=device)
        return {
            "l1": losses.weighted_l1(made.float(), y, weight),
            "gradient": 0.4 * losses.gradient_l1(made.float(), y, weight),
        }

    loop.descend(t.opt_network, batch, loss, "warm_")


def _autocast(options: Options, device: torch.device) -> torch.autocast:
    return half(device) if options.bf16 else torch.autocast(device.type, enabled=False)


def unpaired_step(
    t: Translation, pictures: Pictures, judges: Judges, options: Options, loop: Loop, rng: torch.Generator
) -> None:
    """The paper's step: the network by all terms, then the critics on the same pictures."""
    device, batch, size = loop.world.device, options.batch, options.size
    picks = torch.randint(len(pictures.photos), (batch,), generator=rng)
    styles = pictures.style(batch, options.exemplars, rng)
    here, there = gem.draw(batch, options.geometry, rng), gem.draw(batch, options.geometry, rng)
    mix = losses.draw_mix(rng, device)
    made = torch.empty(batch, 3, size, size, device=device)
    still = torch.zeros(batch, dtype=torch.bool)

    def network_loss(rows: slice) -> dict[str, Tensor]:
        x = gem.apply(as_pictures(pictures.photos, picks[rows], still[rows], device), here[rows])
        with _autocast(options, device):
            y = t.network(x)
            y = y.float()
            made[rows] = y.detach()
            content = options.content * content_loss(judges.features, y, x, options.normalisation)
            terms = {"style": t.critic.generator_loss(t.critic(y, mix)), "content": content}
            if judges.expression is not None and judges.wanted is not None and options.perception:
                wanted = expression.mirrored(judges.wanted[picks[rows]], here.flip[rows]).to(device)
                terms["perception"] = options.perception * perception_loss(judges.expression(y), wanted)
        if judges.tones is not None:
            colours = gem.apply(tones.enlarged(judges.tones[picks[rows]].to(device), size), here[rows])
            terms["tones"] = options.tones * tones.tones_loss(y, colours)
        return terms | {"tv": options.tv * tv_loss(y, options.normalisation)}

    def critic_loss(rows: slice) -> dict[str, Tensor]:
        everything = torch.arange(batch)
        real = gem.apply(as_pictures(styles, everything[rows], still[rows], device), there[rows])
        with _autocast(options, device):
            return {"critic": t.critic.critic_loss(t.critic(real, mix), t.critic(made[rows], mix))}

    with frozen(t.critic):
        loop.descend(t.opt_network, batch, network_loss)
    loop.descend(t.opt_critic, batch, critic_loss)


def train(
    run: Path,
    photos: Path,
    exemplars: Path,
    pairs_folder: Path | None,
    options: Options,
    on_step: OnStep | None = None,
    world: World | None = None,
) -> Path:
    """Train from where ``run`` stands; return the style's file.

    Raises:
        TrainingError: see `training.loop.Loop`; or an option is off, or a network cannot be read.
        SourceError: there are no pairs in ``pairs_folder``.
    """
    world = world or join()
    check_normalisation(options.normalisation)
    pictures = Pictures(photos, exemplars, pairs_folder, options.size)
    judges = Judges.of(pictures, options, world.device)
    t = Translation(options, world)
    loop = Loop(run, options, t.parts(), world, on_step)
    for step in loop:
        rng = loop.rng(step)
        if step < options.warm:
            _set_rate(t, options.warm_lr, step)
            warm_step(t, pictures, options, loop, rng)
        else:
            _set_rate(t, options.lr, step - options.warm)
            unpaired_step(t, pictures, judges, options, loop, rng)
        follow(t.average, t.network, min(options.ema, (1 + step) / (10 + step)))
        if loop.leads and loop.due(options.sheet_every):
            sheet(t.average, pictures, options, run / f"sheet-{step + 1:06d}.png")
    if loop.leads:
        finish(t.average, options, loop.step, run / RESULT)
    world.wait()
    return run / RESULT


@torch.no_grad()
def sheet(network: Network, pictures: Pictures, options: Options, path: Path) -> None:
    """Photos upright and through T_geo, each above its result, and style pictures below."""
    rng = torch.Generator().manual_seed(1)
    device = next(network.parameters()).device
    picks = torch.randint(len(pictures.photos), (8,), generator=rng)
    x = as_pictures(pictures.photos, picks, torch.zeros(8, dtype=torch.bool), device)
    turned = gem.apply(x, gem.draw(8, options.geometry, rng))
    styles = pictures.style(8, options.exemplars, rng)
    y = as_pictures(styles, torch.arange(8), torch.zeros(8, dtype=torch.bool), device)
    write_sheet(path, [x, network(x), turned, network(turned), y])


def finish(network: Network, options: Options, steps: int, path: Path) -> Card:
    """Write the averaged network as a style, weights in half precision."""
    training = {"by": "training/ttn.py", "steps_done": steps, **asdict(options)}
    card = Card(options.name, options.look, network.arch, options.licence, options.provenance, training)
    return save_style(path, card, {key: value.astype(np.float16) for key, value in network.weights().items()})


def main() -> None:
    arguments = parser("ttn", __doc__, Options())
    arguments.add_argument("--photos", type=Path, required=True, help="folder of crops (training.portraits)")
    arguments.add_argument("--exemplars", type=Path, required=True, help="folder of crops (training.portraits)")
    arguments.add_argument("--pairs", type=Path, help="folder of pairs (training.ccn or training.pairs)")
    args = arguments.parse_args()
    options = from_arguments(Options(), args)
    result = train(args.run, args.photos, args.exemplars, args.pairs, options, world=join(args.device))
    log.info("wrote %s", result)


if __name__ == "__main__":
    run_command(main)
