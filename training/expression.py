"""R_exp (DCT-Net section 3.4.2): how open both eyes and the mouth are: `python -m training.expression --help`.

A PatchGAN-shaped extractor with three heads, each looking where it chooses to. Labels are height over width of a
component in the upright face, brought to 0-1 over the set:

``dense``   from ``dense.npy`` beside the crops: [N, 68 or 98, 2] landmarks (iBUG or WFLW), the box around each
            component's points, as the paper does it.
``picture`` with the five points alone, from the picture: the spread of what is dark around each eye, and of what is
            red between the mouth's corners. Rough: it orders faces, it measures nothing; in drawings without colour
            it knows no mouths. Dense landmarks are better wherever they can be had.
"""

from __future__ import annotations

import copy
import json
import logging
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from training import gem, portraits
from training.gan import as_pictures
from training.gem import Geometry
from training.loop import Loop, OnStep, follow
from training.losses import PatchGAN
from training.options import Basics, from_arguments, parser, rate, run_command, share
from training.sheets import write_sheet
from training.world import TrainingError, World, join
from vidstyle.network import LEAKY_SLOPE

log = logging.getLogger("expression")

RESULT = "expression.safetensors"
HEADS = ("left eye", "right eye", "mouth")  # the person's left and right
DENSE = {  # points of each, by how many landmarks there are
    68: (range(42, 48), range(36, 42), range(60, 68)),
    98: (range(68, 76), range(60, 68), range(88, 96)),
}


@dataclass(frozen=True)
class Options(Basics):
    steps: int = 3000
    batch: int = 16
    size: int = field(default=128, metadata={"least": 16})  # pixels
    lr: float = rate(4e-4)
    ema: float = share(0.99)
    gain: float = share(0.3)  # colours vary by so much, since drawings have other ones
    geometry: Geometry = field(default_factory=Geometry)


class Expression(nn.Module):
    """Pictures in -1..1 to [N, 3] in 0..1, in the order of `HEADS`.

    ``size``: pixels, to which pictures of another size are brought: features are those of eyes as large as in training.
    """

    def __init__(self, size: int = Options.size) -> None:
        super().__init__()
        self.size = size
        self.extractor = PatchGAN(3).body[:-1]
        # Spectral norm is for critics: without it this learns several times faster.
        for layer in self.extractor.children():
            if isinstance(layer, nn.Conv2d):
                parametrize.remove_parametrizations(layer, "weight")
        self.where = nn.Conv2d(128, 3, 1)  # a map of attention for each head
        heads = [nn.Sequential(nn.Linear(128, 64), nn.LeakyReLU(LEAKY_SLOPE), nn.Linear(64, 1)) for _ in HEADS]
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.size:
            x = F.interpolate(x, size=(self.size, self.size), mode="area")
        features = self.extractor(x).flatten(2)
        shares = self.where(features[..., None]).squeeze(-1).softmax(-1)
        looked = torch.einsum("nhp,ncp->nhc", shares, features)
        return torch.cat([head(looked[:, i]) for i, head in enumerate(self.heads)], 1).sigmoid()


def from_dense(points: np.ndarray) -> np.ndarray:
    """[N, 3] height over width of each component's box in the upright face; ``points`` [N, 68 or 98, 2].

    Raises:
        TrainingError: another number of landmarks.
    """
    if points.shape[1] not in DENSE:
        raise TrainingError(f"dense landmarks are 68 or 98 a face, got {points.shape[1]}")
    parts = DENSE[points.shape[1]]
    across = points[:, list(parts[0])].mean(1) - points[:, list(parts[1])].mean(1)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    upright = np.stack([across, np.stack([-across[:, 1], across[:, 0]], 1)], 1)  # rows: right, down
    turned = np.einsum("nij,npj->npi", upright, points)
    boxes = [np.ptp(turned[:, list(part)], axis=1) for part in parts]
    return np.stack([box[:, 1] / np.maximum(box[:, 0], 1e-6) for box in boxes], 1)


