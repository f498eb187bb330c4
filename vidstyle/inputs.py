"""Open what a person named as the input."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from vidstyle.errors import SourceError


@dataclass(frozen=True)
class Input:
    """A named input; ``path`` None where it is no file."""

    name: str
    path: Path | None = None

    @property
    def stem(self) -> str:
        return Path(self.name).stem


def parse_input(text: str | Path) -> Input:
    return Input(str(text), Path(text))


def open_input(path: Path) -> Any:
    """Open a media file for reading.

    Raises:
        SourceError: it does not exist, is empty, cannot be read, or is no media file.
    """
    try:
        if path.is_dir():
            raise SourceError(f"{path} is a folder: name a video file in it")
        with open(path, "rb") as file:
            if not file.read(1):
                raise SourceError(f"{path} is empty (0 bytes): copy or download it again")
        # "file:" keeps names such as "concat:x" or "-x.mp4" names.
        return av.open(f"file:{path}", metadata_errors="replace")
    except av.error.InvalidDataError as error:
        what = "is not a video that can be read (damaged, cut short, or another kind of file)"
        raise SourceError(f"{path} {what}") from error
    except OSError as error:  # PyAV's errors are OSErrors too where the system named them
        reason = {errno.ENOENT: "no such file", errno.EACCES: "not allowed to read it"}.get(error.errno or 0)
        raise SourceError(f"cannot read {path}: {reason or error.strerror or error}") from error
    except av.error.FFmpegError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error
