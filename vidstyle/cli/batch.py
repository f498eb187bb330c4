"""vidstyle batch: many videos, in worker processes, with a journal to go on from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidstyle.cli import jobs as job
from vidstyle.cli import options as opt
from vidstyle.errors import SOME_FAILED, UsageError

if TYPE_CHECKING:
    from vidstyle.cli.batch_asked import Asked, Cluster, Look
    from vidstyle.cli.batch_remote import Far
    from vidstyle.job import FileJob


def batch(
    context: typer.Context,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN", help="Videos, folders, patterns as 'in/**/*.mp4'; with --fps also 'in/*/shot.%04d.png'."
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="OUTDIR", help="The results' folder; IN's structure is kept.")
    ],
    fps: Annotated[
        str | None,
        typer.Option(
            metavar="RATE", help="Numbered pictures are videos, too, of so many a second: 24, 23.976, 30000/1001."
        ),
    ] = None,
    pictures: Annotated[
        str | None,
        typer.Option(metavar="png|jpg|tif|dpx|webp", help="Write numbered pictures in place of videos."),
    ] = None,
    style: opt.Style = "anime",
    strength: opt.Strength = 1.0,
    size: opt.Size = "auto",
    steady: opt.Steady = 0.0,
    start: job.Start = None,
    end: job.End = None,
    deinterlace: job.Deinterlace = "auto",
    hdr: job.Hdr = "sdr",
    no_limit: job.NoLimit = False,
    compare: job.Compare = False,
    codec: job.Codec = None,
    crf: job.Crf = None,
    preset: job.Preset = None,
    pixel_format: job.PixelFormat = None,
    encoder_option: job.EncoderOption = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            metavar="N",
            help="Videos at one time, sharing the cores, or on each of several GPUs; with --cluster: workers.",
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Many machines with Ray: auto, ray://HOST:10001, or local to try it."),
    ] = None,
    gpus: Annotated[
        float, typer.Option(min=0, metavar="N", help="With --cluster: GPUs of a worker; 0.5 for two on each.")
    ] = 0.0,
    work: Annotated[
        Path | None, typer.Option(metavar="DIR", help="With --cluster and URLs: this machine's folder for the journal.")
    ] = None,
    cache: Annotated[
        float, typer.Option(min=0, metavar="GIB", help="With --cluster and URLs: of fetched videos on each machine.")
    ] = 20.0,
    watch: Annotated[bool, typer.Option("--watch", help="Go on with videos as they come, until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="Between two looks of --watch.")] = 5.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, write nothing.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed three times.")] = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write everything about the run as JSON.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that no batch made, too.")] = False,
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    threads: opt.Threads = 0,
    engine: opt.EngineName = "auto",
    no_build: opt.NoBuild = False,  # noqa: ARG001 - its callback tells it
    json: opt.Json = False,
) -> int:
    """Style many videos: vidstyle batch videos/ -o drawn/

    What was done before is skipped, what was interrupted goes on: simply give the same command again.

    Every series of numbered pictures is one video: vidstyle batch shots/ --fps 24 -o drawn/

    A video that fails does not stop the others; the exit code is 3 then.
    """
    from dataclasses import replace

    from vidstyle.batch.run import Wishes
    from vidstyle.cli.batch_asked import Asked, Cluster
    from vidstyle.cli.batch_remote import Far
    from vidstyle.codecs import check_named
    from vidstyle.numbering import parse_rate
    from vidstyle.outputs import check_folder
    from vidstyle.picture_codecs import parse_ending

    template = job.file_job(
        Path(),
        style=style,
        strength=strength,
        size=size,
        start=start,
        end=end,
        deinterlace=deinterlace,
        hdr=hdr,
        no_limit=no_limit,
        compare=compare,
        codec=codec,
        crf=crf,
        preset=preset,
        pixel_format=pixel_format,
        encoder_option=encoder_option,
        overwrite=overwrite,
        device=device,
        precision=precision,
        threads=threads,
        engine=engine,
        steady=steady,
    )
    if pictures is not None and cluster is not None:
        raise UsageError("--cluster writes videos: leave out --pictures, or --cluster")
    if _takes_series(context, watch, cluster):
        template = replace(template, rate=None if fps is None else parse_rate(fps))
    template = replace(template, pictures="" if pictures is None else parse_ending(pictures))
    if not all((*inputs, output)):
        raise UsageError("a name is empty: give videos or folders, and the results' folder with -o")
    check_folder(output, "results")
    if cluster in (None, "local"):  # other machines' FFmpeg may know more
        check_named(template.writing.encoder, template.pictures)
    if "-" in inputs and not os.path.lexists("-"):
        raise UsageError("this command reads files and folders, got standard input: vidstyle file - reads that")
    remote = [text for text in (*inputs, output) if "://" in text]
    _check(cluster, gpus, device)
    if dry_run:
        _check_dry(context, watch)
    _check_use(context, watch, far=cluster is not None and bool(remote))
    asked = Asked(template, Wishes(jobs or 1, overwrite, retry), every if watch else None, dry_run, report, json)
    if cluster is not None:
        far = Far(inputs, output, work, cache) if remote else None
        return _run_on_cluster(Cluster(cluster, jobs or 0, threads, gpus), inputs, output, far, asked)
    if remote:
        raise UsageError(f"{remote[0].partition('?')[0]}: URLs take --cluster; --cluster local is this machine alone")
    folder = Path(output)
    look = _looker(inputs, folder, template, patience=watch)
    return _dry_run(look, folder, asked) if dry_run else _run(look, folder, asked)


def _run_on_cluster(machines: Cluster, inputs: list[str], output: str, far: Far | None, asked: Asked) -> int:
    from vidstyle.cli.batch_cluster import check_room, run_on
    from vidstyle.cli.batch_remote import run_remote

    check_room(machines)
    if far is not None:
        return run_remote(far, machines, asked)
    folder = Path(output)
    return run_on(machines, _looker(inputs, folder, asked.template, asked.every is not None), folder, asked)


def _check(cluster: str | None, gpus: float, device: str) -> None:
    """Refuse options that do not go together."""
    if gpus and cluster is None:
        raise UsageError("--gpus is for --cluster: for this machine's GPUs give --device cuda, or cuda:0,cuda:1")
    if cluster is not None and device.startswith("cuda") and not gpus:
        raise UsageError(
            "with --cluster and --device cuda add --gpus 1: Ray hides GPUs from workers that asked for none"
        )


def _takes_series(context: typer.Context, watch: bool, cluster: str | None) -> bool:
    """Whether numbered pictures can be videos; ``--fps`` of a config file waits for its use.

    Raises:
        UsageError: they cannot, and were asked for.
    """
    if not watch and cluster is None:
        return True
    if opt.was_given(context, "fps"):
        why = "of numbered pictures nobody sees which is the last" if watch else "a cluster takes videos"
        raise UsageError(f"{why}: leave out --fps, or {'--watch' if watch else '--cluster'}")
    return False


def _check_dry(context: typer.Context, watch: bool) -> None:
    if watch:
        raise UsageError("--dry-run looks once: leave out --watch")
    if opt.was_given(context, "report"):
        raise UsageError("--report is for a run: with --dry-run leave it out; --json tells the plan")


def _check_use(context: typer.Context, watch: bool, far: bool) -> None:
    """Refuse options that were given and would do nothing."""
    of = {"work": (far, "--cluster and URLs"), "cache": (far, "--cluster and URLs"), "every": (watch, "--watch")}
    for name, (used, use) in of.items():
        if not used and opt.was_given(context, name):
            raise UsageError(f"--{name} is for {use}: add that, or leave it out")


def _looker(inputs: list[str], folder: Path, template: FileJob, patience: bool) -> Look:
    from vidstyle.batch.inputs import find

    numbered = template.rate is not None
    return lambda journal: find(inputs, folder, template.result_name, journal.outputs(), patience, numbered)


def _run(look: Look, folder: Path, asked: Asked) -> int:
    from vidstyle.batch.reports import reported
    from vidstyle.batch.run import Batch
    from vidstyle.batch.stop import Stop
    from vidstyle.cli.batch_asked import begin
    from vidstyle.cli.batch_view import open_view

    begun = begin(folder, look, asked.every)
    journal, found = begun.journal, begun.found
    with journal, Stop() as stop, open_view(asked.json) as view, reported(view, asked.report) as shown:
        view.begin(found, asked.every)
        totals = Batch(asked.template, begun.items, journal, asked.wishes, shown, stop, begun.arrivals).run()
        view.end(totals, stop.code, journal.path)
    return stop.code or (SOME_FAILED if totals.failures or found.unreadable else 0)


def _dry_run(look: Look, folder: Path, asked: Asked) -> int:
    from vidstyle.batch.dry import plan
    from vidstyle.cli.batch_asked import begin
    from vidstyle.cli.batch_view import show_plan

    begun = begin(folder, look)
    show_plan(plan(begun.items, begun.journal, asked.template, asked.wishes), begun.found, asked.json)
    return 0
