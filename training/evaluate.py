"""Measure a style against its teacher on held-out people: `python -m training.evaluate --help`.

Everything is in levels of 255 or dB at the teacher's best face scale, eyes `training.data.EYES` pixels apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from training import colours, contact, data, landmarks, measures, openness, people, sweeps
from training.alignment import aligned
from training.data import EYES, SIDE, halved
from training.options import at_least, run_command
from training.sweeps import SWEEP, TURNS, Look, clarity, drawn, middle, psnr, sharpness, soft, to_scale
from vidstyle.engine import EngineSpec, Recipe, load_engine
from vidstyle.frame import AUTO
from vidstyle.images import style_image
from vidstyle.importer import import_published
from vidstyle.network import flops_per_pixel
from vidstyle.style import Style, load_style

SHIFTS = (1, 2, 3, 4)
Figures = dict[str, object]
FACE = slice(SIDE // 2 - 96, SIDE // 2 + 96)  # the face of a canvas


def held_out(folder: Path, limit: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """At most ``limit`` photos of people no training has seen, evenly from all of them, and their five points."""
    found = people.strangers(folder)
    return [found[index] for index in data.evenly(len(found), limit)]


def look(style: Style) -> Look:
    """A function from uint8 [H, W, 3] to the same, in f32; engines are kept by size."""
    engines: dict[tuple[int, int], object] = {}

    def run(image: np.ndarray) -> np.ndarray:
        size = image.shape[0], image.shape[1]
        if size not in engines:
            engines[size] = load_engine(Recipe(((style, 1.0),)), EngineSpec(*size, precision="f32"))
        return engines[size](image[None])[0]  # type: ignore[operator]

    return run


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


def gradient_similarity(a: np.ndarray, b: np.ndarray) -> float:
    """Mean of (2 ga gb + c) / (ga^2 + gb^2 + c) of the luminance's gradients, where either has a line.

    For line art (Xue et al., GMSD, IEEE TIP 2014, equation 4, with its constant): a line that is a pixel off costs
    PSNR as much as one that is missing, and the empty paper, which is most of the picture, says nothing.
    """
    ga, gb = (
        _gradient(cv2.GaussianBlur(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1)) for x in (a, b)
    )
    lines, c = np.maximum(ga, gb) > 8, 170.0
    similar = (2 * ga * gb + c) / (ga**2 + gb**2 + c)
    return float(similar[lines].mean()) if lines.any() else 1.0


def _gradient(grey: np.ndarray) -> np.ndarray:
    """Levels per pixel, by Prewitt's operator."""
    kernel = np.array([[1, 0, -1]] * 3, np.float32) / 3
    return np.hypot(cv2.filter2D(grey, -1, kernel), cv2.filter2D(grey, -1, kernel.T))


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


def milliseconds(style: Style) -> float:
    """Wall time of one 1280x720 picture in the default engine, all cores, best throughput."""
    image = np.random.default_rng(0).integers(0, 255, (1, 720, 1280, 3), np.uint8)
    with load_engine(Recipe(((style, 1.0),)), EngineSpec(720, 1280, in_flight=0)) as engine:
        engine(image)
        started, count = time.perf_counter(), 2 if style.card.architecture.name == "ttn" else 12
        for result in [engine.submit(image) for _ in range(count)]:
            result()
    return (time.perf_counter() - started) / count * 1e3


