"""What a distillation learns from, noted with its run: a run is gone on with from the same alone."""

from __future__ import annotations

import json
from pathlib import Path

from training.chain import read_note
from training.world import TrainingError
from vidstyle.style import Style
from vidstyle.whole import write_whole

NOTE = "learns-from.json"


def check_origin(run: Path, teacher: Style, file: Path, limit: int | None, begun: bool) -> None:
    """Refuse to go on with the run in ``run`` from another teacher or number of canvases; note those of a new one.

    Args:
        file: of the teacher, for the message: one of the same weights, as .pb or .tflite, is the same.
        limit: see `training.data.spread`.
        begun: there is something to go on with; an earlier version may not have noted what it learned from.

    Raises:
        TrainingError: it was begun with others.
    """
    now = {"teacher": file.name, "weights": teacher.card.sha256, "limit": limit or 0}
    before = now | (read_note(run / NOTE) if begun else {})
    different = []
    if before["weights"] != now["weights"]:
        other = "another file of this name" if before["teacher"] == file.name else before["teacher"]
        different.append(f"--teacher was {other}, is {file}")
    if before["limit"] != now["limit"]:
        different.append(f"--limit was {before['limit'] or 'not given'}, is {limit or 'not given'}")
    if different:
        what = f"the run in {run} learns from something else ({'; '.join(different)})"
        raise TrainingError(f"{what}: give what it began with, or another --run")
    write_whole(run / NOTE, json.dumps(before).encode())
