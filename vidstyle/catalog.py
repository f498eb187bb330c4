"""Which styles there are, and the one a name or a path stands for.

The search order, for names: the user's folder, the package, then third-party packages that announce
styles through the entry-point group ``vidstyle.styles`` (style name -> the path of a safetensors
file, or a function that returns it). The first of a name wins; the others are shadowed.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from vidstyle.engine import Recipe
from vidstyle.errors import SinkError, StyleError, UsageError
from vidstyle.importer import import_published
from vidstyle.paths import bundled_dir, expanded, styles_dir
from vidstyle.style import Card, Style, check_name, load_style, read_card, save_style

GROUP = "vidstyle.styles"
SUFFIX = ".safetensors"
PULLED = "dctnet/"  # begins an id of vidstyle.pull, which is no path
USER, PACKAGE, PLUGIN = "user", "package", "plugin"


@dataclass(frozen=True)
class FoundStyle:
    """One place where a style of this name was found; exactly one of ``card`` and ``error`` is set."""

    name: str  # what --style takes: the file's stem, or the entry point's name
    origin: str  # "user", "package" or "plugin:<distribution>"
    path: Path | None  # None where a plugin could not say it
    card: Card | None = None
    error: str = ""
    shadowed: bool = False  # another of the same name comes first


@dataclass(frozen=True)
class _Place:
    """Where a style may be read; ``locate`` runs a plugin's code, so it is called only when asked for."""

    name: str
    origin: str
    locate: Callable[[], Path]


def _folder(folder: Path, origin: str) -> Iterator[_Place]:
    for path in sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stem):  # anime before anime-fast
        if not path.name.startswith("."):  # copies of file systems without resource forks: ._anime.safetensors
            yield _Place(path.stem, origin, partial(Path, path))


def _plugin_path(entry: EntryPoint, package: str) -> Path:
    try:
        value = entry.load()
        return Path(value() if callable(value) else value)
    except (Exception, SystemExit) as error:  # foreign code: whatever it raises
        reason = f"{type(error).__name__}: {error}"
        raise StyleError(
            f"the package {package} cannot give its style {entry.name} ({reason}): update or uninstall it"
        ) from error


def _plugins() -> Iterator[_Place]:
    found = [(entry.dist.name if entry.dist else "unknown", entry) for entry in entry_points(group=GROUP)]
    for package, entry in sorted(found, key=lambda item: (item[0], item[1].name)):
        yield _Place(entry.name, f"{PLUGIN}:{package}", partial(_plugin_path, entry, package))


def _places() -> Iterator[_Place]:
    """Every place in search order; lazy, so that a bundled style never reads the installed packages."""
    yield from _folder(styles_dir(), USER)
    yield from _folder(bundled_dir(), PACKAGE)
    yield from _plugins()


def _load(place: _Place) -> Style:
    path = place.locate()
    try:
        return load_style(path)
    except StyleError as error:
        if not place.origin.startswith(PLUGIN):
            raise
        raise StyleError(f"{error} (announced by the package {place.origin.partition(':')[2]})") from error


def is_path(name: str) -> bool:
    """Whether ``name`` can only be a path: it holds a separator or ends as a style file does."""
    separators = {"/", os.sep, os.altsep or os.sep}
    return name.endswith(SUFFIX) or any(separator in name for separator in separators)


def _is_file(text: str) -> bool:
    try:
        return expanded(text).is_file()
    except OSError:  # too long a name
        return False


def find_style(name: str) -> Style:
    """Read the style that ``name`` stands for: a path, or a name in the search order above.

    A bare name is looked up before a file of that name in the current folder, so that a stray file
    never stands in the way of a style.

    Raises:
        StyleError: there is none, its file is bad, or the package that announces it is broken.
    """
    if not is_path(name):
        for place in _places():
            if place.name == name:
                return _load(place)
    if _is_file(name) or (is_path(name) and not name.startswith(PULLED)):
        return load_style(expanded(name))
    raise StyleError(_unknown(name))


def _unknown(name: str) -> str:
    if name.startswith(PULLED):
        return (
            f"no style file {name}; fetch it with: vidstyle styles pull {name}; then: --style {name.replace('/', '-')}"
        )
    names = style_names()
    near = difflib.get_close_matches(name, names, cutoff=0.5)
    guess = f"did you mean {' or '.join(near)}? " if near else ""
    there = f"there are: {', '.join(names)}" if names else "none is installed"
    return f"no style named {name!r}; {guess}{there}. Get more: vidstyle styles pull dctnet/anime"


def _describe(place: _Place, shadowed: bool) -> FoundStyle:
    path: Path | None = None
    try:
        path = place.locate()
        return FoundStyle(place.name, place.origin, path, read_card(path), shadowed=shadowed)
    except StyleError as error:
        return FoundStyle(place.name, place.origin, path, error=str(error), shadowed=shadowed)


def style_names() -> list[str]:
    """The names of `list_styles`, each once; no file is opened."""
    return list(dict.fromkeys(place.name for place in _places()))


def list_styles() -> list[FoundStyle]:
    """Every style in search order, cards only (`find_style` checks the weights); never raises for a bad one."""
    found: list[FoundStyle] = []
    seen: set[str] = set()
    for place in _places():
        found.append(_describe(place, place.name in seen))
        seen.add(place.name)
    return found