def measure(student: Style, teacher: Style, canvases: list[np.ndarray], identity: Path | None = None) -> Figures:
    """Every figure by name; lists go with `SHIFTS`, `SWEEP` and `TURNS`."""
    run, wanted = look(student), look(teacher)
    halves = [halved(canvas) for canvas in canvases]
    ours, theirs = [run(image) for image in halves], [wanted(image) for image in halves]
    some = halves[:8]
    matrices = colours.draw(np.zeros(len(halves), np.uint8), 1)
    other = [colours.apply(*pair) for pair in zip(halves, matrices, strict=True)]
    faces, our_faces, wanted_faces = (np.stack([sweeps.aligned(x) for x in stack]) for stack in (halves, ours, theirs))

    def mean(function: Callable[..., float], *columns: Sequence) -> float:
        return round(statistics.fmean(function(*row) for row in zip(*columns, strict=True)), 3)

    def near(found: Sequence[np.ndarray]) -> float:
        return mean(lambda a, b: psnr(middle(a), middle(b)), found, theirs[: len(found)])

    def crisp(found: Sequence[np.ndarray], eyes: int = EYES) -> float:
        return statistics.median(clarity(a, eyes) / sharpness(b) for a, b in zip(found, theirs, strict=False))

    def inside(*where: slice) -> float:
        return mean(lambda a, b: psnr(a[where].copy(), b[where].copy()), ours, theirs)

    def specks(a: np.ndarray, b: np.ndarray) -> float:
        return sweeps.colour_sharpness(a) / max(sweeps.colour_sharpness(b), 1e-6)

    def of_part(part: str) -> dict[str, float]:
        """How near, and as sharp as the teacher's, its eyes or mouths are."""
        steep = [[sweeps.part_sharpness(image, part) for image in images] for images in (ours, theirs)]
        ratio = statistics.median(a / max(b, 1e-6) for a, b in zip(*steep, strict=True))
        return {"psnr": inside(*sweeps.PARTS[part]), "sharpness_ratio": round(ratio, 3)}

    def by_eyes(which: Look) -> tuple[list[float], list[float]]:
        found = [(eyes, [drawn(which, canvas, eyes) for canvas in canvases[:8]]) for eyes in SWEEP]
        near_by_eyes = [near([to_scale(x) for x in results]) for _, results in found]
        return near_by_eyes, [round(crisp(results, eyes), 2) for eyes, results in found]

    def of_soft(which: Look) -> tuple[float, float]:
        found = [which(soft(image)) for image in some]
        return near(found), round(crisp(found), 2)

    def by_turn(which: Look) -> list[float]:
        return [near(list(measures.turned(which, np.stack(some), turn))) for turn in TURNS]

    closeups = [sweeps.closeup(run, *pair) for pair in zip(canvases, theirs, strict=True)]
    near_by_eyes, crisp_by_eyes = by_eyes(run)
    near_by_faces, crisp_by_faces = by_eyes(lambda image: style_image(image, run, AUTO))
    teacher_near_by_eyes, teacher_crisp_by_eyes = by_eyes(wanted)
    return {
        "pictures": len(canvases),
        "psnr": mean(psnr, ours, theirs),
        "psnr_face": inside(FACE, FACE),
        "psnr_other_colours": mean(lambda x: psnr(run(x), wanted(x)), other),
        "psnr_of_source": mean(psnr, halves, theirs),
        "ssim": mean(ssim, ours, theirs),
        "gradient_similarity": mean(gradient_similarity, ours, theirs),
        "colour_distance": mean(colour_distance, ours, theirs),
        "sharpness_ratio": round(crisp(ours), 3),
        "colour_sharpness_ratio": round(statistics.median(map(specks, ours, theirs)), 3),
        "eyes_alone": of_part("eyes"),
        "mouth_alone": of_part("mouth"),
        "psnr_of_closeups_and_their_bodies": np.mean(closeups, axis=0).round(3).tolist(),
        "identity": measures.identity(faces, our_faces, identity),
        "identity_teacher": measures.identity(faces, wanted_faces, identity),
        "shift": [round(statistics.fmean(shift_response(run, x, s) for x in some), 2) for s in SHIFTS],
        "shift_teacher": [round(statistics.fmean(shift_response(wanted, x, s) for x in some), 2) for s in SHIFTS],
        "noise": mean(lambda x: noise_response(run, x), some),
        "noise_teacher": mean(lambda x: noise_response(wanted, x), some),
        "eyes": list(SWEEP),
        "psnr_by_eyes": near_by_eyes,
        "psnr_by_eyes_at_size_auto": near_by_faces,
        "psnr_by_eyes_teacher": teacher_near_by_eyes,
        "sharpness_by_eyes": crisp_by_eyes,
        "sharpness_by_eyes_at_size_auto": crisp_by_faces,
        "sharpness_by_eyes_teacher": teacher_crisp_by_eyes,
        "psnr_and_sharpness_of_soft": of_soft(run),
        "psnr_and_sharpness_of_soft_teacher": of_soft(wanted),
        "turns": list(TURNS),
        "psnr_by_turn": by_turn(run),
        "psnr_by_turn_teacher": by_turn(wanted),
        "kflop_per_pixel": round(flops_per_pixel(student.card.architecture) / 1e3, 1),
        "ms_720p": round(milliseconds(student), 1),
        "ms_720p_teacher": round(milliseconds(teacher), 1),
    }


