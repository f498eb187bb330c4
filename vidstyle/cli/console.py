"""What the commands print: human text on stderr, results on stdout, JSON lines on stdout with --json."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import suppress
from typing import Any

from vidstyle.errors import SinkError
from vidstyle.signals import to_nowhere


def is_terminal() -> bool:
    """Whether a person watches stderr on a terminal that can redraw a line."""
    return sys.stderr is not None and sys.stderr.isatty()


def human(text: str = "") -> None:
    """A line for people, on stderr. What a file's name could do to a terminal is shown as an escape.

    Hours of work do not end since nobody can read them: where stderr is closed, or its disk is full, nothing is said.
    """
    from vidstyle.report import printable

    try:
        _write(sys.stderr, printable(text))
    except BrokenPipeError:
        raise
    except OSError:
        sys.stderr = None


def result(text: str) -> None:
    """A line of a command's result, on stdout.

    Raises:
        SinkError: it cannot be written.
    """
    try:
        _write(sys.stdout, text)
    except BrokenPipeError:
        raise
    except OSError as error:
        forget(sys.stdout)
        raise SinkError(f"cannot write to standard output: {error.strerror or error}") from error


def forget(stream: Any) -> None:
    """Let what a stream holds go nowhere: the interpreter would fail on it at its exit, with a code of its own."""
    with suppress(OSError):
        to_nowhere(stream.fileno())


def width() -> int:
    """Letters on a line of stdout; a pipe has no width: its lines stay whole."""
    return shutil.get_terminal_size().columns if _on_terminal() else 2000


def _on_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def table(drawn: Any) -> None:
    """A `rich.table.Table` as the result. Raises as `result`."""
    import io

    from rich.console import Console

    # Drawn to a text first: the terminal may lack letters that a path or a name has.
    text = io.StringIO()
    Console(file=text, force_terminal=_on_terminal(), highlight=False, width=width()).print(drawn)
    result("\n".join(line.rstrip() for line in text.getvalue().splitlines()))


def event(data: dict[str, Any]) -> None:
    """One JSON object on a line of stdout, for programs (--json). Raises as `result`."""
    result(json.dumps(data, ensure_ascii=True, default=str))


def _write(stream: Any, text: str) -> None:
    if stream is None:  # it is closed
        return
    # A file name may hold anything, and the terminal may speak ASCII only (locale C).
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()
