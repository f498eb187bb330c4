"""Distil a published network into a small student: `python -m training.distill --help`.

One straight loop. Everything random in step n is drawn from a generator seeded by (seed, n), so a run
that is stopped and resumed equals a straight one.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engines.torch import Network
from training import colours, curves, data, legs, pack
from training.ahead import Drawn, ahead
from training.chain import read_note
from training.crops import CropOptions, Cropper, Crops
from training.data import Canvases, Coloured
from training.losses import TeacherFeatures, draw_mix, draw_plates, psnr
from training.options import at_least, check_unchanged, device_name, restored, run_command, set_options
from training.origin import check_origin
from training.run import SHAPES, Options, Run, called, finish, learning_rate, ramp
from training.sheets import write_sheet
from training.steps import Terms, critics_step, judged, student_step
from training.world import TrainingError, World, join
from vidstyle.errors import UsageError, VidstyleError
from vidstyle.importer import import_published
from vidstyle.style import Style, load_style
from vidstyle.whole import write_whole

log = logging.getLogger("distill")


def train(
    run: Run,
    cropper: Cropper,
    teacher: Network,
    options: Options,
    folder: Path,
    until: int | None = None,
    on_step: Callable[[int, int, dict[str, float]], None] | None = None,
    world: World | None = None,
) -> None:
    """Train ``run`` to ``until`` (default: all steps), with a checkpoint, statistics and a sheet on the way.

    ``on_step`` is given the steps done, their number, and the figures of the step; there ``run`` can be saved.
    Of several processes each computes its share of every step's crops, and the first one writes.
    """
    world = world or World(cropper.device)
    features = TeacherFeatures(teacher)
    started, end = time.time(), min(until or options.steps, options.steps)

    def draw(step: int) -> Drawn:
        rng = torch.Generator().manual_seed((options.seed << 32) + step)
        return rng, cropper(rng, paired=options.shift * ramp(options, step) > 0)

    with closing(ahead(draw, range(run.step, end), cropper.device)) as drawn:
        for rng, crops in drawn:
            if world.size > 1:
                crops = crops.rows(world.rows(options.crops.pairs))
            out, terms = _step(run, crops, rng, features, options, world)
            if world.rank:
                continue
            keep(run, crops, out, terms, time.time() - started, folder, run.step == end)
            if on_step:
                on_step(run.step, options.steps, {"l1": float(terms["l1"].detach())})
    world.wait()


def _step(
    run: Run, crops: Crops, rng: torch.Generator, features: TeacherFeatures, options: Options, world: World
) -> tuple[Tensor, Terms]:
    """One step of ``run``; the student's results before it, and its terms."""
    for group in run.opt_student.param_groups:
        group["lr"] = learning_rate(options, run.step)
    seen = judged(crops, draw_mix(rng, crops.source.device), options, run.step)
    plates = draw_plates(rng, crops.source.device) if options.flat else None
    out, terms = student_step(run, crops, seen, features, options, world, plates)
    terms |= critics_step(run, out, crops, seen, world)
    run.step += 1
    run.update_average(options.ema)
    return out, terms


def keep(run: Run, crops: Crops, out: Tensor, terms: Terms, seconds: float, folder: Path, last: bool) -> None:
    """Write into ``folder`` what is due after this step, and everything after the ``last``."""
    if run.step % 50 == 0 or last:
        figures = {"psnr": psnr(out, crops.target), **terms}
        row = {"step": run.step, "seconds": round(seconds, 4)}
        row |= {key: round(float(value.detach()), 4) for key, value in figures.items()}
        with open(folder / "stats.jsonl", "a") as stats:
            stats.write(json.dumps(row) + "\n")
    if run.step % 250 == 0 or last:
        run.save(folder / "checkpoint.pt")
    if run.step % 1000 == 0 or last:
        sheet(run.average, crops, folder / f"sheet-{run.step:06d}.png")
        curves.draw(folder / "stats.jsonl", folder / "curves.png")


