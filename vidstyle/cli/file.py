"""vidstyle file: style one video, keep everything else of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidstyle.cli import options as opt
from vidstyle.cli.progress import watch
from vidstyle.errors import UsageError, VidstyleError

if TYPE_CHECKING:
    from vidstyle.job import FileJob


def file(
    source: Annotated[Path, typer.Argument(metavar="IN", help="The video.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="The result; NAME.STYLE.EXT beside the video if left out."),
    ] = None,
    style: opt.Style = "anime",
    strength: opt.Strength = 1.0,
    size: opt.Size = "720",
    start: Annotated[str | None, typer.Option(metavar="TIME", help="Begin here: 12.5 or 1:02:03.5.")] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="End here.")] = None,
    deinterlace: Annotated[str, typer.Option(help="auto (where the video is flagged), always or never.")] = "auto",
    compare: Annotated[bool, typer.Option("--compare", help="Source and result side by side.")] = False,
    codec: Annotated[
        str | None,
        typer.Option(help="h264, hevc, av1, vp9, or an FFmpeg encoder's name; what suits the container if left out."),
    ] = None,
    crf: Annotated[float | None, typer.Option(help="Quality of the encoder: lower is better and larger.")] = None,
    preset: Annotated[str | None, typer.Option(help="Speed of the encoder, as veryfast or slow.")] = None,
    encoder_option: Annotated[
        list[str] | None,
        typer.Option(metavar="K=V", help="An option of the encoder, as tune=animation; repeat for more."),
    ] = None,
    overwrite: opt.Overwrite = False,
    resume: opt.Resume = False,
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    threads: opt.Threads = 0,
    engine: opt.EngineName = "openvino",
    json: opt.Json = False,
) -> int:
    """Style a video: vidstyle file in.mp4 --style anime

    Sound, subtitles, chapters and every picture's time are kept; a report at the end says so.
    """
    from vidstyle.catalog import parse_recipe
    from vidstyle.codecs import EncoderOptions
    from vidstyle.job import EngineOptions, FileJob
    from vidstyle.sink import SinkOptions
    from vidstyle.source import SourceOptions

    begin, stop = opt.parse_time(start, "--start"), opt.parse_time(end, "--end")
    if stop is not None and stop <= (begin or 0):
        raise UsageError(f"--end {end} is not after --start {start or 0}")
    encoder = EncoderOptions(codec, crf, preset, opt.parse_pairs(encoder_option or []))
    job = FileJob(
        source,
        parse_recipe(style, strength),
        output,
        SourceOptions(opt.parse_size(size), begin, stop, originals=compare, deinterlace=deinterlace),
        SinkOptions(encoder, compare, overwrite),
        EngineOptions(engine, device, precision, threads),
        resume,
    )
    return _run(job, json)


def _run(job: FileJob, json: bool) -> int:
    import av

    from vidstyle.cli.console import event, human
    from vidstyle.job import stylize_file

    # Silence, not a high threshold: that would call back into Python from the threads that closing waits for.
    av.logging.set_level(None)
    with watch(job.source.name, json) as on_progress:
        report = stylize_file(job, on_progress)
    if json:
        event({"event": "done", **report.as_dict()})
    else:
        for line in report.lines():
            human(line)
    return VidstyleError.exit_code if report.losses else 0
