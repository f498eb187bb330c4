"""Open looks: exemplar pictures drawn by code from portraits: `python -m training.open_looks --help`.

Anyone can repeat a whole training from them, with no picture of an artist. A look is a function of a picture, the five
points of each of its faces, and a seed (None: without grain and dots, of whose place no photo tells): larger eyes and a
smaller chin by warping, then filters of non-photorealistic rendering:
flattening (mean shift; Kuwahara, 1976), soft quantisation of luminance (Winnemoeller et al., 2006), lines by XDoG along
the edge flow (Kang et al., 2007; Winnemoeller et al., 2012), watercolour pigment (Bousseau et al., 2006).
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from training.alignment import aligned, resampled
from training.detector import Detector, detector_file
from training.options import at_least, run_command
from training.pictures import read_all
from training.portraits import Options, fault, sheet
from training.sheets import write_picture
from vidstyle.errors import SourceError

log = logging.getLogger("open_looks")

SIDE = 512  # pixels of an exemplar
TINT, DARK = 26.0, 35.0  # chroma at most, lightness at least, of a backdrop that was white or grey (CIE Lab)
GAMMA = 2.2  # of pictures, near enough for a lamp
Draw = Callable[[np.ndarray, list[np.ndarray], np.random.Generator | None], np.ndarray]


def features_warped(image: np.ndarray, points: np.ndarray, eyes: float, chin: float) -> np.ndarray:
    """Eyes enlarged ``eyes`` times, the chin's width ``chin`` times its own; both fade out smoothly."""
    height, width = image.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    apart = float(np.hypot(*(points[1] - points[0])))
    middle, mouth = points[:2].mean(0)[0], points[3:].mean(0)[1]
    ramp = np.clip((y - mouth + 0.5 * apart) / (1.1 * apart), 0, 1)
    below = ramp * ramp * (3 - 2 * ramp) * np.exp(-(((y - mouth - 0.6 * apart) / (1.1 * apart)) ** 2))
    near = np.exp(-(((x - middle) / (1.3 * apart)) ** 4))
    xy: np.ndarray = np.dstack([middle + (x - middle) * (1 + (1 / chin - 1) * below * near), y])
    for eye in points[:2]:
        radius = 0.5 * apart
        away = np.minimum(((xy - eye) ** 2).sum(-1, keepdims=True) / radius**2, 1)
        xy = eye + (xy - eye) * (1 - (1 - 1 / eyes) * (1 - away) ** 2)
    return resampled(image, xy, cv2.INTER_CUBIC)


def neutral(image: np.ndarray) -> np.ndarray:
    """``image`` under a white lamp, told by what is behind the portrait: the lightest of its border, but below.

    A backdrop of a clear colour of its own is left as it is. Tinted portraits among others made a look whose skin is
    now brown, now red, and what was trained on it had red foreheads.
    """
    edge = max(1, len(image) // 16)
    parts = (image[:edge], image[: len(image) // 2, :edge], image[: len(image) // 2, -edge:])
    around = np.concatenate([part.reshape(-1, 3) for part in parts]).astype(np.float32)
    light = around.sum(1)
    border = np.median(around[light >= np.quantile(light, 0.75)], axis=0)  # hair that reaches there is darker
    lab = cv2.cvtColor(border.reshape(1, 1, 3) / 255, cv2.COLOR_RGB2Lab)[0, 0]
    if lab[0] < DARK or np.hypot(*lab[1:]) > TINT:
        return image
    linear = (image.astype(np.float32) / 255) ** GAMMA * (border.mean() / border) ** GAMMA
    return _levels(np.clip(linear, 0, 1) ** (1 / GAMMA))


def edge_flow(grey: np.ndarray, sigma: float) -> np.ndarray:
    """Unit tangent (x, y) of the smoothed structure tensor, float32 [H, W, 2]."""
    gx, gy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    e, f, g = (cv2.GaussianBlur(part, (0, 0), sigma) for part in (gx * gx, gx * gy, gy * gy))
    angle = 0.5 * np.arctan2(2 * f, e - g) + np.pi / 2
    return np.dstack([np.cos(angle), np.sin(angle)]).astype(np.float32)


def along_flow(field: np.ndarray, tangent: np.ndarray, steps: int) -> np.ndarray:
    """Mean of ``field`` over ``steps`` pixels either way along the tangent: broken lines join, specks go."""
    height, width = field.shape
    here: np.ndarray = np.dstack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)))
    total, weight = field.copy(), 1.0
    for way in (1.0, -1.0):
        at: np.ndarray = here
        ahead: np.ndarray = way * tangent
        for step in range(1, steps + 1):
            at = at + ahead
            share = float(np.exp(-2 * (step / steps) ** 2))
            total, weight = total + share * resampled(field, at), weight + share
            there = resampled(tangent, at, cv2.INTER_NEAREST)
            opposite = (there * ahead).sum(-1, keepdims=True) < 0  # the tangent has no direction
            ahead = np.where(opposite, -there, there)
    return total / weight


