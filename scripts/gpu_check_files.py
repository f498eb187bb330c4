"""Pictures of files decoded and converted on a GPU against the same on the CPU: FFmpeg, PyAV and torch together.

`gpu_check_files.py DEVICE [CLIP]` prints a line of JSON for each file. It is a process of its own: what goes wrong in
the driver's libraries may end it, and nothing else.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

PICTURES = 40  # of each file
LIMIT = 1.0  # levels: decoders agree in every bit, and two roundings
SECONDS = 90.0  # that all of it may take
#: encoder, pixel format, (width, height): sizes that end within a block, and 10 bits
DRAWN = (("libx264", "yuv420p", (638, 358)), ("libx265", "yuv420p10le", (640, 360)))


@dataclass(frozen=True)
class Result:
    """As `gpu_check_kernels.Result`; ``case`` says where the file was decoded."""

    name: str
    case: str
    error: float
    limit: float


def check(device: str, clips: list[Path]) -> Iterator[Result]:
    for clip in clips:
        got, where = _pictures(clip, device)
        want, _ = _pictures(clip, "cpu")
        yield Result("pictures of a file", f"{clip.name}, {where}", _worst(got, want), LIMIT)


def _pictures(clip: Path, device: str) -> tuple[list[tuple[int, Any]], str]:
    """((pts, int16 [height, width, 3]) of the first pictures, where they were decoded)."""
    from vidstyle.on_device import Device
    from vidstyle.source import SourceOptions, VideoSource

    with VideoSource(clip, SourceOptions(size=None), Device(device)) as source:
        found = [(frame.pts, frame.image.cpu().short()) for frame in islice(source, PICTURES)]
        assert source.route is not None
        return found, source.route.decoded


def _worst(got: list[tuple[int, Any]], want: list[tuple[int, Any]]) -> float:
    """Levels of 255; infinite where there are others, or other times."""
    if [pts for pts, _ in got] != [pts for pts, _ in want] or not want:
        return math.inf
    return max(float((one - other).abs().max()) for (_, one), (_, other) in zip(got, want, strict=True))


def draw(path: Path, encoder: str, pix_fmt: str, size: tuple[int, int]) -> Path:
    """A short video of smooth noise that moves."""
    import av
    import numpy as np

    (width, height), random = size, np.random.default_rng(0)
    noise = random.integers(0, 256, (height // 8 + 8, width // 8 + 8, 3), np.uint8)
    large = av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(width=width + 64, height=height).to_ndarray()
    with av.open(str(path), "w") as out:
        quiet = {"x265-params": "log-level=none"} if encoder == "libx265" else {}
        stream: Any = out.add_stream(encoder, rate=30, options={"preset": "ultrafast", **quiet})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        for index in range(16):
            picture = np.ascontiguousarray(large[:, 4 * index :][:, :width])
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)))
        out.mux(stream.encode(None))
    return path


def in_a_process(words: list[str]) -> Iterator[Result]:
    """What this file says as a program.

    Raises:
        RuntimeError: it did not come to its end.
    """
    command = [sys.executable, __file__, *words]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    for line in done.stdout.decode().splitlines():
        yield Result(**json.loads(line))
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
        raise RuntimeError(f"its process ended with exit code {done.returncode}, and said: {said[-1]}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    with tempfile.TemporaryDirectory() as folder:
        drawn = [draw(Path(folder) / f"{pix_fmt}.mkv", name, pix_fmt, size) for name, pix_fmt, size in DRAWN]
        for result in check(sys.argv[1], [*map(Path, sys.argv[2:]), *drawn]):
            print(json.dumps(asdict(result)), flush=True)
