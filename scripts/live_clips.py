"""Clips of a person as a webcam codes them, Motion JPEG at 30 frames a second. Used by scripts/bench_live.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from bench import portrait
from sample_clip import read_picture, window

WIDTH, HEIGHT, RATE = 1280, 720, 30


def write_clip(path: Path, frames: Iterator[Any]) -> Path:
    """Motion JPEG, every picture by itself."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("mjpeg", rate=RATE, options={"qmin": "3", "qmax": "3"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuvj422p"
        for frame in frames:
            out.mux(video.encode(frame.reformat(format="yuvj422p")))
        out.mux(video.encode(None))
    return path


def moving_person(seconds: float) -> Iterator[Any]:
    """Everything moves: the camera pans over a portrait."""
    image = read_picture(portrait())
    for index in range(round(seconds * RATE)):
        yield window(image, index / RATE, WIDTH, HEIGHT)


def still_background(seconds: float) -> Iterator[Any]:
    """A head moves in a fifth of the picture; the rest stays as it is, to the bit but for the JPEG's."""
    image = read_picture(portrait())
    back = window(image, 0.0, WIDTH, HEIGHT).reformat(format="rgb24").to_ndarray()[:, ::-1].copy()
    for index in range(round(seconds * RATE)):
        head = window(image, index / RATE, 480, 384).reformat(format="rgb24").to_ndarray()
        frame = back.copy()
        frame[176:560, 400:880] = head
        yield av.VideoFrame.from_ndarray(frame, format="rgb24")
