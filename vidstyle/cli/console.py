"""What the commands print: human text on stderr, results on stdout, JSON lines on stdout with --json."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from vidstyle.errors import SinkError
from vidstyle.signals import to_nowhere

SHORTEST = 12  # columns that a name gets however narrow the terminal is


def is_terminal() -> bool:
    """Whether a person watches stderr on a terminal that can redraw a line."""
    return sys.stderr is not None and sys.stderr.isatty()


class Screen:
    """Standard error, for people. Hours of work do not end since nobody can read them.

    Once it cannot be written, since its terminal is gone or its disk is full, what follows goes nowhere.
    """

    def __init__(self) -> None:
        self._stream: Any = sys.stderr

    def write(self, text: str) -> int:
        self._try(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, action: Callable[..., object], *arguments: str) -> None:
        try:
            action(*arguments)
        except BrokenPipeError:
            raise
        except OSError:
            forget(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def human(text: str = "") -> None:
    """A line for people, on stderr if it is open. What a name could do to a terminal is shown as an escape."""
    from vidstyle.report import printable

    _write(None if sys.stderr is None else Screen(), printable(text))


def drawing(**settings: Any) -> Any:
    """A `rich.console.Console` that draws on the terminal which stderr is; it goes on where that is gone."""
    from rich.console import Console

    return Console(file=Screen(), **settings)  # type: ignore[arg-type]


def redraw(text: str = "") -> None:
    """Put ``text`` in place of the line that the cursor is on, of the terminal which stderr is; too long, it is cut."""
    from rich.cells import set_cell_size

    from vidstyle.report import printable

    screen = Screen()
    try:
        columns = os.get_terminal_size(screen.fileno()).columns  # stdout may be another terminal, or none
    except OSError:  # it is gone
        columns = 80
    screen.write(f"\r\x1b[K{set_cell_size(printable(text), columns - 1).rstrip()}")
    screen.flush()


def shortened(text: str, columns: int) -> str:
    """``text`` in that many columns of a terminal, or in `SHORTEST`: the end of a longer one, where names differ."""
    from rich.cells import cell_len

    columns = max(columns, SHORTEST)
    if cell_len(text) <= columns:
        return text
    while cell_len(text) >= columns:
        text = text[1:]
    return f"…{text}"


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
