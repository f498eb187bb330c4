"""Measure `vidstyle batch` over many tiny videos: whether the thousandth costs what the first one did."""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil

FRAMES, WIDTH, HEIGHT = 6, 64, 48


@dataclass
class Many:
    """What a batch of ``count`` videos was like. ``exact``: reports that say every frame, time and sound is kept."""

    count: int
    jobs: int
    seconds: float = 0.0
    exact: int = 0
    ends: list[float] = field(default_factory=list)  # seconds, of every video
    worker_mb: list[float] = field(default_factory=list)  # resident, at every end
    batch_mb: list[float] = field(default_factory=list)
    again: float = 0.0  # seconds of a second run, which skips everything

    def rate(self, part: slice) -> float:
        """Videos a second between the ends in ``part``."""
        ends = self.ends[part]
        return (len(ends) - 1) / (ends[-1] - ends[0])

    @property
    def first(self) -> slice:
        return slice(0, max(2, self.count // 10))

    @property
    def last(self) -> slice:
        return slice(-max(2, self.count // 10), None)


def tiny_clip(path: Path) -> None:
    """Moving stripes and a tone, a quarter of a second."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=24)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = out.add_stream("aac", rate=48000, layout="mono")
        for index in range(FRAMES):
            stripes = np.broadcast_to((np.arange(WIDTH) * 4 + index * 9)[None, :, None] % 256, (HEIGHT, WIDTH, 3))
            out.mux(video.encode(av.VideoFrame.from_ndarray(stripes.astype(np.uint8), format="rgb24")))
        out.mux(video.encode(None))
        tone = np.sin(np.arange(12288) * 0.05).astype(np.float32)
        for start in range(0, len(tone), 1024):
            frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))


def bench_batch(count: int, style: str = "anime", jobs: int = 1) -> Many:
    """Style ``count`` tiny videos of one folder with ``jobs`` workers, then run the same command again."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "in")
        folder.mkdir()
        tiny_clip(folder / "0.mp4")
        for index in range(1, count):
            shutil.copy(folder / "0.mp4", folder / f"{index}.mp4")
        options = ["--style", style, "--jobs", str(jobs), "--json"]
        command = [sys.executable, "-m", "vidstyle", "batch", str(folder), "-o", f"{place}/out", *options]
        many = _watched(command, Many(count, jobs))
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        many.again = time.perf_counter() - started
    return many


def _watched(command: list[str], many: Many) -> Many:
    started = time.perf_counter()
    workers: dict[int, psutil.Process] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        batch = psutil.Process(process.pid)
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "start":
                workers[event["worker"]] = psutil.Process(event["pid"])
            elif event["event"] == "done":
                many.ends.append(time.perf_counter() - started)
                many.worker_mb.append(workers[event["worker"]].memory_info().rss / 1e6)
                many.batch_mb.append(batch.memory_info().rss / 1e6)
                many.exact += _is_exact(event["report"])
            elif event["event"] == "failed":
                raise SystemExit(f"{event['source']}: {event['reason']}")
    many.seconds = time.perf_counter() - started
    return many


def _is_exact(report: dict[str, object]) -> bool:
    frames = report["frames_in"] == report["frames_out"] == FRAMES
    return frames and report["pts_equal"] is True and report["audio_equal"] is True and not report["losses"]


def rows(many: Many) -> list[tuple[str, str]]:
    """(figure, value) for the table."""
    first, last, memory = many.first, many.last, statistics.median
    growth = {name: (memory(mb[first]), memory(mb[last])) for name, mb in _memories(many).items()}
    return [
        (f"{many.count} videos of {FRAMES} frames, {many.jobs} workers, seconds", f"{many.seconds:.1f}"),
        ("videos a second, first and last tenth", f"{many.rate(first):.1f}, {many.rate(last):.1f}"),
        *((f"memory of {name}, first and last tenth, MB", f"{a:.0f}, {b:.0f}") for name, (a, b) in growth.items()),
        ("reports with every frame, time and sound exact", f"{many.exact} of {many.count}"),
        ("the same command again, which skips all, seconds", f"{many.again:.1f}"),
    ]


def _memories(many: Many) -> dict[str, list[float]]:
    return {"a worker": many.worker_mb, "the batch": many.batch_mb}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=1000)
    parser.add_argument("--style", default="anime")
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    for name, value in rows(bench_batch(args.count, args.style, args.jobs)):
        print(f"{name:58} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
