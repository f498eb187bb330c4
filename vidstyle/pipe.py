"""Open standard input or a named pipe."""

from __future__ import annotations

import os
import select
import sys
import weakref
from threading import Event
from typing import Any

import av

from vidstyle.errors import SourceError, UsageError

POLL = 0.2  # seconds: how soon a reader that waits for its writer notices that it is to stop


class PipeReader:
    """What PyAV reads from. A writer that pauses does not keep the reader from stopping."""

    def __init__(self, descriptor: int, name: str, stopped: Event | None) -> None:
        self.name, self.bytes = name, 0
        self._descriptor, self._stopped = descriptor, stopped or Event()

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, as soon as there are any; none at the end, or when it was stopped."""
        while not self._ready():
            if self._stopped.is_set():
                return b""
        data = os.read(self._descriptor, size)
        self.bytes += len(data)
        return data

    def _ready(self) -> bool:
        if sys.platform == "win32":  # it can wait for sockets only
            return True
        return bool(select.select([self._descriptor], [], [], POLL)[0])


def open_pipe(text: str, name: str, stopped: Event | None) -> Any:
    """Open standard input ("-") or the named pipe ``text``.

    Raises:
        SourceError: it is empty, cannot be read, or is no media that can be read from a pipe.
        UsageError: standard input is closed, or a terminal.
    """
    try:
        if text == "-":
            reader = PipeReader(_standard_input(), name, stopped)
        else:
            descriptor = os.open(text, os.O_RDONLY)
            reader = PipeReader(descriptor, name, stopped)
            weakref.finalize(reader, os.close, descriptor)  # PyAV does not close what it reads from
        # A playlist in a pipe has no place: what it names is not opened.
        return av.open(reader, metadata_errors="replace", container_options={"protocol_whitelist": "crypto,data"})
    except (OSError, av.error.FFmpegError) as error:
        if isinstance(error, (av.error.EOFError, av.error.InvalidDataError)):
            raise SourceError(f"{name} {_trouble(reader)}") from error
        raise SourceError(f"cannot read {name}: {error.strerror or error}") from error


def _trouble(reader: PipeReader) -> str:
    if not reader.bytes:
        return "is empty (0 bytes): did the program before it fail?"
    return "is not a video that can be read (damaged, cut short, or another kind of file)"


def _standard_input() -> int:
    try:
        if sys.stdin is None:
            raise UsageError("standard input is closed: pipe a video into it, or give a file")
        descriptor = sys.stdin.fileno()
        is_terminal = os.isatty(descriptor)
    except (OSError, ValueError) as error:
        raise UsageError("standard input is closed: pipe a video into it, or give a file") from error
    if is_terminal:
        raise UsageError("standard input is a terminal: pipe a video into it, as in: cat in.mkv | vidstyle file -")
    return descriptor
