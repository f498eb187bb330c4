"""What is done to every picture of a session besides the look; uint8 [H, W, 3] RGB in and, unless said, out.

By OpenCV, which takes a third to a tenth of the time that FFmpeg's scaler does on packed pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidstyle.errors import UsageError
from vidstyle.live.change import Rect
from vidstyle.opencv import opencv

FITS = ("letterbox", "crop")
LINE = 2  # pixels: the width of the line between the source and the look


@dataclass(frozen=True)
class Fit:
    """How a camera's picture gets the session's size, which never changes.

    Attributes:
        width, height: of every picture of the session; even, since I420 halves them.
        mode: "letterbox" shows all of it between black bars; "crop" fills the picture and cuts off what is over.
    """

    width: int = 1280
    height: int = 720
    mode: str = "letterbox"

    def __post_init__(self) -> None:
        if self.mode not in FITS:
            raise UsageError(f"fit is {self.mode!r}: one of {', '.join(FITS)}")
        if min(self.width, self.height) < 16 or self.width % 2 or self.height % 2:
            raise UsageError(f"the output is {self.width}x{self.height}: expected even numbers from 16 on, as 1280x720")

    def inner(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) that a picture of this size is scaled to before `place`."""
        scales = self.width / width, self.height / height
        scale = min(scales) if self.mode == "letterbox" else max(scales)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def area(self, height: int, width: int) -> Rect | None:
        """Where `place` sets a picture of this size; None where that is everywhere."""
        top, left = (self.height - height) // 2, (self.width - width) // 2
        return Rect(top, left, top + height, left + width) if top > 0 or left > 0 else None

    def place(self, picture: np.ndarray) -> np.ndarray:
        """Set a picture of the size `inner` into the middle of the session's."""
        height, width = picture.shape[:2]
        if (height, width) == (self.height, self.width):
            return picture
        if self.mode == "crop":
            top, left = (self.height - height) // 2, (self.width - width) // 2
            return np.ascontiguousarray(picture[-top : self.height - top, -left : self.width - left])
        canvas = np.zeros((self.height, self.width, 3), np.uint8)
        area = self.area(height, width)
        canvas[area.slices if area else ...] = picture
        return canvas


def resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale to [height, width, 3]; the array itself where the size is right."""
    if picture.shape[:2] == (height, width):
        return picture
    cv2 = opencv()
    shrinks = height * width < picture.shape[0] * picture.shape[1]
    result: np.ndarray = cv2.resize(
        picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )
    return result


def mirrored(picture: np.ndarray) -> np.ndarray:
    result: np.ndarray = opencv().flip(picture, 1)
    return result


def blended(source: np.ndarray, styled: np.ndarray, strength: float) -> np.ndarray:
    """source + strength * (styled - source), rounded; one of the two arrays itself at 0 and 1."""
    if strength in (0, 1):
        return styled if strength else source
    result: np.ndarray = opencv().addWeighted(source, 1 - strength, styled, strength, 0)
    return result


def wiped(source: np.ndarray, styled: np.ndarray, place: float) -> np.ndarray:
    """The source left of ``place`` (0 to 1 of the width), the look right of it, a light line between them."""
    column = round(place * styled.shape[1])
    result = styled.copy()
    result[:, :column] = source[:, :column]
    result[:, max(0, column - LINE) : column] = 255
    return result


def to_i420(picture: np.ndarray) -> np.ndarray:
    """uint8 [H * 3 / 2, W]: BT.601 in the limited range, which is what programs take a webcam's I420 for.

    OpenCV takes the colour of four pixels from one of them; averaging the four first keeps edges from fraying.
    """
    cv2, height = opencv(), picture.shape[0]
    planes: np.ndarray = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420)
    planes[height:] = cv2.cvtColor(cv2.blur(picture, (2, 2), anchor=(0, 0)), cv2.COLOR_RGB2YUV_I420)[height:]
    return planes
