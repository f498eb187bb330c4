"""What the queue's list holds: a video each, and where its result goes."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from vidstyle.containers import default_output
from vidstyle.inputs import parse_input
from vidstyle.ui.studio import Choice

WAITING, RUNNING = "waiting", "running"


@dataclass
class Entry:
    """
    Attributes:
        below: folder of the result, relative to that of all results.
        status: waiting, running, done, skipped, failed.
        output: where the result lies.
    """

    source: str
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    status: str = WAITING
    reason: str = ""
    output: str = ""
    frames: int = 0
    total: int | None = None
    fps: float = 0.0
    below: str = ""

    @property
    def item(self) -> Path:
        return Path(self.source)

    @property
    def place(self) -> Path:
        """The result's, relative to the folder of all; its name is another in every look."""
        return Path(self.below) / default_output(parse_input(self.item), "").name


@dataclass
class Settings:
    output: str = ""
    look: str = ""
    second: str = ""
    share: float = 0.0
    strength: float = 1.0

    @property
    def choice(self) -> Choice:
        return Choice(self.look, self.second, self.share, self.strength)


def set_apart(entries: Iterable[Entry], new: list[Entry]) -> None:
    """Put each new one whose result would be another's below as many of its own folders as that takes."""
    taken = {entry.place for entry in entries}
    for entry in new:
        folders = [part for part in entry.item.parent.parts[1:] if part != ".."]
        for count in range(len(Path(entry.below).parts) + 1, len(folders) + 1):
            if entry.place not in taken:
                break
            entry.below = str(Path(*folders[-count:]))
        taken.add(entry.place)
