"""Distil a published network into a small student: `python -m training.distill --help`.

One straight loop. Everything random in step n is drawn from a generator seeded by (seed, n), so a run
that is stopped and resumed equals a straight one.
"""

from __future__ import annotations

import argparse
import ast
import json
import logging
import math
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from engines.torch import Network
from training import data, pack
from training.crops import CropOptions, Cropper
from training.data import Canvases
from training.losses import (
    PatchGAN,
    TeacherFeatures,
    discriminator_loss,
    draw_mix,
    generator_loss,
    gradient_l1,
    psnr,
    shift_consistency,
    texture,
    weighted_l1,
)
from vidstyle.importer import import_published
from vidstyle.network import Architecture
from vidstyle.style import Card, Style, load_style, save_style

log = logging.getLogger("distill")

DEFAULT = Architecture("student", widths=(32, 64, 96), blocks=(1, 1, 2), down_blocks=(0, 1, 0), guided=False)


@dataclass(frozen=True)
class Options:
    """Saved with the run as options.json, and in the style's card."""

    steps: int = 8500
    seed: int = 0
    lr: float = 1.5e-3
    ema: float = 0.998
    gradient: float = 0.4
    features: float = 0.3
    shift: float = 0.7  # reached at half of the steps
    shift_from: float = 0.2  # share of the steps
    adversarial: float = 0.012
    adversarial_from: float = 0.6  # share of the steps
    adversarial_eyes: tuple[float, float] = (45.0, 130.0)
    crops: CropOptions = field(default_factory=CropOptions)


def set_options(options: Options, texts: list[str]) -> Options:
    """``options`` with ``["lr=1e-3", "crops.turn=30"]`` applied; values are Python literals.

    Raises:
        ValueError: no such option, or no literal.
    """
    for text in texts:
        name, _, value = text.partition("=")
        owner, _, inner = name.rpartition(".")
        if owner not in ("", "crops") or not hasattr(getattr(options, owner) if owner else options, inner):
            raise ValueError(f"no option {name!r}: see training.distill.Options and training.crops.CropOptions")
        change = {inner: ast.literal_eval(value)}
        options = replace(options, crops=replace(options.crops, **change)) if owner else replace(options, **change)
    return options


def learning_rate(options: Options, step: int) -> float:
    """Cosine to a fiftieth after 100 steps of warm-up."""
    warm = min(1.0, (step + 1) / 100)
    return options.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / options.steps))))


def ramp(options: Options, step: int) -> float:
    """Weight of the shift consistency: 0, then linear to 1 at half of the steps."""
    start, end = options.shift_from * options.steps, 0.5 * options.steps
    return min(1.0, max(0.0, (step - start) / max(1.0, end - start)))


