"""OpenCV, which the extra ``live`` brings: motion, the pixel work that has to be quick, cameras, and windows."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from vidstyle.errors import EngineError


def opencv() -> Any:
    """The module cv2, imported at the first call.

    Raises:
        EngineError: it is not installed.
    """
    try:
        cv2 = import_module("cv2")
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what fails is told by us
        return cv2
    except ImportError as error:
        raise EngineError(f"this needs OpenCV ({error}): pip install 'vidstyle[live]'") from error
