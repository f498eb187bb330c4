"""What a wish means: its way's options, what ablations change in them, and the chain of `training.stages`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from training import (
    ccn,
    generator,
    packed,
    pictures,
    student,
    stylegan2_weights,
    ttn,
)
from training.chain import Chain
from training.features import load_features
from training.gem import Geometry
from training.identity import load_identity
from training.landmarks import FaceMesh
from training.options import SEEDS, set_options
from training.stylegan2 import Shape
from training.ways import WAYS
from training.world import TrainingError
from vidstyle.errors import SourceError, StyleError, UsageError
from vidstyle.style import check_name

MODES = tuple(WAYS)
ABLATIONS = ("ccn", "gem", "ttn", "per")  # Table 1's, and the facial perception loss
#: how the user's networks are read, and which a mode uses
READERS: dict[str, Callable[[Path], object]] = {
    "mesh": FaceMesh,
    "generator": stylegan2_weights.load,
    "features": load_features,
    "identity": lambda path: load_identity(str(path), torch.device("cpu")),
}
USED = {
    "quick": (),
    "paired": (),
    "standard": ("mesh", "features"),
    "full": ("mesh", "generator", "features", "identity"),
}
#: settings that a training settles itself, or has an option for that is checked before the work
SETTLED = {
    "ttn.features": "give it with --features",
    "ttn.expression": "the stage before makes it",
    "ccn.identity_net": "give it with --identity",
    "ccn.size": "it follows from the generator",
}


@dataclass(frozen=True)
class Wishes:
    """What a person asks for; ``run`` is the training's folder, ``out`` the style file to write."""

    name: str
    photos: Path
    exemplars: Path
    run: Path
    out: Path
    mode: str = "standard"
    detector: Path | None = None  # YuNet; fetched where left out
    mesh: Path | None = None  # MediaPipe's face mesh, likewise
    generator: Path | None = None  # published StyleGAN2 weights of faces, in place of one trained here
    features: Path | None = None  # VGG or a small encoder, for the content loss
    identity: Path | None = None  # a face recogniser, for the calibration
    device: str = "cpu"
    seed: int = 0
    look: str = ""
    licence: str = "LicenseRef-own"
    sources: str = ""
    settings: tuple[str, ...] = field(default=())  # stage.option=value
    without: str = ""  # one of ABLATIONS: a part left out, for the table

    @property
    def tag(self) -> str:
        """Of the folders that an ablation does not share with the whole training."""
        return f"-without-{self.without}" if self.without else ""


def ablations(mode: str) -> tuple[str, ...]:
    """What can be left out in a mode: only the paper's own way has a calibration."""
    return {"quick": (), "paired": (), "standard": ABLATIONS[1:]}.get(mode, ABLATIONS)


def check(wishes: Wishes) -> None:
    """Refuse what cannot work before anything is done.

    Raises:
        UsageError, StyleError, SourceError: no such mode or seed, a name no style can have, no pictures, a network
            that is none or that the mode does not use.
    """
    check_name(wishes.name)
    if not 0 <= wishes.seed < SEEDS:
        raise UsageError(f"--seed is {wishes.seed}: expected a whole number from 0 to {SEEDS - 1}")
    if wishes.mode not in MODES:
        raise UsageError(f"no way of training {wishes.mode!r}: there are {', '.join(MODES)}")
    if wishes.without and wishes.without not in ablations(wishes.mode):
        known = ", ".join(ablations(wishes.mode)) or "nothing"
        raise UsageError(f"cannot leave out {wishes.without!r} of {wishes.mode}: there is {known}")
    networks = (wishes.detector, wishes.mesh, wishes.generator, wishes.features, wishes.identity)
    for path in (wishes.photos, wishes.exemplars, *networks):
        _check_seen(path)
    for source in (wishes.photos, wishes.exemplars):
        if not packed.is_packed(source):
            pictures.check(source)
            _check_outside(wishes.run, source)
        elif wishes.mode == "paired":
            raise UsageError(
                f"{source} holds portraits of which each is cut by its own face: give the pictures themselves"
            )
    for network in networks:
        if network is not None and not network.is_file():
            raise SourceError(f"no file {network}: give a network's weights, or leave the option out")
    _check_networks(wishes)


def _check_seen(path: Path | None) -> None:
    """
    Raises:
        SourceError: nobody may tell whether it is there: a folder above it is locked, or its name is too long.
    """
    try:
        if path is not None:
            path.exists()
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error


def _check_outside(run: Path, source: Path) -> None:
    """What a training draws would be taken for pictures, and each run would begin anew.

    Raises:
        UsageError: the training's folder lies in that of the pictures.
    """
    inner, outer = run.resolve(), source.resolve()
    if inner.is_relative_to(outer) and pictures.is_picture((inner.relative_to(outer) / "sheet.png").as_posix()):
        raise UsageError(f"--run {run} lies in {source}, and what it draws would be taken for pictures: choose another")


