"""A network that says where faces are and how large, for `vidstyle.faces`: `python -m training.finder --help`.

It is a small student like those of the looks: its "look" is a map (`vidstyle.faces` says how it is read). It learns
from photos of people with the faces that YuNet found in them, at any size, turned, several in one picture, and from
what is around them. Everything random in step n is drawn from a generator seeded by (seed, n).
"""

from __future__ import annotations

import argparse
import logging
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from engines.torch import Network
from training import data
from training.loop import follow
from training.muon import MuonAdam
from training.options import at_least, run_command
from vidstyle.engine import Recipe
from vidstyle.errors import UsageError
from vidstyle.face_map import CELL, LARGEST, REACH, SMALLEST, faces_in, level_of
from vidstyle.faces import FEW
from vidstyle.network import Architecture
from vidstyle.style import Card, load_style, save_style
from vidstyle.stylizer import Stylizer

log = logging.getLogger(__name__)
SIDE = 256  # pixels of a training picture
SHAPE = Architecture(
    "student", (16, 24, 32, 48), blocks=(0, 1, 1, 2), down_blocks=(0, 0, 1, 0), guided=False, smooth=True
)
SOURCE = 400  # pixels of a photo's longer side in memory
LR = 2e-3


@dataclass(frozen=True)
class Photo:
    """uint8 [H, W, 3] RGB and its faces, float32 [N, 3]: middle x, y, and eye distance, in its pixels."""

    image: np.ndarray
    faces: np.ndarray


def measured(points: np.ndarray) -> tuple[float, float, float]:
    """Middle of a face's eyes and mouth, and its eye distance, by its five points [5, 2]."""
    x, y = (points[:2].mean(0) + points[3:].mean(0)) / 2
    return float(x), float(y), data.eye_distance(points)


def read(pictures: Iterable[tuple[np.ndarray, list[np.ndarray]]]) -> list[Photo]:
    """Pictures and their faces as `training.data.photos` and `clip_frames` give them, at `SOURCE`."""
    found = []
    for image, rows in pictures:
        scale = SOURCE / max(image.shape[:2])
        faces = [np.multiply(measured(row[4:14].reshape(5, 2)), scale) for row in rows]
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found.append(Photo(np.ascontiguousarray(small), np.array(faces, np.float32).reshape(-1, 3)))
    return found


def _placed(photo: Photo, eyes: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A matrix [2, 3] that brings the photo's first face to ``eyes`` pixels, somewhere in the picture, and its faces.

    Where the photo has no face, it is brought to the size of one that has.
    """
    height, width = photo.image.shape[:2]
    x, y, distance = photo.faces[0] if len(photo.faces) else (width / 2, height / 2, height / 5)
    angle = np.radians(rng.normal(0, 12) if rng.random() < 0.85 else rng.uniform(-100, 100))
    scale, flip = eyes / distance, rng.choice([-1.0, 1.0])
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([flip, 1.0])
    middle = rng.uniform(-0.05, 1.05, 2) * SIDE
    matrix = np.hstack([turn, (middle - turn @ [x, y])[:, None]])
    places = photo.faces[:, :2] @ turn.T + matrix[:, 2]
    return matrix, np.hstack([places, photo.faces[:, 2:] * scale]).astype(np.float32)


def _pasted(picture: np.ndarray, photo: Photo, matrix: np.ndarray) -> np.ndarray:
    """``picture`` with the photo on it; uint8 mask [SIDE, SIDE] of where."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    image = photo.image
    if scale < 0.7:  # warpAffine does not filter when it shrinks
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.diag([photo.image.shape[1] / image.shape[1], photo.image.shape[0] / image.shape[0], 1.0])
    mask = cv2.warpAffine(np.full(image.shape[:2], 255, np.uint8), matrix, (SIDE, SIDE), flags=cv2.INTER_NEAREST)
    warped = cv2.warpAffine(image, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT_101)
    picture[mask > 0] = warped[mask > 0]
    return mask


def _beside_faces(photo: Photo, rng: np.random.Generator) -> np.ndarray | None:
    """A square part of the photo that no face reaches into, uint8 [h, h, 3], if one is found."""
    height, width = photo.image.shape[:2]
    for _ in range(12):
        side = int(rng.uniform(0.12, 1.0) * min(height, width))
        x, y = rng.integers(0, width - side + 1), rng.integers(0, height - side + 1)
        near = np.clip(photo.faces[:, :2], (x, y), (x + side, y + side)) - photo.faces[:, :2]
        if (np.abs(near).max(1, initial=0.0) >= 1.6 * photo.faces[:, 2]).all():
            return photo.image[y : y + side, x : x + side]
    return None


def _background(photos: list[Photo], rng: np.random.Generator) -> np.ndarray:
    """uint8 [SIDE, SIDE, 3] without a face: a part of a photo beside its faces, or coarse noise."""
    part = None
    for _ in range(rng.choice([0, 8], p=[0.06, 0.94])):
        part = _beside_faces(photos[rng.integers(len(photos))], rng) if part is None else part
    if part is None:
        part = rng.integers(0, 256, (*rng.integers(1, 24, 2), 3), np.uint8)
    return cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA if len(part) > SIDE else cv2.INTER_LINEAR)