class Run:
    """A student, its average, the discriminator and their optimisers: what a checkpoint holds."""

    def __init__(self, arch: Architecture, options: Options, device: torch.device) -> None:
        rng = torch.Generator().manual_seed(options.seed)
        torch.manual_seed(options.seed)
        self.student = Network(arch, generator=rng)
        with torch.no_grad():  # start as the source itself, plus a little
            for name in ("gate", "head"):
                self.student.named_weights()[f"{name}.weight"].mul_(0.1)
            self.student.named_weights()["gate.bias"].fill_(1)
        self.average = Network(arch, self.student.weights())
        self.critic = PatchGAN()
        for module in (self.student, self.average, self.critic):
            module.to(device=device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        weights = self.student.parameters()
        self.opt_student = torch.optim.AdamW(weights, lr=options.lr, betas=(0.9, 0.99), weight_decay=1e-4)
        self.opt_critic = torch.optim.Adam(self.critic.parameters(), lr=4e-4, betas=(0.5, 0.99))
        self.step = 0
        self.started_from = ""  # sha256 of the style whose weights these were at first

    def start_from(self, style: Style) -> None:
        """Take another student's weights; the optimisers and the critic start anew."""
        for network in (self.student, self.average):
            network.load(style.weights)
        self.started_from = style.card.sha256

    def _parts(self) -> dict[str, torch.nn.Module | torch.optim.Optimizer]:
        names = ("student", "average", "critic", "opt_student", "opt_critic")
        return {name: getattr(self, name) for name in names}

    def save(self, path: Path) -> None:
        part = path.with_suffix(".part")
        torch.save({"step": self.step, **{name: value.state_dict() for name, value in self._parts().items()}}, part)
        part.replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.step = state["step"]
        for name, value in self._parts().items():
            value.load_state_dict(state[name])

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        decay = min(decay, (1 + self.step) / (10 + self.step))
        for mean, value in zip(self.average.parameters(), self.student.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)


def train(
    run: Run, cropper: Cropper, teacher: Network, options: Options, folder: Path, until: int | None = None
) -> None:
    """Train ``run`` to ``until`` (default: all steps), with a checkpoint, statistics and a sheet on the way."""
    device = cropper.device
    features = TeacherFeatures(teacher)
    autocast = torch.autocast(device.type, torch.bfloat16)
    started, end = time.time(), min(until or options.steps, options.steps)
    while run.step < end:
        rng = torch.Generator().manual_seed((options.seed << 32) + run.step)
        weight_shift = options.shift * ramp(options, run.step)
        crops = cropper(rng, paired=weight_shift > 0)
        source = crops.source.contiguous(memory_format=torch.channels_last)
        for group in run.opt_student.param_groups:
            group["lr"] = learning_rate(options, run.step)
        critic_on = run.step >= options.adversarial_from * options.steps
        low, high = options.adversarial_eyes
        eyes = crops.eyes[: len(crops.source) // 2]
        faces = torch.nonzero((eyes >= low) & (eyes <= high)).flatten() if critic_on else eyes[:0]

        # Student
        with autocast:
            out = run.student(source)
        out = out.float()
        a, b = out.chunk(2)
        terms = {
            "l1": weighted_l1(out, crops.target, crops.weight),
            "gradient": options.gradient * gradient_l1(out, crops.target, crops.weight),
        }
        with autocast:
            terms["features"] = options.features * features(out, crops.target)
        if weight_shift:
            terms["shift"] = weight_shift * shift_consistency(a, b, crops.shift)
        if len(faces):
            mix = draw_mix(rng, device)
            real, fake = texture(crops.target[faces], mix), texture(a[faces], mix)
            with autocast:
                terms["adversarial"] = options.adversarial * generator_loss(run.critic(fake))
        loss = sum(terms.values(), start=torch.zeros((), device=device))
        if not torch.isfinite(loss):
            values = {name: float(value.detach()) for name, value in terms.items()}
            raise FloatingPointError(f"the loss of step {run.step} is not finite: {values}")
        run.opt_student.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(run.student.parameters(), 1.0)
        run.opt_student.step()

        # Critic
        if len(faces):
            with autocast:
                d_loss = discriminator_loss(run.critic(real), run.critic(fake.detach()))
            run.opt_critic.zero_grad(set_to_none=True)
            d_loss.backward()
            run.opt_critic.step()
            terms["critic"] = d_loss

        run.step += 1
        run.update_average(options.ema)
        if run.step % 50 == 0 or run.step == end:
            row = {"step": run.step, "seconds": time.time() - started, "psnr": psnr(out, crops.target)}
            row |= {"norm": norm, **terms}
            row = {key: round(float(torch.as_tensor(value).detach()), 4) for key, value in row.items()}
            with open(folder / "stats.jsonl", "a") as stats:
                stats.write(json.dumps(row) + "\n")
        if run.step % 250 == 0 or run.step == end:
            run.save(folder / "checkpoint.pt")
        if run.step % 1000 == 0 or run.step == end:
            sheet(run.average, crops, folder / f"sheet-{run.step:06d}.png")


@torch.no_grad()
def sheet(network: Network, crops: object, path: Path) -> None:
    """Rows of source, teacher, student, at most eight columns."""
    source, target = crops.source[:8], crops.target[:8]  # type: ignore[attr-defined]
    rows = [torch.cat(list(x.float().clamp(-1, 1)), -1) for x in (source, target, network(source))]
    picture = ((torch.cat(rows, -2) + 1) * 127.5).byte().permute(1, 2, 0).cpu().numpy()
    cv2.imwrite(str(path), picture[..., ::-1])


def finish(run: Run, options: Options, name: str, look: str, sources: str, path: Path) -> Card:
    """Write the averaged student as the style ``name``, weights in half precision."""
    started = {"started_from": run.started_from} if run.started_from else {}
    card = Card(
        name=name,
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
    return save_style(path, card, weights)


LOOKS = {
    "anime": "Japanese animation: large clear eyes, clean skin, drawn hair",
    "3d": "a computer-animated film: rounded, smooth, softly lit",
    "artstyle": "a painted portrait with visible strokes",
    "design": "flat graphic design with few colours",
    "handdrawn": "drawn by hand, with soft outlines",
    "illustration": "a book illustration",
    "sketch": "a pencil sketch",
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.distill", description=__doc__)
    parser.add_argument("style", help="name of the style to make, as anime; all: every teacher of --pack")
    parser.add_argument("--pack", type=Path, help="folder made by training.pack, in place of the next four")
    parser.add_argument("--teacher", type=Path, help="published .pb or .tflite, or a style file")
    parser.add_argument("--photos", type=Path, help="folder of portraits with faces.json")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="videos with people")
    parser.add_argument("--detector", type=Path, help="YuNet .onnx, for the clips")
    parser.add_argument("--sources", default="", help="names and licences of the pictures, for the card")
    parser.add_argument("--look", default="", help="one sentence about the look, for the card")
    parser.add_argument("--out", type=Path, help="folder for the style file (default: the run's)")
    parser.add_argument("--run", type=Path, default=Path("runs"), help="folder of runs")
    parser.add_argument("--steps", type=int, default=Options.steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=CropOptions.pairs)
    parser.add_argument("--start", type=Path, help="style file of a student to go on from, in place of random weights")
    parser.add_argument("--set", nargs="*", default=[], metavar="K=V", help="any option, as lr=1e-3 crops.turn=30")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--finish", action="store_true", help="only write the style from the last checkpoint")
    args = parser.parse_args()
    if not args.finish and not (args.pack or (args.teacher and args.photos)):
        parser.error("give --pack, or --teacher and --photos")
    return args


def _materials(
    args: argparse.Namespace, name: str, packed: tuple[np.ndarray, np.ndarray] | None
) -> tuple[Style, Canvases]:
    """The teacher, and canvases with its results."""
    if packed is None:
        teacher = _teacher(args.teacher, name)
        return teacher, data.build(args.photos, args.clips, args.detector, teacher, args.run / "canvases")
    teacher = load_style(args.pack / f"{name}.safetensors")
    source, kind = packed
    return teacher, Canvases(source, data.teach(source, teacher, "torch", args.device), kind)


def distill(args: argparse.Namespace, name: str, packed: tuple[np.ndarray, np.ndarray] | None) -> None:
    """Make the style ``name``: train from where its run stands, and write the file."""
    folder = args.run / name
    folder.mkdir(parents=True, exist_ok=True)
    options = Options(steps=args.steps, seed=args.seed, crops=replace(CropOptions(), pairs=args.pairs))
    options = set_options(options, args.set)
    (folder / "options.json").write_text(json.dumps(asdict(options), indent=1))
    device = torch.device(args.device)
    run = Run(DEFAULT, options, device)
    if args.start:
        run.start_from(load_style(args.start))
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        run.load(checkpoint)
        log.info("%s: resumed at step %d", name, run.step)
    if not args.finish and run.step < options.steps:
        teacher, canvases = _materials(args, name, packed)
        log.info("%s: %d canvases", name, len(canvases.source))
        network = Network(teacher.card.architecture, teacher.weights).to(device)
        train(run, Cropper(canvases, options.crops, device), network, options, folder)
    look = args.look or LOOKS.get(name, "")
    card = finish(run, options, name, look, args.sources, (args.out or folder) / f"{name}.safetensors")
    log.info("wrote %s: %d parameters", card.name, card.parameters)


def main() -> None:
    args = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    packed = None if args.pack is None or args.finish else pack.read(args.pack)
    names = [args.style]
    if args.style == "all":
        names = [name for name in LOOKS if (args.pack / f"{name}.safetensors").exists()]
    for name in names:
        distill(args, name, packed)


def _teacher(path: Path, name: str) -> Style:
    return load_style(path) if path.suffix == ".safetensors" else import_published(path, name)


if __name__ == "__main__":
    main()
