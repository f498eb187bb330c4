"""The datum of a live session: one picture with the time it was captured at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidstyle.live.change import Rect


@dataclass(frozen=True)
class LiveFrame:
    """
    Attributes:
        image: uint8 [H, W, 3] RGB of the session's size; never written to.
        time: seconds of the session's clock when the camera gave it.
        number: from 1, counted by the capture; a gap is a frame that was dropped.
        area: where in it the camera's picture is; None for everywhere. Around it are bars.
    """

    image: np.ndarray
    time: float
    number: int
    area: Rect | None = None
