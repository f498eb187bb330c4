"""Measure each way in which vidstyle live saves work: parts of a picture, upscaling, the size that keeps up.

Figures of one machine at one moment; peers are interleaved with what they are compared with, so quote the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from bench import portrait
from bench_engines import Row
from sample_clip import read_picture, window

from vidstyle.catalog import parse_recipe
from vidstyle.cores import usable_cores
from vidstyle.engine import Engine, EngineSpec, Recipe, load_engine
from vidstyle.engine_options import EngineOptions
from vidstyle.live.keepup import KeepUp
from vidstyle.live.parts import halo, margin, student_parts
from vidstyle.live.region import RegionStylizer
from vidstyle.live.upscale import apply_change, shrunk

SHARES = 0.05, 0.10, 0.16, 0.25, 0.50
HALOS = 0, 16, 32, 48, 64, 80, 96, 112, 128, 144
WORTHWHILE, HALF = 2.0, 0.25
LATE = 6  # pictures until features are kept and parts compiled


def person(seconds: float, width: int, height: int) -> np.ndarray:
    """A moving head that fills the picture: uint8 [height, width, 3]."""
    image = read_picture(portrait()) if not _IMAGE else _IMAGE[0]
    _IMAGE[:] = [image]
    return window(image, seconds, width, height).reformat(format="rgb24").to_ndarray()


_IMAGE: list[np.ndarray] = []


def scene(size: tuple[int, int], share: float, place: str, count: int) -> list[np.ndarray]:
    """Pictures of which ``share`` changes, in the middle or at the lower edge; the rest is still to the bit."""
    height, width = size
    high, wide = (min(side, round(side * share**0.5 / 16) * 16) for side in size)
    top = (height - high) // 32 * 16 if place == "middle" else height - high
    left = (width - wide) // 32 * 16
    back = person(0.0, width, height)[:, ::-1]
    pictures = []
    for index in range(count):
        picture = back.copy()
        picture[top : top + high, left : left + wide] = person(index / 15, wide, high)
        pictures.append(picture)
    return pictures


def timed(work: Callable[[np.ndarray], np.ndarray], picture: np.ndarray) -> tuple[np.ndarray, float]:
    began = time.perf_counter()
    return work(picture), time.perf_counter() - began


def bench_parts(args: argparse.Namespace, recipe: Recipe, size: tuple[int, int]) -> Iterator[Row]:
    """Pictures computed in part against the same computed whole, and how far the results are apart."""
    for precision in args.precisions:
        spec = EngineSpec(*size, precision=precision)
        with load_engine(recipe, spec) as engine:
            for share in SHARES:
                for place in ("middle", "lower edge"):
                    yield _part_row(args, recipe, engine, scene(size, share, place, args.pictures), share, place)


def _part_row(
    args: argparse.Namespace, recipe: Recipe, engine: Engine, pictures: list[np.ndarray], share: float, place: str
) -> Row:
    whole, part, worst, costs = [], [], [0], []
    precision = engine.spec.precision
    with RegionStylizer(recipe, *pictures[0].shape[:2], precision=precision, noise=args.noise, waits=True) as region:
        for picture in [*pictures, *pictures[::-1]]:
            expected, seconds = timed(lambda x: engine(x[None])[0], picture)
            found, own = timed(region, picture)
            whole.append(seconds)
            part.append(own)
            costs.append(region.cost)
            worst.append(int(np.abs(found.astype(int) - expected).max()))
    pairs = [(w, p) for w, p, cost in zip(whole[LATE:], part[LATE:], costs[LATE:], strict=True) if cost]
    ratio = statistics.median(w / p for w, p in pairs)
    before, after = (1 / statistics.median(column) for column in zip(*pairs, strict=True))
    value = f"{before:.1f} to {after:.1f} fps: {ratio:.2f} times; at most {max(worst)} levels apart"
    name = f"{precision}, {share:.0%} changes, {place}"
    wanted = share <= HALF and precision == args.precisions[0]
    good = ratio >= WORTHWHILE and max(worst) <= (1 if precision == "f32" else 2)
    return Row(name, value, f">= {WORTHWHILE:.0f} times" if wanted else "", good if wanted else None)


def bench_halo(args: argparse.Namespace, recipe: Recipe, size: tuple[int, int]) -> Iterator[Row]:
    """Why parts and not windows: how far from a window's edge, and from a change, results are wrong."""
    arch = recipe.parts[0][0].card.architecture
    reaches = ", ".join(str(margin(arch, part)) for part in student_parts(arch))
    yield Row("pixels to each side that a pixel depends on", f"{halo(arch)}; part by part {reaches}")
    height, width = size
    box = (slice(height // 4 // 16 * 16, height // 4 * 3), slice(width // 4 // 16 * 16, width // 4 * 3))
    before, after = scene(size, 0.25, "middle", 8)[::7]
    with load_engine(recipe, EngineSpec(*size, precision="f32")) as engine:
        looks = [engine(picture[None])[0].astype(int) for picture in (before, after)]
    cut = np.ascontiguousarray(after[box])
    with load_engine(recipe, EngineSpec(*cut.shape[:2], precision="f32")) as engine:
        alone = engine(cut[None])[0].astype(int)
    wrong = np.abs(alone - looks[1][box]).max(2)
    changed = (before != after).any(2)
    felt = np.abs(looks[0] - looks[1]).max(2)
    for pixels in HALOS:
        inside = wrong[pixels : wrong.shape[0] - pixels, pixels : wrong.shape[1] - pixels]
        outside = cv2.dilate(changed.astype(np.uint8), np.ones((2 * pixels + 1,) * 2, np.uint8)) == 0
        value = f"window {inside.max(initial=0)} levels, change {felt[outside].max(initial=0)}"
        yield Row(f"  {pixels} pixels away, worst", value)
    del args


def bench_upscale(args: argparse.Namespace, recipe: Recipe, size: tuple[int, int]) -> Iterator[Row]:
    """The look of a smaller picture at the full size: time, and likeness to the look computed there."""
    ways: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
        "the small look, cubic": lambda full, _, look: cv2.resize(
            look, full.shape[1::-1], interpolation=cv2.INTER_CUBIC
        ),
        "plus the whole change": lambda full, small, look: cv2.add(
            full, cv2.resize(cv2.subtract(look, small, dtype=cv2.CV_16S), full.shape[1::-1]), dtype=cv2.CV_8U
        ),
        "detail times fitted slope": apply_change,
    }
    pictures = [*(person(seconds, size[1], size[0]) for seconds in (0.0, 1.5, 3.0)), *args.stills]
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in ways}
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    for picture in pictures:
        height, width = picture.shape[:2]
        small = shrunk(picture, round(height / 1.5), round(width / 1.5))
        looks = []
        for source in (picture, small):
            with load_engine(recipe, EngineSpec(*source.shape[:2])) as engine:
                looks.append(engine(source[None])[0])
        for name, way in ways.items():
            times = [
                timed(lambda full, way=way, small=small, look=looks[1]: way(full, small, look), picture)
                for _ in range(20)
            ]
            result = times[0][0]
            likeness = cv2.PSNR(result, looks[0]), _sharpness(result) / _sharpness(looks[0])
            found[name].append((min(seconds for _, seconds in times) * 1e3, *likeness))
    cv2.setNumThreads(threads)
    for name, values in found.items():
        ms, psnr, sharp = np.mean(values, 0)
        good = bool(ms <= 6) if name == list(ways)[-1] else None
        text = f"{ms:.1f} ms on one core, {psnr:.1f} dB, sharpness {sharp:.2f}"
        yield Row(f"from two thirds of {size[1]}x{size[0]}: {name}", text, "<= 6 ms" if good is not None else "", good)


