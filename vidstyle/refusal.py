"""What the system or FFmpeg refused while writing, in the words of a person at the terminal."""

from __future__ import annotations

import errno
from pathlib import Path

import av

from vidstyle.errors import SinkError


def as_sink_error(error: BaseException, path: Path) -> BaseException:
    """One line for what the system or FFmpeg refused; anything else as it is."""
    if not isinstance(error, (OSError, av.error.FFmpegError, ValueError)) or isinstance(error, BrokenPipeError):
        return error
    code = getattr(error, "errno", None)
    if code == errno.ENOSPC:
        return SinkError(f"the disk is full; {path} was not written: free some space or choose another folder with -o")
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return SinkError(f"not allowed to write {path}: choose another folder with -o")
    if code == errno.ENAMETOOLONG:
        return SinkError(
            f"the name {path.name[:40]}... is too long for this disk: give a shorter one with -o, or rename the source"
        )
    return SinkError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}")
