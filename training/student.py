"""The chain's last training: a small network from pairs, or from a trained texture network, and its style file.

It is `training.distill`'s loop. With a texture network (section 3.4's M) that is the teacher. Without one the pairs are
what is learned from, made by analogies or a person's own (`training.paired`), and the feature loss takes the encoder of
a texture network of random weights: it knows no look, but it holds edges and textures apart, as random convolutions do.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from engines.torch import Network, is_full
from training import distill, paired, pairs, portraits
from training import run as runs
from training.crops import CropOptions, Cropper
from training.data import Canvases, halved
from training.options import rate
from training.ranges import of_canvases
from training.sweeps import psnr
from training.ttn import start_style
from training.world import DivergedError, TrainingError
from vidstyle.errors import Interrupted
from vidstyle.network import Architecture, layers
from vidstyle.style import Card, Style, load_style, save_style
from vidstyle.whole import write_whole

log = logging.getLogger("student")

RESULT = "student.safetensors"
NEARNESS = "nearness.json"
OnStep = Callable[[int, int, dict[str, float]], None]


@dataclass(frozen=True)
class Options(runs.Options):
    """Those of a distillation, for crops of aligned faces."""

    steps: int = 4000
    lr: float = rate(2e-3)
    gradient: float = 0.4
    features: float = 0.3
    contrast: float = 0.0  # pairs hold seams, which are no lines
    closeups: float = 0.0  # and eyes that are the person's own
    closeups_like: float = 0.0
    costly_every: int = 2
    shift: float = 0.7
    adversarial: float = 0.03
    adversarial_from: float = 0.4
    adversarial_eyes: tuple[float, float] = (45.0, 130.0)
    crops: CropOptions = field(
        default_factory=lambda: CropOptions(
            side=160,
            pairs=4,
            empty=0.0,
            eyes=(30.0, 140.0),
            near=(44.0, 100.0),
            eyes_at=-0.1,  # of faces aligned as FFHQ's
            mouth_at=0.91,
            exact=0.3,
            turn=45.0,
            gain=0.1,
        )
    )
    widths: tuple[int, ...] = (32, 64, 96)
    most: int = 2000  # pictures that are learned from
    start: str = ""  # a style of that shape, by name or path, to go on from; without one, see `train`


def architecture(options: Options) -> Architecture:
    """The student's shape; widths other than the default's come before those of a named one."""
    named = options.widths == Options.widths
    return replace(runs.DEFAULT, widths=runs.SHAPES[options.shape].widths if named else tuple(options.widths))


def begun_from(options: Options) -> Style:
    """
    Raises:
        StyleError, TrainingError: there is no such style; it is of another shape than the student.
    """
    style = start_style(options.start)
    if layers(style.card.architecture) != layers(architecture(options)):
        raise TrainingError(f"student.start={options.start} is of another shape than the student: see student.shape")
    return style


def canvases(photos: Path, made: Path | None, teacher: Path | None, options: Options, device: torch.device) -> Canvases:
    """Faces at twice their size, with what they are to become: drawn by ``teacher``, else the targets of ``made``."""
    if teacher is None:
        if made is None:
            raise TrainingError("a student needs pairs or a texture network to learn from")
        both = pairs.load(made, options.most)
        source, target = both.source, both.target
    else:
        source = np.ascontiguousarray(portraits.load(photos, "train").faces[: options.most])
        target = drawn(teacher, source, device)
    double = np.stack([cv2.resize(face, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for face in source])
    return Canvases(double, target, np.zeros(len(source), np.uint8))


@torch.no_grad()
def drawn(teacher: Path, faces: np.ndarray, device: torch.device, batch: int = 8) -> np.ndarray:
    """What a style file makes of uint8 [N, S, S, 3]: the same shape."""
    style = load_style(teacher)
    network = Network(style.card.architecture, style.weights).to(device).eval()
    out = np.empty(faces.shape, np.uint8)
    for start in range(0, len(faces), batch):
        x = torch.from_numpy(faces[start : start + batch]).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        y = ((network(x).clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
        out[start : start + batch] = y.cpu().numpy()
    return out


def train(
    run: Path,
    photos: Path,
    made: Path | None,
    teacher: Path | None,
    options: Options,
    on_step: OnStep | None = None,
    device: str = "cpu",
) -> Path:
    """Train from where ``run`` stands; give the student's file.

    When memory runs out the crops of a step are halved, and that is said.

    Raises:
        TrainingError: a loss is not finite, or a single crop is more than memory holds.
    """
    where = torch.device(device)
    return learn(run, canvases(photos, made, teacher, options, where), teacher, options, on_step, where)


def train_paired(run: Path, made: Path, options: Options, on_step: OnStep | None = None, device: str = "cpu") -> Path:
    """As `train`, from the canvases of `training.paired`; how near it comes on those held out is noted in ``run``."""
    where = torch.device(device)
    result = learn(run, paired.load(made), None, options, on_step, where)
    write_whole(run / NEARNESS, json.dumps(nearness(result, made, where)).encode())
    return result


def nearness(student: Path, made: Path, device: torch.device) -> dict[str, float]:
    """PSNR in dB of results to the held-out drawings, and of the photos themselves; empty where none is held out."""
    if not (some := paired.load(made, "held")).kind.size:
        return {}
    photos = np.stack([halved(source) for source in some.source])
    both = {"psnr": drawn(student, photos, device), "psnr_of_photos": photos}
    near = {name: round(float(np.mean(list(map(psnr, part, some.target)))), 2) for name, part in both.items()}
    return {"held_out": len(photos), **near}


def learn(
    run: Path,
    data: Canvases,
    teacher: Path | None,
    options: Options,
    on_step: OnStep | None,
    where: torch.device,
) -> Path:
    """See `train`."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "options.json").write_text(json.dumps(asdict(options), indent=1))
    while True:
        try:
            state = _train(run, data, teacher, options, on_step, where)
            break
        except (RuntimeError, MemoryError) as error:
            if not is_full(error):
                raise
            if options.crops.pairs == 1:
                raise TrainingError("not enough memory for a single crop: set student.crops.side lower") from error
            options = replace(options, crops=replace(options.crops, pairs=options.crops.pairs // 2))
            log.warning("memory ran out: going on with %d crops a step", 2 * options.crops.pairs)
    card = Card("student", "", state.average.arch, "", "")
    weights = {key: value.astype(np.float16) for key, value in state.average.weights().items()}
    save_style(run / RESULT, card, weights, of_canvases(state.average, data.source))
    return run / RESULT


def _train(
    run: Path, data: Canvases, teacher: Path | None, options: Options, on_step: OnStep | None, device: torch.device
) -> runs.Run:
    state, checkpoint = runs.Run(architecture(options), options, device), run / "checkpoint.pt"
    known = load_style(teacher) if teacher else None
    if checkpoint.exists():
        state.load(checkpoint)
    elif options.start:
        state.start_from(begun_from(options))
    elif known and layers(known.card.architecture) == layers(state.student.arch):  # a student already, to be steadied
        state.start_from(known)
    if known and known.card.architecture.name == "ttn":
        network = Network(known.card.architecture, known.weights)
    else:
        network = Network(Architecture("ttn"), generator=torch.Generator().manual_seed(0))
    cropper = Cropper(data, options.crops, device)
    try:
        distill.train(state, cropper, network.to(device), options, run, on_step=on_step)
    except DivergedError as error:
        kept = f"; {checkpoint} is kept" if checkpoint.exists() else ""
        raise DivergedError(f"{error}{kept}: set student.lr lower") from error
    except Interrupted:  # raised between two steps: nothing of what was learned is lost
        state.save(checkpoint)
        raise
    return state


def finish(student: Path, card: dict[str, Any], path: Path) -> Card:
    """Write the style file for people: the student's weights with a full card."""
    style = load_style(student)
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = {key: value.astype(np.float16) for key, value in style.weights.items()}
    return save_style(path, Card(architecture=style.card.architecture, **card), weights, style.ranges)
