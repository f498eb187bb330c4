"""The user's config.toml: defaults for the command line's options, one table a command."""

from __future__ import annotations

import tomllib
from typing import Any

from vidstyle.errors import UsageError
from vidstyle.paths import config_file


def read_config() -> dict[str, Any]:
    """Defaults by command and option, as ``{"file": {"style": "anime"}}``; empty without a file.

    Read from the user's own folder only, never from the folder a command runs in. Values only: nothing
    in it can run code.

    Raises:
        UsageError: the file is not TOML, or a table is missing.
    """
    path = config_file()
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise UsageError(f"{path}: {name} stands outside of a table; write it below [file] or another command")
    # Options are named as on the command line; Typer knows them with underscores.
    return {name: {key.replace("-", "_"): value for key, value in table.items()} for name, table in tables.items()}
