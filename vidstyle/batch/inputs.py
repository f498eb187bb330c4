"""Which videos a person means by files, folders and patterns, and the name each result gets."""

from __future__ import annotations

import codecs
import fnmatch
import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePath

from vidstyle.batch.expand import expanded
from vidstyle.batch.journal import LOCK, NAME, Journal, stamp
from vidstyle.errors import SinkError, SourceError, UsageError
from vidstyle.inputs import of_series
from vidstyle.numbering import as_pattern, names_in, no_such, series_in, whatever_digits
from vidstyle.pattern import Pattern
from vidstyle.picture import ENCODERS as PICTURES

#: what is taken for a video in a folder; a name that is given explicitly may have any
EXTENSIONS = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".mkv", ".webm", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".m2v", ".vob"),
    *(".avi", ".divx", ".wmv", ".asf", ".flv", ".f4v", ".ogv", ".ogm", ".rm", ".rmvb", ".mxf", ".dv", ".y4m"),
)
PART = ".part"  # ends the names of files and folders that are still being written
PACKET = 188  # bytes, of a transport stream


@dataclass(frozen=True, slots=True)
class Item:
    """One video and the file it becomes, told from their names; numbered pictures are named by their pattern.

    What is in the video may call for another container: the result then has another extension than ``target``.

    Attributes:
        urls: where the two really are, if they are no files of this machine; for people.
    """

    source: Path
    target: Path
    urls: tuple[str, str] | None = None

    @property
    def names(self) -> tuple[str, str]:
        """Of source and target, for people and programs."""
        return self.urls or (str(self.source), str(self.target))

    def named(self, file: str) -> str:
        """The result's name, for people and programs, where it came to be called ``file``."""
        return self.names[1].removesuffix(self.target.name) + file

    def told(self, text: str) -> str:
        """A text about it, with these names; a cluster's workers know absolute paths."""
        for path, name in zip((self.source, self.target), self.names, strict=True):
            text = text.replace(str(path.absolute()), name).replace(str(path), name)
        return text


