"""A photo in every bundled look on one sheet; without one, a public-domain portrait (NASA's of Eileen Collins)."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from training.options import run_command
from vidstyle import preview
from vidstyle.catalog import list_styles, load_found
from vidstyle.engine_options import EngineOptions
from vidstyle.images import check_target, write_picture
from vidstyle.picture import Picture, encode_picture

HEAD = slice(0, 290), slice(75, 375)  # of the portrait's 512x512; the eyes are 42 pixels apart
LARGER = 1.7  # times: where the looks are at their best


def portrait() -> np.ndarray:
    """uint8 [493, 510, 3] RGB."""
    import skimage  # only for its picture

    image = preview.sample_picture(Path(skimage.__file__).parent / "data" / "astronaut.png", size=None)
    return cv2.resize(image[HEAD], None, fx=LARGER, fy=LARGER, interpolation=cv2.INTER_CUBIC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path, nargs="?", help="a picture, or a video (default: the portrait)")
    parser.add_argument("out", type=Path, nargs="?", default=Path(__file__).with_suffix(".jpg"), help="sheet")
    args = parser.parse_args()
    check_target(args.out, [args.photo] if args.photo else [], overwrite=True)
    image = preview.sample_picture(args.photo) if args.photo else portrait()
    styles = [(found.name, load_found(found)) for found in list_styles() if found.origin == "package"]
    sheet = preview.contact_sheet(list(preview.looks(image, styles, EngineOptions())))
    small = cv2.resize(sheet, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    write_picture(args.out, encode_picture(Picture(small), args.out.suffix))


if __name__ == "__main__":
    run_command(main)
