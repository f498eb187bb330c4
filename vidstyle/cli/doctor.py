"""vidstyle doctor: what works here, and the line that mends what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

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
    from vidstyle.cli.console import event
    from vidstyle.health import check_all, exit_code
    from vidstyle.health_optional import check_live

    checks = []
    for check in chain(check_all(lambda: check_config(app)), check_live() if live else ()):
        checks.append(check)
        if json:
            event({"event": "check", **asdict(check)})
    code = exit_code(checks)
    if json:
        event({"event": "done", "ok": code == 0, "exit_code": code})
    else:
        _table(checks)
    return code


def _table(checks: list[Check]) -> None:
    import io
    import sys

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from vidstyle.cli.console import result

    table = Table(box=None, pad_edge=False, show_header=False)
    for fixed in (True, True, False):
        table.add_column(no_wrap=fixed, overflow="fold")
    for check in checks:
        found = Text(check.found)
        if check.fix:
            found.append(f"\nfix: {check.fix}", style=_COLOURS[check.state])
        table.add_row(Text(check.state, style=_COLOURS[check.state]), Text(check.name), found)
    # Drawn to a text first: the terminal may lack letters that a path or a name has.
    terminal = sys.stdout.isatty()
    text, width = io.StringIO(), {} if terminal else {"width": 2000}
    options: dict[str, Any] = {"file": text, "force_terminal": terminal, "highlight": False, **width}
    Console(**options).print(table)
    result("\n".join(line.rstrip() for line in text.getvalue().splitlines()))
