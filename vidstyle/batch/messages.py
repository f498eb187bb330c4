"""What a batch and its worker processes say to each other, through a pipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidstyle.batch.journal import Fingerprint, Stamp
from vidstyle.errors import SourceError
from vidstyle.faces import Suited

# --- what a worker is told


@dataclass(frozen=True)
class Facts:
    """What is known of a file behind a URL: ``size`` in bytes; ``mark`` tells one state of it from another."""

    url: str
    size: int
    mark: str


@dataclass(frozen=True)
class Away:
    """A video that no shared folder holds. ``folder``: URL of the folder of its result."""

    source: Facts
    folder: str


@dataclass(frozen=True)
class Task:
    """Style a video.

    Attributes:
        target: the result's path; its extension may come out otherwise.
        known: where it lay before; what is there may be replaced, other files only with ``overwrite``.
        taken: name -> video that becomes it, of files beside the result that are other videos'.
        suited: see `vidstyle.job.FileJob`.
        away: where it really is; the paths are then those of stand-ins, see `vidstyle.cluster.standins`.
    """

    source: Path
    target: Path
    known: Path
    overwrite: bool
    away: Away | None = None
    taken: Mapping[str, str] = field(default_factory=dict)
    suited: Suited | None = None


@dataclass(frozen=True)
class Look:
    """Say how much work a video is. ``away``: see `Task`; ``fully``: also what it would become, and what refuses it."""

    source: Path
    away: Away | None = None
    fully: bool = False


STOP = "stop"  # end the video under way as soon as can be gone on from; then wait

# --- what it says


@dataclass(frozen=True)
class Ready:
    """Everything is loaded that videos need."""


@dataclass(frozen=True)
class Begun:
    """``stamp``: of the source; ``file``: name of the output; ``before``: its stamp where it is there."""

    file: str
    fingerprint: Fingerprint
    stamp: Stamp | None
    before: Stamp | None


@dataclass(frozen=True)
class Step:
    """``pixels``: that the network works on in a frame; ``before``: frames of an interrupted run."""

    frames: int
    total: int | None
    fps: float
    pixels: int
    before: int


@dataclass(frozen=True)
class Ended:
    """``status``: done, incomplete (done with losses), failed or stopped; ``code``: exit code of a failure;
    ``stored``: the result, where it is behind a URL; ``lost``: the device, and the worker with it;
    ``taken``: it failed by a file in its place."""

    status: str
    reason: str = ""
    code: int = 0
    size: int = -1
    report: dict[str, Any] = field(default_factory=dict)
    stored: Facts | None = None
    lost: bool = False
    taken: bool = False


@dataclass(frozen=True)
class Seen:
    """``frames`` is an estimate, None where nothing is known; ``error``: why it cannot be opened, with its exit
    ``code``; ``file``: name of the result, where that was asked for."""

    frames: int | None = None
    pixels: int = 0
    error: str = ""
    code: int = SourceError.exit_code
    file: str = ""
