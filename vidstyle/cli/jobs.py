"""The options that decide a video's result, and the job they make: one definition for `file` and `batch`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidstyle.cli import options as opt
from vidstyle.errors import UsageError

if TYPE_CHECKING:
    from vidstyle.inputs import Input
    from vidstyle.job import FileJob

Start = Annotated[str | None, typer.Option(metavar="TIME", help="Begin here: 12.5 or 1:02:03.5.")]
End = Annotated[str | None, typer.Option(metavar="TIME", help="End here.")]
Deinterlace = Annotated[str, typer.Option(metavar="WHEN", help="auto (where the video is flagged), always or never.")]
Hdr = Annotated[
    str, typer.Option(metavar="sdr|keep", help="sdr: tone-map HDR for every screen; keep: write HDR in 10 bits.")
]
NoLimit = Annotated[bool, typer.Option("--no-limit", help="Allow videos that claim to be enormous.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 if anything but the look differs from the source.")]
PixelFormat = Annotated[
    str | None, typer.Option(metavar="NAME", help="As yuv444p or yuv420p10le; what every player shows if left out.")
]
Compare = Annotated[bool, typer.Option("--compare", help="Source and result side by side.")]
Codec = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="h264, hevc, av1, vp9, or an FFmpeg encoder's name; what suits the container if left out."
    ),
]
Crf = Annotated[float | None, typer.Option(metavar="N", help="Quality of the encoder: lower is better and larger.")]
Preset = Annotated[str | None, typer.Option(metavar="NAME", help="Speed of the encoder, as veryfast or slow.")]
EncoderOption = Annotated[
    list[str] | None,
    typer.Option(metavar="K=V", help="An option of the encoder, as tune=animation; repeat for more."),
]


def file_job(
    source: Path | Input,
    output: Path | None = None,
    *,
    style: str,
    strength: float,
    size: str,
    start: str | None,
    end: str | None,
    deinterlace: str,
    hdr: str,
    no_limit: bool,
    compare: bool,
    codec: str | None,
    crf: float | None,
    preset: str | None,
    pixel_format: str | None,
    encoder_option: list[str] | None,
    overwrite: bool,
    device: str,
    precision: str,
    threads: int,
    engine: str,
    resume: bool = False,
    steady: float = 0.0,
) -> FileJob:
    """The job that the options' texts mean.

    Raises:
        UsageError, StyleError: one of them means nothing.
    """
    from dataclasses import replace

    from vidstyle.catalog import parse_recipe
    from vidstyle.codecs import EncoderOptions
    from vidstyle.engine_options import EngineOptions
    from vidstyle.job import FileJob
    from vidstyle.sink import SinkOptions
    from vidstyle.source import SourceOptions

    begin, stop = opt.parse_time(start, "--start"), opt.parse_time(end, "--end")
    if stop is not None and stop <= (begin or 0):
        raise UsageError(f"--end {end} is not after --start {start or 0}")
    encoder = EncoderOptions(codec, crf, preset, opt.parse_pairs(encoder_option or []), pix_fmt=pixel_format)
    reading = SourceOptions.of_size(opt.parse_size(size))
    reading = replace(reading, start=begin, end=stop, originals=compare, deinterlace=deinterlace, hdr=hdr)
    return FileJob(
        source,
        parse_recipe(style, strength),
        output,
        replace(reading, limit=None) if no_limit else reading,
        SinkOptions(encoder, compare, overwrite),
        EngineOptions(engine, device, precision, threads),
        resume,
        steady=steady,
    )