def _check_networks(wishes: Wishes) -> None:
    """Read the user's networks now: hours may pass before they are needed.

    Raises:
        UsageError, StyleError: the way of training uses no such network; the file is none.
    """
    for name, read in READERS.items():
        path: Path | None = getattr(wishes, name)
        if path is None:
            continue
        if name not in USED[wishes.mode]:
            ways = " or ".join(mode for mode in MODES if name in USED[mode])
            raise UsageError(f"--{name} is for {ways} training, this one is {wishes.mode}: leave it out")
        try:
            read(path)
        except TrainingError as error:
            raise StyleError(f"--{name}: {error}") from error


def options_of(wishes: Wishes) -> dict[str, Any]:
    """Options by stage: the mode's, with the seed, the user's networks, the settings, and what is left out.

    Raises:
        UsageError: a setting names no stage or no option of it, or is of another kind.
    """
    options = WAYS[wishes.mode]()
    options = {name: _changed(value, seed=wishes.seed) for name, value in options.items()}
    texts: dict[str, list[str]] = {}
    for text in wishes.settings:
        stage, dot, rest = text.partition(".")
        if stage not in options or not dot or "=" not in rest:
            raise UsageError(f"--set {text!r}: expected stage.option=value, stages are {', '.join(options)}")
        name = rest.partition("=")[0]
        if why := SETTLED.get(f"{stage}.{name}"):
            raise UsageError(f"--set {text}: {why}")
        if wishes.mode == "full":
            _check_sampling(stage, name)
        texts.setdefault(stage, []).append(rest)
    options |= {stage: set_options(options[stage], some, f"{stage}.") for stage, some in texts.items()}
    if "ttn" in options:
        options["ttn"] = _texture(options["ttn"], wishes)
    if wishes.identity and "ccn" in options:
        options["ccn"] = replace(options["ccn"], identity_net=str(wishes.identity))
    return options


def _check_sampling(stage: str, name: str) -> None:
    """The options of the calibration, and of sampling pairs after it, are of one kind: each uses its own part.

    Raises:
        UsageError: the stage does not use the option.
    """
    if stage == "pairs" and name not in ccn.SAMPLED:
        raise UsageError(f"--set pairs.{name}: pairs are only sampled, by {', '.join(ccn.SAMPLED)}: set ccn.{name}")
    if stage == "ccn" and name in ("samples", "shard", "truncation", "layers"):
        raise UsageError(f"--set ccn.{name}: it is used where pairs are sampled: set pairs.{name}")


def check_used(wishes: Wishes, chain: Chain) -> None:
    """Refuse settings of stages that ``chain`` does not have. (An ablation's serve several chains.)

    Raises:
        UsageError: there is one.
    """
    names = {stage.name.rpartition("/")[2] for stage in chain.stages}
    for text in wishes.settings:
        if (stage := text.partition(".")[0]) not in names:
            raise UsageError(f"--set {text}: this training has no {stage}: it has {', '.join(sorted(names))}")


def _texture(options: ttn.Options, wishes: Wishes) -> ttn.Options:
    changes: dict[str, Any] = {"features": str(wishes.features)} if wishes.features else {}
    if wishes.without == "gem":
        changes["geometry"] = Geometry(scale=(1.0, 1.0), turn=0.0)
    if wishes.without == "per":
        changes["perception"] = 0.0
    return replace(options, **changes)


def _shape(wishes: Wishes, options: generator.Options) -> Shape:
    """Of G_s, which is given or will be trained."""
    return stylegan2_weights.load(wishes.generator).average.shape if wishes.generator else Shape(options.size)


def _changed(options: Any, **changes: Any) -> Any:
    return replace(options, **{name: value for name, value in changes.items() if hasattr(options, name)})


def chain(wishes: Wishes) -> Chain:
    """The stages of a wish, their options set.

    Raises:
        UsageError, StyleError, SourceError: as `check` and `options_of`.
        StyleError, TrainingError: the texture network cannot begin from the style that it should.
    """
    from training import stages

    check(wishes)
    options = options_of(wishes)
    if "ttn" in options and options["ttn"].start and wishes.without != "ttn":
        ttn.begun_from(options["ttn"])  # hours may pass before it is needed
    if wishes.mode == "full":
        ccn.check_layers(options["pairs"].layers, _shape(wishes, options["generator"]))
    if options["student"].start:
        student.begun_from(options["student"])
    if wishes.mode == "paired":
        made = [stages.drawings(wishes, options["paired"])]
    else:
        made = [stages.photos(wishes, options["photos"]), stages.exemplars(wishes, options["exemplars"])]
    if wishes.mode == "full":
        if wishes.generator is None:
            made.append(stages.generator(wishes, options["generator"]))
        made += [stages.calibration(wishes, options["ccn"]), stages.samples(wishes, options["pairs"])]
    elif wishes.mode == "quick" or wishes.without == "ttn":
        made.append(stages.analogies(wishes, options["pairs"]))
    if "ttn" in options and wishes.without != "ttn":
        made += [stages.expression(wishes, options["expression"]), stages.texture(wishes, options["ttn"])]
    made.append(stages.student(wishes, options["student"], made[-1]))
    return Chain(wishes.run, (*made, stages.style(wishes, made)))