@dataclass
class Found:
    """
    Attributes:
        items: in the order of the inputs, sorted in every folder; each video once. Several may have one target.
        passed_over: number of files that are no videos by their names.
        pictures: how many of those are pictures by their names.
        missing: inputs of which nothing is there, where it may come later.
        results: of other batches that lie in the inputs' folders, with their sources.
        unreadable: folders that could not be looked into, and why.
        numbered: series of numbered pictures are looked for, too.
    """

    items: list[Item] = field(default_factory=list)
    passed_over: int = 0
    pictures: int = 0
    missing: list[str] = field(default_factory=list)
    results: list[tuple[Path, Path]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    numbered: bool = False


class _RealFolders(dict[Path, Path]):
    """Folder -> the folder it is, links followed; asked for once."""

    def __missing__(self, folder: Path) -> Path:
        self[folder] = Path(os.path.realpath(folder))
        return self[folder]


def find(
    inputs: Sequence[str],
    folder: Path,
    name: Callable[[Path], str],
    ours: Iterable[Path] = (),
    patience: bool = False,
    numbered: bool = False,
) -> Found:
    """Every video that ``inputs`` name: files, folders with all below them, and patterns as ``in/**/*.mp4``.

    With ``numbered`` also every series of two numbered pictures or more in a folder, and patterns of such as
    ``in/*/shot.%04d.png``.

    What is hidden, unfinished (``.part``), below the output ``folder``, or a result is left out; links to folders are
    not followed.

    Args:
        name: gives the name of a video's result.
        ours: earlier results, which may lie beside their sources.
        patience: an input that is not there may come later.

    Raises:
        SourceError: an input does not exist, or is neither file nor folder.
        UsageError: a pattern matches nothing.
    """
    found = Found(numbered=numbered)
    named = [pair for text in inputs for pair in _named(text, folder, found, patience)]
    take(found, [Item(source, folder / below / name(source)) for source, below in named], ours)
    return found


def take(found: Found, items: Sequence[Item], ours: Iterable[Path] = ()) -> None:
    """Put each video into ``found`` once, without results."""
    real = _RealFolders()

    def known(path: Path) -> Path:
        # A link to a video is a video of its own: only folders are followed.
        return whatever_digits(real[path.parent] / path.name)

    sources = {known(item.source) for item in items}
    others = [result for result, source in found.results if known(source) in sources]
    results = {known(path) for path in (*(item.target for item in items), *ours, *others)}
    taken: set[Path] = set()
    for item in items:
        source = real[item.source.parent] / item.source.name
        if source in taken or known(source) in results:
            continue
        taken.add(source)
        found.items.append(item)


def _named(text: str, folder: Path, found: Found, patience: bool) -> Iterator[tuple[Path, Path]]:
    """(video, its folder below what was named) for one input."""
    path = Path(text)
    try:
        there = path.exists()
    except OSError as error:  # a folder above it is locked, or its name is too long
        raise SourceError(f"cannot read {text}: {error.strerror or error}") from error
    if path.is_dir():
        return _walk(path, folder, found)
    if path.is_file():
        return iter([(path, Path())])
    if found.numbered and not there and (pattern := as_pattern(path)) is not None:
        return _numbered(pattern, folder, found)
    if glob.has_magic(text) and not there:
        return _matching(text, folder, found, patience)
    if patience and not there:
        found.missing.append(text)
        return iter(())
    if there:
        raise SourceError(f"{text} is neither a file nor a folder")
    raise SourceError(f"no such file or folder: {text}{of_series(path, several=True)}")


def _walk(top: Path, folder: Path, found: Found) -> Iterator[tuple[Path, Path]]:
    def unreadable(error: OSError) -> None:
        found.unreadable.append(f"cannot look into {error.filename}: {error.strerror}")

    own = os.path.realpath(folder)
    for place, folders, names in os.walk(top, onerror=unreadable):
        kept = (name for name in folders if not left_out(name))
        folders[:] = sorted(name for name in kept if os.path.realpath(Path(place, name)) != own)
        if NAME in names and os.path.realpath(place) != own:
            _note_results(Path(place), found)
        series = series_in(Path(place), names) if found.numbered else []
        theirs = {pattern.name(number) for pattern, numbers in series for number in numbers}
        yield from _videos((Path(place, name) for name in sorted(names) if name not in theirs), top, found)
        yield from ((pattern.pattern, Path(place).relative_to(top)) for pattern, _ in series)


@cache
def _journal_of(folder: str) -> Journal:
    """Kept from look to look of a watched folder."""
    return Journal(Path(folder))


def _note_results(folder: Path, found: Found) -> None:
    """What the journal of another batch says."""
    journal = _journal_of(os.path.realpath(folder))
    with suppress(SinkError):  # it is not ours to read
        journal.read()
    found.results += journal.made()


def _matching(pattern: str, folder: Path, found: Found, patience: bool) -> Iterator[tuple[Path, Path]]:
    """The videos that a pattern matches; the structure below the part without wildcards is kept."""
    top, files = _matched(pattern, folder, found, patience)
    ending = Path(pattern).suffix
    explicit = bool(ending) and not glob.has_magic(ending)  # as in *.dat: the person knows what they are
    return _videos(files, top, found, explicit)


def _numbered(pattern: Pattern, folder: Path, found: Found) -> Iterator[tuple[Path, Path]]:
    """The series that a pattern with a place for a number names, which may have wildcards besides.

    Raises:
        SourceError, UsageError: there is none.
    """
    text = str(pattern.pattern)
    literal = pattern.numbers(names_in(pattern.folder))  # also of a name with signs of wildcards
    if not literal and not glob.has_magic(text):
        raise no_such(pattern.pattern)
    top, places = pattern.folder, [pattern.folder]
    if not literal:
        anything = pattern.folder / f"{pattern.before}*{pattern.after}"
        top, files = _matched(str(anything), folder, found, patience=False)
        places = list(dict.fromkeys(file.parent for file in files if not file.parent.name.endswith(PART)))
    series = [each for place in places for each in _series_of(replace(pattern, folder=place))]
    if not series:
        raise UsageError(f"nothing matches {text!r}: check the pattern")
    return ((each.pattern, each.folder.relative_to(top)) for each in series)


def _series_of(pattern: Pattern) -> list[Pattern]:
    """Those in its folder that it names."""
    names = names_in(pattern.folder)
    if pattern.numbers(names):
        return [pattern]
    wanted = pattern.pattern.name
    return [found for found, _ in series_in(pattern.folder, names) if fnmatch.fnmatchcase(found.pattern.name, wanted)]


def _matched(pattern: str, folder: Path, found: Found, patience: bool) -> tuple[Path, Iterator[Path]]:
    """(folder above all wildcards, files) of a pattern."""
    top = next(path for path in Path(pattern).parents if not glob.has_magic(str(path)))
    own = Path(os.path.realpath(folder))
    inner = own != Path(os.path.realpath(top))  # results beside their sources are known by name instead
    matches = sorted({*expanded(top, Path(pattern).parts[len(top.parts) :])})
    if not matches:
        if not patience:
            raise UsageError(f"nothing matches {pattern!r}: check the pattern{of_series(Path(pattern), several=True)}")
        found.missing.append(pattern)
    files = (path for path in matches if not (inner and Path(os.path.realpath(path.parent)).is_relative_to(own)))
    for above in {above for path in matches for above in path.parents}:
        if stamp(above / NAME) is not None and Path(os.path.realpath(above)) != own:
            _note_results(above, found)
    return top, (path for path in files if _is_file(path))


def _videos(paths: Iterable[Path], top: Path, found: Found, explicit: bool = False) -> Iterator[tuple[Path, Path]]:
    for path in paths:
        if left_out(path.name):
            continue
        if explicit or is_video(path):
            yield path, path.parent.relative_to(top)
        else:
            pass_over(path, found)


def pass_over(path: PurePath, found: Found) -> None:
    """Count a file that is no video by its name, and not a batch's own."""
    found.passed_over += path.name not in (NAME, LOCK)
    found.pictures += path.suffix.lower() in PICTURES


def left_out(name: str) -> bool:
    return name.startswith(".") or name.endswith(PART)


def is_video(path: Path) -> bool:
    """A file with a video's extension. A ``.ts`` that is a text is a program."""
    extension = path.suffix.lower()
    return extension in EXTENSIONS and _is_file(path) and not (extension == ".ts" and _is_text(path))


def _is_file(path: Path) -> bool:
    """Also a link that leads nowhere, and what may not be looked at: they fail by name when their turn comes."""
    try:
        return path.is_file() or (path.is_symlink() and not path.exists())
    except OSError:
        return True


def _is_text(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(4 * PACKET)  # holds a NUL, or bytes that are no UTF-8, in every transport stream
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except (OSError, UnicodeDecodeError):
        return False
    return bool(head) and b"\0" not in head