@torch.no_grad()
def sheet(network: Network, crops: Crops, path: Path) -> None:
    """Rows of source, teacher, student, at most eight columns."""
    source, target = crops.source[:8], crops.target[:8]
    write_sheet(path, [source, target, network(source)])


LOOKS = {
    "anime": "Japanese animation: large clear eyes, clean skin, drawn hair",
    "3d": "a computer-animated film: rounded, smooth, softly lit",
    "artstyle": "a painted portrait with visible strokes",
    "design": "flat graphic design with few colours",
    "handdrawn": "drawn by hand, with soft outlines",
    "illustration": "a book illustration",
    "sketch": "a pencil sketch",
}
FORMS = {"fast": " (half the time of the look itself, and softer)"}  # what a card says of a shape besides


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.distill", description=__doc__)
    parser.add_argument("style", help="name of the style to make, as anime; all: every teacher of --pack")
    parser.add_argument("--pack", type=Path, help="folder made by training.pack, in place of the next four")
    parser.add_argument("--teacher", type=Path, help="published .pb or .tflite, or a style file")
    parser.add_argument("--photos", type=Path, help="folder of portraits with faces.json")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="videos with people")
    parser.add_argument("--detector", type=Path, help="YuNet .onnx, for the clips")
    parser.add_argument("--limit", type=at_least(0), help="canvases to train on, spread evenly (default: all)")
    parser.add_argument("--sources", default="", help="names and licences of the pictures, for the card")
    parser.add_argument("--look", default="", help="one sentence about the look, for the card")
    parser.add_argument("--out", type=Path, help="folder for the style file (default: the run's)")
    parser.add_argument("--run", type=Path, default=Path("runs"), help="folder of runs")
    parser.add_argument("--steps", type=int, default=Options.steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=CropOptions.pairs)
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--start", type=Path, help="style file of a student to go on from, in place of random weights")
    begin.add_argument("--leg", action="store_true", help="go on from the bundled look, with what such a leg needs")
    parser.add_argument("--set", nargs="*", default=[], metavar="K=V", help="any option, as lr=1e-3 crops.turn=30")
    parser.add_argument(
        "--shape", default="default", choices=SHAPES, help="of the student: fast has a third of the work"
    )
    parser.add_argument(
        "--device",
        type=device_name,
        default="auto",
        help="auto, cpu or cuda; several GPUs: torchrun -m -- training.distill",
    )
    parser.add_argument("--finish", action="store_true", help="only write the style from the last checkpoint")
    args = parser.parse_args()
    if not args.finish and not (args.pack or (args.teacher and args.photos)):
        parser.error("give --pack, or --teacher and --photos")
    if args.pack and (args.teacher or args.photos or args.clips or args.detector):
        parser.error("--pack holds pictures and teachers: leave --teacher, --photos, --clips and --detector out")
    return args


def _options(args: argparse.Namespace, name: str) -> Options:
    shared = [f"steps={args.steps}", f"seed={args.seed}", f"crops.pairs={args.pairs}"]
    own = legs.options_of(name, args.shape) if args.leg else []
    options: Options = set_options(Options(shape=args.shape), [*shared, *own, *args.set])
    return options


def _materials(
    args: argparse.Namespace,
    name: str,
    packed: tuple[np.ndarray, np.ndarray] | None,
    device: str,
    check: Callable[[Style], None] = lambda _: None,
) -> tuple[Style, Canvases]:
    """The teacher, and canvases with its results, which take long: it is given to ``check`` before."""
    check(teacher := _teacher(args, name))
    if packed is None:
        return teacher, data.build(
            args.photos, args.clips, args.detector, teacher, args.run / "canvases", limit=args.limit
        )
    some = data.spread(packed[1], args.limit)
    source, kind = (part[some] for part in packed)
    matrices = colours.draw(kind == data.EMPTY)
    plain, coloured = (data.teach(source, teacher, "torch", device, colouring) for colouring in (None, matrices))
    return teacher, Canvases(source, plain, kind, Coloured(matrices, coloured))


