"""R_exp (DCT-Net section 3.4.2): how open both eyes and the mouth are: `python -m training.expression --help`.

A PatchGAN-shaped extractor with three heads, taught the labels of `training.openness`. Two things are ours: the
extractor has norms, and each head is also taught where its component is, as it found neither eyes nor mouths within
400 steps from what it had to say of them alone.
"""

from __future__ import annotations

import copy
import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training import gem, landmarks
from training.gan import as_pictures
from training.gem import Geometry
from training.loop import Loop, OnStep, follow
from training.openness import HEADS, Bounds, Seen
from training.options import Basics, from_arguments, parser, rate, run_command, share
from training.sheets import write_sheet
from training.world import TrainingError, World, join
from vidstyle.network import LEAKY_SLOPE

log = logging.getLogger("expression")

RESULT = "expression.safetensors"
WIDTHS = (32, 64, 128)
RISE = 50  # steps until the rate is full
PLACE = 0.05  # standard deviation of where a component is, in sides of a picture


@dataclass(frozen=True)
class Options(Basics):
    steps: int = 3000
    batch: int = 16
    size: int = field(default=128, metadata={"least": 16})  # pixels
    lr: float = rate(2e-3)
    ema: float = share(0.99)
    gain: float = share(0.3)  # colours vary by so much, since drawings have other ones
    place: float = 0.02  # weight of where the components are
    geometry: Geometry = field(default_factory=Geometry)