def _sharpness(picture: np.ndarray) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())


def bench_sizes(args: argparse.Namespace, recipe: Recipe, size: tuple[int, int]) -> Iterator[Row]:
    """The size chosen at the start, and after some seconds, for a picture that moves and one that hardly does."""
    for share in (1.0, 0.05):
        pictures = scene(size, share, "middle", 60)
        for rate in (15, 24, 30):
            look = KeepUp(recipe, None, EngineOptions(), rate=rate)
            look(pictures[0])
            first = look.status()["working"]
            began, count = time.perf_counter(), 0
            while (since := time.perf_counter() - began) < args.seconds:
                count += 1
                look(pictures[count % 60] if count // 60 % 2 == 0 else pictures[59 - count % 60])
                time.sleep(max(0.0, count / rate - since))
            status = look.status()
            look.close()
            text = "{}x{}, after {:.0f} s {}x{}, {} ms a picture".format(
                *first, args.seconds, *status["working"], status["ms"]
            )
            yield Row(f"--size auto, {rate} fps, {share:.0%} moves", text)


BENCHES = {"parts": bench_parts, "halo": bench_halo, "upscale": bench_upscale, "sizes": bench_sizes}


def stills(paths: list[Path]) -> list[np.ndarray]:
    """The first picture of each file."""
    found = []
    for path in paths:
        with av.open(str(path)) as container:
            found.append(next(container.decode(video=0)).reformat(format="gbrp").reformat(format="rgb24").to_ndarray())
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench_region.py", description=__doc__)
    parser.add_argument("which", nargs="*", choices=[[], *BENCHES], help=f"of {', '.join(BENCHES)}; all if left out")
    parser.add_argument("--style", default="anime")
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--precisions", nargs="*", default=["bf16", "f32"])
    parser.add_argument("--noise", type=float, default=0.0, help="levels an unchanged place may differ by")
    parser.add_argument("--seconds", type=float, default=20.0, help="for the size that keeps up")
    parser.add_argument("--stills", type=Path, nargs="*", default=[], help="pictures or clips to upscale too")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    av.logging.set_level(None)
    args.stills = stills(args.stills)
    width, height = map(int, args.size.split("x"))
    print(f"{usable_cores()} cores, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    missed = 0
    for name in args.which or BENCHES:
        for row in BENCHES[name](args, parse_recipe(args.style), (height, width)):
            missed += row.good is False
            mark = {True: "ok", False: "MISSED", None: ""}[row.good]
            text = f"{row.name:58} {row.value:62} {row.target:12} {mark}"
            print(json.dumps(row.__dict__) if args.json else text, flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
