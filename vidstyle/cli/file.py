"""vidstyle file: style one video, keep everything else of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidstyle.cli import jobs as job
from vidstyle.cli import options as opt
from vidstyle.cli.progress import watch
from vidstyle.errors import SinkError, UsageError, VidstyleError

if TYPE_CHECKING:
    from vidstyle.job import FileJob
    from vidstyle.report import Report


def file(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="The video: a file, a URL, - for standard input, or numbered pictures: shot.%04d.png or their folder.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A file, numbered pictures (drawn/shot.%04d.png), a folder, - for standard output; "
            "NAME.STYLE.EXT if left out.",
        ),
    ] = None,
    fps: Annotated[
        str | None,
        typer.Option(metavar="RATE", help="Of numbered pictures, how many a second: 24, 23.976, 30000/1001."),
    ] = None,
    style: opt.Style = "anime",
    strength: opt.Strength = 1.0,
    size: opt.Size = "auto",
    steady: opt.Steady = 0.0,
    start: job.Start = None,
    end: job.End = None,
    deinterlace: job.Deinterlace = "auto",
    hdr: job.Hdr = "sdr",
    compare: job.Compare = False,
    codec: job.Codec = None,
    crf: job.Crf = None,
    preset: job.Preset = None,
    pixel_format: job.PixelFormat = None,
    encoder_option: job.EncoderOption = None,
    pipe: Annotated[str, typer.Option(metavar="mkv|y4m", help="What standard output gets.")] = "mkv",
    overwrite: opt.Overwrite = False,
    resume: opt.Resume = False,
    strict: job.Strict = False,
    no_limit: job.NoLimit = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as JSON, too.")] = None,
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    threads: opt.Threads = 0,
    engine: opt.EngineName = "auto",
    no_build: opt.NoBuild = False,  # noqa: ARG001 - its callback tells it
    json: opt.Json = False,
) -> int:
    """Style a video: vidstyle file in.mp4 --style anime

    Sound, subtitles, chapters and every picture's time are kept; a report at the end says so.
    """
    from dataclasses import replace

    from vidstyle.cli.console import human
    from vidstyle.containers import pipe_format
    from vidstyle.inputs import video_input
    from vidstyle.outputs import PIPE, check_report, parse_output

    target, folder = parse_output(output)
    settled = job.file_job(
        video_input(source, fps, opt.was_given(context, "fps")),
        target,
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
        resume=resume,
        steady=steady,
    )
    settled = replace(settled, folder=folder, pipe=pipe_format(pipe))
    if settled.output != PIPE and opt.was_given(context, "pipe"):
        raise UsageError(f"--pipe {pipe} is for standard output: add -o -, or leave it out")
    if resume and (settled.output == PIPE or settled.input.path is None):
        what = "standard output" if settled.output == PIPE else settled.input.name
        raise UsageError(f"--resume goes on where a file is made from a file, got {what}: leave it out")
    if report is not None:
        check_report(report)
    result = _run(settled, json)
    if report is not None:
        _save(result, report)
    if strict and not result.kept_everything:
        human(f"vidstyle: --strict: {'; '.join(result.strict_losses())}")
    return VidstyleError.exit_code if result.losses or (strict and not result.kept_everything) else 0


def _run(settled: FileJob, json: bool) -> Report:
    import av

    from vidstyle.cli.console import event, human
    from vidstyle.job import stylize_file
    from vidstyle.outputs import PIPE

    # Silence, not a high threshold: that would call back into Python from the threads that closing waits for.
    av.logging.set_level(None)
    json_out = json and settled.output != PIPE  # the video has standard output
    with watch(settled.input.name, json_out) as on_progress:
        report = stylize_file(settled, on_progress)
    if json_out:
        event({"event": "done", **report.as_dict()})
    else:
        for line in report.lines():
            human(line)
    return report


def _save(report: Report, path: Path) -> None:
    import json

    from vidstyle.whole import write_whole

    try:
        write_whole(path, json.dumps(report.as_dict(), indent=1).encode())
    except OSError as error:
        raise SinkError(f"cannot write the report {path}: {error.strerror or error}") from error
