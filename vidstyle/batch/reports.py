"""Everything about a run in one JSON file, written as it happens: thousands of reports need no memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from vidstyle.batch.inputs import PART
from vidstyle.batch.journal import LOCK, NAME
from vidstyle.batch.run import Event, View
from vidstyle.batch.totals import Totals
from vidstyle.errors import SinkError, UsageError
from vidstyle.outputs import check_report
from vidstyle.whole import led_to

ENDS = ("done", "incomplete", "failed", "skipped", "stopped", "unopened")


class Reported:
    """A view that passes everything on, and writes the end of every video to ``file``."""

    def __init__(self, view: View, file: TextIO, path: Path) -> None:
        self._view, self._file, self._path = view, file, path
        self._totals = Totals()
        self._between = "\n"

    def show(self, event: Event) -> None:
        self._view.show(event)
        if event.item is not None and event.name in ENDS:
            names = dict(zip(("source", "output"), event.item.names, strict=True)) | {"status": event.name}
            with _disk(self._path):
                self._file.write(self._between + json.dumps({**names, **event.data}))
            self._between = ",\n"

    def tick(self, totals: Totals) -> None:
        self._totals = totals
        self._view.tick(totals)

    def finish(self) -> None:
        """Write the end, and close the file: where the disk is full, that fails once more."""
        with _disk(self._path), self._file:
            self._file.write(f'\n], "totals": {json.dumps(self._totals.as_dict())}}}\n')


@contextmanager
def reported(view: View, path: Path | None) -> Iterator[View]:
    """``view``, with a report to ``path`` where there is one: ``{"files": [...], "totals": {...}}``.

    It gets its name at the end, also after an interruption.

    Raises:
        SinkError: it cannot be written; then nothing of it is left.
        UsageError: it has a result's name, or the journal's.
    """
    if path is None:
        yield view
        return
    check_report(path)
    part = led_to(path).with_name(path.name + PART)
    if path.name in (NAME, LOCK):
        raise UsageError(f"--report {path} has the journal's name: give one as report.json")
    with _disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text('{"files": [')
        both = Reported(view, open(part, "a"), path)  # noqa: SIM115 - `Reported.finish` closes it
    try:
        yield both
    finally:
        try:
            both.finish()
            with _disk(path):
                part.replace(led_to(path))
        except SinkError:
            with suppress(OSError):
                part.unlink()
            raise


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror or error}") from error
