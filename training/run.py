"""What a distillation run is: its options, its networks and optimisers, its checkpoint, its result."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from engines.torch import Network
from training import checkpoint
from training.checkpoint import Part
from training.closeups import CloseUpCritic
from training.crops import CropOptions
from training.losses import BORDER, WINDOW, PatchGAN
from training.muon import MuonAdam
from training.options import SEEDS, rate, share
from training.ranges import of_canvases
from vidstyle.network import Architecture
from vidstyle.style import Card, Style, save_style

DEFAULT = Architecture(
    "student", widths=(32, 64, 96), blocks=(1, 1, 2), down_blocks=(0, 1, 0), guided=False, smooth=True
)
#: by the name that --shape takes; 15.8 and 5.5 kFLOP a pixel
SHAPES = {"default": DEFAULT, "fast": replace(DEFAULT, widths=(16, 32, 64))}


@dataclass(frozen=True)
class Options:
    """Saved with the run as options.json, and in the style's card."""

    steps: int = 8500
    seed: int = field(default=0, metadata={"below": SEEDS})
    shape: str = field(default="default", metadata={"choices": tuple(SHAPES)})
    lr: float = rate(1.5e-3)
    ema: float = share(0.998)
    gradient: float = 0.6
    broad: float = 2.0  # of tones
    flat: float = 0.0  # that a picture of one colour becomes one: see `training.losses.unevenness`
    contrast: float = 10.0  # of lines; reached as ``shift`` is
    contrast_eyes: tuple[float, float] = (44.0, 140.0)  # faces in focus of this size: others cannot say where a line is
    features: float = 0.5
    costly_every: int = 4  # one crop of a in so many goes through the teacher's encoder, and one face to the critic
    shift: float = 1.0  # reached at half of the steps
    shift_from: float = field(default=0.2, metadata={"least": -math.inf})  # share of the steps; below 0: begun before
    adversarial: float = 0.05
    adversarial_from: float = 0.45  # share of the steps
    adversarial_eyes: tuple[float, float] = (36.0, 110.0)
    closeups: float = 0.06  # what the critic of eyes and mouths says; in faces as those of ``contrast``
    closeups_like: float = 0.4  # how far its features are from those of the teacher's
    closeups_from: float = 0.45  # share of the steps
    crops: CropOptions = field(default_factory=CropOptions)

    def check(self) -> str:
        """See `training.options.set_options`: `training.losses.line_contrast` compares windows inside of a border."""
        least = WINDOW + 2 * BORDER
        small = self.contrast and self.crops.side < least
        return f"crops.side={self.crops.side}: expected {least} or more, or contrast=0" if small else ""


def learning_rate(options: Options, step: int) -> float:
    """Cosine to a fiftieth after 100 steps of warm-up."""
    warm = min(1.0, (step + 1) / 100)
    return options.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / options.steps))))


def ramp(options: Options, step: int) -> float:
    """Weight of the shift consistency: 0, then linear to 1 at half of the steps."""
    start, end = options.shift_from * options.steps, 0.5 * options.steps
    return min(1.0, max(0.0, (step - start) / max(1.0, end - start)))


@torch.no_grad()
def begin_as_source(student: Network) -> None:
    """Let an untrained student's result be the source, plus a little."""
    named = student.named_weights()
    for name in ("gate", "head"):
        named[f"{name}.weight"].mul_(0.1)
    named["gate.bias"].fill_(1)


class Run:
    """A student, its average, the critics and their optimisers: what a checkpoint holds."""

    def __init__(self, arch: Architecture, options: Options, device: torch.device) -> None:
        rng = torch.Generator().manual_seed(options.seed)
        torch.manual_seed(options.seed)
        self.student = Network(arch, generator=rng)
        begin_as_source(self.student)
        self.average = Network(arch, self.student.weights())
        self.critic, self.closeup_critic = PatchGAN(), CloseUpCritic()
        for module in (self.student, self.average, self.critic, self.closeup_critic):
            module.to(device=device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.opt_student = MuonAdam(self.student.parameters(), options.lr)
        self.opt_critic, self.opt_closeup_critic = (
            torch.optim.Adam(critic.parameters(), lr=4e-4, betas=(0.5, 0.99))
            for critic in (self.critic, self.closeup_critic)
        )
        self.step = 0
        self.started_from = ""  # sha256 of the style whose weights these were at first

    def start_from(self, style: Style) -> None:
        """Take another student's weights; the optimisers and the critics start anew."""
        for network in (self.student, self.average):
            network.load(style.weights)
        self.started_from = style.card.sha256

    def _parts(self) -> dict[str, Part]:
        names = ("student", "average", "critic", "closeup_critic", "opt_student", "opt_critic", "opt_closeup_critic")
        return {name: getattr(self, name) for name in names}

    def save(self, path: Path) -> None:
        """See `training.checkpoint.save`."""
        checkpoint.save(path, self.step, self._parts())

    def load(self, path: Path) -> None:
        """See `training.checkpoint.load`."""
        self.step = checkpoint.load(path, self._parts())

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        decay = min(decay, (1 + self.step) / (10 + self.step))
        for mean, value in zip(self.average.parameters(), self.student.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)


def called(look: str, shape: str) -> str:
    """Name of the style of a look in a shape of `SHAPES`."""
    return look if shape == Options.shape else f"{look}-{shape}"


def finish(
    run: Run, options: Options, name: str, look: str, sources: str, path: Path, pictures: np.ndarray | None = None
) -> Card:
    """Write the averaged student as the style of the look ``name``, weights in half precision.

    ``pictures``: of `training.data.Canvases`, for the ranges that eight bits need; without, the style has none.
    """
    started = {"started_from": run.started_from} if run.started_from else {}
    card = Card(
        name=called(name, options.shape),
        look=look,
        architecture=run.average.arch,
        licence="Apache-2.0",
        provenance=(
            f"Distilled from the {name} network of DCT-Net (Men et al., ACM TOG 41(4), 2022; Apache-2.0; "
            f"Alibaba DAMO Academy, published through ModelScope). {sources}"
        ),
        training={"by": "training/distill.py", "steps_done": run.step, **started, **asdict(options)},
    )
    weights = {key: value.astype(np.float16) for key, value in run.average.weights().items()}
    return save_style(path, card, weights, None if pictures is None else of_canvases(run.average, pictures))
