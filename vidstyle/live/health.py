"""The checks of ``vidstyle doctor --live``: cameras, the virtual camera's driver, windows."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from vidstyle.errors import VidstyleError
from vidstyle.health import INFO, OK, WARN, Finding
from vidstyle.live.devices import list_cameras, list_microphones
from vidstyle.live.drivers import find_driver
from vidstyle.opencv import opencv

INSTALL = "pip install 'vidstyle[live]'"
WINDOWS = "for --window: pip uninstall opencv-python-headless, then pip install opencv-python; --page needs none"


def _opencv() -> Finding:
    try:
        cv2 = opencv()
    except VidstyleError as error:
        return Finding(WARN, f"OpenCV cannot be loaded ({error.__cause__}); --steady needs it too", INSTALL)
    windows = re.search(r"GUI:\s+(\w+)", cv2.getBuildInformation())
    found = f"OpenCV {cv2.__version__}"
    if windows is None or windows[1] == "NONE":
        return Finding(INFO, f"{found}, without windows", WINDOWS)
    return Finding(OK, f"{found}, windows by {windows[1]}")


def _pyvirtualcam() -> Finding:
    try:
        return Finding(OK, f"pyvirtualcam {version('pyvirtualcam')}")
    except PackageNotFoundError:
        return Finding(WARN, "pyvirtualcam is not installed", INSTALL)


def _cameras() -> Finding:
    cameras = [str(device) for device in list_cameras() if not device.is_virtual]
    if not cameras:
        return Finding(WARN, "no camera found", "connect one; vidstyle live --camera test works without")
    return Finding(OK, ", ".join(cameras))


def _microphones() -> Finding:
    microphones = [str(device) for device in list_microphones()]
    return Finding(OK, ", ".join(microphones)) if microphones else Finding(INFO, "none found (only for recordings)")


CHECKS = {
    "opencv": _opencv,
    "cameras": _cameras,
    "microphones": _microphones,
    "pyvirtualcam": _pyvirtualcam,
    "virtual camera": find_driver,
}
