"""Sample sheets: rows of pictures to look at."""

from __future__ import annotations

from pathlib import Path

import cv2
import torch
from torch import Tensor

from training.world import TrainingError


def write_sheet(path: Path, rows: list[Tensor]) -> None:
    """Write rows of pictures, each [N, 3, S, S] in -1..1, as one picture file.

    Raises:
        TrainingError: it cannot be written.
    """
    lines = [torch.cat(list(row.detach().float().clamp(-1, 1).cpu()), -1) for row in rows]
    picture = ((torch.cat(lines, -2) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    done, data = cv2.imencode(".png", picture[..., ::-1])
    assert done
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise TrainingError(f"cannot write {path}: {error.strerror or error}") from error