def distill(args: argparse.Namespace, name: str, packed: tuple[np.ndarray, np.ndarray] | None, world: World) -> None:
    """Make the style of the look ``name``, "-fast" in the fast shape: train from where its run stands, and write it.

    Raises:
        UsageError: only to be written, and nothing is trained.
        TrainingError: the run was begun with other options, another teacher or another limit.
    """
    options = _options(args, name)
    made = called(name, options.shape)
    folder = args.run / made
    checkpoint = folder / "checkpoint.pt"
    if args.finish and not checkpoint.exists():
        raise UsageError(f"--finish: there is no {checkpoint}: expected the folder of a run in --run")
    folder.mkdir(parents=True, exist_ok=True)
    noted = read_note(folder / "options.json")
    started_from = noted.pop("started_from", "")
    if args.finish:  # the card says how it was trained
        options = restored(options, noted)
    elif checkpoint.exists():
        check_unchanged(folder, noted, options)
    device, begun = world.device, checkpoint.exists()

    def check(teacher: Style) -> None:
        check_origin(folder, teacher, _teacher_file(args, name), args.limit, begun)

    run = Run(SHAPES[options.shape], options, device)
    if args.start or args.leg:
        run.start_from(legs.start_of(name, options.shape) if args.leg else load_style(args.start))
    if begun:
        run.load(checkpoint)
        run.started_from = started_from or run.started_from
        log.info("%s: resumed at step %d", made, run.step)
    if not args.finish and not world.rank:
        note = asdict(options) | ({"started_from": run.started_from} if run.started_from else {})
        write_whole(folder / "options.json", json.dumps(note, indent=1).encode())
    pictures = data.kept_sources(args.run / "canvases")
    if not args.finish and run.step < options.steps:
        if world.rank:
            world.wait()  # the first process keeps what it computes for all
        teacher, canvases = _materials(args, name, packed, str(device), check)
        if not world.rank:
            world.wait()
        log.info("%s: %d canvases", made, len(canvases.source))
        network = Network(teacher.card.architecture, teacher.weights).to(device)
        train(run, Cropper(canvases, options.crops, device), network, options, folder, world=world)
        pictures = canvases.source
    elif not args.finish:
        check(_teacher(args, name))
    if world.rank:
        return
    look = args.look or LOOKS.get(name, "") + FORMS.get(options.shape, "")
    if pictures is None:
        log.warning("without its pictures %s gets no ranges for int8: training.ranges adds them", made)
    card = finish(run, options, name, look, args.sources, (args.out or folder) / f"{made}.safetensors", pictures)
    log.info("wrote %s: %d parameters", card.name, card.parameters)


def main() -> None:
    run_command(_command)


def _command() -> None:
    args = _arguments()
    names = _names(args)
    for name in names:
        _options(args, name)  # wrong ones are told before anything is read
    packed = None if args.pack is None or args.finish else pack.read(args.pack)
    world, failed = join(args.device), []
    for name in names:
        try:
            distill(args, name, packed, world)
        except VidstyleError as error:
            if len(names) == 1 or world.size > 1:  # of several processes the others would wait for this one
                raise
            log.error("%s failed: %s", name, error)
            failed.append(name)
    if failed:
        done = len(names) - len(failed)
        raise TrainingError(f"{', '.join(failed)} failed, as said above; of {len(names)} looks {done} are done")


def _names(args: argparse.Namespace) -> list[str]:
    """The looks to make.

    Raises:
        UsageError: all of a pack, which is not given or has none.
    """
    if args.style != "all":
        return [args.style]
    if args.pack is None:
        raise UsageError("all looks at once need --pack: make one with training.pack, or name one look")
    names = [name for name in LOOKS if (args.pack / f"{name}.safetensors").exists()]
    if not names:
        raise UsageError(f"no published network in {args.pack}: make it with training.pack, whose --teachers they are")
    return names


def _teacher_file(args: argparse.Namespace, name: str) -> Path:
    return args.pack / f"{name}.safetensors" if args.pack else args.teacher


def _teacher(args: argparse.Namespace, name: str) -> Style:
    path = _teacher_file(args, name)
    return load_style(path) if path.suffix == ".safetensors" else import_published(path, name)


if __name__ == "__main__":
    main()
