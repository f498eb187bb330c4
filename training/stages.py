"""The stages of a chain, each around the `train` of its own module."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

from training import ccn, landmarks, packed, paired, pairs, portraits, ttn
from training import expression as expressions
from training import generator as generators
from training import student as students
from training.chain import OWN, OnStep, Stage, read_note
from training.pictures import fingerprint
from training.recipes import Wishes
from training.world import join
from vidstyle.whole import write_whole

PHOTOS, EXEMPLARS, PAIRED = "crops/photos", "crops/exemplars", "paired"


def photos(wishes: Wishes, options: portraits.Options) -> Stage:
    return _portraits(wishes, PHOTOS, "find and align faces in the photos", wishes.photos, options)


def exemplars(wishes: Wishes, options: portraits.Options) -> Stage:
    return _portraits(wishes, EXEMPLARS, "find and align faces in the exemplars", wishes.exemplars, options)


def _portraits(wishes: Wishes, name: str, title: str, source: Path, options: portraits.Options) -> Stage:
    def work(folder: Path, on_step: OnStep) -> None:
        if packed.is_packed(source):
            packed.unpack(source, folder, options, on_step)
            return
        # Before the work, where there is no network; and landmarks now, since hours may pass before they are needed.
        needed = wishes.mode != "quick"
        mesh = landmarks.mesh_file(wishes.mesh) if needed else None
        portraits.prepare(source, folder, wishes.detector, options, on_step)
        if needed:
            landmarks.ensure(folder, mesh)

    number = packed.count(source) if packed.is_packed(source) else portraits.count(source)
    seen = {"source": fingerprint(source), **asdict(options)}
    return Stage(name, title, (), seen, work, number, "pictures")


def drawings(wishes: Wishes, options: paired.Options) -> Stage:
    """
    Raises:
        SourceError: too few drawings have the name of a photo.
    """

    def work(folder: Path, on_step: OnStep) -> None:
        paired.prepare(wishes.photos, wishes.exemplars, folder, wishes.detector, options, on_step)

    number = min(options.pictures, len(paired.check(wishes.photos, wishes.exemplars, options)))
    seen = {"photos": fingerprint(wishes.photos), "drawings": fingerprint(wishes.exemplars), **asdict(options)}
    return Stage(PAIRED, "cut photos and their drawings around faces", (), seen, work, number, "pairs")


def analogies(wishes: Wishes, options: pairs.Options) -> Stage:
    def work(folder: Path, on_step: OnStep) -> None:
        pairs.train(folder, wishes.run / PHOTOS, wishes.run / EXEMPLARS, options, on_step)

    title = "draw photos with pieces of exemplars"
    return Stage("pairs", title, (PHOTOS, EXEMPLARS), options, work, options.count, "pairs")


def generator(wishes: Wishes, options: generators.Options) -> Stage:
    def work(folder: Path, on_step: OnStep) -> None:
        generators.train(folder, wishes.run / PHOTOS, options, on_step, join(wishes.device))

    return Stage("generator", "train a generator of faces", (PHOTOS,), options, work, options.steps)


def _generator(wishes: Wishes) -> tuple[Path, tuple[str, ...]]:
    """The weights of G_s, and the stage they come from, if any."""
    if wishes.generator:
        return wishes.generator, ()
    return wishes.run / "generator" / generators.RESULT, ("generator",)


def calibration(wishes: Wishes, options: ccn.Options) -> Stage:
    weights, needs = _generator(wishes)

    def work(folder: Path, on_step: OnStep) -> None:
        ccn.train(folder, weights, wishes.run / EXEMPLARS, options, on_step, join(wishes.device))

    seen = {"generator": fingerprint(weights) if wishes.generator else "", **asdict(options)}
    return Stage("ccn", "calibrate the content (CCN)", (EXEMPLARS, *needs), seen, work, options.steps)


def samples(wishes: Wishes, options: ccn.Options) -> Stage:
    weights, _ = _generator(wishes)
    title, count = "sample pairs of the same z", -(-options.samples // options.shard)

    def work(folder: Path, on_step: OnStep) -> None:
        calibrated = wishes.run / "ccn" / ccn.RESULT
        ccn.sample(weights, calibrated, wishes.run / PHOTOS, folder, options, on_step, world=join(wishes.device))

    seen = {name: getattr(options, name) for name in ccn.SAMPLED if name != "batch"}
    return Stage("pairs", title, ("ccn", PHOTOS), seen, work, count, "shards")


def expression(wishes: Wishes, options: expressions.Options) -> Stage:
    crops = [wishes.run / PHOTOS, wishes.run / EXEMPLARS]

    def work(folder: Path, on_step: OnStep) -> None:
        for made in crops:
            landmarks.ensure(made, wishes.mesh)
        expressions.train(folder, crops, options, on_step, join(wishes.device))

    title = "learn how open eyes and mouths are"
    return Stage("expression", title, (PHOTOS, EXEMPLARS), options, work, options.steps)


def texture(wishes: Wishes, options: ttn.Options) -> Stage:
    """The texture network; without CCN it sees the raw exemplars alone."""
    made = wishes.run / "pairs" if wishes.mode == "full" and wishes.without != "ccn" else None
    judge = str(wishes.run / "expression" / expressions.RESULT)

    def work(folder: Path, on_step: OnStep) -> None:
        crops = wishes.run / PHOTOS, wishes.run / EXEMPLARS
        ttn.train(folder, *crops, made, replace(options, expression=judge), on_step, join(wishes.device))

    needs = (PHOTOS, EXEMPLARS, "expression", *(("pairs",) if made else ()))
    return Stage(f"ttn{wishes.tag}", "translate texture (TTN)", needs, options, work, options.steps)


def student(wishes: Wishes, options: students.Options, teacher: Stage) -> Stage:
    """The small network, from the texture network if ``teacher`` is that, else from pairs, or a person's own."""
    learned = teacher.name.startswith("ttn")
    network = wishes.run / teacher.name / ttn.RESULT if learned else None
    made = None if learned else wishes.run / teacher.name

    own = teacher.name == PAIRED

    def work(folder: Path, on_step: OnStep) -> None:
        if own:
            students.train_paired(folder, wishes.run / PAIRED, options, on_step, wishes.device)
        else:
            students.train(folder, wishes.run / PHOTOS, made, network, options, on_step, wishes.device)

    name, needs = f"student{wishes.tag}", (PAIRED,) if own else (PHOTOS, teacher.name)
    return Stage(name, "train the small network", needs, options, work, options.steps)


