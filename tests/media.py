"""Small videos made on the fly, for the tests."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from style_files import write_style


def save_tiny(folder: Path, name: str, seed: int = 0) -> Path:
    """A style file of the tiny network, which changes a picture visibly."""
    return write_style(folder / f"{name}.safetensors", seed=seed)


@dataclass(frozen=True)
class Clip:
    """What `make_clip` wrote. ``times``: seconds of every picture."""

    path: Path
    times: list[Fraction]


def picture(index: int, width: int, height: int) -> np.ndarray:
    """A smooth picture that tells its index: uint8 [height, width, 3]."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([(x * 2 + index * 5) % 256, (y * 2) % 256, np.full_like(x, (index * 9) % 256)], -1).astype(np.uint8)


def make_clip(
    path: Path,
    frames: int = 12,
    size: tuple[int, int] = (64, 48),
    pts: list[int] | None = None,
    time_base: Fraction = Fraction(1, 12800),
    audio: int = 1,
    repeat: bool = False,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    **colour: int,
) -> Clip:
    """Write a clip with ``audio`` tone tracks; ``pts`` per picture in ``time_base`` (default: 25 fps)."""
    pts = pts or [i * 512 for i in range(frames)]
    width, height = size
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        video.codec_context.time_base = time_base
        for key, value in colour.items():
            setattr(video.codec_context, key, value)
        tracks = [out.add_stream("aac", rate=48000, layout="mono") for _ in range(audio)]
        for index, time in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(picture(0 if repeat else index, width, height), format="rgb24")
            frame = frame.reformat(format=pix_fmt, dst_colorspace=colour.get("colorspace", 5))
            frame.pts, frame.time_base = time, time_base
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        seconds = float((pts[-1] + 512) * time_base)
        for number, track in enumerate(tracks):
            _tone(out, track, seconds, 330 * (number + 1))
    return Clip(path, [p * time_base for p in pts])


def _tone(out: object, track: object, seconds: float, hertz: float) -> None:
    samples = np.sin(2 * np.pi * hertz * np.arange(int(48000 * seconds)) / 48000).astype(np.float32) * 0.2
    for start in range(0, len(samples), 1024):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        out.mux(track.encode(frame))  # type: ignore[attr-defined]
    out.mux(track.encode(None))  # type: ignore[attr-defined]


def video_times(path: Path) -> list[Fraction]:
    """Seconds of every decoded picture of the first video."""
    with av.open(str(path)) as container:
        return [frame.pts * Fraction(frame.time_base) for frame in container.decode(video=0)]


def packets(path: Path, kind: str) -> list[list[tuple[Fraction, bytes]]]:
    """(seconds, bytes) of every packet of every stream of a kind."""
    with av.open(str(path)) as container:
        streams = [s for s in container.streams if s.type == kind]
        found: dict[int, list[tuple[Fraction, bytes]]] = {s.index: [] for s in streams}
        for packet in container.demux(streams) if streams else ():
            if packet.size:
                found[packet.stream_index].append(((packet.pts or 0) * Fraction(packet.time_base), bytes(packet)))
    return list(found.values())


def left_behind(folder: Path, *expected: str) -> list[str]:
    """Names of the files in a folder besides the expected ones."""
    return sorted(p.name for p in folder.iterdir() if p.is_file() and p.name not in expected)
