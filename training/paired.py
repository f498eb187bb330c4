"""Photos, and drawings of these very photos, as canvases to learn from: what `vidstyle train --paired` begins with.

A drawing has its photo's name, whatever its ending and size: what an artist, a filter or a slow network made of it.
Both are cut around each face as in `training.data`, so that the student sees faces of every size, bodies and what is
behind them; pictures without faces are learned from too.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath

import numpy as np

from training import alike
from training.data import (
    EMPTY,
    EYES,
    FACE,
    SIDE,
    Canvases,
    canvas,
    empty_window,
    evenly,
    eye_distance,
    face_canvas,
    halved,
    held_out,
)
from training.detector import Detector, detector_file
from training.options import SEEDS, share
from training.pictures import Read, names, place, reader
from training.portraits import sheet
from vidstyle.errors import SourceError, UsageError
from vidstyle.training_pictures import told_by
from vidstyle.whole import write_whole

log = logging.getLogger("paired")

REPORT, REFUSED = "report.json", "refused.txt"
PARTS = ("train", "held")  # each with its sources and targets, as bytes that are read where they lie
HELD = 3  # photos that are kept for measuring, where any are
WIDER = 1.6  # times that lines may be what they are around faces
OnPicture = Callable[[int, int, dict[str, float]], None]  # done, of, figures


@dataclass(frozen=True)
class Options:
    pictures: int = field(default=600, metadata={"least": 1})  # that are used at most, spread evenly
    score: float = share(0.7)  # the detector's certainty of a face
    faces: int = field(default=2, metadata={"least": 1})  # of a picture, the largest
    other: float = share(0.5)  # of the largest's width that another face must have: enlarged, its lines would be wider
    shape: float = share(0.02)  # by which a drawing's sides may be in another proportion than its photo's
    alike: float = share(0.25)  # correlation that the edges of photo and drawing need, see `training.alike`; 0: any
    held: float = field(default=0.06, metadata={"below": 1})  # share kept for measuring, of `HELD` photos at least
    least: int = 20  # pairs; fewer are refused
    seed: int = field(default=0, metadata={"below": SEEDS})


def matched(photos: Path, drawings: Path) -> list[tuple[str, str]]:
    """Names of photos and of their drawings, in the order of names.

    Told by their places below the two folders, without endings; where that finds fewer, below the folders that all lie
    in, as a zip of a folder has one more. Capitals, and how é is written, make no difference.

    Raises:
        SourceError: of two pictures each could be the one that is meant.
    """
    listed, ways = (names(photos), names(drawings)), []
    for shared in (False, True):
        ours, theirs = (_by_key(found, shared) for found in listed)
        ways.append((ours, theirs, sorted(ours.keys() & theirs.keys())))
    ours, theirs, both = max(ways, key=lambda way: len(way[2]))  # the first, where both find as many
    for source, found in ((photos, ours), (drawings, theirs)):
        if (several := next((found[key] for key in both if len(found[key]) > 1), None)) is not None:
            raise SourceError(f"{source}: {' and '.join(several)} have one name, and one can be a pair: move one away")
    return [(ours[key][0], theirs[key][0]) for key in both]


def _by_key(listed: list[str], shared: bool) -> dict[str, list[str]]:
    """Pictures by what names them, below the folder that all lie in where it is ``shared``."""
    found: dict[str, list[str]] = {}
    places = {name: place(name) for name in listed}
    parents = [at.parent.as_posix() for at in places.values()]
    inside = PurePosixPath(os.path.commonpath(parents)) if parents and shared else PurePosixPath()
    for name, at in places.items():
        found.setdefault(told_by(at.relative_to(inside)), []).append(name)
    return found


def check(photos: Path, drawings: Path, options: Options) -> list[tuple[str, str]]:
    """What `matched` gives, where it is enough.

    Raises:
        SourceError: as `matched`; there are too few pairs.
        UsageError: photos and drawings are the same.
    """
    if photos.resolve() == drawings.resolve():
        raise UsageError(f"{photos} is given as photos and as drawings: give the folder of the drawings in --exemplars")
    pairs = matched(photos, drawings)
    if len(pairs) >= options.least:
        return pairs
    ours, theirs = {name for name, _ in pairs}, {name for _, name in pairs}
    alone = [
        name for found, used in ((photos, ours), (drawings, theirs)) for name in sorted({*names(found)} - used)[:1]
    ]
    seen = f"{len(names(photos))} photos in {photos}, {len(names(drawings))} drawings in {drawings}"
    examples = f" (without a partner {' and '.join(alone)})" if alone else ""
    wanted = f"at least {options.least} are needed: call each drawing as its photo, as a.jpg and a.png"
    raise SourceError(f"{seen}, and {len(pairs)} have the same name{examples}; {wanted}")


def prepare(
    photos: Path,
    drawings: Path,
    folder: Path,
    detector: Path | None,
    options: Options,
    on_step: OnPicture | None = None,
) -> None:
    """Write canvases of all pairs, their report and a sheet into ``folder``.

    Raises:
        SourceError: as `check`; too few of the pairs can be used. What is wrong with each is in refused.txt.
    """
    net, pairs = Detector(detector_file(detector), options.score), check(photos, drawings, options)
    pairs = [pairs[index] for index in evenly(len(pairs), options.pictures)]
    held = _held([name for name, _ in pairs], options)
    shutil.rmtree(folder, ignore_errors=True)  # what a stop left
    folder.mkdir(parents=True)
    refused: dict[str, str] = {}
    kinds: dict[str, list[int]] = {part: [] for part in PARTS}
    with ExitStack() as stack:
        photo, drawing = (stack.enter_context(reader(source)) for source in (photos, drawings))
        files = {part: [stack.enter_context(open(path, "wb")) for path in _files(folder, part)] for part in PARTS}
        for number, (name, drawn) in enumerate(pairs):
            one, other = photo(name), drawing(drawn)
            part = PARTS[name in held]
            why = _fault(one, other, options)
            if why or one.image is None or other.image is None:
                refused[name] = why
            else:
                rng = np.random.default_rng([options.seed, number])
                for kind, *both in _cut(one.image, other.image, net, options, rng):
                    kinds[part].append(kind)
                    for file, cut in zip(files[part], both, strict=True):
                        file.write(np.ascontiguousarray(cut).data)
            if on_step:
                on_step(number + 1, len(pairs), {"canvases": float(sum(map(len, kinds.values())))})
    _check_enough(folder, len(pairs), refused, options)
    if FACE not in kinds["train"]:
        raise SourceError(
            f"{photos}: no face was found in {len(pairs)} photos, and people are what is learned: add some"
        )
    report = {"pairs": len(pairs) - len(refused), "kinds": kinds, "refused": refused, "options": asdict(options)}
    write_whole(folder / REPORT, json.dumps(report).encode())
    _sheet(load(folder), folder / "sheet.png")


def _held(photos: list[str], options: Options) -> set[str]:
    """Those kept for measuring, by their names, the same in every run."""
    if not options.held:
        return set()
    held = {name for name in photos if held_out(name, options.held)}
    return (
        held if len(held) >= HELD else set(sorted(photos, key=lambda name: sha256(os.fsencode(name)).digest())[:HELD])
    )


def _files(folder: Path, part: str) -> tuple[Path, Path]:
    return folder / f"{part}-sources.rgb", folder / f"{part}-targets.rgb"


def _fault(photo: Read, drawing: Read, options: Options) -> str:
    """Why a pair cannot be learned from; "" where it can."""
    if photo.image is None:
        return photo.reason
    if drawing.image is None:
        return f"its drawing {drawing.name}: {drawing.reason}"
    (h, w), (height, width) = photo.image.shape[:2], drawing.image.shape[:2]
    if abs((width / height) / (w / h) - 1) <= options.shape:
        amiss = alike.fault(photo.image, drawing.image, options.alike) if options.alike else ""
        return f"its drawing {amiss}" if amiss else ""
    turned = ", and not turned" if (width - height) * (w - h) < 0 else ""
    return f"is {w}x{h}, its drawing {width}x{height}: expected the same proportions{turned}"


def _cut(
    photo: np.ndarray, drawing: np.ndarray, net: Detector, options: Options, rng: np.random.Generator
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Kind, source and target of each canvas of a pair, as `training.data.Canvases` has them."""
    grown = drawing.shape[1] / photo.shape[1], drawing.shape[0] / photo.shape[0]
    faces = net(photo)[: options.faces]
    for face in faces[faces[:, 2] >= options.other * faces[:1, 2]]:
        points = face[4:14].reshape(5, 2)
        yield FACE, face_canvas(photo, points), halved(face_canvas(drawing, points, grown))
    sides = _sides(photo.shape, faces)
    window = empty_window(photo.shape, [face[:4] for face in faces], rng, sides) if sides[0] < sides[1] else None
    if window is not None:
        x, y, side = window
        at = x + (side - 1) / 2, y + (side - 1) / 2
        yield EMPTY, canvas(photo, at, 2 * SIDE / side), halved(canvas(drawing, at, 2 * SIDE / side, grown))