def _coloured(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another camera's: gamma, gains, grey, soft, noisy, coded."""
    if rng.random() < 0.12:
        picture = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    levels = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.35))
    gains = np.exp(rng.normal(0, 0.15, 3)) * rng.uniform(0.5, 1.15)
    image = cv2.LUT(picture, (levels * gains * 255).clip(0, 255).astype(np.uint8)[None])
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.0))
    if rng.random() < 0.4:
        noise = rng.integers(-1, 2, image.shape, np.int16) * np.int16(rng.choice([2, 8]))
        image = (image + noise).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 80))])[1]
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return image


def example(photos: list[Photo], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A training picture, uint8 [SIDE, SIDE, 3] RGB, and the faces in it, float32 [N, 3]."""
    picture, faces = _background(photos, rng), np.zeros((0, 3), np.float32)
    count = rng.choice([0, 1, 2, 3, 5], p=[0.12, 0.5, 0.14, 0.12, 0.12])
    for _ in range(count):
        photo = photos[rng.integers(len(photos))]
        least, most = (2 * SMALLEST, LARGEST) if count == 1 else (SMALLEST, SIDE / (2.5 * np.sqrt(count)))
        matrix, new = _placed(photo, float(np.exp(rng.uniform(np.log(least), np.log(most)))), rng)
        mask = _pasted(picture, photo, matrix)
        x, y = np.clip(faces[:, :2], 0, SIDE - 1).astype(int).T
        faces = np.concatenate([faces[mask[y, x] == 0], new])
    return _coloured(picture, rng), faces


def map_of(faces: np.ndarray, side: int = SIDE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the map should hold in its cells: presence, level, weight, each float32 [side / CELL, side / CELL]."""
    cells = side // CELL
    there, level = np.zeros((2, cells, cells), np.float32)
    weight = np.ones((cells, cells), np.float32)
    y, x = (np.mgrid[:cells, :cells] + 0.5) * CELL
    for middle_x, middle_y, eyes in faces[np.argsort(-faces[:, 2])]:
        far = np.hypot(x - middle_x, y - middle_y) / max(REACH * eyes, CELL * 0.8)
        disc = far < 1
        there[disc], level[disc] = 1, level_of(eyes)
        weight[disc] = np.clip(60 / max(disc.sum(), 1), 1, 6)  # a small face counts as a large one
        weight[(far >= 1) & (far < 1.3)] = 0.2  # where it ends matters little
    return there, level, weight


def batch(photos: list[Photo], seed: int, step: int, size: int) -> Iterator[torch.Tensor]:
    """Pictures [N, 3, H, W] in -1..1, and the three of `map_of`, each [N, h, w]."""
    rng = np.random.default_rng([seed, step])
    examples = [example(photos, rng) for _ in range(size)]
    pictures = torch.from_numpy(np.stack([picture for picture, _ in examples])).permute(0, 3, 1, 2)
    yield (pictures.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
    for values in zip(*(map_of(faces) for _, faces in examples), strict=True):
        yield torch.from_numpy(np.stack(values))


def loss_of(
    network: Network, pictures: torch.Tensor, there: torch.Tensor, level: torch.Tensor, weight: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Squared error of presence, and absolute error of the level where faces are."""
    cells = F.avg_pool2d(network(pictures), CELL) / 2 + 0.5
    presence = (weight * (cells[:, 0] - there).square()).mean()
    sizes = (weight * there * (cells[:, 1] - level).abs()).sum() / (weight * there).sum().clamp(min=1)
    return {"presence": presence, "sizes": sizes}


def train(photos: list[Photo], steps: int, size: int, seed: int) -> Network:
    """The averaged network after ``steps`` of ``size`` pictures."""
    torch.manual_seed(seed)
    network = Network(SHAPE, generator=torch.Generator().manual_seed(seed))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.no_grad():
        for name in ("gate", "head"):
            network.named_weights()[f"{name}.weight"].mul_(0.1)
    average = Network(SHAPE, network.weights())
    optimiser, began = MuonAdam(network.parameters(), LR), time.monotonic()
    for step in range(steps):
        for group in optimiser.param_groups:
            warm = min(1.0, (step + 1) / min(100, 1 + steps // 4))
            group["lr"] = LR * warm * (0.02 + 0.49 * (1 + np.cos(np.pi * step / steps)))
        losses = loss_of(network, *batch(photos, seed, step, size))
        optimiser.zero_grad()
        (losses["presence"] + 0.3 * losses["sizes"]).backward()
        optimiser.step()
        follow(average, network, min(0.998, (1 + step) / (10 + step)))
        if step % 50 == 0:
            told = ", ".join(f"{name} {float(value.detach()):.4f}" for name, value in losses.items())
            log.info("step %d, %.0f s: %s", step, time.monotonic() - began, told)
    return average


def measure(style: Path, photos: list[Photo]) -> dict[str, float]:
    """How well the faces of these photos are found, and how often one is seen in a part beside them."""
    rng = np.random.default_rng(0)
    known = [photo for photo in photos if len(photo.faces) == 1]
    beside = [part for photo in photos if (part := _beside_faces(photo, rng)) is not None]
    with Stylizer(Recipe(((load_style(style), 1.0),)), precision="f32") as network:
        found = [faces_in(photo.image, network) for photo in known]
        wrong = [faces_in(np.ascontiguousarray(part), network)[:, 1].sum() >= FEW for part in beside]
    seen = [(rows, photo) for rows, photo in zip(found, known, strict=True) if rows[:, 1].sum() >= FEW]
    off = [
        abs(np.average(rows[:, 0], weights=rows[:, 1]) * min(photo.image.shape[:2]) / photo.faces[0, 2] - 1)
        for rows, photo in seen
    ]
    return {
        "photos": len(known),
        "found": len(seen) / max(len(known), 1),
        "eye distance off by, half of them": float(np.median(off)) if off else math.nan,
        "and nine in ten": float(np.percentile(off, 90)) if off else math.nan,
        "parts beside faces": len(beside),
        "where a face is seen": float(np.mean(wrong)) if wrong else math.nan,
    }


def write(words: argparse.Namespace) -> None:
    """Train as the command's words say, and write the style file."""
    if words.clips and words.detector is None:
        raise UsageError("the faces in --clips are found by --detector: give YuNet's .onnx")
    photos = read(data.photos(words.photos, training=True))
    if words.clips:
        photos += read(data.clip_frames(words.clips, words.detector))
    log.info("%d pictures", len(photos))
    network = train(photos, words.steps, words.pictures, words.seed)
    weights = {name: value.astype(np.float16) for name, value in network.weights().items()}
    training = {"steps": words.steps, "pictures": words.pictures, "seed": words.seed, "sources": words.sources}
    card = Card("faces", "a map of faces and their sizes, for --size auto", SHAPE, "Apache-2.0", "vidstyle", training)
    save_style(words.out, card, weights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder of portraits with faces.json")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="videos, with and without people")
    parser.add_argument("--detector", type=Path, help="YuNet .onnx, for the clips")
    parser.add_argument("--out", type=Path, required=True, help="style file to write")
    parser.add_argument("--measure", action="store_true", help="only measure the file that is there")
    parser.add_argument("--steps", type=at_least(1), default=4000)
    parser.add_argument("--pictures", type=at_least(1), default=16, help="of a step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sources", default="", help="names and licences of the pictures, for the card")
    words = parser.parse_args()
    if not words.measure:
        write(words)
    for name, value in measure(words.out, read(data.photos(words.photos, training=False))).items():
        print(f"{name:34} {value:g}")  # noqa: T201


if __name__ == "__main__":
    run_command(main)
