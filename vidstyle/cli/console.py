"""What the commands print: human text on stderr, results on stdout, JSON lines on stdout with --json."""

from __future__ import annotations

import json
import sys
from typing import Any


def is_terminal() -> bool:
    """Whether a person watches stderr on a terminal that can redraw a line."""
    return sys.stderr.isatty()


def human(text: str = "") -> None:
    """A line for people, on stderr."""
    _write(sys.stderr, text)


def result(text: str) -> None:
    """A line of a command's result, on stdout."""
    _write(sys.stdout, text)


def event(data: dict[str, Any]) -> None:
    """One JSON object on a line of stdout, for programs (--json)."""
    _write(sys.stdout, json.dumps(data, ensure_ascii=True, default=str))


def _write(stream: Any, text: str) -> None:
    # A file name may hold anything, and the terminal may speak ASCII only (locale C).
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()
