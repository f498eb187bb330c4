"""Help as Typer writes it without Rich, whole at every width, and in words in place of Python's types."""

from __future__ import annotations

import re
import shutil
from functools import partial
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

NARROWEST, WIDEST = 32, 100  # letters of a line


class Plain:
    """Help that cuts nothing off, as Typer's boxes do at 80 letters, and that knows no types."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _in_words(self.get_params(ctx))  # type: ignore[attr-defined]
        _fit(formatter)
        super().format_help(ctx, formatter)  # type: ignore[misc]

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """``IN...``, where Typer has ``{IN}...``."""
        return [re.sub(r"^{(.*)}", r"\1", piece) for piece in super().collect_usage_pieces(ctx)]  # type: ignore[misc]

    def get_short_help_str(self, limit: int = 0) -> str:
        """The whole first sentence: what it is cut to would be an example without its end."""
        return super().get_short_help_str(max(limit, 1000))  # type: ignore[misc]


class Command(Plain, TyperCommand):
    """A command with such help."""


class Group(Plain, TyperGroup):
    """As `Command`, of a command with commands."""


def show_plainly(app: typer.Typer) -> None:
    """Let the commands that an app has so far be `Command`."""
    for command in app.registered_commands:
        command.cls = Command


def _fit(formatter: Any) -> None:
    """Fit the lines to the terminal; an option that would take more than a third of one stands on a line of its own."""
    formatter.width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST) - 2
    formatter.write_dl = partial(formatter.write_dl, col_max=formatter.width // 3)


def _in_words(params: list[Any]) -> None:
    """No type where an option takes no value, nor beside an argument's name, where Typer writes <list[Path]>."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
        elif param.param_type_name == "argument":
            param.display_type_rich = lambda **_: ""
