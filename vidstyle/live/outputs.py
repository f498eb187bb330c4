"""The virtual camera and the preview window."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import numpy as np

from vidstyle.errors import SinkError
from vidstyle.live.controls import Controls
from vidstyle.live.drivers import find_driver
from vidstyle.live.pixels import to_i420
from vidstyle.opencv import opencv

WITHOUT = "or go on without one: --no-virtual-camera"


def pyvirtualcam() -> Any:
    """The module.

    Raises:
        SinkError: it is not installed.
    """
    try:
        return import_module("pyvirtualcam")
    except ImportError as error:
        raise SinkError(
            f"a virtual camera needs pyvirtualcam ({error}): pip install 'vidstyle[live]', {WITHOUT}"
        ) from error


class VirtualCamera:
    """A camera that other programs can choose, through v4l2loopback, OBS or UnityCapture.

    Args:
        device: its name, as /dev/video10 or OBS Virtual Camera; None for the first there is.

    Raises:
        SinkError: no driver, no such device, or another program sends to it; with the remedy.
    """

    def __init__(self, width: int, height: int, rate: float, device: str | None = None) -> None:
        module = pyvirtualcam()
        try:
            # I420: OBS and v4l2loopback take it as it is, or reorder it; from RGB each would convert once more.
            self._camera = module.Camera(width, height, rate, fmt=module.PixelFormat.I420, device=device)
        except RuntimeError as error:
            raise SinkError(_refusal(str(error), device)) from error
        self.device = str(self._camera.device)

    def send(self, picture: np.ndarray, status: dict[str, Any]) -> None:
        del status
        self._camera.send(to_i420(picture))

    def close(self) -> None:
        self._camera.close()


def _refusal(words: str, device: str | None) -> str:
    reason = " ".join(words.split())
    driver = find_driver()
    if driver.fix and not re.search(r"in use|busy", reason):
        return f"no virtual camera: {driver.found}. To mend it: {driver.fix}; {WITHOUT}"
    which = f"the virtual camera {device}" if device else "the virtual camera"
    return f"{which} cannot be used ({reason}): close the program that sends to it, name another device, {WITHOUT}"


class Window:
    """A preview on the screen; its keys are the terminal's. `show` must run on the thread that made it.

    Raises:
        SinkError: this OpenCV has no windows, or there is no screen.
    """

    TITLE = "vidstyle live"

    def __init__(self, controls: Controls, width: int, height: int) -> None:
        self._cv2, self._controls = opencv(), controls
        self._newest: np.ndarray | None = None
        try:
            self._cv2.namedWindow(self.TITLE, self._cv2.WINDOW_NORMAL | self._cv2.WINDOW_KEEPRATIO)
            self._cv2.resizeWindow(self.TITLE, width, height)
        except self._cv2.error as error:
            raise SinkError(
                "no window: this OpenCV has none, or there is no screen. Use --page, or: "
                "pip uninstall opencv-python-headless, then pip install opencv-python"
            ) from error

    def send(self, picture: np.ndarray, status: dict[str, Any]) -> None:
        del status
        self._newest = picture

    def show(self) -> None:
        """Draw the newest picture and take a key; closing the window ends the session."""
        cv2 = self._cv2
        if self._newest is not None:
            cv2.imshow(self.TITLE, cv2.cvtColor(self._newest, cv2.COLOR_RGB2BGR))
        key = cv2.waitKey(1)
        if key >= 0:
            self._controls.key(chr(key & 0xFF))
        if cv2.getWindowProperty(self.TITLE, cv2.WND_PROP_VISIBLE) < 1:
            self._controls.command("quit")

    def close(self) -> None:
        self._cv2.destroyAllWindows()
