"""The user's config.toml as defaults of the command line: known names and fitting values, or an error."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from typing import Any

import typer

from vidstyle.config import read_config
from vidstyle.errors import UsageError
from vidstyle.paths import config_file

#: what must work even where the file is broken: help, the version, and the command that says what is wrong
ALWAYS = {"-h", "--help", "--version"}
ANYWAY = {"doctor"}


def load_defaults(app: typer.Typer, args: Sequence[str]) -> dict[str, Any]:
    """click's ``default_map`` for a run with ``args``; a broken file counts as none for help and doctor.

    Raises:
        UsageError: see `check_config`.
    """
    try:
        return check_config(app)
    except UsageError:
        if works_anyway(args):
            return {}
        raise


def works_anyway(args: Sequence[str]) -> bool:
    command = next((arg for arg in args if not arg.startswith("-")), None)
    return command is None or command in ANYWAY or not ALWAYS.isdisjoint(args) or "_VIDSTYLE_COMPLETE" in os.environ


def check_config(app: typer.Typer) -> dict[str, Any]:
    """Read the file and settle it: defaults by command and parameter, as texts that the command line could give.

    Raises:
        UsageError: the file is broken, names a command or an option that is none, or a value does not fit.
    """
    tables = read_config()
    return _commands(typer.main.get_command(app), tables, []) if tables else {}


def _commands(group: Any, tables: dict[str, Any], path: list[str]) -> dict[str, Any]:
    found = {}
    for name, table in tables.items():
        if name not in group.commands:
            raise _unknown("command", name, group.commands, path)
        command, inner = group.commands[name], [*path, name]
        if not isinstance(table, dict):
            raise UsageError(f"{config_file()}: [{'.'.join(path)}] {name} is a command: write [{'.'.join(inner)}]")
        settle = _commands if hasattr(command, "commands") else _options
        found[name] = settle(command, table, inner)
    return found


def _options(command: Any, table: dict[str, Any], path: list[str]) -> dict[str, Any]:
    # By the option's own name: the parameter behind it may be called otherwise.
    known = {name[2:]: p for p in command.params for name in p.opts if name.startswith("--")}
    found = {}
    for key, value in table.items():
        option = known.get(key.replace("_", "-"))
        if option is None:
            raise _unknown("option", key, known, path)
        found[option.name] = _value(command, option, value, f"{config_file()}: [{'.'.join(path)}] {key}")
    return found


def _value(command: Any, option: Any, value: Any, where: str) -> Any:
    """The value as the command line would give it, once the option has accepted it."""
    if option.is_flag != isinstance(value, bool):
        raise UsageError(
            f"{where} is {value!r}: expected {'true or false' if option.is_flag else 'a text or a number'}"
        )
    if isinstance(value, list) and not option.multiple:
        raise UsageError(f"{where} is a list: expected one value")
    items = value if isinstance(value, list) else [value]
    if any(not isinstance(item, (str, int, float)) for item in items):
        raise UsageError(f"{where} is {value!r}: expected a text or a number")
    # A shell would do this with ~; a slash at the end, which says "a folder", stays.
    texts = [os.path.expanduser(item) if str(item).startswith("~/") else str(item) for item in items]  # noqa: PTH111
    given = value if option.is_flag else texts if option.multiple else texts[0]
    try:
        # Resilient: another command may be run, and a callback does nothing then.
        option.process_value(typer.Context(command, resilient_parsing=True), given)
    except typer.BadParameter as error:
        raise UsageError(f"{where} is {value!r}: {error.message}") from error
    return given


def _unknown(kind: str, name: str, known: Iterable[str], path: list[str]) -> UsageError:
    names = list(known)
    near = difflib.get_close_matches(name.replace("_", "-"), names, 1, 0)
    where = f"[{'.'.join(path)}] {name}" if kind == "option" else f"[{'.'.join([*path, name])}]"
    guess = f"did you mean {near[0]}? " if near else ""
    return UsageError(f"{config_file()}: {where} is no {kind}; {guess}There are: {', '.join(names) or 'none'}")