def style(wishes: Wishes, before: Sequence[Stage]) -> Stage:
    """The end; its card tells of the stages ``before`` alone: the run may hold those of another way of training."""
    names = [stage.name for stage in before]
    card = {
        "name": wishes.name,
        "look": wishes.look or f"Trained from {wishes.exemplars.stem}",
        "licence": wishes.licence,
        "provenance": wishes.sources or f"Trained with vidstyle from pictures of its maker, {date.today().year}",
    }

    def work(folder: Path, on_step: OnStep) -> None:
        trained = {"by": "vidstyle train", "mode": wishes.mode, "seed": wishes.seed, **_counts(wishes.run, names)}
        begun = next(filter(None, (_begun_from(wishes.run / name) for name in names)), "")
        provenance = f"{card['provenance'].rstrip('.')}. {begun}" if begun else card["provenance"]
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / OWN, json.dumps({"style": wishes.out.name}).encode())
        students.finish(
            wishes.run / f"student{wishes.tag}" / students.RESULT,
            {**card, "provenance": provenance, "training": trained},
            wishes.out,
        )
        on_step(1, 1, {})

    seen, needs = {**card, "out": str(wishes.out)}, (f"student{wishes.tag}",)
    return Stage(f"style{wishes.tag}", "write the style", needs, seen, work, 1, "file", wishes.out)


def _begun_from(stage: Path) -> str:
    """Whose weights a stage's network was begun with, for the card; empty where it was begun from nothing."""
    options = stage / "options.json"
    start = json.loads(options.read_text()).get("start", "") if options.exists() else ""
    if not start:
        return ""
    card = ttn.start_style(start).card
    return f"Begun from the weights of the look {card.name} ({card.licence}): {card.provenance}"


def _counts(run: Path, names: Sequence[str]) -> dict[str, Any]:
    """How many pictures went in, and the seconds of each stage: for the card."""
    notes = {name: read_note(run / name / "done.json") for name in names}
    seconds = {name: round(note["seconds"], 1) for name, note in sorted(notes.items()) if "seconds" in note}
    reports = {name: read_note(run / name / "report.json") for name in names}
    if PAIRED in names:
        near = read_note(run / "student" / students.NEARNESS)
        return {"pairs": reports[PAIRED]["pairs"], **near, "seconds": seconds}
    return {"photos": reports[PHOTOS]["kept"], "exemplars": reports[EXEMPLARS]["kept"], "seconds": seconds}
