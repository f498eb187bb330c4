"""vidstyle image: stills in a look. vidstyle preview: one picture in all looks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidstyle.cli import options as opt
from vidstyle.errors import SOME_FAILED, Interrupted, SinkError, SourceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vidstyle.images import PictureReport

# ``readable=False``: for Typer a source that cannot be read is a mistake in the command's words, exit code 2.
Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="OUT", help="A file, or a folder; beside the picture if left out."),
]


def image(
    sources: Annotated[
        list[Path], typer.Argument(metavar="IN", readable=False, help="Pictures: jpg, png, webp, tiff, bmp ...")
    ],
    output: Output = None,
    style: opt.Style = "anime",
    strength: opt.Strength = 1.0,
    size: opt.Size = "auto",
    quality: Annotated[
        int, typer.Option(min=1, max=100, metavar="N", help="Of a .jpg or .webp; 100 is exact in a .webp.")
    ] = 92,
    overwrite: opt.Overwrite = False,
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    threads: opt.Threads = 0,
    engine: opt.EngineName = "auto",
    no_build: opt.NoBuild = False,  # noqa: ARG001 - its callback tells it
    json: opt.Json = False,
) -> int:
    """Style pictures: vidstyle image photo.jpg --style anime

    The result is upright and keeps the picture's size, and its transparency in .png and .webp.

    Of several pictures one that fails does not stop the others; the exit code is 3 then.
    """
    from vidstyle.catalog import parse_recipe
    from vidstyle.choice import choose
    from vidstyle.images import check_source, check_target, stylize_image, targets
    from vidstyle.outputs import output_folder
    from vidstyle.stylizer import Stylizer

    short_side = opt.parse_size(size)
    recipe = parse_recipe(style, strength)
    sources = list({path.absolute(): path for path in sources}.values())  # each once
    outputs = targets(sources, output, recipe.name)
    folder = output_folder(output, len(sources) > 1)
    owners: dict[Path, Path] = {}
    engine, device = choose(engine, device, builds=False)  # stills come in many sizes
    with Stylizer(recipe, engine, device, precision, threads) as stylizer:

        def run(source: Path, target: Path) -> PictureReport:
            check_source(source)
            if (other := owners.setdefault(target, source)) != source:
                raise SinkError(f"{other} and {source} would both become {target}: rename one")
            try:
                check_target(target, sources, overwrite, folder)
            except UsageError as error:
                if len(sources) == 1:
                    raise
                raise SinkError(str(error)) from error  # of one picture; the others go on
            return stylize_image(source, target, stylizer, short_side, quality)

        return _each(list(zip(sources, outputs, strict=True)), run, json)


def _each(pairs: list[tuple[Path, Path]], run: Callable[[Path, Path], PictureReport], json: bool) -> int:
    """Style one after the other; what is wrong with one picture does not stop the rest."""
    from vidstyle.cli.console import event, human

    styled = failed = 0
    try:
        for source, target in pairs:
            try:
                report = run(source, target)
            except (SourceError, SinkError) as error:
                if len(pairs) == 1:
                    raise
                failed += 1
                _failed(source, error, json)
            else:
                styled += 1
                _styled(report, json)
    except Interrupted as stop:
        if styled:
            stop.add_note(f"{styled} of {len(pairs)} pictures styled")
        raise
    if json:
        event({"event": "done", "pictures": styled, "failed": failed})
    elif len(pairs) > 1:
        human(f"{styled} of {len(pairs)} pictures styled")
    return SOME_FAILED if failed else 0


def _failed(source: Path, error: SourceError | SinkError, json: bool) -> None:
    from vidstyle.cli.console import event, human

    human(f"vidstyle: {error}")
    if json:
        event({"event": "failed", "source": str(source), "error": str(error), "exit_code": error.exit_code})


def _styled(report: PictureReport, json: bool) -> None:
    from vidstyle.cli.console import event, human

    if json:
        event({"event": "picture", **report.as_dict()})
    else:
        notes = "".join(f"; {note}" for note in report.notes)
        human(f"{report.output}: {report.width}x{report.height}, {report.seconds:.2f} s{notes}")


def preview(
    source: Annotated[
        Path, typer.Argument(metavar="IN", readable=False, help="A video, a picture, or numbered pictures.")
    ],
    output: Output = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Of a video, the picture at 12.5 or 1:02:03.5; else a third in."),
    ] = None,
    size: opt.Size = "auto",
    overwrite: opt.Overwrite = False,
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    threads: opt.Threads = 0,
    engine: opt.EngineName = "auto",
    no_build: opt.NoBuild = False,  # noqa: ARG001 - its callback tells it
    json: opt.Json = False,
) -> int:
    """Show one picture in every look there is: vidstyle preview in.mp4 -o looks.png"""
    from vidstyle.choice import choose
    from vidstyle.cli.console import event, human
    from vidstyle.engine_options import EngineOptions
    from vidstyle.images import check_source, check_target, targets, write_picture
    from vidstyle.numbering import find_series
    from vidstyle.outputs import output_folder
    from vidstyle.picture import Picture, encode_picture
    from vidstyle.preview import contact_sheet, looks, sample_picture, usable_styles

    short_side, time = opt.parse_size(size), opt.parse_time(at, "--at")
    series = find_series(str(source))
    target = targets([source if series is None else series.named], output, "preview", ".png")[0]
    if series is not None:
        source = series.path(series.first + series.count // 3)
    check_source(source)
    check_target(target, [source], overwrite, output_folder(output, False))
    styles, left_out = usable_styles()
    engine, device = choose(engine, device, builds=False)
    picture = sample_picture(source, time, short_side)
    sheet = contact_sheet(list(looks(picture, styles, EngineOptions(engine, device, precision, threads))))
    write_picture(target, encode_picture(Picture(sheet), target.suffix))
    names = [name for name, _ in styles]
    if json:
        event({"event": "done", "output": str(target), "styles": names, "left_out": left_out})
        return 0
    human(f"{target}: {', '.join(names)}")
    for reason in left_out:
        human(f"  left out: {reason}")
    return 0