class Expression(nn.Module):
    """Pictures in -1..1 to [N, 3] in 0..1, in the order of `HEADS`.

    ``size``: pixels, to which pictures of another size are brought: features are those of eyes as large as in training.
    """

    def __init__(self, size: int = Options.size) -> None:
        super().__init__()
        self.size = size
        parts: list[nn.Module] = []
        channels = 3
        for width in WIDTHS:  # as PatchGAN's; its spectral norm is for critics
            for stride in (2, 1):
                parts += [nn.Conv2d(channels, width, 3, stride, 1), nn.GroupNorm(8, width), nn.LeakyReLU(LEAKY_SLOPE)]
                channels = width
        self.extractor = nn.Sequential(*parts)
        for layer in parts:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, LEAKY_SLOPE)
        self.where = nn.Conv2d(channels, 3, 1)  # a map of attention for each head
        heads = [nn.Sequential(nn.Linear(channels, 64), nn.LeakyReLU(LEAKY_SLOPE), nn.Linear(64, 1)) for _ in HEADS]
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> Tensor:
        return self.look(x)[0]

    def look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` gives, and the logarithms [N, 3, h, w] of how much each head looked at each place."""
        if x.shape[-1] != self.size:
            x = F.interpolate(x, size=(self.size, self.size), mode="area")
        features = self.extractor(x)
        shares = self.where(features).flatten(2).log_softmax(-1)
        looked = torch.einsum("nhp,ncp->nhc", shares.exp(), features.flatten(2))
        found = torch.cat([head(looked[:, i]) for i, head in enumerate(self.heads)], 1).sigmoid()
        return found, shares.unflatten(-1, features.shape[-2:])


def mirrored(values: Tensor, flips: Tensor) -> Tensor:
    """In a mirrored picture the left eye is the right one: ``values`` [N, 3, ...] of the heads, ``flips`` [N] bool."""
    flips = flips.to(values.device).view(-1, *(1,) * (values.dim() - 1))
    return torch.where(flips, values[:, [1, 0, 2]], values)


def place_loss(shares: Tensor, places: Tensor, size: int) -> Tensor:
    """Cross entropy of where the heads looked and where the components are.

    Args:
        shares: log shares [N, 3, h, w] of `Expression.look`.
        places: [N, 3, 2] pixels (x, y; the middle of pixel 0 is 0) of pictures ``size`` pixels wide.
    """
    height, width = shares.shape[-2:]
    y, x = ((torch.arange(n, device=shares.device) + 0.5) * (size / n) - 0.5 for n in (height, width))
    away = (y[:, None] - places[..., 1, None, None]) ** 2 + (x - places[..., 0, None, None]) ** 2
    wanted = (-away / (2 * (PLACE * size) ** 2)).flatten(2).softmax(-1)
    return -(wanted * shares.flatten(2)).sum(-1).mean()


def train(
    run: Path, folders: list[Path], options: Options, on_step: OnStep | None = None, world: World | None = None
) -> Path:
    """Train on the crops of ``folders`` (photos, exemplars) from where ``run`` stands; return the weights' file.

    Raises:
        SourceError: there are no crops.
        TrainingError: see `training.loop.Loop`; or the crops have no landmarks.
    """
    world = world or join()
    sets = [Seen.of(folder, options.size) for folder in folders]
    if not len(sets[0].faces):
        raise TrainingError(f"no faces with landmarks to learn expressions from in {folders[0]}")
    bounds = Bounds.of(sets[0].raw)  # of the photos; drawings may be more open than people are
    labels = torch.from_numpy(np.concatenate([bounds(part.raw) for part in sets]))
    places = torch.from_numpy(np.concatenate([part.places for part in sets])).float()
    faces = np.concatenate([part.faces for part in sets])
    torch.manual_seed(options.seed)
    net = Expression(options.size).to(world.device)
    average = copy.deepcopy(net).requires_grad_(False)
    optimiser = torch.optim.Adam(net.parameters(), options.lr, betas=(0.9, 0.99))
    held = Held.of(folders[0], bounds, options.size, world.device)
    loop = Loop(run, options, {"net": net, "average": average, "optimiser": optimiser}, world, on_step)
    for step in loop:
        rng = loop.rng(step)
        optimiser.param_groups[0]["lr"] = options.lr * min(1.0, (step + 1) / RISE)
        picks = torch.randint(len(faces), (options.batch,), generator=rng)
        transform = gem.draw(options.batch, options.geometry, rng)
        gain = 1 + options.gain * (torch.rand(options.batch, 3, 1, 1, generator=rng) * 2 - 1)
        wanted = mirrored(labels[picks], transform.flip)
        at = mirrored(gem.move(places[picks], transform, options.size), transform.flip)

        def loss(rows: slice, picks=picks, transform=transform, gain=gain, wanted=wanted, at=at) -> dict[str, Tensor]:
            still = torch.zeros(len(picks[rows]), dtype=torch.bool)
            x = gem.apply(as_pictures(faces, picks[rows], still, world.device), transform[rows])
            x = ((x + 1) * gain[rows].to(world.device) - 1).clamp(-1, 1)
            found, shares = net.look(x)
            return {
                "expression": F.mse_loss(found, wanted[rows].to(world.device)),
                "place": options.place * place_loss(shares, at[rows].to(world.device), options.size),
            }

        loop.descend(optimiser, options.batch, loss)
        follow(average, net, min(options.ema, (1 + step) / (10 + step)))
        if held is not None and loop.due(options.sheet_every):
            loop.note("held", held.loss(average))
            if loop.leads:
                held.sheet(average, run / f"sheet-{step + 1:06d}.png")
    if loop.leads:
        _save(run / RESULT, average, bounds, options)
    world.wait()
    return run / RESULT


@dataclass(frozen=True)
class Held:
    """Photos kept for measuring, as they are."""

    images: Tensor
    labels: Tensor

    @classmethod
    def of(cls, folder: Path, bounds: Bounds, size: int, device: torch.device) -> Held | None:
        seen = Seen.of(folder, size, "held")
        if not len(seen.faces):
            return None
        still = torch.zeros(len(seen.faces), dtype=torch.bool)
        labels = torch.from_numpy(bounds(seen.raw)).to(device)
        return cls(as_pictures(seen.faces, torch.arange(len(seen.faces)), still, device), labels)

    @torch.no_grad()
    def found(self, net: Expression) -> Tensor:
        net.eval()
        return torch.cat([net(part) for part in self.images.split(32)])

    def loss(self, net: Expression) -> Tensor:
        return F.mse_loss(self.found(net), self.labels)

    def sheet(self, net: Expression, path: Path) -> None:
        """For each of the heads a row of faces, from closed to open as the network sees them."""
        order = self.found(net).argsort(0)
        count = min(12, len(order))
        picks = torch.linspace(0, len(order) - 1, count).round().long().to(order.device)
        write_sheet(path, [self.images[order[picks, head]] for head in range(len(HEADS))])


def _save(path: Path, net: Expression, bounds: Bounds, options: Options) -> None:
    from safetensors.torch import save

    from vidstyle.whole import write_whole

    about = {"format": "expression", "bounds": json.dumps(asdict(bounds)), "options": json.dumps(asdict(options))}
    try:
        write_whole(path, save({k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}, about))
    except OSError as error:
        raise TrainingError(f"cannot write {path}: {error.strerror or error}") from error


def load(path: Path, device: torch.device) -> tuple[Expression, Bounds]:
    """A trained R_exp, at rest, and what its labels were brought to 0-1 with.

    Raises:
        TrainingError: not such a file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            stored = json.loads(file.metadata()["bounds"])
            bounds = Bounds(tuple(stored["low"]), tuple(stored["high"]))
            net = Expression(json.loads(file.metadata()["options"])["size"])
            net.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, RuntimeError) as error:
        raise TrainingError(f"{path} is no expression network: expected what training.expression writes") from error
    return net.to(device).eval().requires_grad_(False), bounds


def main() -> None:
    arguments = parser("expression", __doc__, Options())
    arguments.add_argument("--crops", type=Path, nargs="+", required=True, help="folders of crops, photos first")
    arguments.add_argument("--mesh", type=Path, help=f"MediaPipe's {landmarks.MESH} (default: fetched once)")
    args = arguments.parse_args()
    for folder in args.crops:
        landmarks.ensure(folder, args.mesh)
    log.info("wrote %s", train(args.run, args.crops, from_arguments(Options(), args), world=join(args.device)))


if __name__ == "__main__":
    run_command(main)
