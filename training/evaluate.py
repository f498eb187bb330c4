"""Measure a style against its teacher on held-out people: `python -m training.evaluate --help`.

Everything is in levels of 255 or dB at the teacher's best face scale, eyes `training.data.EYES` pixels apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from training import data
from training.data import EYES, SIDE
from vidstyle.engine import EngineSpec, Recipe, load_engine
from vidstyle.importer import import_published
from vidstyle.network import flops_per_pixel
from vidstyle.style import Style, load_style

SWEEP = (24, 34, 48, 68, 96, 136)  # pixels between the eyes; the photos themselves have about 110
SHIFTS = (1, 2, 3, 4)
FACE = slice(SIDE // 2 - 96, SIDE // 2 + 96)  # the face of a canvas
Look = Callable[[np.ndarray], np.ndarray]


def held_out_canvases(folder: Path, limit: int) -> list[np.ndarray]:
    """uint8 [2*SIDE, 2*SIDE, 3] of at most ``limit`` photos that no training has seen."""
    found: list[np.ndarray] = []
    for image, faces in data.photos(folder, training=False):
        if len(found) < limit and faces:
            found.append(data.face_canvas(image, faces[0][4:14].reshape(5, 2)))
    return found


def look(style: Style) -> Look:
    """A function from uint8 [H, W, 3] to the same, in f32; engines are kept by size."""
    engines: dict[tuple[int, int], object] = {}

    def run(image: np.ndarray) -> np.ndarray:
        size = image.shape[0], image.shape[1]
        if size not in engines:
            engines[size] = load_engine(Recipe(((style, 1.0),)), EngineSpec(*size, precision="f32"))
        return engines[size](image[None])[0]  # type: ignore[operator]

    return run


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """dB between two uint8 pictures."""
    return min(99.0, float(cv2.PSNR(a, b)))  # equal pictures have no finite one


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Mean structural similarity of the luminance, Gaussian window of 1.5 pixels (Wang et al., 2004)."""
    x, y = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64) for image in (a, b))

    def mean(z: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(z, (11, 11), 1.5)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float((((2 * mx * my + c1) * (2 * cov + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2))).mean())


def colour_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean CIE76 difference in Lab."""
    x, y = (cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab) for image in (a, b))
    return float(np.linalg.norm(x - y, axis=-1).mean())


def sharpness(image: np.ndarray) -> float:
    """Variance of the Laplacian of the luminance over the face."""
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F)[FACE, FACE].var())


def shift_response(run: Look, image: np.ndarray, shift: int) -> float:
    """RMS levels by which the result changes, besides moving, when the picture moves by ``shift`` pixels."""
    here, there = run(image[:-8, :-8]), run(image[shift : SIDE - 8 + shift, shift : SIDE - 8 + shift])
    inner = slice(64, -64 - shift)
    a = here[64 + shift : -64, 64 + shift : -64].astype(np.float64)
    return float(np.sqrt(((a - there[inner, inner]) ** 2).mean()))


def noise_response(run: Look, image: np.ndarray, sigma: float = 2.0) -> float:
    """RMS levels by which the face changes under sensor noise of ``sigma`` levels."""
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    noisy = np.clip(np.round(image + noise), 0, 255).astype(np.uint8)
    return float(np.sqrt(((run(noisy)[FACE, FACE].astype(np.float64) - run(image)[FACE, FACE]) ** 2).mean()))


def at_scale(run: Look, canvas: np.ndarray, eyes: int) -> np.ndarray:
    """The result for the canvas with its eyes ``eyes`` apart, brought to the scale of `EYES`."""
    side = round(2 * SIDE * eyes / (2 * EYES))
    small = cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA) if side < 2 * SIDE else canvas
    result = run(np.ascontiguousarray(small))
    return cv2.resize(result, (SIDE, SIDE), interpolation=cv2.INTER_AREA if side > SIDE else cv2.INTER_CUBIC)


def milliseconds(style: Style) -> float:
    """Wall time of one 1280x720 picture in the default engine, all cores, best throughput."""
    image = np.random.default_rng(0).integers(0, 255, (1, 720, 1280, 3), np.uint8)
    with load_engine(Recipe(((style, 1.0),)), EngineSpec(720, 1280, in_flight=0)) as engine:
        engine(image)
        started, count = time.perf_counter(), 2 if style.card.architecture.name == "ttn" else 12
        for result in [engine.submit(image) for _ in range(count)]:
            result()
    return (time.perf_counter() - started) / count * 1e3


def measure(student: Style, teacher: Style, canvases: list[np.ndarray]) -> dict[str, object]:
    """Every figure by name; lists go with `SHIFTS` and `SWEEP`."""
    run, wanted = look(student), look(teacher)
    halves = [cv2.resize(c, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for c in canvases]
    ours, theirs = [run(image) for image in halves], [wanted(image) for image in halves]
    pairs = list(zip(ours, theirs, strict=True))
    some = halves[:8]

    def mean(function: Callable[..., float], *columns: list) -> float:
        return round(statistics.fmean(function(*row) for row in zip(*columns, strict=True)), 3)

    return {
        "pictures": len(canvases),
        "psnr": mean(psnr, ours, theirs),
        "psnr_face": mean(lambda a, b: psnr(a[FACE, FACE].copy(), b[FACE, FACE].copy()), ours, theirs),
        "psnr_of_source": mean(psnr, halves, theirs),
        "ssim": mean(ssim, ours, theirs),
        "colour_distance": mean(colour_distance, ours, theirs),
        "sharpness_ratio": round(statistics.median(sharpness(a) / sharpness(b) for a, b in pairs), 3),
        "shift": [round(statistics.fmean(shift_response(run, x, s) for x in some), 2) for s in SHIFTS],
        "shift_teacher": [round(statistics.fmean(shift_response(wanted, x, s) for x in some), 2) for s in SHIFTS],
        "noise": mean(lambda x: noise_response(run, x), some),
        "noise_teacher": mean(lambda x: noise_response(wanted, x), some),
        "eyes": list(SWEEP),
        "psnr_by_eyes": [
            mean(lambda c, t, e=eyes: psnr(at_scale(run, c, e), t), canvases[:8], theirs[:8]) for eyes in SWEEP
        ],
        "psnr_by_eyes_teacher": [
            mean(lambda c, t, e=eyes: psnr(at_scale(wanted, c, e), t), canvases[:8], theirs[:8]) for eyes in SWEEP
        ],
        "kflop_per_pixel": round(flops_per_pixel(student.card.architecture) / 1e3, 1),
        "ms_720p": round(milliseconds(student), 1),
        "ms_720p_teacher": round(milliseconds(teacher), 1),
    }


def contact_sheet(student: Style, teacher: Style, canvases: list[np.ndarray], path: Path) -> None:
    """Columns of source, teacher, student for up to ten held-out people, the student at three face sizes."""
    run, wanted = look(student), look(teacher)
    columns = []
    for canvas in canvases[:10]:
        half = cv2.resize(canvas, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        rows = [half, wanted(half), run(half), at_scale(run, canvas, 34), at_scale(run, canvas, 136)]
        columns.append(np.concatenate([row[48:-48, 48:-48] for row in rows]))
    cv2.imwrite(str(path), np.concatenate(columns, 1)[..., ::-1])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("style", type=Path, help="style file of the student")
    parser.add_argument("--teacher", type=Path, required=True, help="published .pb or .tflite")
    parser.add_argument("--photos", type=Path, required=True, help="folder of portraits with faces.json")
    parser.add_argument("--limit", type=int, default=60, help="photos at most")
    parser.add_argument("--sheet", type=Path, help="contact sheet to write")
    args = parser.parse_args()
    student, teacher = load_style(args.style), import_published(args.teacher, "teacher")
    canvases = held_out_canvases(args.photos, args.limit)
    for name, value in measure(student, teacher, canvases).items():
        print(f"{name:24} {json.dumps(value)}")
    if args.sheet:
        contact_sheet(student, teacher, canvases, args.sheet)


if __name__ == "__main__":
    main()