def expressions(student: Style, teacher: Style, photos: list[tuple[np.ndarray, np.ndarray]], mesh: Path) -> Figures:
    """How well open and closed eyes and mouths follow the photos: see `training.openness.kept`."""
    pairs = [aligned(*photo) for photo in photos]
    faces, points = (np.stack(column) for column in zip(*pairs, strict=True))
    net = landmarks.FaceMesh(mesh)
    sources = net.each(faces, points)
    found: Figures = {}
    for name, style in (("", student), (" teacher", teacher)):
        results = net.each(np.stack([*map(look(style), faces)]), points)
        found |= {f"{kind}{name}": value for kind, value in openness.kept(sources, results).items()}
    return found


def steadiness(student: Style, teacher: Style, clips: list[Path], detector: Path | None) -> Figures:
    """Warping errors as shares of the source's, and sharpness of the student's faces beside the teacher's."""
    from training.warping import Clip, styled

    rows: list[dict[str, float]] = []
    for path in clips:
        clip = Clip(path, detector, 448, 24)
        one, other = clip.measure(styled(student, clip)), clip.measure(styled(teacher, clip))
        kept = {"warping_face": one.face, "warping_face_teacher": other.face}
        kept |= {"warping_whole": one.whole, "warping_whole_teacher": other.whole}
        rows.append(kept | {"sharpness_in_clips": one.sharpness / other.sharpness})
    return {"clips": len(rows)} | {key: round(statistics.fmean(row[key] for row in rows), 3) for key in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("style", type=Path, help="style file of the student")
    parser.add_argument("--teacher", type=Path, required=True, help="published .pb or .tflite")
    parser.add_argument("--photos", type=Path, required=True, help="folder of portraits with faces.json")
    parser.add_argument("--limit", type=at_least(1), default=60, help="photos at most")
    parser.add_argument("--identity", type=Path, help="ArcFace's model_ir_se50.pth, or any feature network's weights")
    parser.add_argument("--mesh", type=Path, help="MediaPipe's face mesh: do eyes and mouths open as the photos' do?")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="videos of people, for the steadiness")
    parser.add_argument("--detector", type=Path, help="YuNet .onnx: faces are told apart in the clips")
    parser.add_argument("--sheet", type=Path, help="contact sheet to write; scenes of the clips go to NAME-scenes")
    parser.add_argument("--blind", type=Path, metavar="PAGE.html", help="page to write: teacher or student, unnamed")
    args = parser.parse_args()
    student, teacher = load_style(args.style), import_published(args.teacher, "teacher")
    photos = held_out(args.photos, args.limit)
    canvases = [data.face_canvas(*photo) for photo in photos]
    figures = measure(student, teacher, canvases, args.identity)
    if args.mesh:
        figures |= expressions(student, teacher, photos, args.mesh)
    if args.clips:
        figures |= steadiness(student, teacher, args.clips, args.detector)
    for name, value in figures.items():
        print(f"{name:24} {json.dumps(value)}")
    if args.sheet:
        contact.people(look(student), look(teacher), canvases, args.sheet)
        if args.clips:
            scenes = args.sheet.with_stem(f"{args.sheet.stem}-scenes")
            contact.scenes(look(student), look(teacher), args.clips, scenes)
    if args.blind:
        contact.blind(look(student), look(teacher), canvases, args.blind)


if __name__ == "__main__":
    run_command(main)
