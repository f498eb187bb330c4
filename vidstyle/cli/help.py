"""Help as Typer writes it, but without a type for options that take no value."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


class Command(TyperCommand):
    """A command that shows ``--overwrite``, and not ``--overwrite <bool>``."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _without_types(self.get_params(ctx))
        super().format_help(ctx, formatter)


class Group(TyperGroup):
    """As `Command`, of a command with commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _without_types(self.get_params(ctx))
        super().format_help(ctx, formatter)


def show_plainly(app: typer.Typer) -> None:
    """Let the commands that an app has so far be `Command`."""
    for command in app.registered_commands:
        command.cls = Command


def _without_types(params: list[Any]) -> None:
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
