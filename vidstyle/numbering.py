"""Which numbered pictures a person means by a pattern (shot.%04d.png, shot.####.png) or by their folder."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from vidstyle.errors import SourceError, UsageError
from vidstyle.limits import MAX_RATE
from vidstyle.pattern import Pattern, parse_pattern
from vidstyle.series import KINDS, LINEAR, Series

NTSC = (24, 30, 48, 60, 120)  # rates whose 1000/1001 is written in decimals
Key = tuple[str, str, int]  # before, after, digits: see `Series`
_ENDINGS = frozenset((*KINDS, *LINEAR))
_SHOWN = 4  # names in a message
_MOST = 2**31 - 1  # FFmpeg counts the pictures of a series in 32 bits
_NUMBER = re.compile(r"(.*?)([0-9]+)([^0-9]*)", re.DOTALL)  # the last number in a name


def find_series(text: str) -> Series | None:
    """The numbered pictures that a pattern (shot.%04d.png, shot.####.png) or a folder names; None for other inputs.

    Raises:
        SourceError: there are none, several series in a folder, or numbers are missing or too large.
        UsageError: the pattern has several numbers, or is of files that are no pictures.
    """
    path = Path(text)
    try:
        if path.is_dir():
            return _in_folder(path)
        if path.exists():
            return None
    except OSError:  # told when it is opened
        return None
    pattern = parse_pattern(path)
    if pattern is None:
        return None
    if path.suffix.lower() not in _ENDINGS:
        known = " ".join(KINDS)
        raise UsageError(f"{path} names no pictures that are read in series ({known}): name one video, or use batch")
    if numbers := pattern.numbers(names_in(path.parent)):
        return _whole(path.parent, (pattern.before, pattern.after, pattern.digits), numbers, pattern.beside())
    raise no_such(path)


def no_such(path: Path) -> SourceError:
    """That nothing is there of a pattern, and what is."""
    groups = _groups(names_in(path.parent))
    there = f" (there are {_listed(path.parent, groups)})" if groups else ""
    return SourceError(f"no picture is called {path}{there}")


def parse_rate(text: str) -> Fraction:
    """Pictures a second: 24, 30000/1001; 23.976 is 24000/1001, as editors mean it.

    Raises:
        UsageError: anything else.
    """
    rate = Fraction(0)
    with suppress(ValueError, ZeroDivisionError):
        rate = Fraction(text)
    if not 0 < rate <= MAX_RATE or not re.fullmatch(r"[0-9.]+(/[0-9]+)?", text):
        raise UsageError(
            f"--fps is {text!r}: expected pictures a second as 24, 23.976 or 30000/1001, {MAX_RATE} at most"
        )
    exact = (Fraction(1000 * whole, 1001) for whole in NTSC)
    return next((ntsc for ntsc in exact if "." in text and abs(rate - ntsc) < Fraction(1, 200)), rate)


def is_pattern(text: str) -> bool:
    """Whether it is written as numbered pictures are, and is no file."""
    path = Path(text)
    known = path.suffix.lower() in _ENDINGS and parse_pattern(path) is not None
    return known and not os.path.lexists(text)


def as_pattern(path: Path) -> Pattern | None:
    """What a path is written as the pattern of; None for all else, also where its name has several numbers."""
    with suppress(UsageError):
        return parse_pattern(path) if path.suffix.lower() in _ENDINGS else None
    return None


def whatever_digits(path: Path) -> Path:
    """Equal for patterns of numbered pictures that may name one file: 1001 has four digits, or at least three."""
    pattern = as_pattern(path)
    return path if pattern is None else path.with_name(f"{pattern.before}%d{pattern.after}")


def series_in(folder: Path, names: Iterable[str]) -> list[tuple[Pattern, list[int]]]:
    """Every series of two or more among the ``names`` of a folder, with its numbers; those that are not read last."""
    several = [(Pattern(folder, *key), each) for key, each in _groups(names).items() if len(each) > 1]
    return sorted(several, key=lambda found: found[0].pattern.suffix.lower() in LINEAR)


def pattern_of(path: Path) -> Path | None:
    """Of the series that a picture seems to belong to; None where its name has no number, or its kind is not read."""
    found = _NUMBER.fullmatch(path.stem)
    if found is None or path.suffix.lower() not in KINDS:
        return None
    before, number, after = found.groups()
    return Series(path.parent, before, after + path.suffix, len(number), 0, 0, path).pattern


def names_in(folder: Path) -> list[str]:
    """Of what is in a folder; none where there is no such folder."""
    try:
        return [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise SourceError(f"cannot read {folder}: {error.strerror or error}") from error


def listed(pattern: Pattern, numbers: Sequence[int]) -> str:
    """For messages: shot.0061.png to shot.0100.png."""
    first, last = pattern.name(min(numbers)), pattern.name(max(numbers))
    if len(numbers) == 1:
        return first
    whole = len(numbers) == max(numbers) - min(numbers) + 1
    return f"{first} to {last}" if whole else f"{len(numbers)} pictures from {first} to {last}"


def _groups(names: Iterable[str]) -> dict[Key, list[int]]:
    """The numbers of each series of numbered pictures among the names of a folder."""
    by_name: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in map(Path, names):
        found = _NUMBER.fullmatch(path.stem)
        if found and not path.name.startswith(".") and path.suffix.lower() in _ENDINGS:
            by_name[found[1], found[3] + path.suffix].append(found[2])
    groups: dict[Key, list[int]] = defaultdict(list)
    for (before, after), texts in by_name.items():
        # What begins with 0 has its digits for sure; 1000 may be of 0999, or of 1 and 10.
        sure = {len(text) for text in texts if text.startswith("0") and len(text) > 1}
        least = min(len(text) for text in texts)
        for text in texts:
            fitting = [digits for digits in sure if digits <= len(text)]
            own = len(text) if text.startswith("0") and len(text) > 1 else max(fitting, default=least)
            groups[before, after, own].append(int(text))
    return dict(sorted(groups.items()))


def _in_folder(folder: Path) -> Series | None:
    groups = _groups(names_in(folder))
    several = {key: numbers for key, numbers in groups.items() if len(numbers) > 1} or groups
    if not several:
        return None
    if len(several) > 1:
        raise SourceError(f"{folder} holds {_listed(folder, several)}: name one of them")
    key, numbers = next(iter(several.items()))
    full = folder if folder.name not in ("", "..") else folder.resolve()
    return _whole(folder, key, numbers, full.with_name(f"{full.name}.png") if full.name else full)


def _listed(folder: Path, groups: dict[Key, list[int]]) -> str:
    """For messages: the patterns that a folder holds."""
    names = [str(Series(folder, *key, 0, 0, folder).pattern) for key in groups]
    more = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join([*names[:_SHOWN], *more])


def _whole(folder: Path, key: Key, numbers: Sequence[int], named: Path) -> Series:
    """
    Raises:
        SourceError: numbers between the first and the last are missing, or one is too large.
    """
    series = Series(folder, *key, min(numbers), max(numbers), named)
    holes = [(before + 1, after - 1) for before, after in pairwise(sorted(numbers)) if after > before + 1]
    if holes:
        names = [series.name(first) + (f" to {series.name(last)}" if last > first else "") for first, last in holes]
        more = sum(last - first + 1 for first, last in holes[_SHOWN:])
        told = ", ".join([*names[:_SHOWN], *([f"{more} more"] if more else [])])
        verb = "is" if len(holes) == 1 and holes[0][0] == holes[0][1] else "are"
        raise SourceError(f"{told} {verb} missing in {folder} ({series}): make what is missing first")
    if series.last > _MOST:
        raise SourceError(f"{series.path(series.last)}: numbers up to {_MOST} are read: give the pictures smaller ones")
    return series
