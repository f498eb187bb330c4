"""What a person asked of vidstyle batch: the same on this machine, on a cluster, and for videos behind URLs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from vidstyle.batch.inputs import Found, Item
    from vidstyle.batch.journal import Journal
    from vidstyle.batch.run import Wishes
    from vidstyle.batch.watch import Arrivals
    from vidstyle.job import FileJob

    Look = Callable[[Journal], Found]  # for the videos there are now


@dataclass(frozen=True)
class Asked:
    """``every``: seconds between two looks of --watch, None without it; ``report``: None for no file."""

    template: FileJob
    wishes: Wishes
    every: float | None
    dry_run: bool
    report: Path | None
    json: bool


@dataclass(frozen=True)
class Cluster:
    """``workers``: 0 for as many as fit; ``threads``: of each, 0 for one; ``gpus``: of each."""

    address: str
    workers: int = 0
    threads: int = 0
    gpus: float = 0.0

    @property
    def cpus(self) -> int:
        return self.threads or 1


@dataclass(frozen=True)
class Begun:
    """A folder's journal, read, and what was found by it; ``arrivals`` come where that is watched."""

    journal: Journal
    found: Found
    arrivals: Arrivals | None

    @property
    def items(self) -> list[Item]:
        """What is to be done at once."""
        return self.found.items if self.arrivals is None else []


def begin(folder: Path, look: Look, every: float | None = None) -> Begun:
    """Look once, or watch."""
    from vidstyle.batch.journal import Journal
    from vidstyle.batch.watch import Arrivals

    journal = Journal(folder)
    journal.read()
    found = look(journal)
    return Begun(journal, found, None if every is None else Arrivals(lambda: look(journal), every))
