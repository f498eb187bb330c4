"""Pictures for distillation: photos and clips as face canvases, each with its teacher's result.

A face canvas is a square cut around one face, scaled so that the eyes are `EYES` pixels apart, where the
published networks are at their best (dctnet.md section 0.6). The source is kept at twice that
scale, so that a student can be shown the face larger than its teacher ever saw it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from training import colours
from training.inputs import decoded, open_detector
from vidstyle.engine import EngineSpec, Recipe, load_engine
from vidstyle.errors import SourceError, UsageError
from vidstyle.style import Style
from vidstyle.whole import whole, write_whole

log = logging.getLogger(__name__)

EYES = 68  # pixels between the pupils on a target canvas
SIDE = 384  # pixels: a target canvas; its source has twice as many
GPU_BATCH = 8  # canvases that a teacher on a GPU is shown at a time: one alone leaves most of it idle
FRAME_STEP = 12  # one frame of a clip in so many
FACE, EMPTY, MOVING = 0, 1, 2  # what a canvas shows: a face of a photo, none, a face of a clip


@dataclass(frozen=True)
class Coloured:
    """``matrix`` [N, 3, 4], see `training.colours.draw`; ``target``: the teacher's results for the coloured sources."""

    matrix: np.ndarray
    target: np.ndarray


@dataclass(frozen=True)
class Canvases:
    """Sources and the teacher's results; a face is in the middle of its canvas.

    Attributes:
        source: uint8 [N, 2*SIDE, 2*SIDE, 3] RGB.
        target: uint8 [N, SIDE, SIDE, 3] RGB, the teacher's result for the source at half size.
        kind: uint8 [N], `FACE`, `EMPTY` or `MOVING`.
        coloured: the same sources in other colours, where the teacher was asked about those too.
    """

    source: np.ndarray
    target: np.ndarray
    kind: np.ndarray
    coloured: Coloured | None = None


def evenly(total: int, most: int) -> np.ndarray:
    """int [at most ``most``]: indices of ``total`` things, spread over all of them."""
    return np.linspace(0, total - 1, min(most, total)).round().astype(int)


def held_out(name: str, share: float = 0.06) -> bool:
    """Whether the picture of this file name is kept for measuring; the same in every run."""
    return int(hashlib.sha256(os.fsencode(name)).hexdigest()[:8], 16) < share * 2**32


def eye_distance(points: np.ndarray) -> float:
    """Pixels between the eyes of ``points`` [5, 2], as if the head faced us: the eyes of a turned one look closer."""
    height = np.linalg.norm(points[:2].mean(0) - points[3:].mean(0)) * 0.95
    return max(float(np.linalg.norm(points[0] - points[1])), float(height))