def _sides(shape: tuple[int, ...], faces: np.ndarray) -> tuple[float, float]:
    """Of a window without a face, see `training.data.empty_window`: lines are about as wide in it as around the faces.

    In one that is enlarged much they would be as much wider than the network can tell they should be.
    """
    if not len(faces):
        return 0.5, 1.0
    usual = SIDE / EYES * eye_distance(faces[0, 4:14].reshape(5, 2)) / min(shape[:2])
    return usual / WIDER, min(0.95, usual)


def _check_enough(folder: Path, pairs: int, refused: dict[str, str], options: Options) -> None:
    listing = folder / REFUSED
    if refused:
        listing.write_text("".join(f"{name}: {why}\n" for name, why in refused.items()), "utf-8", "surrogateescape")
        log.warning("%d of %d pairs cannot be used: see %s", len(refused), pairs, listing)
    if pairs - len(refused) < options.least:
        first, why = next(iter(refused.items()), ("", ""))
        what = f"{pairs - len(refused)} of {pairs} pairs can be used, at least {options.least} are needed"
        raise SourceError(f"{what} ({first}: {why}; see {listing})")


def _sheet(some: Canvases, path: Path, columns: int = 12) -> None:
    """Rows of photos, and of their drawings below."""
    chosen = evenly(len(some.source), 4 * columns)
    rows = [chosen[start : start + columns] for start in range(0, len(chosen), columns)]
    pictures = [part[index] for row in rows for part in (some.source, some.target) for index in row]
    sheet(pictures, path, columns, len(pictures))


def load(folder: Path, part: str = "train") -> Canvases:
    """The canvases to learn from, or those that are ``held`` out; sources and targets stay on the disk.

    Raises:
        SourceError: `prepare` did not write them, or they are damaged.
    """
    try:
        kinds = np.array(json.loads((folder / REPORT).read_text())["kinds"][part], np.uint8)
        shapes = ((len(kinds), side, side, 3) for side in (2 * SIDE, SIDE))
        source, target = (
            np.memmap(path, np.uint8, "c", shape=shape) if len(kinds) else np.zeros(shape, np.uint8)
            for path, shape in zip(_files(folder, part), shapes, strict=True)
        )
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(f"no pairs of a training in {folder} ({error}): begin it anew in another --run") from error
    return Canvases(source, target, kinds)
