"""What a person named as the input: a file, a URL, a pipe, or numbered pictures; and opening it."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shlex
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import unquote, urlsplit

import av

from vidstyle.errors import SourceError, UsageError
from vidstyle.numbering import as_pattern, find_series, parse_rate, pattern_of
from vidstyle.picture_tags import is_animated_webp
from vidstyle.series import Series, checked

FILE, URL, PIPE, SERIES = "file", "url", "pipe", "series"
SCHEMES = ("http", "https", "rtsp", "rtsps", "rtmp", "rtmps")
SAMPLES, SAMPLE = 16, 1 << 18  # of a file, bytes each, that tell whether it is the same
TIMEOUT = 20.0  # seconds without a byte from a network before it is given up
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")  # two letters at least: C: is a drive
_LOCAL = "file,crypto,data"  # FFmpeg's protocols: a playlist file must not reach into the network


@dataclass(frozen=True)
class Input:
    """Made by `parse_input`, or by `video_input`.

    Attributes:
        kind: `FILE`, `URL`, `PIPE` or `SERIES`.
        text: what was given, "-" for standard input; a series' pattern.
        series: of numbered pictures.
    """

    kind: str
    text: str
    series: Series | None = None

    @property
    def path(self) -> Path | None:
        """Of what can be read again and again: a file, a series' pattern; None for all else."""
        return Path(self.text) if self.kind in (FILE, SERIES) else None

    @property
    def file(self) -> Path | None:
        """Of the one file that it is."""
        return Path(self.text) if self.kind == FILE else None

    @property
    def name(self) -> str:
        """For messages: without the password and the query of a URL, which may be secret."""
        if self.kind == PIPE and self.text == "-":
            return "standard input"
        if self.kind == URL:
            url = urlsplit(self.text)
            return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
        return self.text

    @property
    def stem(self) -> str:
        """Of a default output's name."""
        if self.kind == URL:
            url = urlsplit(self.text)
            name = unquote(url.path).rstrip("/").rpartition("/")[2] or url.hostname or URL
            return re.sub(r'[\x00-\x1f<>:"\\|?*]', "_", Path(name).stem)
        if self.series is not None:
            return self.series.named.stem
        return "stdin" if self.kind == PIPE and self.text == "-" else Path(self.text).stem

    @property
    def seekable(self) -> bool:
        """Whether it can be read from the middle on; a server may still refuse to."""
        return self.kind in (FILE, SERIES) or (self.kind == URL and self.text.lower().startswith("http"))

    def checked(self) -> Input:
        """With all pictures of a series looked at, see `vidstyle.series.checked`.

        Raises:
            SourceError: they do not go together.
        """
        return self if self.series is None else replace(self, series=checked(self.series))

    def digest(self) -> str:
        """Tells one state of what can be read again from another; of other inputs the name.

        Raises:
            SourceError: it cannot be read.
        """
        if self.series is not None:
            return self.series.stamp()
        return _digest(self.path) if self.path is not None else self.name


def parse_input(text: str | Path) -> Input:
    """A path always names a file or a named pipe; a text may also be a URL, or "-" for standard input.

    Raises:
        UsageError: an empty name, or a URL of a kind that cannot be read.
    """
    if isinstance(text, str):
        if not text:
            raise UsageError("the input's name is empty: give a video file, a URL, or - for standard input")
        if text == "-":
            return Input(PIPE, "-")
        if match := _SCHEME.match(text):
            return _parse_url(text, match[1].lower())
    path = Path(text)
    try:
        kind = PIPE if path.is_fifo() or path.is_char_device() else FILE
    except OSError:  # as of a name that is too long: told when it is opened
        kind = FILE
    return Input(kind, str(path))


def video_input(text: str, fps: str | None, asked: bool = True) -> Input:
    """As `parse_input`; a pattern (shot.%04d.png) or a folder of numbered pictures is a video of ``fps``.

    Args:
        fps: pictures a second, see `vidstyle.numbering.parse_rate`.
        asked: ``fps`` is meant for this input, and not for whatever needs it.

    Raises:
        UsageError: as `parse_input`; a series has no ``fps``, or another input has.
        SourceError: a series has holes, or its pictures do not go together; with ``fps``, there is nothing so called.
    """
    given = parse_input(text)
    series = None if given.file is None else find_series(given.text)
    if series is None:
        if fps is not None and asked:
            raise _no_series(given)
        return given
    if fps is None:
        raise UsageError(f"numbered pictures ({series}) have no times of their own: add --fps 24, or their own rate")
    return _of_series(series, parse_rate(fps)).checked()


def batch_input(path: Path, rate: Fraction | None, by_name: bool = False) -> Input:
    """A path always names a file, or with a ``rate`` (pictures a second) also numbered pictures by their pattern.

    Args:
        by_name: for what is told from the name alone; which pictures there are is not looked at.

    Raises:
        SourceError: pictures are missing.
    """
    pattern = as_pattern(path) if rate is not None and not os.path.lexists(path) else None
    if pattern is None or rate is None:
        return parse_input(path)
    if by_name:
        return _of_series(
            Series(pattern.folder, pattern.before, pattern.after, pattern.digits, 0, 0, pattern.beside()), rate
        )
    series = find_series(str(path))
    return parse_input(path) if series is None else _of_series(series, rate)