def ink_lines(image: np.ndarray, sigma: float, level: float, slope: float) -> np.ndarray:
    """Lines of a uint8 picture as float32 [H, W], 1 is paper and 0 is ink: difference of Gaussians along the flow."""
    calm = cv2.bilateralFilter(image, 9, 28, 5)  # skin is no line
    grey = cv2.cvtColor(calm, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    flow = edge_flow(grey, 2.5 * sigma)
    difference = cv2.GaussianBlur(grey, (0, 0), sigma) - cv2.GaussianBlur(grey, (0, 0), 1.6 * sigma)
    smooth = along_flow(difference, flow, round(5 * sigma))
    return np.clip(1 + np.tanh(slope * (smooth + level)), 0, 1).astype(np.float32)


def flattened(image: np.ndarray, radius: int, colour: float) -> np.ndarray:
    """Regions of one colour with crisp borders: bilateral filter, then mean shift."""
    for _ in range(2):
        image = cv2.bilateralFilter(image, 9, colour * 1.5, radius)
    return cv2.pyrMeanShiftFiltering(image, radius, colour, maxLevel=1)


def kuwahara(image: np.ndarray, radius: int, sharpness: float = 6.0) -> np.ndarray:
    """float32 [H, W, 3]: the mean of the four quadrants around each pixel, the calm ones counting most."""
    x, size = image.astype(np.float32), radius + 1
    total, weights = np.zeros_like(x), np.zeros((*x.shape[:2], 1), np.float32)
    for anchor in ((0, 0), (radius, 0), (0, radius), (radius, radius)):
        mean = cv2.blur(x, (size, size), anchor=anchor)
        variance = (cv2.blur(x * x, (size, size), anchor=anchor) - mean * mean).sum(-1, keepdims=True)
        weight = (np.maximum(variance, 0) + 4) ** (-sharpness / 2)
        total, weights = total + mean * weight, weights + weight
    return total / weights


def cloud(rng: np.random.Generator | None, shape: tuple[int, ...], sizes: tuple[int, ...]) -> np.ndarray:
    """Smooth noise float32 [H, W] of standard deviation 1: a sum of octaves, ``sizes`` in pixels; 0 without ``rng``."""
    height, width = shape[:2]
    side = max(height, width)
    total = np.zeros((side, side), np.float32)
    if rng is None:
        return total[:height, :width]
    for size in sizes:
        cells = max(2, side // size + 2)
        noise = rng.standard_normal((cells, cells)).astype(np.float32)
        total += cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    return ((total - total.mean()) / max(float(total.std()), 1e-6))[:height, :width]


def comic(image: np.ndarray, faces: list[np.ndarray], rng: np.random.Generator | None) -> np.ndarray:
    """A printed comic: flat saturated colours in few tones, dots in the half shadows, thick black lines."""
    for points in faces:
        image = features_warped(image, points, eyes=1.38, chin=0.84)
    lab = cv2.cvtColor(flattened(image, 12, 26).astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    light = lab[..., 0] + 0.3 * (lab[..., 0] - cv2.GaussianBlur(lab[..., 0], (0, 0), 40)) + 4
    tones = np.array([16.0, 36.0, 54.0, 72.0, 92.0], np.float32)
    borders = (tones[1:] + tones[:-1]) / 2
    steps = 0.5 * (1 + np.tanh((cv2.GaussianBlur(light, (0, 0), 2.0)[..., None] - borders) * 0.8))
    tone = tones[0] + (steps * np.diff(tones)).sum(-1)
    if rng is not None:
        x, y = np.meshgrid(np.arange(image.shape[1]), np.arange(image.shape[0]))
        screen = np.cos((x + y) * np.pi / 5) * np.cos((x - y) * np.pi / 5)
        tone = tone - 14 * np.exp(-(((light - 45) / 7) ** 2)) * np.clip((screen - 0.15) * 4, 0, 1)
    colour = np.dstack([tone, lab[..., 1:] * 1.5 + np.array([0.0, 3.0], np.float32)]).astype(np.float32)
    flat = np.clip(cv2.cvtColor(colour, cv2.COLOR_Lab2RGB), 0, 1)
    lines = ink_lines(image, 1.9 + (0.1 * rng.standard_normal() if rng else 0.0), 0.013, 170.0)
    ink = np.array([0.07, 0.06, 0.10], np.float32)
    return _levels(flat * lines[..., None] + ink * (1 - lines[..., None]))


def watercolour(image: np.ndarray, faces: list[np.ndarray], rng: np.random.Generator | None) -> np.ndarray:
    """Watercolour with a fine brown pen: pale pools of pigment with darker rims, on grained paper."""
    for points in faces:
        image = features_warped(image, points, eyes=1.2, chin=0.93)
    side = image.shape
    grid = np.dstack(np.meshgrid(np.arange(side[1]), np.arange(side[0]))).astype(np.float32)
    wobble = np.dstack([cloud(rng, side, (90, 40)), cloud(rng, side, (90, 40))]) * 1.6
    soft = kuwahara(cv2.pyrMeanShiftFiltering(image, 9, 16), 9)
    soft = resampled(kuwahara(soft, 5), grid + wobble)
    lab = cv2.cvtColor(np.clip(soft / 255, 0, 1), cv2.COLOR_RGB2Lab)
    lab[..., 0] = 9 + 91 * (lab[..., 0] / 100) ** 0.85
    lab[..., 1:] = lab[..., 1:] * 1.25
    wash = np.clip(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), 0, 1)
    grey = cv2.GaussianBlur(cv2.cvtColor(wash, cv2.COLOR_RGB2GRAY), (0, 0), 1.0)
    rim = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    density = 1 + 0.15 * cloud(rng, side, (160, 80, 40)) + 0.06 * cloud(rng, side, (6, 3)) + 1.4 * np.minimum(rim, 0.5)
    wash = np.clip(wash - (wash - wash * wash) * (density - 1)[..., None], 0, 1)
    paper = np.array([0.99, 0.975, 0.945], np.float32) + 0.012 * cloud(rng, side, (4, 2))[..., None]
    lines = 1 - 0.85 * (1 - ink_lines(image, 1.3, 0.009, 170.0))
    pen = np.array([0.28, 0.19, 0.17], np.float32)
    return _levels(wash * paper * lines[..., None] + pen * (1 - lines[..., None]))


def _levels(image: np.ndarray) -> np.ndarray:
    return np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)


LOOKS: dict[str, Draw] = {"comic": comic, "watercolour": watercolour}


def make(source: Path, folder: Path, look: str, detector: Path | None, count: int = 120, seed: int = 0) -> int:
    """Write at most ``count`` exemplars of ``look`` drawn from the portraits of ``source``; give their number.

    The same portraits, look and seed give the same pictures.

    Raises:
        SourceError: no portrait in ``source`` is good enough.
    """
    options = Options()
    net = Detector(detector_file(detector), options.score)
    folder.mkdir(parents=True, exist_ok=True)
    drawn: list[np.ndarray] = []
    for number, read in enumerate(read_all(source)):
        if len(drawn) == count:
            break
        faces = net(read.image) if read.image is not None else np.zeros((0, 15))
        if read.image is None or fault(read.image, faces, options):
            continue
        crop, points = aligned(read.image, faces[0, 4:14].reshape(5, 2), SIDE)
        picture = LOOKS[look](neutral(crop), [points], np.random.default_rng([seed, number]))
        write_picture(folder / f"{look}-{len(drawn):04d}.png", picture)
        drawn.append(picture)
    if not drawn:
        raise SourceError(f"{source}: no portrait is good enough to be drawn (single faces from the front)")
    sheet(drawn, folder.with_name(f"{folder.name}-sheet.png"))
    return len(drawn)


def parser(module: str, about: str | None, source: str, made: str, count: int) -> argparse.ArgumentParser:
    """The arguments of what draws pictures in a look; ``module``: its name under ``training``."""
    asked = argparse.ArgumentParser(prog=f"python -m training.{module}", description=about)
    asked.add_argument("source", type=Path, help=f"folder or zip of {source} whose licence allows it")
    asked.add_argument("folder", type=Path, help=f"folder for the {made}")
    asked.add_argument("--look", choices=LOOKS, required=True)
    asked.add_argument("--detector", type=Path, help="YuNet .onnx (default: OpenCV's, fetched once)")
    asked.add_argument("--count", type=at_least(1), default=count)
    return asked


def main() -> None:
    asked = parser("open_looks", __doc__, "portraits", "exemplars", 120)
    asked.add_argument("--seed", type=at_least(0), default=0)
    args = asked.parse_args()
    done = make(args.source, args.folder, args.look, args.detector, args.count, args.seed)
    log.info("%d exemplars of %s in %s", done, args.look, args.folder)


if __name__ == "__main__":
    run_command(main)
