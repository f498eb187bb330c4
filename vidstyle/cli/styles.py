"""``vidstyle styles``: which looks there are, where they come from, and getting more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import typer

from vidstyle.cli import console
from vidstyle.cli import options as opt

if TYPE_CHECKING:
    from vidstyle.catalog import FoundStyle
    from vidstyle.style import Card, Style

app = typer.Typer(
    help="The looks: list them, see their licence, import or pull more.", no_args_is_help=True, rich_markup_mode=None
)

NARROW = 60  # letters of a terminal that leaves a look's text no room beside the rest, which `info` shows

Overwrite = typer.Option(False, "--overwrite", help="Replace a style of that name.")


@app.command("list")
def list_(as_json: opt.Json = False) -> None:
    """List every style that --style takes: your own, those of the package, those of other packages."""
    from vidstyle.catalog import list_styles

    found = list_styles()
    if as_json:
        for style in found:
            console.event({"event": "style", **_found(style)})
    elif found:
        _table(found)
    else:
        console.human("No style is installed. Get one: vidstyle styles pull dctnet/anime")


@app.command()
def info(
    name: str = typer.Argument(
        metavar="NAME", help="A style's name, or the path of a style file.", autocompletion=opt.looks
    ),
    as_json: opt.Json = False,
) -> None:
    """Check one style and show its card: look, licence, origin, how it was made."""
    from vidstyle.catalog import find_style

    style = find_style(name)
    if as_json:
        console.event({"event": "style", "name": name, "path": style.path, "card": style.card.as_dict()})
        return
    _show(style.card)
    _row("file", style.path)


@app.command("import")
def import_(
    file: str = typer.Argument(metavar="FILE", help="A published cartoon_bg.pb or .tflite, or a style's .safetensors."),
    name: str | None = typer.Option(
        None, "--name", metavar="NAME", help="Name of the style; by default from the file's."
    ),
    overwrite: bool = Overwrite,
    as_json: opt.Json = False,
) -> None:
    """Bring a network or a style file into your own styles. Nothing in the file is executed."""
    from pathlib import Path

    from vidstyle.catalog import add_style

    card, path = add_style(Path(file), name, overwrite)
    if as_json:
        console.event({"event": "imported", "name": card.name, "path": path, "card": card.as_dict()})
        return
    _show(card)
    console.human(f"Imported to {path}. Use it: --style {card.name}")


@app.command()
def pull(
    model: str = typer.Argument(metavar="ID", help="dctnet/anime, 3d, handdrawn, sketch, artstyle, design, ..."),
    overwrite: bool = Overwrite,
    offline: bool = typer.Option(False, "--offline", envvar="VIDSTYLE_OFFLINE", help="Never use the network."),
    base_url: str | None = typer.Option(None, "--base-url", hidden=True),
    as_json: opt.Json = False,
) -> None:
    """Fetch a published DCT-Net network from its authors' hub and convert it."""
    from vidstyle.pull import HUB
    from vidstyle.pull import pull as fetch

    with _progress(model, as_json) as progress:
        pulled = fetch(model, overwrite=overwrite, offline=offline, base_url=base_url or HUB, progress=progress)
    if as_json:
        told = {"path": pulled.path, "url": pulled.url, "sha256": pulled.sha256, "checked": pulled.checked}
        console.event({"event": "pulled", "name": pulled.card.name, **told, "card": pulled.card.as_dict()})
        return
    _show(pulled.card)
    agrees = f"agrees with {pulled.checked}" if pulled.checked else "no digest to compare it with was to be had"
    _row("download", f"sha256 {pulled.sha256}: {agrees}")
    console.human(f"Pulled to {pulled.path}. Use it: --style {pulled.card.name}")


@app.command()
def verify(
    names: list[str] | None = typer.Argument(
        None, metavar="NAME", help="Names or paths; all when none.", autocompletion=opt.looks
    ),
    as_json: opt.Json = False,
) -> None:
    """Check that weights and cards agree and nothing was altered; exit code 7 if anything is bad."""
    from vidstyle.errors import StyleError

    bad = []
    checks = _checks(names or [])
    for name, check in checks:
        try:
            style, error = check(), ""
        except StyleError as problem:
            style, error = None, str(problem)
            bad.append(name)
        _verified(name, style, error, as_json)
    if bad:
        raise StyleError(f"{len(bad)} of {len(checks)} styles bad: {', '.join(bad)}; remove them or get them again")