def _of_series(series: Series, rate: Fraction) -> Input:
    return Input(SERIES, str(series.pattern), replace(series, rate=rate))


def _no_series(given: Input) -> UsageError | SourceError:
    """Why there is nothing to show at the rate that was given."""
    path = given.file
    if path is not None and path.is_dir():
        return SourceError(f"{path} is a folder without numbered pictures: name a video file, or a pattern")
    if path is not None and not os.path.lexists(path):
        named = "numbered pictures are named as shot.%04d.png, or by their folder"
        return SourceError(f"cannot read {path}: no such file or folder; {named}")
    pattern = None if path is None else pattern_of(path)
    what = f"one picture: give all as {pattern}" if pattern else "a video with times of its own: leave it out"
    return UsageError(f"--fps is for numbered pictures, and {given.name} is {what}")


def _digest(path: Path) -> str:
    """Hex sha256 of a file's size and of samples over its whole length: a changed file is told at once.

    Not its time, which copying changes; not all of it, since films are large.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            result = hashlib.sha256(str(size).encode())
            for index in range(SAMPLES):
                file.seek(max(0, size - SAMPLE) * index // (SAMPLES - 1))
                result.update(file.read(SAMPLE))
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error
    return result.hexdigest()


def is_url(text: str) -> bool:
    """Whether it is written as one, of any kind."""
    return _SCHEME.match(text) is not None


def _parse_url(text: str, scheme: str) -> Input:
    if scheme == "file":
        from urllib.request import url2pathname

        return parse_input(Path(url2pathname(urlsplit(text).path)))
    if scheme not in SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise UsageError(f"cannot read {scheme}:// URLs: use a path, - for standard input, or one of {known}")
    try:
        host = urlsplit(text).hostname
    except ValueError:
        host = None
    if not host:
        raise UsageError(f"the URL {text} names no host: write it as {scheme}://host/path")
    return Input(URL, text)


def open_input(
    source: Input | Path, timeout: float = TIMEOUT, stopped: Event | None = None, hardware: Any = None
) -> Any:
    """Open it for reading.

    Args:
        timeout: seconds without a byte before a URL is given up; four times that for one packet, however slow.
        stopped: ends a pipe that waits for its writer, when set.
        hardware: PyAV's `HWAccel`, for a file; others are decoded on the CPU.

    Raises:
        SourceError: it does not exist, is empty, cannot be read or reached, or is no media.
        UsageError: standard input is closed, or a terminal.
    """
    if isinstance(source, Path):
        source = parse_input(source)
    if source.kind == URL:
        from vidstyle.remote import open_url

        return open_url(source.text, source.name, timeout)
    if source.kind == PIPE:
        from vidstyle.pipe import open_pipe

        return open_pipe(source.text, source.name, stopped)
    if source.series is not None:
        return _open_series(source.series)
    return _open_file(Path(source.text), hardware)


def _open_file(path: Path, hardware: Any) -> Any:
    try:
        if path.is_dir():
            raise SourceError(f"{path} is a folder: name a video file in it")
        with open(path, "rb") as file:
            if not (head := file.read(64)):
                raise SourceError(f"{path} is empty (0 bytes): copy or download it again")
        if is_animated_webp(head):
            raise SourceError(f"{path} is an animated WebP, which FFmpeg cannot read: convert it to a video first")
        # "file:" keeps names such as "concat:x" or "-x.mp4" names.
        local = {"protocol_whitelist": _LOCAL}
        return av.open(f"file:{path}", metadata_errors="replace", container_options=local, hwaccel=hardware)
    except av.error.InvalidDataError as error:
        what = "is not a video that can be read (damaged, cut short, or another kind of file)"
        raise SourceError(f"{path} {what}") from error
    except OSError as error:  # PyAV's errors are OSErrors too where the system named them
        reason = {errno.ENOENT: "no such file", errno.EACCES: "not allowed to read it"}.get(error.errno or 0)
        hint = of_series(path) if error.errno == errno.ENOENT else ""
        raise SourceError(f"cannot read {path}: {reason or error.strerror or error}{hint}") from error
    except av.error.FFmpegError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error


def _open_series(pictures: Series) -> Any:
    """One video, whose pts count the pictures from 0."""
    how = {"pattern_type": "sequence", "framerate": str(pictures.rate), "start_number": str(pictures.first)}
    folder = str(pictures.folder.absolute()).replace("%", "%%")
    try:
        return av.open(
            f"file:{folder}/{pictures.pattern.name}",
            format="image2",
            metadata_errors="replace",
            container_options={**how, "protocol_whitelist": _LOCAL},
        )
    except (OSError, av.error.FFmpegError) as error:
        raise SourceError(f"cannot read {pictures.pattern}: {error.strerror or error}") from error


def series(path: Path) -> Path | None:
    """What a shell takes for the pattern of numbered pictures: img_*.png for img_%04d.png; None for other names."""
    name, count = re.subn(r"%\d*d|##+", "*", path.name)
    return path.with_name(name) if count else None


def of_series(path: Path, several: bool = False) -> str:
    """What to do with numbered pictures where one file, or ``several``, are expected; empty for other names."""
    if (pictures := series(path)) is None:
        return ""
    one = f"a video (vidstyle file {shlex.quote(str(path))} --fps 24)"
    made = "videos with vidstyle batch --fps 24" if several else one
    return f"; numbered pictures become {made}, or style each (vidstyle image {pictures})"
