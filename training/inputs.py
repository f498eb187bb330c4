"""Clips and networks that a person gives, read or refused in one line; how damaged archives are known."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2

from vidstyle.errors import SourceError

#: what reading a NumPy archive raises that is missing, cut or altered
DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def decoded(clip: Path) -> Iterator[Any]:
    """Every picture of a video, as PyAV gives them.

    Raises:
        SourceError: it cannot be read, or has no pictures.
    """
    import av  # a machine that trains from a pack has none

    try:
        with av.open(str(clip)) as container:
            if not container.streams.video:
                raise SourceError(f"{clip} has no pictures: give a video")
            yield from container.decode(video=0)
    except av.error.FFmpegError as error:
        raise SourceError(f"cannot read {clip} ({error.strerror}): give a video") from error


def network_file(given: Path | None, what: str, whose: str, kept: Path, fetch: Callable[[Path], None]) -> Path:
    """A network file that a person gives, else ``kept``, made by ``fetch`` where it is not there yet.

    Args:
        what: what the network is, and ``whose`` file that is: for the message.

    Raises:
        SourceError: the given file does not exist.
        StyleError, SinkError: of ``fetch``.
    """
    if given is not None:
        if not given.is_file():
            raise SourceError(f"no {what} {given}: give {whose}, or leave it out to have it fetched")
        return given
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        fetch(kept)
    return kept


def open_detector(path: Path, score: float, size: tuple[int, int] = (320, 320)) -> Any:
    """YuNet, for pictures of ``size`` (width, height), which it can be told anew.

    Raises:
        SourceError: OpenCV cannot load the file.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what fails is told by us
    try:
        return cv2.FaceDetectorYN.create(str(path), "", size, score)
    except cv2.error as error:
        raise SourceError(f"{path} is not a face detector that OpenCV can load: expected YuNet's .onnx") from error
