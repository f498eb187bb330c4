"""What the driver tells a worker and what it says back; small, since the driver keeps none of the pictures' times."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidstyle.batch.messages import Begun, Ended, Seen, Task
from vidstyle.faces import Suited
from vidstyle.planning import Plan
from vidstyle.unit import Unit


@dataclass(frozen=True)
class Hello:
    """A worker is there.

    Attributes:
        node, host, pid: of its machine and process; ``node`` is Ray's.
        version: of vidstyle there.
        unseen: files of the driver that it cannot see.
        trouble: why it cannot work, for people; "" where it can.
    """

    node: str
    host: str
    pid: int
    version: str
    unseen: list[str]
    trouble: str = ""


@dataclass(frozen=True)
class Done:
    """One finished segment: ``number`` of it and its ``frames``."""

    number: int
    frames: int


@dataclass(frozen=True)
class Prepared:
    """A video, looked at.

    Attributes:
        begun: for the journal; None where not even that is known.
        ended: it is over already: it cannot be styled.
        output: the result's path.
        plan: None where it is best done in one piece.
        done: segments of an earlier run that are whole.
        frames: an estimate, None where nothing is known.
        pixels: that the network works on in a frame.
        notes: for the report.
        suited: their size or sizes, where found by the video's faces: all workers take the same.
    """

    begun: Begun | None = None
    ended: Ended | None = None
    output: Path = Path()
    plan: Plan | None = None
    done: list[Done] = field(default_factory=list)
    frames: int | None = None
    pixels: int = 0
    notes: list[str] = field(default_factory=list)
    suited: Suited | None = None


@dataclass(frozen=True)
class Order:
    """Style a unit of a video whose work folder is prepared; ``suited``: see `Prepared`."""

    task: Task
    output: Path
    plan: Plan
    unit: Unit
    suited: Suited | None = None


@dataclass(frozen=True)
class Made:
    """What became of an `Order`; ``error``: why it failed, ``code`` its exit code."""

    done: list[Done] = field(default_factory=list)
    seconds: float = 0.0
    engine: str = ""
    reused: int = 0
    error: str = ""
    code: int = 0


@dataclass(frozen=True)
class Join:
    """Put a video together.

    Attributes:
        numbers: of the segments that were made.
        accepted: of those whose joint is taken as it is, since decoding all of the video gave nothing better.
        engine, reused, seconds: for the report.
        suited: see `Prepared`.
    """

    task: Task
    output: Path
    numbers: list[int]
    accepted: frozenset[int]
    engine: str
    reused: int
    seconds: float
    notes: list[str]
    suited: Suited | None = None


@dataclass(frozen=True)
class Broken:
    """It cannot be put together: these segments are damaged or gone, or do not fit the one before."""

    damaged: list[int]
    misfits: list[int]


def is_failure(value: Any) -> bool:
    """Whether an answer is one that another worker might not give."""
    ended = value.ended if isinstance(value, Prepared) else value
    if isinstance(ended, Ended):
        return ended.status == "failed"
    return isinstance(value, Broken) or (isinstance(value, (Made, Seen)) and bool(value.error))
