"""Whole pictures drawn in an open look, each under its own name: `python -m training.open_pairs --help`.

What `vidstyle train --paired` learns a look of `training.open_looks` from.
"""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np

from training.data import evenly, eye_distance
from training.detector import Detector, detector_file
from training.open_looks import LOOKS, SIDE, parser
from training.options import run_command
from training.paired import Options
from training.pictures import check, names, place, reader
from training.sheets import write_picture
from vidstyle.errors import SinkError, SourceError

log = logging.getLogger("open_pairs")

EYES, LONGEST = 128, 1600  # pixels between the eyes that are drawn, and at most of a picture's longer side


def draw(image: np.ndarray, faces: list[np.ndarray], look: str) -> np.ndarray:
    """``image`` drawn as it is framed, uint8: larger or smaller, so that the eyes, if any, are `EYES` pixels apart.

    ``faces``: the five points of each, the one that counts first.
    """
    scale = EYES / max(eye_distance(faces[0]), 1.0) if faces else SIDE / min(image.shape[:2])
    scale = min(scale, LONGEST / max(image.shape[:2]))
    before = np.array(image.shape[1::-1])
    size = np.maximum(1, np.round(before * scale)).astype(int)
    scaled = cv2.resize(image, tuple(size), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return LOOKS[look](scaled, [((points + 0.5) * (size / before) - 0.5).astype(np.float32) for points in faces], None)


def make(source: Path, folder: Path, look: str, detector: Path | None, count: int) -> int:
    """Draw at most ``count`` of the pictures of ``source``, spread evenly, as .png into ``folder``; give their number.

    Raises:
        SourceError: as `training.pictures.check`; none of them can be read.
        SinkError: ``folder`` is where the photos are, or would be taken for some of them.
    """
    check(source)
    if folder.resolve().is_relative_to(source.resolve()):
        raise SinkError(f"{folder} lies in {source}, and drawings would be taken for photos: choose another folder")
    options = Options()
    net, found, done = Detector(detector_file(detector), options.score), names(source), 0
    with reader(source) as read:
        for index in evenly(len(found), count):
            picture = read(found[index])
            if picture.image is None:
                log.warning("%s is left out: %s", picture.name, picture.reason)
                continue
            faces = [face[4:14].reshape(5, 2) for face in net(picture.image)[: options.faces]]
            path = folder / f"{place(picture.name)}.png"  # of a.jpg and a.png each has its own
            path.parent.mkdir(parents=True, exist_ok=True)
            write_picture(path, draw(picture.image, faces, look))
            done += 1
    if not done:
        raise SourceError(f"{source}: none of its {len(found)} pictures can be read")
    return done


def main() -> None:
    args = parser("open_pairs", __doc__, "photos", "drawings", 600).parse_args()
    done = make(args.source, args.folder, args.look, args.detector, args.count)
    log.info("%d pictures drawn as %s in %s", done, args.look, args.folder)


if __name__ == "__main__":
    run_command(main)
