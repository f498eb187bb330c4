"""Figures beside their targets: kept in a JSON file from the moment they are known, printed as tables.

Used by scripts/gpu_bench. A figure has a key; measuring it again replaces it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gpu_site import keep

TRIAL = "trial"  # the fact of a run without a GPU: its figures say nothing, and are compared with nothing


class NotMeasuredError(Exception):
    """Why a figure was not measured, where nothing is wrong."""


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        key: dotted, the part first: "network.ttn.1080p.cuda.fps".
        name: for people.
        value: in ``unit``; None where it was not measured or failed.
        target: None where there is none; ``most`` says that it is an upper limit.
        note: beside the value: what it was made of; or why there is none ("not measured: ...", "failed: ...").
    """

    key: str
    name: str
    value: float | None = None
    unit: str = ""
    target: float | None = None
    most: bool = False
    note: str = ""

    @property
    def good(self) -> bool | None:
        """Whether it meets its target; None without the one or the other."""
        if self.value is None or self.target is None:
            return None
        return self.value <= self.target if self.most else self.value >= self.target

    @property
    def failed(self) -> bool:
        return self.note.startswith("failed")

    @property
    def measured(self) -> str:
        """The value with its unit, or why there is none."""
        if self.value is None:
            return self.note or "not measured"
        return f"{rounded(self.value)} {self.unit}".strip()

    @property
    def aim(self) -> str:
        if self.target is None:
            return ""
        return f"{'≤' if self.most else '≥'} {self.target:g} {self.unit}".strip()

    @property
    def verdict(self) -> str:
        return "FAILED" if self.failed else {True: "ok", False: "MISSED", None: ""}[self.good]


def rounded(value: float) -> str:
    """Three digits that count, and no digit before the point lost."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    for digits, least in ((0, 100), (1, 10), (2, 1)):
        if abs(value) >= least:
            return f"{value:.{digits}f}"
    return f"{value:.3f}"


@dataclass
class Book:
    """All figures of one run, or of several that share a file.

    Attributes:
        path: the JSON file, written again after every figure; None for none.
        ends: `time.monotonic` at which no more measuring is begun.
        facts: of the machine.
    """

    path: Path | None = None
    ends: float = float("inf")
    say: Callable[[str], None] = lambda _: None
    facts: dict[str, str] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    failures: int = 0  # of this run

    @classmethod
    def open(cls, path: Path | None, **settings: Any) -> Book:
        """With what the file holds already, if there is one.

        Raises:
            ValueError: the file holds something else.
        """
        book = cls(path, **settings)
        if path is not None:
            book.facts, book.figures = read(path)
        return book

    def add(self, figure: Figure) -> None:
        if TRIAL in self.facts:
            figure = replace(figure, target=None)
        self.figures[figure.key] = figure
        self.failures += figure.failed
        self.say(line(figure))
        self.save()

    def know(self, **facts: str) -> None:
        self.facts |= facts
        for name, value in facts.items():
            self.say(f"{name}: {value}")
        self.save()

    def save(self) -> None:
        if self.path is not None:
            data = {"facts": self.facts, "figures": [asdict(f) | {"good": f.good} for f in self.figures.values()]}
            keep(self.path, json.dumps(data, indent=1) + "\n")

    @property
    def left(self) -> float:
        """Seconds until nothing more should be begun."""
        return self.ends - time.monotonic()

    def need(self, seconds: float) -> None:
        """
        Raises:
            NotMeasuredError: less than that is left.
        """
        if self.left < seconds:
            raise NotMeasuredError("no time was left for it")

    @contextmanager
    def attempt(self, key: str, name: str) -> Iterator[None]:
        """What goes wrong inside becomes a figure's note, and the run goes on."""
        before = self.figures.get(key)
        try:
            yield
            if before is not None and before.value is None and self.figures.get(key) is before:  # it works now
                del self.figures[key]
        except NotMeasuredError as error:
            self.add(Figure(key, name, note=f"not measured: {error}"))
        except Exception as error:
            self.add(Figure(key, name, note=f"failed: {reason(error)}"))


def reason(error: BaseException) -> str:
    """One line, of any exception."""
    first = next((text.strip() for text in str(error).splitlines() if text.strip()), "")
    return f"{type(error).__name__}: {first}"[:300] if first else type(error).__name__


def read(path: Path) -> tuple[dict[str, str], dict[str, Figure]]:
    """(facts, figures by key) of a file that `Book.save` wrote; nothing where there is none.

    Raises:
        ValueError: it is another file.
    """
    if not path.exists():
        return {}, {}
    try:
        data = json.loads(path.read_text())
        known = Figure.__dataclass_fields__
        rows = [Figure(**{k: v for k, v in row.items() if k in known}) for row in data["figures"]]
        return dict(data["facts"]), {figure.key: figure for figure in rows}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds no figures of gpu_bench: give it another file") from error


def line(figure: Figure) -> str:
    """For the terminal."""
    note = f"({figure.note})" if figure.note and figure.value is not None else ""
    return f"{figure.name:62} {figure.measured:>14} {figure.aim:>12} {figure.verdict:7} {note}".rstrip()
