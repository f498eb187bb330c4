"""Pairs of photo and drawing made from landmarks, with no generator: `python -m training.pairs --help`.

What the calibrated samples of DCT-Net's section 3.2 are for, a drawing for any photo, is made here by image analogies
(Hertzmann et al., 2001) on aligned faces: exemplars that resemble the photo are warped so that their five points meet
the photo's, and each place of the drawing is taken from the exemplar, and the place near by, whose surroundings look
most like the photo's (`training.analogies`). How the look bends a face (larger eyes, a smaller chin) is seen by
comparing the two domains' average faces. Photos themselves are varied by warps and by morphs of two people.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np

from training import portraits
from training.analogies import Maker, Pieces
from training.options import SEEDS, run_command, set_options, share
from training.sheets import write_picture
from training.warps import oval, warp_to
from vidstyle.errors import SourceError
from vidstyle.whole import whole

log = logging.getLogger("pairs")

SHARD = 64  # pairs in a file
Step = Callable[[int, int, dict[str, float]], None]  # done, of, figures


@dataclass(frozen=True)
class Options:
    count: int = 400  # pairs
    side: int = field(default=256, metadata={"least": 16})  # pixels; with fewer, the student learns faces of fewer
    seed: int = field(default=0, metadata={"below": SEEDS})
    pieces: Pieces = field(default_factory=Pieces)
    varied: float = share(0.5)  # of photos that are warped
    morphed: float = share(0.25)  # of photos with half of another person's face


@dataclass(frozen=True)
class Pairs:
    """source, target uint8 [N, S, S, 3] RGB; landmarks, target_landmarks float32 [N, 5, 2] pixels."""

    source: np.ndarray
    target: np.ndarray
    landmarks: np.ndarray
    target_landmarks: np.ndarray


def write(
    folder: Path,
    index: int,
    source: np.ndarray,
    target: np.ndarray,
    landmarks: np.ndarray,
    target_landmarks: np.ndarray | None = None,
) -> Path:
    """Write shard ``index`` whole or not at all; without ``target_landmarks`` the source's are taken."""
    path = folder / f"pairs-{index:05d}.npz"
    points = landmarks if target_landmarks is None else target_landmarks
    with whole(path) as part, open(part, "wb") as file:
        np.savez(file, source=source, target=target, landmarks=landmarks, target_landmarks=points)
    return path


def shards(folder: Path) -> list[Path]:
    """The shards of a folder, in order."""
    return sorted(folder.glob("pairs-[0-9]*.npz"))


def load(folder: Path, most: int | None = None) -> Pairs:
    """All pairs of a folder, or the first ``most``.

    Raises:
        SourceError: there are none.
    """
    parts: list[dict[str, np.ndarray]] = []
    for path in shards(folder):
        with np.load(path, allow_pickle=False) as file:
            parts.append({name: file[name] for name in ("source", "target", "landmarks", "target_landmarks")})
        if most is not None and sum(len(part["source"]) for part in parts) >= most:
            break
    if not parts:
        raise SourceError(f"no pairs in {folder}: run training.pairs or training.ccn first")
    return Pairs(**{name: np.concatenate([part[name] for part in parts])[:most] for name in parts[0]})


def varied(
    faces: portraits.Faces, row: int, options: Options, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Photo ``row`` and its points, at times bent a little, or with half of another person's inner face."""
    image, points = np.ascontiguousarray(faces.faces[row]), faces.landmarks[row]
    side = image.shape[0]
    other, warped, morphed = int(rng.integers(len(faces))), rng.random() < options.varied, rng.random()
    wanted = points + rng.normal(0, 0.012 * side, points.shape) if warped else points
    if morphed < options.morphed and other != row:
        wanted = 0.5 * (points + faces.landmarks[other])
        second = warp_to(np.ascontiguousarray(faces.faces[other]), faces.landmarks[other], wanted).astype(np.float32)
        first = warp_to(image, points, wanted).astype(np.float32)
        mask = 0.5 * oval(wanted, side)[..., None]
        inside = mask > 0.25
        second += (first - second).mean((0, 1), where=inside)  # the other's face in this one's light
        return np.clip(first + mask * (second - first) + 0.5, 0, 255).astype(np.uint8), wanted.astype(np.float32)
    return (warp_to(image, points, wanted) if warped else image), wanted.astype(np.float32)


def train(folder: Path, photos: Path, exemplars: Path, options: Options, on_step: Step | None = None) -> None:
    """Write the shards; those that are there are kept, so that it goes on where it was stopped.

    Every pair is drawn from a generator seeded by its number: a run that was stopped equals a straight one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    faces = portraits.load(photos, "train", options.side)
    maker = Maker(faces, portraits.load(exemplars, "train", options.side), options.pieces)
    (folder / "options.json").write_text(json.dumps(asdict(options), indent=1))
    starts = range(0, options.count, SHARD)
    with ThreadPoolExecutor(max(1, cv2.getNumThreads())) as pool:
        for index, start in enumerate(starts):
            if (folder / f"pairs-{index:05d}.npz").exists():
                continue
            made = []
            numbers = range(start, min(start + SHARD, options.count))
            for pair in _drawn(pool, maker, faces, options, numbers):
                made.append(pair)
                if on_step:
                    on_step(start + len(made), options.count, {})
            columns = [np.stack(column) for column in zip(*made, strict=True)]
            write(folder, index, *columns)
    show(load(folder, SHARD), folder / "sheet.png")


def _drawn(
    pool: ThreadPoolExecutor, maker: Maker, faces: portraits.Faces, options: Options, numbers: range
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    def one(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        rng = np.random.default_rng([options.seed, number])
        row = number % len(faces) if options.count >= len(faces) else int(rng.integers(len(faces)))
        photo, points = varied(faces, row, options, rng)
        target, target_points = maker.draw(photo, points)
        return photo, target, points, target_points

    waiting = [pool.submit(one, number) for number in numbers]
    try:
        for future in waiting:
            yield future.result()
    finally:
        for future in waiting:
            future.cancel()


def show(pairs: Pairs, path: Path, most: int = 24) -> None:
    """A sheet of photo above drawing, side by side."""
    both = [np.concatenate([a, b]) for a, b in zip(pairs.source[:most], pairs.target[:most], strict=True)]
    rows = [np.concatenate(both[i : i + 8], 1) for i in range(0, len(both) - len(both) % 8 or len(both), 8)]
    write_picture(path, np.concatenate([row for row in rows if row.shape == rows[0].shape]))


def main() -> None:
    run_command(_command)


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.pairs", description=__doc__)
    parser.add_argument("photos", type=Path, help="folder made by training.portraits")
    parser.add_argument("exemplars", type=Path, help="folder made by training.portraits --drawn")
    parser.add_argument("folder", type=Path, help="folder for the shards")
    parser.add_argument("--count", type=int, default=Options.count)
    parser.add_argument("--side", type=int, default=Options.side)
    parser.add_argument("--seed", type=int, default=Options.seed)
    args = parser.parse_args()
    options = set_options(Options(), [f"{name}={getattr(args, name)}" for name in ("count", "side", "seed")])
    train(args.folder, args.photos, args.exemplars, options)
    log.info("%d pairs in %s", args.count, args.folder)


if __name__ == "__main__":
    main()
