"""Aligned portraits in one file, for a machine that lacks the pictures or what decodes them: `--help` says how.

`python -m training.packed PICTURES people.portraits` does the chain's first stage and keeps what it gave, as WebP. A
training takes such a file wherever it takes a folder of pictures. 500 portraits take about 12 MB.
"""

from __future__ import annotations

import argparse
import io
import logging
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from training import landmarks, openness, pack, portraits
from training.options import run_command
from vidstyle.errors import SinkError, SourceError, UsageError
from vidstyle.whole import write_whole

log = logging.getLogger("packed")

SUFFIX = ".portraits"
QUALITY = 92  # of WebP


def is_packed(source: Path) -> bool:
    return source.suffix == SUFFIX


def write(folder: Path, path: Path) -> None:
    """Pack the portraits of a folder that `training.portraits` made, with their landmarks of `training.landmarks`.

    Raises:
        SinkError: the file cannot be written.
    """
    both = [portraits.load(folder, part) for part in ("train", "held")]
    files, starts = pack.compress((face for part in both for face in part.faces), QUALITY)
    buffer = io.BytesIO()
    names = np.array([name for part in both for name in part.names])
    points = np.concatenate([part.landmarks for part in both])
    dense = np.concatenate([openness.dense_of(folder, part) for part in ("train", "held")]).astype(np.float32)
    np.savez(buffer, files=files, starts=starts, names=names, landmarks=points, dense=dense)
    try:
        write_whole(path, buffer.getvalue())
    except OSError as error:
        raise SinkError(f"cannot write {path} ({error.strerror or error}): choose another place") from error


def count(path: Path) -> int:
    """How many portraits there are, without looking at them.

    Raises:
        SourceError: the file is missing, damaged, or holds something else.
    """
    with _opened(path) as stored:
        return len(stored["names"])


def unpack(path: Path, folder: Path, options: portraits.Options, on_step: portraits.OnPicture | None = None) -> None:
    """Make ``folder`` as `training.portraits.prepare` did before: the same people are held out.

    Raises:
        SourceError: the file is missing, damaged, or holds something else.
    """
    names, faces, five, dense = _read(path)
    portraits.write(path, folder, list(zip(names, faces, five, strict=True)), {}, options)
    landmarks.write(folder, dense)
    if on_step:
        on_step(len(names), len(names), {"kept": float(len(names))})


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise SourceError(f"no file {path}: expected portraits packed by training.packed")
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            yield stored
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SourceError(
            f"{path} is damaged, or holds no portraits packed by training.packed: pack them anew"
        ) from error


def _read(path: Path) -> tuple[list[str], list[np.ndarray], np.ndarray, np.ndarray]:
    with _opened(path) as stored:
        faces = pack.decompress(stored["files"], stored["starts"])
        names, five, dense = stored["names"].tolist(), stored["landmarks"], stored["dense"]
    shape = (portraits.SIDE, portraits.SIDE, 3)
    fit = five.shape == (len(faces), 5, 2) and len(dense) == len(names) == len(faces)
    if not fit or any(face.shape != shape for face in faces):
        raise SourceError(f"{path} holds {len(faces)} pictures that are no aligned portraits: pack them anew")
    return names, faces, five.astype(np.float32), dense


def main() -> None:
    run_command(_command)


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.packed", description=__doc__)
    parser.add_argument("source", type=Path, help="folder or zip of pictures")
    parser.add_argument("file", type=Path, help=f"file to write, as people{SUFFIX}")
    parser.add_argument("--drawn", action="store_true", help="the pictures are exemplars of a look, not photos")
    parser.add_argument("--detector", type=Path, help="YuNet .onnx (default: OpenCV's, fetched once)")
    parser.add_argument("--mesh", type=Path, help=f"MediaPipe's {landmarks.MESH} (default: fetched once)")
    args = parser.parse_args()
    if not is_packed(args.file):
        raise UsageError(f"got {args.file}: the file's name must end in {SUFFIX}, by which a training knows it")
    options = portraits.DRAWN if args.drawn else portraits.Options()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "portraits"
        portraits.prepare(args.source, folder, args.detector, options)
        landmarks.ensure(folder, args.mesh)
        write(folder, args.file)
    log.info("%d portraits in %s, %.1f MB", count(args.file), args.file, args.file.stat().st_size / 1e6)


if __name__ == "__main__":
    main()