def load_found(found: FoundStyle) -> Style:
    """Read one of `list_styles` whole, shadowed or not.

    Raises:
        StyleError: its file is bad, or it could not even be found.
    """
    if found.path is None:
        raise StyleError(found.error)
    return load_style(found.path)


def remove_style(name: str) -> Path:
    """Delete a style, readable or not, from the user's folder; the path it had.

    Raises:
        StyleError: there is none of that name in that folder.
        SinkError: the file cannot be deleted.
    """
    path = styles_dir() / f"{name}{SUFFIX}"
    if is_path(name) or not (path.is_file() or path.is_symlink()):
        origin = next((place.origin for place in _places() if place.name == name), None)
        if origin is None:
            raise StyleError(f"no style {name!r} in {styles_dir()}: see vidstyle styles list")
        owner = "vidstyle itself" if origin == PACKAGE else f"the package {origin.partition(':')[2]}"
        raise StyleError(f"the style {name} belongs to {owner}; only your own in {styles_dir()} can be removed")
    try:
        path.unlink()
    except OSError as error:
        raise SinkError(f"cannot delete {path}: {error.strerror or error}") from error
    return path


def place_for(name: str, overwrite: bool = False) -> Path:
    """The file of a new style in the user's folder.

    Raises:
        StyleError: no style can have the name, or another has it, also vidstyle's own or a package's: from then on
            ``--style NAME`` would take the new one.
    """
    path = styles_dir() / f"{check_name(name)}{SUFFIX}"
    if overwrite:
        return path
    if path.exists():
        raise StyleError(f"there is a style {name} already ({path}): give another name, or --overwrite")
    if name in style_names():
        what = f"a style {name} came with vidstyle or a package, and --style {name} would take yours from then on"
        raise StyleError(f"{what}: give another name, or --overwrite if that is meant")
    return path


def add_style(file: Path, name: str | None = None, overwrite: bool = False) -> tuple[Card, Path]:
    """Bring a published network (.pb, .tflite) or a style file into the user's folder; its card and path.

    Args:
        name: of the new style; by default made from the file's.

    Raises:
        StyleError: neither of them, or damaged; `place_for` refuses the name.
    """
    if os.path.isdir(file):  # noqa: PTH112 - a name too long for a file is none
        raise StyleError(f"cannot read {file}: it is a folder, expected a .pb, .tflite or .safetensors file")
    name = name if name is not None else _name_from(file)
    target = place_for(name, overwrite)
    style = load_style(file) if _is_safetensors(file) else import_published(file, name)
    return save_style(target, replace(style.card, name=name), style.weights, style.ranges), target


def _name_from(file: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9_]+", "-", file.stem).strip("-_")[:64]
    if not name:
        raise StyleError(f"no style's name can be made from {file.name!r}: give one with --name")
    return name


def _is_safetensors(file: Path) -> bool:
    """Told from the bytes: the length of a JSON header, then the header."""
    try:
        with open(file, "rb") as opened:
            head = opened.read(9)
    except (OSError, ValueError):
        return False  # whoever reads it next says why
    return file.suffix == SUFFIX or (head[8:] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32)


def parse_recipe(text: str, strength: float = 1.0) -> Recipe:
    """Read ``anime`` or ``anime:0.6+3d:0.4``; paths stand where names do.

    Raises:
        UsageError: a share is malformed or missing beside others, or ``strength`` is outside 0..1.
        StyleError: see `find_style`.
    """
    parts = [(text, None)] if _is_file(text) else [_share(part, text) for part in _split(text)]
    given = [share for _, share in parts if share is not None]
    if given and len(given) < len(parts):
        raise UsageError(f"{text!r} gives some styles a share and others none: give all one, as in anime:0.6+3d:0.4")
    return Recipe(tuple((find_style(name), share or 1.0) for name, share in parts), strength)


def _split(text: str) -> list[str]:
    """Split at each ``+`` but those inside the path of an existing file."""
    parts, pieces = [], text.split("+")
    while pieces:
        ends = range(len(pieces), 1, -1)
        end = next((n for n in ends if _holds_file("+".join(pieces[:n]))), 1)
        parts.append("+".join(pieces[:end]))
        pieces = pieces[end:]
    return parts


def _holds_file(part: str) -> bool:
    file, _, share = part.rpartition(":")
    return _is_file(part) or ("+" not in share and _is_file(file))


def _share(part: str, text: str) -> tuple[str, float | None]:
    """Split ``name:share``; a path may hold a colon itself (``C:\\looks\\anime.safetensors``)."""
    name, colon, number = part.rpartition(":")
    if not colon or _is_file(part) or is_path(number):
        name, share = part, None
    else:
        share = _positive(number, text)
    if not name.strip():
        raise UsageError(f"the look {text!r} lacks a style's name; expected one, or several as in anime:0.6+3d:0.4")
    return name, share


def _positive(number: str, text: str) -> float:
    try:
        share = float(number)
    except ValueError:
        share = math.nan
    if not (math.isfinite(share) and share > 0):
        raise UsageError(f"the share {number!r} in {text!r} is not a number above 0; write it as in anime:0.6+3d:0.4")
    return share