def from_picture(face: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[3] the same, estimated from a crop uint8 [S, S, 3] and its five points."""
    right, left, _, *mouth = points.astype(np.float64)
    across, wide = left - right, (mouth[1] - mouth[0]) * 1.1
    lab = cv2.cvtColor(np.ascontiguousarray(face).astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    dark, red = -lab[..., 0], lab[..., 1]
    patches = [_patch(dark, at, across * 0.6, 0.6) for at in (left, right)]
    patches.append(_patch(red, (mouth[0] + mouth[1]) / 2, wide, 0.8))  # lips, apart where there are teeth between
    return np.array([_spread(patch) for patch in patches])


def _patch(plane: np.ndarray, middle: np.ndarray, across: np.ndarray, height: float) -> np.ndarray:
    """[24 * height, 24] around ``middle``, as wide as ``across`` is long, turned upright."""
    rows, unit = round(24 * height), across / 24
    warp = np.array([[unit[0], -unit[1]], [unit[1], unit[0]]])
    offset = middle - warp @ np.array([11.5, (rows - 1) / 2])
    return cv2.warpAffine(
        plane, np.hstack([warp, offset[:, None]]), (24, rows), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip


def _spread(patch: np.ndarray) -> float:
    """Height over width of what is above the patch's median, as deviations."""
    weight = np.maximum(patch.astype(np.float64) - np.median(patch), 0) ** 2 + 1e-3
    y, x = np.mgrid[: patch.shape[0], : patch.shape[1]]
    spread = [float(np.average((axis - np.average(axis, weights=weight)) ** 2, weights=weight)) for axis in (y, x)]
    return math.sqrt(spread[0] / max(spread[1], 1e-6))


@dataclass(frozen=True)
class Bounds:
    """What becomes 0 and 1, for each of the heads: the 2nd and the 98th of a hundred faces."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, raw: np.ndarray) -> Bounds:
        return cls(*(tuple(float(v) for v in np.percentile(raw, share, axis=0)) for share in (2, 98)))

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        low, high = np.array(self.low), np.array(self.high)
        return np.clip((raw - low) / np.maximum(high - low, 1e-6), 0, 1).astype(np.float32)


def raw_labels(crops: Path, part: str = "train") -> np.ndarray:
    """float64 [N, 3] height over width for a folder's ``part``, from dense landmarks where it has them."""
    faces = portraits.load(crops, part)
    dense = crops / "dense.npy"
    if dense.exists():
        rows = json.loads((crops / "split.json").read_text())[part]
        return from_dense(np.load(dense)[np.array(rows, int)])
    found = [from_picture(face, points) for face, points in zip(faces.faces, faces.landmarks, strict=True)]
    return np.array(found).reshape(-1, len(HEADS))


def mirrored(labels: Tensor, flips: Tensor) -> Tensor:
    """In a mirrored picture the left eye is the right one."""
    return torch.where(flips.to(labels.device).view(-1, 1), labels[:, [1, 0, 2]], labels)


def expression_loss(net: Expression, images: Tensor, labels: Tensor) -> Tensor:
    return F.mse_loss(net(images), labels)


def train(
    run: Path, folders: list[Path], options: Options, on_step: OnStep | None = None, world: World | None = None
) -> Path:
    """Train on the crops of ``folders`` (photos, exemplars) from where ``run`` stands; return the weights' file.

    Raises:
        TrainingError: see `training.loop.Loop`; or there are no crops.
    """
    world = world or join()
    raws = [raw_labels(folder) for folder in folders]
    if not sum(map(len, raws)):
        raise TrainingError(f"no crops to learn expressions from in {', '.join(map(str, folders))}")
    bounds = Bounds.of(raws[0])  # of the photos; drawings may be more open than people are
    labels = torch.from_numpy(np.concatenate([bounds(raw) for raw in raws]))
    faces = np.concatenate([portraits.load(folder, "train", options.size).faces for folder in folders])
    torch.manual_seed(options.seed)
    net = Expression(options.size).to(world.device)
    average = copy.deepcopy(net).requires_grad_(False)
    optimiser = torch.optim.Adam(net.parameters(), options.lr, betas=(0.9, 0.99))
    held = Held.of(folders[0], bounds, options.size, world.device)
    loop = Loop(run, options, {"net": net, "average": average, "optimiser": optimiser}, world, on_step)
    for step in loop:
        rng = loop.rng(step)
        picks = torch.randint(len(faces), (options.batch,), generator=rng)
        transform = gem.draw(options.batch, options.geometry, rng)
        gain = 1 + options.gain * (torch.rand(options.batch, 3, 1, 1, generator=rng) * 2 - 1)
        wanted = mirrored(labels[picks], transform.flip)

        def loss(rows: slice, picks=picks, transform=transform, gain=gain, wanted=wanted) -> dict[str, Tensor]:
            still = torch.zeros(len(picks[rows]), dtype=torch.bool)
            x = gem.apply(as_pictures(faces, picks[rows], still, world.device), transform[rows])
            x = ((x + 1) * gain[rows].to(world.device) - 1).clamp(-1, 1)
            return {"expression": expression_loss(net, x, wanted[rows].to(world.device))}

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
        faces = portraits.load(folder, "held", size).faces
        if not len(faces):
            return None
        still = torch.zeros(len(faces), dtype=torch.bool)
        labels = torch.from_numpy(bounds(raw_labels(folder, "held"))).to(device)
        return cls(as_pictures(faces, torch.arange(len(faces)), still, device), labels)

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
    args = arguments.parse_args()
    log.info("wrote %s", train(args.run, args.crops, from_arguments(Options(), args), world=join(args.device)))


if __name__ == "__main__":
    run_command(main)
