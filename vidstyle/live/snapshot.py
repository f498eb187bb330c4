"""One picture of a session in a file."""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path

import numpy as np

from vidstyle.errors import SinkError
from vidstyle.picture import Picture, encode_picture
from vidstyle.whole import write_whole


def save_snapshot(image: np.ndarray, folder: Path) -> Path:
    """Write uint8 [H, W, 3] RGB as a PNG named by date and time; the path, which was free before.

    Raises:
        SinkError: the folder cannot be written to.
    """
    name = time.strftime("vidstyle-%Y%m%d-%H%M%S")
    path = next(p for n in count(1) if not (p := folder / f"{name}{f'-{n}' if n > 1 else ''}.png").exists())
    try:
        write_whole(path, encode_picture(Picture(image), ".png"))
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror or error}") from error
    return path
