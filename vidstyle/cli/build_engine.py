"""vidstyle build-engine: GPU engines built, checked and timed ahead of the first video; listed and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vidstyle.cli import options as opt
from vidstyle.errors import SOME_FAILED, EngineError, Interrupted, UsageError

if TYPE_CHECKING:
    from vidstyle.built import Build, Entry, Record
    from vidstyle.engine import EngineSpec
    from vidstyle.style import Style

SIZES = ["720x1280", "1080x1920"]
USUAL_LEVEL = 3
TILINGS = ("none", "fast", "moderate", "full")


def build_engine(
    style: opt.Style = "anime",
    every: Annotated[bool, typer.Option("--all", help="Every style that comes with vidstyle.")] = False,
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="HxW", help="Height and width that the network works at; repeat for more. [720p, 1080p]"),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Pictures a call.")] = 1,
    precision: opt.Precision = "auto",
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="tensorrt, or cuda, which is only checked and timed; auto.")
    ] = "auto",
    device: opt.Device = "auto",
    optimization_level: Annotated[
        int | None,
        typer.Option(min=0, max=5, metavar="N", help="How long TensorRT searches: 3 if left out, 5 for the longest."),
    ] = None,
    tiling: Annotated[
        str | None, typer.Option(metavar="|".join(TILINGS), help="How long TensorRT searches for a tiling of layers.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Build again what is built.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="Only list what is built.")] = False,
    remove: Annotated[
        str | None, typer.Option(metavar="STYLE|KEY|all", help="Remove what is built: 8 characters of a key will do.")
    ] = None,
    json: opt.Json = False,
) -> int:
    """Build GPU engines ahead: vidstyle build-engine --style anime

    Each is checked against the reference, timed, and kept; file, live and batch then use it.

    Without this the first video of a size waits for its engine to be built. Exit code 3 when some could not be.
    """
    from vidstyle.built import Build
    from vidstyle.engine import EngineSpec

    if listing:
        return _list(json)
    if remove is not None:
        return _remove(remove, json)
    if tiling not in (None, *TILINGS):
        raise UsageError(f"--tiling is {tiling!r}: expected {', '.join(TILINGS)}")
    if precision == "int8":
        raise UsageError("--precision int8 is for OpenVINO on a CPU: expected f16, bf16 or f32 for a GPU")
    sides = [_parse_size(text) for text in size or SIZES]
    runtime, device = _gpu_engine(engine, device)
    jobs = [
        (chosen, EngineSpec(height, width, batch, precision, device, in_flight=0))
        for chosen in _styles(style, every)
        for height, width in sides
    ]
    levels = None
    if optimization_level is not None or tiling is not None:
        levels = (USUAL_LEVEL if optimization_level is None else optimization_level, tiling or "none")
    return _build(jobs, runtime, Build(lambda text: _tell(text, json), force, levels, may=True), json)


def _build(jobs: list[tuple[Style, EngineSpec]], runtime: str, settings: Build, json: bool) -> int:
    """Each job in turn; one that fails does not stop the others."""
    from vidstyle.building import build
    from vidstyle.built import BUILD
    from vidstyle.cli.console import event

    records: list[Record] = []
    failures: list[EngineError] = []
    before = BUILD.set(settings)
    try:
        for style, spec in jobs:
            try:
                records.append(build(style, spec, runtime))
            except EngineError as error:
                failures.append(error)
                _failed(style, spec, error, json)
            else:
                if json:
                    event({"event": "built", **records[-1].as_dict()})
    except Interrupted as stop:
        if records:
            stop.add_note(f"{len(records)} of {len(jobs)} are built, and kept")
        raise
    finally:
        BUILD.reset(before)
    if json:
        event({"event": "done", "ok": not failures, "built": len(records), "failed": len(failures)})
    elif records:
        _table(records)
    return 0 if not failures else SOME_FAILED if records else failures[0].exit_code


def _gpu_engine(engine: str, device: str) -> tuple[str, str]:
    from vidstyle.choice import GPU_ENGINES, choose

    if engine not in ("auto", *GPU_ENGINES):
        raise UsageError(f"--engine is {engine!r}: expected {' or '.join(GPU_ENGINES)}; others need no build")
    runtime, device = choose(engine, "cuda" if device == "auto" else device)
    if runtime not in GPU_ENGINES:
        raise EngineError(f"{runtime} needs no build: only {' and '.join(GPU_ENGINES)}, on an NVIDIA GPU, do")
    return runtime, device


def _styles(style: str, every: bool) -> list[Style]:
    from vidstyle.catalog import PACKAGE, list_styles, load_found, parse_recipe

    if not every:
        return [part for part, _ in parse_recipe(style).parts]
    return [load_found(found) for found in list_styles() if found.origin == PACKAGE and not found.shadowed]


def _parse_size(text: str) -> tuple[int, int]:
    import re

    if not (match := re.fullmatch(r"(\d{2,5})x(\d{2,5})", text)):
        raise UsageError(f"--size is {text!r}: expected height x width, as 1080x1920")
    return int(match[1]), int(match[2])


def _tell(text: str, json: bool) -> None:
    from vidstyle.cli.console import event, human

    if json:
        event({"event": "step", "text": text})
    else:
        human(text)


def _failed(style: Style, spec: EngineSpec, error: EngineError, json: bool) -> None:
    from vidstyle.cli.console import event, human

    what = {"style": style.card.name, "height": spec.height, "width": spec.width, "batch": spec.max_batch}
    if json:
        event({"event": "failed", **what, "error": str(error)})
    else:
        human(f"failed: {style.card.name} at {spec.width}x{spec.height}: {error}")


def _list(json: bool) -> int:
    from vidstyle.built import entries, folder
    from vidstyle.cli.console import event, human

    found = entries()
    good = [entry.record for entry in found if entry.record]
    bad = [entry for entry in found if not entry.record]
    if json:
        for record in good:
            event({"event": "engine", "ok": True, **record.as_dict()})
        for entry in bad:
            event({"event": "engine", "ok": False, "key": entry.digest, "problem": entry.problem})
        return 0
    if good:
        _table(good)
    for entry in bad:
        human(f"{entry.digest}: {entry.problem}; it is not used: vidstyle build-engine --remove {entry.digest}")
    if not found:
        human(f"nothing is built in {folder()}")
    return 0


def _remove(which: str, json: bool) -> int:
    from vidstyle import built
    from vidstyle.cli.console import event, result

    if not which:
        raise UsageError("--remove needs a style, the beginning of a key, or all")
    gone = built.remove(which)
    if not gone and which != "all":
        key = f"a style, or {built.SHOWN} characters or more of a key"
        raise UsageError(f"nothing that is built is called {which!r}: give {key}, see vidstyle build-engine --list")
    for entry in gone:
        if json:
            event({"event": "removed", "key": entry.digest})
        else:
            result(f"removed {_named(entry)}")
    if not gone and not json:
        result("nothing is built")
    return 0


def _named(entry: Entry) -> str:
    if entry.record is None:
        return entry.digest
    key = entry.record.key
    return f"{entry.digest}, {entry.record.style} at {key.width}x{key.height}"


def _table(records: list[Record]) -> None:
    from rich.table import Table
    from rich.text import Text

    from vidstyle.cli import console

    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("key", "style", "pictures", "MB", "dB", "ms", "fps", "on"):
        numeric = head in ("MB", "dB", "ms", "fps")
        table.add_column(head, justify="right" if numeric else "left", no_wrap=head != "on", overflow="fold")
    for record in records:
        table.add_row(*map(Text, _cells(record)))
    console.table(table)


def _cells(record: Record) -> list[str]:
    from vidstyle.built import SHOWN

    key = record.key
    levels = (
        "" if (key.optimization_level, key.tiling) == (USUAL_LEVEL, "none") else f", level {key.optimization_level}"
    )
    tiling = "" if key.tiling == "none" else f", tiling {key.tiling}"
    is_built = record.bytes > 0  # else the engine's own description is all there is to say
    return [
        key.digest[:SHOWN],
        record.style,
        f"{f'{key.batch} of ' if key.batch > 1 else ''}{key.width}x{key.height} {key.precision}",
        f"{record.bytes / 1e6:.1f}" if is_built else "-",
        "exact" if record.psnr >= 999 else f"{record.psnr:.1f}",
        f"{record.ms:.2f}" if record.ms else "-",
        f"{record.fps:.0f}" if record.fps else "-",
        f"{key.gpu.rpartition(',')[0]}, {key.runtime}{levels}{tiling}" if is_built else key.gpu,
    ]
