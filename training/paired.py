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
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from training.data import EMPTY, EYES, FACE, SIDE, Canvases, empty_window, evenly, eye_distance, face_canvas, held_out
from training.detector import Detector, detector_file
from training.options import SEEDS, share
from training.pictures import Read, names, reader
from training.portraits import sheet
from vidstyle.errors import SourceError
from vidstyle.whole import write_whole

log = logging.getLogger("paired")

REPORT, REFUSED = "report.json", "refused.txt"
PARTS = ("train", "held")  # each with its sources and targets, as bytes that are read where they lie
WIDER = 1.6  # times that lines may be what they are around faces
OnPicture = Callable[[int, int, dict[str, float]], None]  # done, of, figures


@dataclass(frozen=True)
class Options:
    pictures: int = field(default=600, metadata={"least": 1})  # that are used at most, spread evenly
    score: float = share(0.7)  # the detector's certainty of a face
    faces: int = field(default=2, metadata={"least": 1})  # of a picture, the largest
    shape: float = share(0.02)  # by which a drawing's sides may be in another proportion than its photo's
    held: float = field(default=0.06, metadata={"below": 1})  # share kept for measuring
    least: int = 20  # pairs; fewer are refused
    seed: int = field(default=0, metadata={"below": SEEDS})


def matched(photos: Path, drawings: Path) -> list[tuple[str, str]]:
    """Names of photos and of their drawings, in the order of names.

    Raises:
        SourceError: two pictures of one place have the same name.
    """
    ours, theirs = _by_key(photos), _by_key(drawings)
    return [(ours[key], theirs[key]) for key in sorted(ours.keys() & theirs.keys())]


def _by_key(source: Path) -> dict[str, str]:
    """Pictures by what names them: below the folder that all lie in, without their endings."""
    keys: dict[str, str] = {}
    found = names(source)
    parents = [PurePosixPath(name).parent for name in found]
    shared = PurePosixPath(os.path.commonpath(parents)) if parents else PurePosixPath()
    for name in found:
        key = PurePosixPath(name).relative_to(shared).with_suffix("").as_posix()
        if key in keys:
            raise SourceError(
                f"{source}: {keys[key]} and {name} have one name, and only one can be a pair: move one away"
            )
        keys[key] = name
    return keys


def check(photos: Path, drawings: Path, options: Options) -> list[tuple[str, str]]:
    """What `matched` gives, where it is enough.

    Raises:
        SourceError: as `matched`; there are too few pairs.
    """
    pairs = matched(photos, drawings)
    if len(pairs) < options.least:
        seen = (
            f"{len(names(photos))} photos in {photos}, {len(names(drawings))} drawings in {drawings}, and {len(pairs)}"
        )
        wanted = f"at least {options.least} are needed: call each drawing as its photo, as a.jpg and a.png"
        raise SourceError(f"{seen} of the same name; {wanted}")
    return pairs


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
    shutil.rmtree(folder, ignore_errors=True)  # what a stop left
    folder.mkdir(parents=True)
    refused: dict[str, str] = {}
    kinds: dict[str, list[int]] = {part: [] for part in PARTS}
    with ExitStack() as stack:
        photo, drawing = (stack.enter_context(reader(source)) for source in (photos, drawings))
        files = {part: [stack.enter_context(open(path, "wb")) for path in _files(folder, part)] for part in PARTS}
        for number, (name, drawn) in enumerate(pairs):
            one, other = photo(name), drawing(drawn)
            part = PARTS[held_out(name, options.held)]
            why = _fault(one, other, options)
            if why or one.image is None or other.image is None:
                refused[name] = why
            else:
                rng = np.random.default_rng([options.seed, number])
                for kind, *canvases in _cut(one.image, other.image, net, options, rng):
                    kinds[part].append(kind)
                    for file, canvas in zip(files[part], canvases, strict=True):
                        file.write(np.ascontiguousarray(canvas).data)
            if on_step:
                on_step(number + 1, len(pairs), {"canvases": float(sum(map(len, kinds.values())))})
    _check_enough(folder, len(pairs), refused, options)
    report = {"pairs": len(pairs) - len(refused), "kinds": kinds, "refused": refused, "options": asdict(options)}
    write_whole(folder / REPORT, json.dumps(report).encode())
    _sheet(load(folder), folder / "sheet.png")


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
        return ""
    return f"is {w}x{h}, its drawing {width}x{height}: expected the same proportions"


def _cut(
    photo: np.ndarray, drawing: np.ndarray, net: Detector, options: Options, rng: np.random.Generator
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Kind, source and target of each canvas of a pair, as `training.data.Canvases` has them."""
    grown = np.array([drawing.shape[1] / photo.shape[1], drawing.shape[0] / photo.shape[0]], np.float32)
    faces = net(photo)[: options.faces]
    for face in faces:
        points = face[4:14].reshape(5, 2)
        yield FACE, face_canvas(photo, points), _half(face_canvas(drawing, (points + 0.5) * grown - 0.5))
    sides = _sides(photo.shape, faces)
    window = empty_window(photo.shape, [face[:4] for face in faces], rng, sides) if sides[0] < sides[1] else None
    if window is not None:
        yield EMPTY, _window(photo, window, np.ones(2)), _half(_window(drawing, window, grown))


def _sides(shape: tuple[int, ...], faces: np.ndarray) -> tuple[float, float]:
    """Of a window without a face, see `training.data.empty_window`: lines are about as wide in it as around the faces.

    In one that is enlarged much they would be as much wider than the network can tell they should be.
    """
    if not len(faces):
        return 0.5, 1.0
    usual = SIDE / EYES * eye_distance(faces[0, 4:14].reshape(5, 2)) / min(shape[:2])
    return usual / WIDER, min(0.95, usual)


def _window(image: np.ndarray, window: tuple[int, int, int], grown: np.ndarray) -> np.ndarray:
    """x, y, side of a square of a photo, cut from what is ``grown`` times as large: uint8 [2*SIDE, 2*SIDE, 3]."""
    (x, y), side = np.round(np.array(window[:2]) * grown).astype(int), np.ceil(window[2] * grown).astype(int)
    part = image[y : y + side[1], x : x + side[0]]
    way = cv2.INTER_AREA if part.shape[0] > 2 * SIDE else cv2.INTER_CUBIC
    return cv2.resize(part, (2 * SIDE, 2 * SIDE), interpolation=way)


def _half(canvas: np.ndarray) -> np.ndarray:
    return cv2.resize(canvas, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


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