def canvas(
    image: np.ndarray, at: tuple[float, float], scale: float, grown: tuple[float, float] = (1.0, 1.0)
) -> np.ndarray:
    """Cut uint8 [2*SIDE, 2*SIDE, 3] around x, y, ``scale`` of its pixels to one of the picture.

    ``grown``: the picture is so many times as wide and as high as the one in whose pixels the others are.
    """
    times = np.array(grown, np.float64)
    own = scale / times
    if own.min() < 0.7:  # warpAffine does not filter when it shrinks
        before = np.array(image.shape[1::-1])
        image = cv2.resize(
            image, tuple(np.maximum(1, np.round(before * own)).astype(int)), interpolation=cv2.INTER_AREA
        )
        times = times * image.shape[1::-1] / before
        own = scale / times
    x, y = (np.array(at) + 0.5) * times - 0.5  # of a pixel its middle stays
    warp = np.array([[own[0], 0, SIDE - own[0] * x], [0, own[1], SIDE - own[1] * y]])
    return cv2.warpAffine(image, warp, (2 * SIDE, 2 * SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def halved(source: np.ndarray) -> np.ndarray:
    """uint8 [SIDE, SIDE, 3]: a canvas as its teacher sees it, and as large as a target."""
    return cv2.resize(source, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def face_canvas(image: np.ndarray, points: np.ndarray, grown: tuple[float, float] = (1.0, 1.0)) -> np.ndarray:
    """Cut uint8 [2*SIDE, 2*SIDE, 3] around a face; ``points`` [5, 2]: eyes, nose, mouth corners. See `canvas`."""
    x, y = points[2]
    return canvas(image, (x, y), 2 * EYES / max(eye_distance(points), 4.0), grown)


def empty_window(
    shape: tuple[int, ...],
    faces: list[np.ndarray],
    rng: np.random.Generator,
    sides: tuple[float, float] = (0.22, 0.8),
) -> tuple[int, int, int] | None:
    """x, y, side of a random square of a picture that no face box (x, y, w, h) touches, if one is found.

    ``sides``: the least and the greatest, as shares of the picture's short one.
    """
    height, width = shape[:2]
    for _ in range(40):
        side = int(rng.uniform(*sides) * min(height, width))
        x, y = int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1))
        if all(x > f[0] + f[2] or x + side < f[0] or y > f[1] + f[3] or y + side < f[1] for f in faces):
            return x, y, side
    return None


def empty_canvas(image: np.ndarray, faces: list[np.ndarray], rng: np.random.Generator) -> np.ndarray | None:
    """Cut a random window of the picture that no face box (x, y, w, h) touches, if one is found."""
    if (window := empty_window(image.shape, faces, rng)) is None:
        return None
    x, y, side = window
    return cv2.resize(image[y : y + side, x : x + side], (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_CUBIC)


def listed(folder: Path) -> list[tuple[str, list[list[float]]]]:
    """(name, rows of faces) of every photo, from the folder's faces.json.

    Raises:
        SourceError: there is no such list.
    """
    try:
        return sorted(json.loads((folder / "faces.json").read_text()).items())
    except (OSError, ValueError, AttributeError) as error:
        raise SourceError(f"{folder} has no faces.json with the faces in its photos ({error})") from error


def photos(folder: Path, training: bool) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Yield (uint8 RGB picture, faces as rows of faces.json) of the training or the held-out photos.

    Raises:
        SourceError: see `listed`.
    """
    for name, faces in listed(folder):
        if held_out(name) == training:
            continue
        image = cv2.imread(str(folder / name))
        if image is None:
            log.warning("unreadable photo %s left out", name)
            continue
        yield image[..., ::-1], [np.array(face) for face in faces]


def clip_frames(paths: list[Path], detector: Path) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Yield every `FRAME_STEP`-th frame with the faces YuNet finds on it.

    Raises:
        SourceError: a clip or the detector cannot be read.
    """
    yunet = open_detector(detector, 0.8)
    for path in paths:
        for frame in islice(decoded(path), 0, None, FRAME_STEP):
            image = frame.to_ndarray(format="rgb24")
            yunet.setInputSize((image.shape[1], image.shape[0]))
            found = yunet.detect(np.ascontiguousarray(image[..., ::-1]))[1]
            yield image, [] if found is None else list(found)


def cut(pictures: Iterator[tuple[np.ndarray, list[np.ndarray]]], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Face canvases of every face, and one empty canvas of every picture that has room for one.

    Raises:
        SourceError: there is neither.
    """
    rng = np.random.default_rng(seed)
    sources, kinds = [], []
    for image, faces in pictures:
        for face in faces[:2]:
            sources.append(face_canvas(image, face[4:14].reshape(5, 2)))
            kinds.append(FACE)
        if (canvas := empty_canvas(image, [face[:4] for face in faces], rng)) is not None:
            sources.append(canvas)
            kinds.append(EMPTY)
    if not sources:
        raise SourceError("nothing to learn from: expected pictures that can be read, with the faces in them")
    return np.stack(sources), np.array(kinds, np.uint8)


def sources(folder: Path, clips: list[Path], detector: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """(canvases uint8 [N, 2*SIDE, 2*SIDE, 3], kinds uint8 [N]) of all training photos and of ``clips``.

    Raises:
        UsageError: nothing finds the faces in the clips.
        SourceError: photos, clips or the detector cannot be read.
    """
    if clips and detector is None:
        raise UsageError("the faces in --clips are found by --detector: give YuNet's .onnx")
    pictures, kinds = cut(photos(folder, training=True), seed=0)
    if clips and detector is not None:
        more, more_kinds = cut(clip_frames(clips, detector), seed=1)
        more_kinds[more_kinds == FACE] = MOVING
        pictures, kinds = np.concatenate([pictures, more]), np.concatenate([kinds, more_kinds])
    return pictures, kinds


def teach(
    sources: np.ndarray,
    teacher: Style,
    engine: str = "openvino",
    device: str = "auto",
    matrices: np.ndarray | None = None,
) -> np.ndarray:
    """The teacher's result for every source, coloured by ``matrices``, at half size: uint8 [N, SIDE, SIDE, 3]."""
    targets = np.empty((len(sources), SIDE, SIDE, 3), np.uint8)
    batch = GPU_BATCH if device.startswith("cuda") else 1
    spec = EngineSpec(SIDE, SIDE, batch, device=device, in_flight=0)
    waiting = []
    with load_engine(Recipe(((teacher, 1.0),)), spec, engine) as network:
        for start in range(0, len(sources), batch):
            some = slice(start, start + batch)
            waiting.append((some, network.submit(_asked(sources[some], None if matrices is None else matrices[some]))))
            if len(waiting) == network.spec.in_flight:
                done, result = waiting.pop(0)
                targets[done] = result()
        for done, result in waiting:
            targets[done] = result()
    return targets


def _asked(sources: np.ndarray, matrices: np.ndarray | None) -> np.ndarray:
    """What a teacher is shown: uint8 [n, SIDE, SIDE, 3]."""
    halves = [halved(source) for source in sources]
    if matrices is not None:
        halves = [colours.apply(half, matrix) for half, matrix in zip(halves, matrices, strict=True)]
    return np.stack(halves)


def build(
    folder: Path,
    clips: list[Path],
    detector: Path | None,
    teacher: Style,
    cache: Path,
    engine: str = "openvino",
    limit: int | None = None,
) -> Canvases:
    """Canvases of all training photos and ``clips`` with ``teacher``'s results, kept in ``cache``.

    ``limit``: see `spread`; fewer save the time of a slow teacher. Sources stay on disk (memory-mapped): all of them
    together are larger than many machines' memory.

    Raises:
        UsageError: ``cache`` holds those of other photos or clips; or see `sources`.
    """
    cache.mkdir(parents=True, exist_ok=True)
    inputs, kinds, note = cache / "sources.npy", cache / "kinds.npy", cache / "made-of.json"
    if not kinds.exists():
        source, kind = sources(folder, clips, detector)
        write_whole(note, _made_of(folder, clips))
        _save(inputs, source)
        _save(kinds, kind)
    elif note.exists() and note.read_bytes() != _made_of(folder, clips):
        raise UsageError(f"{cache} holds pictures of other --photos or --clips: give those, or another --run")
    source, kind = np.load(inputs, mmap_mode="c"), np.load(kinds)
    some = spread(kind, limit)
    source, kind = source[some], kind[some]
    outputs = f"{teacher.card.sha256[:16]}-{len(source)}"
    matrices = colours.draw(kind == EMPTY)
    target = _kept(cache / f"{outputs}.npy", lambda: teach(source, teacher, engine))
    coloured = _kept(cache / f"{outputs}-coloured.npy", lambda: teach(source, teacher, engine, matrices=matrices))
    return Canvases(source, target, kind, Coloured(matrices, coloured))


def _made_of(folder: Path, clips: list[Path]) -> bytes:
    """What tells these photos and clips from others, wherever they lie."""
    faces = json.dumps(listed(folder)).encode()
    return json.dumps({"faces": hashlib.sha256(faces).hexdigest(), "clips": [clip.name for clip in clips]}).encode()


def spread(kind: np.ndarray, limit: int | None) -> np.ndarray | slice:
    """Which of the canvases of these kinds to take: ``limit``, evenly, and the other faces of clips; None or 0: all.

    People in photos smile, and in clips they talk.
    """
    if not limit or limit >= len(kind):
        return slice(None)
    even = evenly(len(kind), limit)
    return np.concatenate([even, np.setdiff1d(np.flatnonzero(kind == MOVING), even)])


def kept_sources(cache: Path) -> np.ndarray | None:
    """The sources that `build` kept in ``cache``, on disk; None where it has not."""
    inputs = cache / "sources.npy"
    return np.load(inputs, mmap_mode="c") if inputs.exists() else None


def _kept(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """What ``make`` gives, from its file where it was made before."""
    if path.exists():
        return np.load(path)
    log.info("running the teacher for %s", path)
    made = make()
    _save(path, made)
    return made


def _save(path: Path, array: np.ndarray) -> None:
    """Whole or not at all: half a file would be taken for what was made before."""
    with whole(path) as part, open(part, "wb") as file:
        np.save(file, array)
