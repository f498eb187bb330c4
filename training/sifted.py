"""What was found in a source's pictures: the portraits, and what was refused; put by where the search is stopped.

A large set takes hours to go through; the next search of the same pictures goes on where the last one stopped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from training.inputs import DAMAGED
from vidstyle.errors import Interrupted
from vidstyle.whole import whole

Kept = tuple[str, np.ndarray, np.ndarray]  # name, crop, points


@dataclass
class Sifted:
    """Of the first `count` pictures, in the order in which they are read."""

    kept: list[Kept] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)  # name, why

    @property
    def count(self) -> int:
        return len(self.kept) + len(self.refused)


@contextmanager
def kept_when_stopped(path: Path, note: dict[str, Any]) -> Iterator[Sifted]:
    """What an earlier search put by at ``path``, to add to; put by again where the block is stopped, else removed.

    ``note``: what the search depends on; what was found by another one is not taken up.
    """
    text = json.dumps(note, sort_keys=True)
    sifted = _taken_up(path, text)
    try:
        yield sifted
    except (Interrupted, KeyboardInterrupt):
        if sifted.count:
            _put_by(path, text, sifted)
        raise
    path.unlink(missing_ok=True)


def _put_by(path: Path, note: str, sifted: Sifted) -> None:
    text = json.dumps({"names": [name for name, _, _ in sifted.kept], "refused": sifted.refused})
    crops, points = (np.array([row[column] for row in sifted.kept]) for column in (1, 2))
    with whole(path) as part, open(part, "wb") as file:
        np.savez(file, note=note, text=text, crops=crops, points=points)


def _taken_up(path: Path, note: str) -> Sifted:
    try:
        with open(path, "rb") as file, np.load(file) as stored:
            if str(stored["note"]) != note:
                return Sifted()
            text = json.loads(str(stored["text"]))
            kept = list(zip(text["names"], stored["crops"], stored["points"], strict=True))
            return Sifted(kept, [(name, why) for name, why in text["refused"]])
    except DAMAGED:
        return Sifted()
