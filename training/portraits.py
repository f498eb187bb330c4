"""Portraits for training: faces found, aligned as FFHQ's, sorted out, split: `python -m training.portraits --help`.

Writes a folder with ``faces.npy`` (uint8 [N, SIDE, SIDE, 3] RGB), ``landmarks.npy`` (float32 [N, 5, 2] pixels: right
eye, left eye, nose, right and left mouth corner), ``split.json`` (rows for training and held out, and their names),
``report.json`` (what became of every picture) and ``sheet.png`` to look at.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np

from training.alignment import SIDE, aligned, alignment
from training.data import evenly, held_out
from training.detector import Detector, detector_file
from training.options import run_command, share
from training.pictures import Read, check, count, fingerprint, read_all
from training.sheets import write_picture
from training.sifted import Kept, kept_when_stopped
from vidstyle.errors import SinkError, SourceError

log = logging.getLogger("portraits")

#: in a folder of portraits; dense.npy is of `training.landmarks`
MADE = frozenset({"faces.npy", "landmarks.npy", "dense.npy", "split.json", "report.json", "sheet.png"})
OnPicture = Callable[[int, int, dict[str, float]], None]  # done, of, figures


@dataclass(frozen=True)
class Options:
    """What makes a portrait good enough. Drawings are softer and found with less certainty: see `DRAWN`."""

    score: float = share(0.8)  # the detector's certainty
    #: at most, to reach SIDE: a face with 26 px between the eyes is the smallest
    enlarged: float = field(default=2.5, metadata={"least": 0.1})
    sharp: float = 40.0  # least variance of the Laplacian over the inner face
    turned: float = 0.32  # at most: nose from the middle of the eyes, in eye distances
    tilted: float = 45.0  # degrees at most
    second: float = 0.6  # a second face wider than this share of the first spoils the picture
    held: float = field(default=0.1, metadata={"below": 1})  # share kept for measuring
    least: int = 20  # portraits; fewer are refused


DRAWN = Options(score=0.45, enlarged=3.0, sharp=3.0, turned=0.4)


@dataclass(frozen=True)
class Faces:
    """Aligned portraits: faces uint8 [N, side, side, 3] RGB (on the disk when of full size), landmarks [N, 5, 2]."""

    faces: np.ndarray
    landmarks: np.ndarray
    names: list[str]

    def __len__(self) -> int:
        return len(self.faces)


def load(folder: Path, part: str = "train", side: int = SIDE) -> Faces:
    """Read the ``train`` or ``held`` portraits of a folder that `prepare` wrote, scaled to ``side``.

    Raises:
        SourceError: it did not, or they are damaged.
    """
    everyone, chosen = load_all(folder), rows(folder, part)
    try:
        faces = everyone.faces[chosen]
    except IndexError as error:
        raise _no_portraits(folder, error) from error
    whole = everyone.faces.shape[1]
    if side != whole and len(chosen):
        faces = np.stack([cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA) for face in faces])
    return Faces(faces, everyone.landmarks[chosen] * (side / whole), [everyone.names[row] for row in chosen])


def load_all(folder: Path) -> Faces:
    """All portraits of a folder that `prepare` wrote, whatever their part.

    Raises:
        SourceError: it did not, or they are damaged.
    """
    try:
        faces, landmarks = np.load(folder / "faces.npy", mmap_mode="r"), np.load(folder / "landmarks.npy")
        return Faces(faces, landmarks, json.loads((folder / "split.json").read_text())["names"])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise _no_portraits(folder, error) from error


def rows(folder: Path, part: str) -> np.ndarray:
    """int [N]: which of a folder's portraits are in ``part``.

    Raises:
        SourceError: it has none.
    """
    try:
        return np.array(json.loads((folder / "split.json").read_text())[part], int)
    except (OSError, ValueError, KeyError) as error:
        raise _no_portraits(folder, error) from error


def _no_portraits(folder: Path, error: Exception) -> SourceError:
    remedy = "make them with python -m training.portraits PICTURES FOLDER"
    return SourceError(f"no portraits of a training in {folder} ({error}): {remedy}")


def fault(image: np.ndarray, faces: np.ndarray, options: Options) -> str:
    """Why the picture's largest face is not good enough; "" where it is."""
    if not len(faces):
        return "no face found"
    if len(faces) > 1 and faces[1, 2] > options.second * faces[0, 2]:
        return "several faces"
    points = faces[0, 4:14].reshape(5, 2)
    warp = alignment(points)
    enlarged = float(np.hypot(*warp[0, :2]))
    if enlarged > options.enlarged:
        return f"face too small ({np.hypot(*(points[1] - points[0])):.0f} px between the eyes)"
    angle = abs(np.degrees(np.arctan2(warp[1, 0], warp[0, 0])))
    crop, at = aligned(image, points)
    sideways = abs(at[2, 0] - at[:2, 0].mean()) / max(float(at[1, 0] - at[0, 0]), 1.0)
    if angle > options.tilted or sideways > options.turned:
        return "face turned away"
    grey = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)
    inner = grey[SIDE // 8 : 3 * SIDE // 8, SIDE // 8 : 3 * SIDE // 8]
    if (sharp := cv2.Laplacian(inner, cv2.CV_64F).var()) < options.sharp:
        return f"blurred (sharpness {sharp:.0f}, expected {options.sharp:.0f})"
    return ""


def sift(
    pictures: Iterable[Read], detector: Detector, options: Options
) -> Iterator[tuple[str, str, np.ndarray | None, np.ndarray | None]]:
    """Yield (name, fault, crop, points) of every picture; no crop where there is a fault."""
    for read in pictures:
        if read.image is None:
            yield read.name, read.reason, None, None
            continue
        faces = detector(read.image)
        if why := fault(read.image, faces, options):
            yield read.name, why, None, None
        else:
            yield read.name, "", *aligned(read.image, faces[0, 4:14].reshape(5, 2))


def prepare(
    source: Path, folder: Path, detector: Path | None, options: Options, on_step: OnPicture | None = None
) -> dict[str, object]:
    """Make ``folder`` from the pictures of ``source`` (a folder or a zip), whole or not at all; give the report.

    Stopped, it puts by what was found in ``{folder}.begun.npz``, and goes on from there.

    Raises:
        SourceError: too few good portraits, with the reasons; the list is in ``{folder}.refused.txt``.
    """
    network = detector_file(detector)
    net, begun = Detector(network, options.score), folder.with_name(f"{folder.name}.begun.npz")
    check(source)
    total = count(source)
    note = {"source": fingerprint(source), "detector": fingerprint(network), **asdict(options)}
    with kept_when_stopped(begun, note) as sifted:
        for name, why, crop, points in sift(read_all(source, sifted.count), net, options):
            if crop is None or points is None:
                sifted.refused.append((name, why))
            else:
                sifted.kept.append((name, crop, points))
            if on_step:
                on_step(sifted.count, total, {"kept": float(len(sifted.kept))})
    refused = dict(sifted.refused)
    _check(source, folder, len(sifted.kept), refused, options)
    return write(source, folder, sifted.kept, refused, options)


def _check(source: Path, folder: Path, kept: int, refused: dict[str, str], options: Options) -> None:
    listing = folder.with_name(f"{folder.name}.refused.txt")
    listing.unlink(missing_ok=True)
    if refused:
        listing.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{name}: {why}\n" for name, why in refused.items())
        listing.write_text(text, "utf-8", "surrogateescape")  # names of old disks are no UTF-8
    if kept < options.least:
        kinds = Counter(why.split(" (")[0] for why in refused.values())
        reasons = ", ".join(f"{number} {why}" for why, number in kinds.most_common(4)) or "nothing refused"
        raise SourceError(
            f"{source}: {kept} usable portraits, at least {options.least} are needed ({reasons}"
            f"{f'; see {listing}' if refused else ''}): add pictures of single faces seen from the front"
        )


def write(source: Path, folder: Path, kept: list[Kept], refused: dict[str, str], options: Options) -> dict[str, object]:
    """Make ``folder``, whole or not at all; give the report."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        report = _write(source, part, kept, refused, options)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    except BaseException:  # a full disk would stay so
        shutil.rmtree(part, ignore_errors=True)
        raise
    return report


def _write(source: Path, part: Path, kept: list[Kept], refused: dict[str, str], options: Options) -> dict[str, object]:
    names = [name for name, _, _ in kept]
    split = [held_out(name, options.held) for name in names]
    for row in reversed(range(len(split))):  # a look's distance is that of two pictures at least
        split[row] = split[row] or sum(split) < min(2, len(split) // 2)
    if all(split):
        split[0] = False
    np.save(part / "faces.npy", np.stack([crop for _, crop, _ in kept]))
    np.save(part / "landmarks.npy", np.stack([points for _, _, points in kept]))
    rows: dict[str, list[int]] = {"train": [], "held": []}
    for row, held in enumerate(split):
        rows["held" if held else "train"].append(row)
    (part / "split.json").write_text(json.dumps({**rows, "names": names}))
    report = {
        "source": str(source),
        "kept": len(kept),
        "held": len(rows["held"]),
        "refused": refused,
        "options": asdict(options),
    }
    (part / "report.json").write_text(json.dumps(report, indent=1))
    sheet([crop for _, crop, _ in kept], part / "sheet.png")
    return report


def sheet(pictures: list[np.ndarray], path: Path, columns: int = 12, most: int = 96, side: int = 128) -> None:
    """A contact sheet of at most ``most`` pictures, spread evenly over all of them."""
    chosen = [pictures[index] for index in evenly(len(pictures), most)]
    small = [cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) for picture in chosen]
    small += [np.full((side, side, 3), 255, np.uint8)] * (-len(small) % min(columns, len(small)))
    rows = [np.concatenate(small[i : i + columns], 1) for i in range(0, len(small), columns)]
    write_picture(path, np.concatenate(rows))


def check_ours(folder: Path) -> None:
    """A folder is replaced by what is made: one with files of somebody else's, as the pictures themselves, is not ours.

    Raises:
        SinkError: it has some.
    """
    others = [path.name for path in folder.iterdir() if path.name not in MADE] if folder.is_dir() else []
    if others or folder.is_file():
        found = f"has {min(others)}" if others else "is a file"
        raise SinkError(f"{folder} {found}, and would be replaced: choose a folder that does not exist")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.portraits", description=__doc__)
    parser.add_argument("source", type=Path, help="folder or zip of pictures")
    parser.add_argument("folder", type=Path, help="folder to make")
    parser.add_argument("--drawn", action="store_true", help="the pictures are exemplars of a look, not photos")
    parser.add_argument("--detector", type=Path, help="YuNet .onnx (default: OpenCV's, fetched once)")
    args = parser.parse_args()
    check_ours(args.folder)
    report = prepare(args.source, args.folder, args.detector, DRAWN if args.drawn else Options())
    log.info("%d portraits, %d of them held out, in %s", report["kept"], report["held"], args.folder)


if __name__ == "__main__":
    run_command(main)
