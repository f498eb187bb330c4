"""Pictures written for people to look at: sample sheets, and whatever else training shows."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from training.world import TrainingError


def write_picture(path: Path, image: np.ndarray) -> None:
    """Write uint8 [H, W, 3] RGB, whole or not at all, as the kind of file that ``path`` says.

    As `vidstyle.images` does, but without PyAV, which a machine that trains from a pack lacks.

    Raises:
        TrainingError: it cannot be written.
    """
    done, data = cv2.imencode(path.suffix, np.ascontiguousarray(image[..., ::-1]))
    assert done
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(data.tobytes())
        part.replace(path)
    except OSError as error:
        raise TrainingError(f"cannot write {path}: {error.strerror or error}") from error


def write_sheet(path: Path, rows: list[Tensor]) -> None:
    """Write rows of pictures, each [N, 3, S, S] in -1..1, as one picture file.

    Raises:
        TrainingError: it cannot be written.
    """
    lines = [torch.cat(list(row.detach().float().clamp(-1, 1).cpu()), -1) for row in rows]
    picture = ((torch.cat(lines, -2) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    write_picture(path, picture)
