"""How much a look shimmers on moving people: `python -m training.warping STYLE --teacher PB --clips *.mp4`.

The warping error is the RMS of levels between a picture and the one before brought to its place by the source's
motion (DIS optical flow, both ways; places that are hidden in one of the two are left out: Lai et al., ECCV 2018,
section 4.3). It is given as a share of the source's own error: 1 is as steady as the source. What is blurred is
steady too, so the sharpness stands beside it.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from training.inputs import decoded, open_detector
from training.options import at_least, run_command
from training.sweeps import lines
from vidstyle.engine import Recipe
from vidstyle.errors import SourceError
from vidstyle.importer import import_published
from vidstyle.steady import Steady, check_amount
from vidstyle.style import Style, load_style
from vidstyle.stylizer import Stylizer

HIDDEN = 0.01, 0.5  # of squared motion, and squared pixels: the two ways disagree by more where something is hidden
FACE = 1.6  # times the box that the detector finds


@dataclass(frozen=True)
class Shimmer:
    """Of a clip, means over its pictures: ``whole`` and ``face`` as shares of the source's; sharpness of the face."""

    whole: float
    face: float
    sharpness: float


def pictures(clip: Path, side: int, count: int) -> list[np.ndarray]:
    """The first ``count`` pictures, uint8 RGB, the short side ``side`` pixels, both multiples of 16.

    Raises:
        SourceError: the clip cannot be read.
    """
    found = []
    for frame in islice(decoded(clip), count):
        image = frame.reformat(format="gbrp").reformat(format="rgb24").to_ndarray()  # straight is 1 level too dark
        scale = side / min(image.shape[:2])
        size = tuple(max(16, round(n * scale / 16) * 16) for n in image.shape[1::-1])
        found.append(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    return found


def motions(sources: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For every picture but the first: where its pixels were in the one before, and which of them were seen there."""
    flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grays = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in sources]
    for before, after in itertools.pairwise(grays):
        back, forth = flow.calc(after, before, None), flow.calc(before, after, None)
        there = moved(forth, back)
        apart = ((back + there) ** 2).sum(2)
        yield back, apart <= HIDDEN[0] * ((back**2).sum(2) + (there**2).sum(2)) + HIDDEN[1]


def moved(picture: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """``picture`` brought to where ``motion`` says that its pixels come from."""
    rows, columns = np.mgrid[: motion.shape[0], : motion.shape[1]].astype(np.float32)
    places = columns + motion[..., 0], rows + motion[..., 1]
    return cv2.remap(picture, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def warping_error(
    looks: Sequence[np.ndarray], motion: Sequence[tuple[np.ndarray, np.ndarray]], where: Sequence[np.ndarray]
) -> float:
    """RMS levels, the mean over pictures; ``where`` are bool [H, W], one for each of ``motion``."""
    errors = []
    for before, after, (flow, seen), place in zip(looks, looks[1:], motion, where, strict=False):
        squares = (moved(before.astype(np.float32), flow) - after.astype(np.float32)) ** 2
        if (seen & place).any():
            errors.append(float(np.sqrt(squares[seen & place].mean())))
    return statistics.fmean(errors) if errors else float("nan")


def face_places(sources: Sequence[np.ndarray], detector: Path | None) -> list[np.ndarray]:
    """bool [H, W] for every picture: in a face; everywhere without a detector, or a face."""
    height, width = sources[0].shape[:2]
    everywhere = np.ones((height, width), bool)
    if detector is None:
        return [everywhere] * len(sources)
    yunet = open_detector(detector, 0.9, (width, height))
    places, last = [], everywhere
    for image in sources:
        found = yunet.detect(np.ascontiguousarray(image[..., ::-1]))[1]
        if found is not None:
            x, y, w, h = max(found, key=lambda face: face[2] * face[3])[:4]
            grown = x - w * (FACE - 1) / 2, y - h * (FACE - 1) / 2, x + w * (FACE + 1) / 2, y + h * (FACE + 1) / 2
            left, top, right, bottom = (max(0, round(float(n))) for n in grown)
            last = np.zeros_like(everywhere)
            last[top:bottom, left:right] = True
        places.append(last)
    return places


def sharpness(looks: Sequence[np.ndarray], where: Sequence[np.ndarray]) -> float:
    """Variance of the lines in those places."""
    return float(np.mean([lines(look)[place].var() for look, place in zip(looks, where, strict=True)]))


class Clip:
    """A clip's pictures with their motion, to measure looks on.

    Raises:
        SourceError: the clip or the detector cannot be read; or nothing moves that could be measured.
    """

    def __init__(self, path: Path, detector: Path | None, side: int, count: int) -> None:
        self.sources = pictures(path, side, count)
        if len(self.sources) < 2:
            raise SourceError(f"{path}: got {len(self.sources)} pictures, expected 2: a movement is between two")
        self.places = face_places(self.sources, detector)
        self._motion = list(motions(self.sources))
        self._all = [np.ones_like(place) for place in self.places]
        self._own = self._errors(self.sources)
        if not min(self._own) > 0:
            raise SourceError(f"{path}: nothing changes from picture to picture: give a video of people who move")

    def _errors(self, looks: Sequence[np.ndarray]) -> tuple[float, float]:
        whole = warping_error(looks, self._motion, self._all[1:])
        return whole, warping_error(looks, self._motion, self.places[1:])

    def measure(self, looks: Sequence[np.ndarray]) -> Shimmer:
        whole, face = self._errors(looks)
        return Shimmer(whole / self._own[0], face / self._own[1], sharpness(looks, self.places))


def styled(style: Style, clip: Clip, amount: float = 0.0) -> list[np.ndarray]:
    """The looks of a clip's pictures, steadied by ``amount`` (`vidstyle.steady`)."""
    with Stylizer(Recipe(((style, 1.0),)), precision="f32") as look:
        looks = [look(source) for source in clip.sources]
    steady: Callable[[np.ndarray, np.ndarray], np.ndarray] = Steady(amount)
    return [steady(source, look) for source, look in zip(clip.sources, looks, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.warping", description=__doc__)
    parser.add_argument("style", type=Path, help="style file")
    parser.add_argument("--teacher", type=Path, help="published .pb or .tflite to measure beside it")
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="videos of people who move")
    parser.add_argument("--detector", type=Path, help="YuNet .onnx; without it, faces are not told apart")
    parser.add_argument("--side", type=at_least(16), default=448, help="pixels of the short side")
    parser.add_argument("--pictures", type=at_least(2), default=40, help="of every clip")
    parser.add_argument("--steady", type=float, nargs="*", default=[], help="amounts to measure too, as 0.3 0.5")
    args = parser.parse_args()
    for amount in args.steady:
        check_amount(amount)
    clips = [Clip(path, args.detector, args.side, args.pictures) for path in args.clips]
    style = load_style(args.style)
    rows = [(style.name, style, amount) for amount in (0.0, *args.steady)]
    if args.teacher:
        rows.append(("its teacher", import_published(args.teacher, "teacher"), 0.0))
    print(f"{'':24} {'whole':>7} {'face':>7} {'sharpness':>10}   of {len(clips)} clips; source 1.00 1.00")
    for name, network, amount in rows:
        found = [clip.measure(styled(network, clip, amount)) for clip in clips]
        label = f"{name}, --steady {amount:g}" if amount else name
        means = [statistics.fmean(getattr(s, key) for s in found) for key in ("whole", "face", "sharpness")]
        print(f"{label:24} {means[0]:7.2f} {means[1]:7.2f} {means[2]:10.0f}", flush=True)


if __name__ == "__main__":
    run_command(main)
