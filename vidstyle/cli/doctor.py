"""vidstyle doctor: what works here, and the line that mends what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vidstyle.cli import console
from vidstyle.cli import options as opt

if TYPE_CHECKING:
    from vidstyle.health import Check

#: colours for people who see them; the words say it all
_COLOURS = {"ok": "green", "info": "dim", "warn": "yellow", "fail": "bold red"}


def doctor(
    live: Annotated[bool, typer.Option("--live", help="Also what vidstyle live needs: cameras, drivers.")] = False,
    json: opt.Json = False,
) -> int:
    """Check everything vidstyle needs on this machine: versions, engine, styles, folders, config.

    Exit code 0 when nothing fails, 6 when the default engine cannot run.
    """
    from dataclasses import asdict
    from itertools import chain

    from vidstyle.cli import app
    from vidstyle.cli.config import check_config
    from vidstyle.health import check_all, exit_code
    from vidstyle.health_optional import check_live

    checks = []
    for check in chain(check_all(lambda: check_config(app)), check_live() if live else ()):
        checks.append(check)
        if json:
            console.event({"event": "check", **asdict(check)})
    code = exit_code(checks)
    if json:
        console.event({"event": "done", "ok": code == 0, "exit_code": code})
    else:
        _table(checks)
    return code


def _table(checks: list[Check]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    for fixed in (True, True, False):
        table.add_column(no_wrap=fixed, overflow="fold")
    for check in checks:
        found = Text(check.found)
        if check.fix:
            found.append(f"\nfix: {check.fix}", style=_COLOURS[check.state])
        table.add_row(Text(check.state, style=_COLOURS[check.state]), Text(check.name), found)
    console.table(table)
