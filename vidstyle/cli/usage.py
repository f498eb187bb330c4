"""What is said of a command line that cannot be understood: one line, with what was probably meant."""

from __future__ import annotations

import os
import shlex
from typing import Any


def shows_help(error: Any) -> bool:
    """Whether nothing was given to a command with commands: its message is the help then."""
    return type(error).__name__ == "NoArgsIsHelpError"


def usage_message(error: Any, args: list[str]) -> str:
    """One line about a usage error of Typer's, ``args`` being the words that were given."""
    command = error.ctx.command_path if error.ctx else "vidstyle"
    return f"{_meant(command, error.format_message().rstrip('.'), args)} (see {command} --help)"


def _meant(command: str, message: str, args: list[str]) -> str:
    files = [arg for arg in args if os.path.lexists(arg)]
    if command == "vidstyle" and files[:1] == args[:1]:
        name = shlex.quote(files[0])
        what = f"batch {name} -o OUTDIR" if os.path.isdir(files[0]) else f"file {name}"  # noqa: PTH112 - one too long is none
        return f"no command is given for {name}: vidstyle {what}"
    if dashed := [name for name in files if name.startswith("-")]:
        return f"{message}: a file of that name is given as {shlex.quote(f'./{dashed[0]}')}"
    if command == "vidstyle file" and "extra argument" in message:
        return f"{message}: vidstyle batch takes several videos; a name with spaces needs quotes"
    return message
