"""The user's config.toml: defaults for the command line's options, one table a command."""

from __future__ import annotations

import tomllib
from typing import Any

from vidstyle.errors import UsageError
from vidstyle.paths import config_file


def read_config() -> dict[str, dict[str, Any]]:
    """The file's tables, as ``{"file": {"style": "anime", "encoder-option": ["a=b"]}}``; empty without a file.

    Read from the user's own folder only, never from the folder a command runs in. Values only: nothing
    in it can run code. `vidstyle.cli.config` checks names and values.

    Raises:
        UsageError: the file cannot be read, is not TOML, or a value stands outside of a table.
    """
    path = config_file()
    try:
        tables = tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise UsageError(f"{path}: {name} stands outside of a table; write it below [file] or another command")
    return tables
