"""Contact sheets of a look beside its teacher, for someone to look at, and a page for someone to judge them by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from training import preference
from training.data import evenly, halved
from training.measures import turned
from training.sheets import write_picture
from training.sweeps import Look, at_scale
from training.warping import pictures

WIDTH = 640  # pixels of a scene


def people(student: Look, teacher: Look, canvases: Sequence[np.ndarray], path: Path, most: int = 12) -> None:
    """A column for each person, from the darkest face to the lightest.

    Rows: source, teacher, student; the student at 34 and 136 pixels between the eyes, and turned by 60 degrees.
    """
    halves = [halved(canvas) for canvas in canvases]
    order = sorted(range(len(canvases)), key=lambda i: float(halves[i][120:264, 120:264].mean()))
    chosen = [order[index] for index in evenly(len(order), most)]
    columns = []
    for i in chosen:
        half, canvas = halves[i], canvases[i]
        rows = [half, teacher(half), student(half), at_scale(student, canvas, 34), at_scale(student, canvas, 136)]
        rows.append(turned(student, half[None], 60)[0])
        columns.append(np.concatenate([row[48:-48, 48:-48] for row in rows]))
    write_picture(path, np.concatenate(columns, 1))


def scenes(student: Look, teacher: Look, clips: Sequence[Path], path: Path, at: int = 20) -> None:
    """A row for each clip, whole bodies and turned heads as they come: source, teacher, student."""
    rows = []
    for clip in clips:
        source = pictures(clip, 360, at)[-1]
        row = np.concatenate([source, teacher(source), student(source)], 1)
        height = round(row.shape[0] * 3 * WIDTH / row.shape[1])
        rows.append(cv2.resize(row, (3 * WIDTH, height), interpolation=cv2.INTER_AREA))
    write_picture(path, np.concatenate(rows))


def blind(student: Look, teacher: Look, canvases: Sequence[np.ndarray], path: Path) -> None:
    """The page of `training.preference`: which of the two is better, and which is which it does not say."""
    halves = np.stack([halved(canvas) for canvas in canvases])
    looks = {"student": student, "teacher": teacher}
    preference.write(path, halves, {name: np.stack([look(x) for x in halves]) for name, look in looks.items()})
