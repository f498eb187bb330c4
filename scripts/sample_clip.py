"""Make a clip of a person from one portrait: pan and zoom, a tone as sound. Used by scripts/demo and scripts/bench."""

from __future__ import annotations

import argparse
import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation

RATE, SOUND_RATE = 30, 48000


FINE = 4  # the picture is enlarged so many times first: a slow pan in whole pixels would jerk


def read_picture(path: Path) -> np.ndarray:
    """uint8 [FINE*H, FINE*W, 3] RGB."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    size = {"width": FINE * frame.width, "height": FINE * frame.height}
    return frame.reformat(**size, format="rgb24", interpolation=Interpolation.BICUBIC).to_ndarray()


def window(image: np.ndarray, time: float, width: int, height: int) -> av.VideoFrame:
    """The part of the picture seen at ``time`` seconds, moving slowly around the face, at the size wanted."""
    side = min(image.shape[0], image.shape[1] * height / width)
    zoom = 0.86 + 0.12 * math.sin(2 * math.pi * time / 5.0)
    high = int(side * zoom) // 2 * 2
    wide = int(high * width / height) // 2 * 2
    wide, high = min(wide, image.shape[1]), min(high, image.shape[0])
    left = (image.shape[1] - wide) * (0.5 + 0.45 * math.sin(2 * math.pi * time / 7.0))
    top = (image.shape[0] - high) * (0.06 + 0.06 * math.cos(2 * math.pi * time / 4.0))
    part = np.ascontiguousarray(image[int(top) : int(top) + high, int(left) : int(left) + wide])
    frame = av.VideoFrame.from_ndarray(part, format="rgb24")
    size = {"width": width, "height": height}
    return frame.reformat(**size, format="yuv420p", dst_colorspace=1, interpolation=Interpolation.AREA)


def tone(out: object, track: object, seconds: float) -> None:
    """A soft two-note tone of the clip's length."""
    time = np.arange(int(SOUND_RATE * seconds)) / SOUND_RATE
    wave = 0.12 * np.sin(2 * np.pi * 220 * time) * (1 + 0.5 * np.sin(2 * np.pi * 0.5 * time))
    for start in range(0, len(wave), 1024):
        samples = wave[None, start : start + 1024].astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
        out.mux(track.encode(frame))  # type: ignore[attr-defined]
    out.mux(track.encode(None))  # type: ignore[attr-defined]


def make(portrait: Path, path: Path, seconds: float = 6.0, width: int = 1280, height: int = 720) -> None:
    """Write the clip: H.264 and AAC in MP4, 30 frames a second, BT.709."""
    image = read_picture(portrait)
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=RATE, options={"crf": "16", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.colorspace = video.codec_context.color_primaries = video.codec_context.color_trc = 1
        sound = out.add_stream("aac", rate=SOUND_RATE, layout="mono")
        for index in range(round(seconds * RATE)):
            frame = window(image, index / RATE, width, height)
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        tone(out, sound, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("portrait", type=Path, help="a picture of a person")
    parser.add_argument("output", type=Path)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--size", default="1280x720", help="width x height")
    args = parser.parse_args()
    width, height = (int(part) for part in args.size.split("x"))
    make(args.portrait, args.output, args.seconds, width, height)


if __name__ == "__main__":
    main()
