"""Pack what a training needs into one small folder, for a machine with a GPU and nothing else.

`python -m training.pack OUT --photos DIR --clips ... --teachers DIR` writes ``canvases.npz`` (WebP pictures) and one
style file a teacher, in half precision; `python -m training.distill all --pack OUT` trains from it, and needs only
torch, OpenCV, NumPy and safetensors. Seven teachers and 2,800 canvases take about 50 MB.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from training import data
from training.data import SIDE
from training.inputs import DAMAGED
from training.options import at_least, run_command
from vidstyle.errors import SourceError
from vidstyle.importer import import_published
from vidstyle.style import save_style

log = logging.getLogger("pack")

QUALITY = 66  # of WebP
Change = Callable[[np.ndarray], np.ndarray]  # of a picture, in threads: pictures are large together
STORED = 3 * SIDE // 2  # pixels: between the target's size and the source's


def encode(sources: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`compress` of uint8 [N, 2*SIDE, 2*SIDE, 3] RGB, made smaller."""
    return compress(sources, QUALITY, lambda x: cv2.resize(x, (STORED, STORED), interpolation=cv2.INTER_AREA))


def compress(
    pictures: Iterable[np.ndarray], quality: int, change: Change | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """uint8 RGB pictures, changed, to (all WebP files one after the other, where each begins, and the end)."""

    def one(picture: np.ndarray) -> np.ndarray:
        picture = change(picture) if change else picture
        done, file = cv2.imencode(".webp", picture[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality])
        assert done
        return file.reshape(-1)

    with ThreadPoolExecutor() as pool:
        files = list(pool.map(one, pictures))
    return np.concatenate(files), np.cumsum([0, *map(len, files)])


def decode(files: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The inverse of `encode`, but for what the compression lost: uint8 [N, 2*SIDE, 2*SIDE, 3] RGB."""
    side = 2 * SIDE
    return np.stack(decompress(files, starts, lambda x: cv2.resize(x, (side, side), interpolation=cv2.INTER_CUBIC)))


def decompress(files: np.ndarray, starts: np.ndarray, change: Change | None = None) -> list[np.ndarray]:
    """The pictures that `compress` was given, but for what was lost, changed.

    Raises:
        ValueError: these are no pictures.
    """

    def one(span: tuple[int, int]) -> np.ndarray:
        image = cv2.imdecode(files[span[0] : span[1]], cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError("a picture cannot be decoded")
        picture = np.ascontiguousarray(image[..., ::-1])
        return change(picture) if change else picture

    spans = list(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True))
    with ThreadPoolExecutor() as pool:
        return list(pool.map(one, spans))


def write(folder: Path, sources: np.ndarray, kinds: np.ndarray, teachers: list[Path]) -> None:
    """Write the pack; teachers are published networks, named by their file's stem."""
    folder.mkdir(parents=True, exist_ok=True)
    files, starts = encode(sources)
    np.savez(folder / "canvases.npz", files=files, starts=starts, kind=kinds)
    write_teachers(folder, teachers)


def write_teachers(folder: Path, teachers: list[Path]) -> None:
    """One style file in half precision for each published network (.pb, .tflite), named by its file's stem."""
    for path in teachers:
        style = import_published(path, path.stem)
        half = {name: value.astype(np.float16) for name, value in style.weights.items()}
        save_style(folder / f"{path.stem}.safetensors", replace(style.card, sha256=""), half)


def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """(sources, kinds) as `training.data.sources` gives them.

    Raises:
        SourceError: there are none, or they are damaged.
    """
    path = folder / "canvases.npz"
    try:
        with open(path, "rb") as file, np.load(file) as stored:
            return decode(stored["files"], stored["starts"]), stored["kind"]
    except DAMAGED as error:
        raise SourceError(f"{path} is missing or damaged: make it with training.pack") from error


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.pack", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--photos", type=Path, required=True, help="folder of portraits with faces.json")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="videos with people")
    parser.add_argument("--detector", type=Path, help="YuNet .onnx, for the clips")
    parser.add_argument("--teachers", type=Path, nargs="+", required=True, help="published .tflite or .pb, by style")
    parser.add_argument("--limit", type=at_least(0), help="canvases to take, spread evenly (default: all)")
    args = parser.parse_args()
    sources, kinds = data.sources(args.photos, args.clips, args.detector)
    some = data.spread(kinds, args.limit)
    write(args.out, sources[some], kinds[some], args.teachers)
    size = sum(path.stat().st_size for path in args.out.iterdir())
    log.info("%d canvases, %d teachers, %.1f MB in %s", len(kinds[some]), len(args.teachers), size / 1e6, args.out)


if __name__ == "__main__":
    run_command(main)
