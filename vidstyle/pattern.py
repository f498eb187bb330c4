"""The names of numbered pictures, as people write them in one: shot.%04d.png, or shot.####.png."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vidstyle.errors import UsageError

_PLACE = re.compile(r"%%|%0?(\d*)d")


@dataclass(frozen=True)
class Pattern:
    """All names that differ in a number.

    Attributes:
        before, after: the name around the number.
        digits: the number has, at least.
    """

    folder: Path
    before: str
    after: str
    digits: int

    @property
    def pattern(self) -> Path:
        """As FFmpeg writes it: shot.%04d.png."""
        number = f"%0{self.digits}d" if self.digits > 1 else "%d"
        return self.folder / (self.before.replace("%", "%%") + number + self.after.replace("%", "%%"))

    def path(self, number: int) -> Path:
        return self.folder / f"{self.before}{number:0{self.digits}d}{self.after}"

    def name(self, number: int) -> str:
        return self.path(number).name

    def numbers(self, names: Iterable[str]) -> list[int]:
        """Of those among the ``names`` that are written so, in their order."""
        exact = re.compile(f"{re.escape(self.before)}([0-9]+){re.escape(self.after)}")
        texts = [found[1] for name in names if (found := exact.fullmatch(name))]
        return [int(text) for text in texts if f"{int(text):0{self.digits}d}" == text]

    def beside(self) -> Path:
        """What a result of all of them is named after, and lies beside: shot.png."""
        stem = self.before.strip("._- ") or self.folder.resolve().name or "pictures"
        return self.folder / (stem + self.pattern.suffix)


def parse_pattern(path: Path) -> Pattern | None:
    """The pattern that a path is written as; None where its name has no place for a number.

    Raises:
        UsageError: it has several.
    """
    name = path.name
    numbers = [found for found in _PLACE.finditer(name) if found[0] != "%%"]
    if len(numbers) > 1:
        raise UsageError(f"{name} has several numbers: write one as %04d, and the others as they are")
    if numbers:
        begin, end = numbers[0].span()
        before, after = (part.replace("%%", "%") for part in (name[:begin], name[end:]))
        return Pattern(path.parent, before, after, int(numbers[0][1] or 1))
    marks = [found.span() for found in re.finditer("#+", name)]
    if not marks:
        return None
    begin, end = marks[-1]
    return Pattern(path.parent, name[:begin], name[end:], end - begin)
