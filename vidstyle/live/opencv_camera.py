"""Cameras through OpenCV: wherever FFmpeg's inputs are missing from PyAV, or fail."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vidstyle.errors import SourceError
from vidstyle.limits import MAX_RATE
from vidstyle.live.camera import CameraInfo
from vidstyle.live.change import Rect
from vidstyle.live.clock import Clock, Flag
from vidstyle.live.devices import Opening, Wish
from vidstyle.live.pixels import Fit, resize
from vidstyle.opencv import opencv


class OpenCVCamera:
    """A `vidstyle.live.camera.Camera` through OpenCV's VideoCapture.

    Raises:
        SourceError: it cannot be opened, or gives another size than ``wish`` names.
    """

    def __init__(self, opening: Opening, wish: Wish, fit: Fit, clock: Clock) -> None:
        self._cv2, self._fit, self._clock = opencv(), fit, clock
        self.area: Rect | None = None
        cv2, place = self._cv2, opening.address
        # All of it at opening: DirectShow ignores what is set later. One buffer: more are delay.
        width, height = wish.size or (1280, 720)
        wanted = {
            cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"MJPG"),
            cv2.CAP_PROP_FRAME_WIDTH: width,
            cv2.CAP_PROP_FRAME_HEIGHT: height,
            cv2.CAP_PROP_FPS: wish.rate or 30,
        }
        self._device = cv2.VideoCapture(int(place) if place.isdigit() else place, cv2.CAP_ANY, _flat(wanted))
        if not self._device.isOpened():  # some back ends refuse the parameters rather than ignore them
            self._device = cv2.VideoCapture(int(place) if place.isdigit() else place)
        self._device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if not self._device.isOpened():
            raise SourceError(f"cannot open {opening.label}: not connected, used by another program, or not allowed")
        size = [int(self._device.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
        rate = float(self._device.get(cv2.CAP_PROP_FPS))  # -1 where the driver does not say
        believed = rate if 0 < rate <= MAX_RATE else None
        coding = f"through OpenCV, {self._device.getBackendName()}"
        self.info = CameraInfo(opening.label, size[0], size[1], believed, coding, opening.is_endless, opening.is_device)
        if wish.size not in (None, (size[0], size[1])):
            self.close()
            gives = f"{size[0]}x{size[1]}"
            raise SourceError(
                f"{opening.label} cannot give {wish.shape}, it gives {gives}: leave --camera-size out or name {gives}"
            )

    def pictures(self, stop: Flag) -> Iterator[tuple[float, np.ndarray]]:
        while not stop.is_set:
            given = self._device.grab()
            time = self._clock.now()
            is_read, bgr = self._device.retrieve() if given else (False, None)
            if not is_read or bgr is None:
                raise SourceError("it gives no more pictures")
            width, height = self._fit.inner(bgr.shape[1], bgr.shape[0])
            rgb = self._cv2.cvtColor(resize(bgr, height, width), self._cv2.COLOR_BGR2RGB)
            self.area = self._fit.area(height, width)
            yield time, self._fit.place(rgb)

    def close(self) -> None:
        self._device.release()


def _flat(pairs: dict[int, float]) -> list[int]:
    return [int(value) for pair in pairs.items() for value in pair]