@app.command()
def remove(
    name: str = typer.Argument(metavar="NAME", help="A style of your own.", autocompletion=opt.own_looks),
    as_json: opt.Json = False,
) -> None:
    """Delete a style from your own folder; those of packages stay."""
    from vidstyle.catalog import remove_style

    path = remove_style(name)
    if as_json:
        console.event({"event": "removed", "name": name, "path": path})
    else:
        console.result(f"removed {_clean(path)}")


def _found(style: FoundStyle) -> dict[str, Any]:
    return {
        "name": style.name,
        "origin": style.origin,
        "path": style.path,
        "shadowed": style.shadowed,
        "error": style.error or None,
        "card": style.card.as_dict() if style.card else None,
    }


def _checks(names: list[str]) -> list[tuple[str, Callable[[], Style]]]:
    """What to verify by name, as functions that read it whole."""
    from functools import partial

    from vidstyle.catalog import find_style, list_styles, load_found

    if names:
        return [(name, partial(find_style, name)) for name in names]
    return [(found.name, partial(load_found, found)) for found in list_styles()]


def _verified(name: str, style: Style | None, error: str, as_json: bool) -> None:
    if as_json:
        digest = style.card.sha256 if style else None
        console.event({"event": "verified", "name": name, "ok": not error, "sha256": digest, "error": error or None})
    else:
        console.result(f"ok   {_clean(name)}" if style else f"BAD  {_clean(name)}: {_clean(error)}")


def _table(found: list[FoundStyle]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    heads = ("style", "from", "look", "kflop/px", "licence")
    shown = heads if console.width() >= NARROW else ("style", "look")
    for head in shown:
        side: Literal["left", "right"] = "right" if head == "kflop/px" else "left"
        table.add_column(head, no_wrap=head != "look", overflow="fold", justify=side)
    for style in found:
        origin = style.origin + (" (shadowed)" if style.shadowed else "")
        if style.card:
            cost = f"{style.card.as_dict()['kflop_per_pixel']:.0f}"
            cells = [style.name, origin, style.card.look, cost, style.card.licence]
        else:
            cells = [style.name, origin, f"BAD: {style.error}", "", ""]
        row = (Text(_clean(cell)) for head, cell in zip(heads, cells, strict=True) if head in shown)
        table.add_row(*row, style="dim" if style.shadowed else "")
    console.table(table)


def _show(card: Card) -> None:
    data = card.as_dict()
    _row("style", data["name"])
    for key in ("look", "licence", "provenance"):
        _row(key, data[key])
    arch = data["architecture"]
    shape = f" {'-'.join(map(str, arch['widths']))}" if arch["widths"] else ""
    cost = f"{data['kflop_per_pixel']} kflop per pixel, {data['parameters']} parameters"
    _row("network", f"{arch['name']}{shape}, {cost}")
    width = max(map(len, data["training"]), default=0)
    for key, value in data["training"].items():
        _row(key, value, width)
    _row("sha256", data["sha256"])


def _row(key: str, value: object, width: int = 0) -> None:
    console.result(f"{_clean(key):<{max(14, width)}} {_clean(value)}")


def _clean(value: object) -> str:
    """One line without control codes: a card is anybody's text, and a terminal obeys codes."""
    return "".join(c if c.isprintable() else " " for c in str(value))


@contextmanager
def _progress(what: str, as_json: bool) -> Iterator[Callable[[int, int | None], None]]:
    """A function for a download's progress: a bar on a terminal, else a line every tenth."""
    if as_json or not console.is_terminal():
        yield _tenths(what, as_json)
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console.drawing(), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _tenths(what: str, as_json: bool) -> Callable[[int, int | None], None]:
    last = -1

    def tell(done: int, total: int | None) -> None:
        nonlocal last
        step = done * 10 // total if total else done >> 20  # without a size: every MB
        if step == last:
            return
        last = step
        if as_json:
            console.event({"event": "progress", "what": what, "done_bytes": done, "total_bytes": total})
        else:
            console.human(f"{what}: {done / 1e6:.1f} MB" + (f" of {total / 1e6:.1f}" if total else ""))

    return tell
