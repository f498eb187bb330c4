"""Measure vidstyle: every figure with its target, and its peer in the same run. Quote the ratios.

The machine should be idle. Figures are medians over the rounds; peers are interleaved with what they are
compared with, so that a busy moment touches both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import psutil
from bench_engines import Row, bench_engines, bench_parity, teacher
from sample_clip import make as make_sample

from vidstyle.catalog import parse_recipe
from vidstyle.cores import usable_cores
from vidstyle.engine import EngineSpec, Recipe, load_engine
from vidstyle.frame import Frame
from vidstyle.job import FileJob, stylize_file
from vidstyle.report import Report
from vidstyle.sink import FileSink, SinkOptions
from vidstyle.source import SourceOptions, VideoSource
from vidstyle.style import Style
from vidstyle.workfolder import WorkFolder

CORES = usable_cores()
OVERWRITE = SinkOptions(overwrite=True)


def portrait() -> Path:
    """scikit-image's public-domain portrait (a development dependency)."""
    import skimage

    return Path(skimage.__file__).parent / "data" / "astronaut.png"


# --- speed of a file, against the machine's limit and against a serial loop


def cpu_seconds(work: Callable[[], int]) -> float:
    """CPU seconds per frame of ``work``, which returns its number of frames."""
    before = time.process_time()
    frames = work()
    return (time.process_time() - before) / frames


def decode(clip: Path) -> int:
    with VideoSource(clip) as source:
        return sum(1 for _ in source)


def network(recipe: Recipe, images: list[np.ndarray]) -> int:
    """Every picture through the engine, as many in flight as the pipeline has."""
    with load_engine(recipe, EngineSpec(*images[0].shape[:2], in_flight=0)) as engine:
        results = [engine.submit(image[None]) for image in images]
        for result in results:
            result()
    return len(images)


def encode(clip: Path, frames: list[Frame], output: Path) -> int:
    with (
        VideoSource(clip) as source,
        WorkFolder(output, {}, resume=False, overwrite=True) as work,
        FileSink(output, source, OVERWRITE, Report("", ""), work) as sink,
    ):
        for frame in frames:
            sink.write(frame)
    return len(frames)


def serial_loop(clip: Path, style: Style, output: Path, limit: int) -> float:
    """Frames a second of a loop built as DCT-Net's script: read, resize to 720, torch f32, write; no sound."""
    engine = None
    started = time.perf_counter()
    with av.open(str(clip)) as reader, av.open(str(output), "w") as writer:
        video = None
        for count, frame in enumerate(reader.decode(video=0)):
            if count == limit:
                break
            scale = min(1.0, 720 / min(frame.width, frame.height))
            size = round(frame.width * scale) // 2 * 2, round(frame.height * scale) // 2 * 2
            image = frame.reformat(width=size[0], height=size[1], format="rgb24").to_ndarray()
            if engine is None:
                spec = EngineSpec(*image.shape[:2], precision="f32")
                engine = load_engine(Recipe(((style, 1.0),)), spec, "torch")
                video = writer.add_stream("libx264", rate=reader.streams.video[0].average_rate)
                video.width, video.height, video.pix_fmt = *size, "yuv420p"
            assert video is not None
            writer.mux(video.encode(av.VideoFrame.from_ndarray(engine(image[None])[0], format="rgb24")))
        assert video is not None
        writer.mux(video.encode(None))
    return limit / (time.perf_counter() - started)


def bench_file(args: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """File to file at 720p."""
    clip = args.clip
    if clip is None:
        clip = folder / "sample.mp4"
        make_sample(portrait(), clip, seconds=args.seconds)
    job = FileJob(clip, parse_recipe(args.style), folder / "out.mp4", writing=OVERWRITE)
    with VideoSource(clip) as source:
        frames = [f for f, _ in zip(source, range(60), strict=False)]
        size = f"{source.info.working[1]}x{source.info.working[0]}"
    images = [f.image for f in frames]
    with load_engine(job.recipe, EngineSpec(*images[0].shape[:2])) as engine:
        styled = [replace(f, image=engine(f.image[None])[0]) for f in frames]
    parts: dict[str, list[float]] = {"decode": [], "network": [], "encode": []}
    fps: list[float] = []
    loop: list[float] = []
    style = teacher(args.teacher)
    for _ in range(args.rounds):
        parts["decode"].append(cpu_seconds(lambda: decode(clip)))
        parts["network"].append(cpu_seconds(lambda: network(job.recipe, images)))
        parts["encode"].append(cpu_seconds(lambda: encode(clip, styled, folder / "encode.mp4")))
        fps.append(stylize_file(job).fps)
        loop.append(serial_loop(clip, style, folder / "loop.mp4", args.loop_frames))
    median = {name: statistics.median(values) for name, values in parts.items()}
    limit = CORES / sum(median.values())
    ours, theirs = statistics.median(fps), statistics.median(loop)
    costs = ", ".join(f"{name} {seconds * 1e3:.1f}" for name, seconds in median.items())
    yield Row(f"CPU ms a frame, {size}, each alone", costs)
    yield Row("machine's limit, frames a second", f"{limit:.1f} ({CORES} cores)")
    yield Row("file to file, frames a second", f"{ours:.1f}")
    yield Row("  of the limit", f"{ours / limit:.2f}", ">= 0.90", ours / limit >= 0.90)
    yield Row("serial loop (TTN, torch f32), frames a second", f"{theirs:.2f}")
    yield Row("  ours is faster by", f"{ours / theirs:.1f} times", ">= 15", ours / theirs >= 15)


# --- start, memory, exactness


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "vidstyle", *map(str, args)]


def bench_start(args: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """From the command's start to its first styled frame, and to its help."""
    clip = folder / "start.mp4"
    make_sample(portrait(), clip, seconds=1.0)
    run = command("file", clip, "--style", args.style, "-o", folder / "start.out.mp4", "--overwrite", "--json")
    firsts, helps = [], []
    for _ in range(args.rounds + 1):
        started = time.perf_counter()
        process = subprocess.Popen(run, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        firsts.append(time.perf_counter() - started)
        process.communicate()
        started = time.perf_counter()
        subprocess.run(command("--help"), stdout=subprocess.DEVNULL, check=True)
        helps.append(time.perf_counter() - started)
    first, usage = statistics.median(firsts[1:]), statistics.median(helps[1:])
    yield Row("first styled frame at 720p, seconds, cold", f"{firsts[0]:.2f}")
    yield Row("first styled frame at 720p, seconds, warm", f"{first:.2f}", "<= 1.5", first <= 1.5)
    yield Row("vidstyle --help, seconds", f"{usage:.2f}", "<= 0.3", usage <= 0.3)


def long_clip(path: Path, frames: int, size: tuple[int, int]) -> None:
    """Noise that moves: no two pictures equal."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (size[1], size[0] + 256, 3), np.uint8)
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=30, options={"preset": "ultrafast", "crf": "40"})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        for index in range(frames):
            part = np.ascontiguousarray(image[:, index % 256 : index % 256 + size[0]])
            out.mux(video.encode(av.VideoFrame.from_ndarray(part, format="rgb24")))
        out.mux(video.encode(None))


def resident(run: list[str]) -> tuple[list[tuple[int, float]], float]:
    """([(frames done, MB resident)], peak MB) of a command that prints JSON progress."""
    process = subprocess.Popen(run, stdout=subprocess.PIPE, text=True)
    watched, seen = psutil.Process(process.pid), []
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress":
            seen.append((event["frames"], watched.memory_info().rss / 1e6))
    if process.wait():
        raise SystemExit(f"{' '.join(run)} ended with {process.returncode}")
    return seen, max(mb for _, mb in seen)


def bench_memory(args: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """Resident memory over a long small clip, and at 1080p."""
    long, large = folder / "long.mp4", folder / "large.mp4"
    long_clip(long, args.long_frames, (160, 90))
    make_sample(portrait(), large, seconds=4.0, width=1920, height=1080)
    seen, _ = resident(command("file", long, "--style", args.style, "-o", folder / "long.out.mp4", "--json"))
    early = statistics.median(mb for frames, mb in seen if args.long_frames * 0.1 < frames < args.long_frames * 0.3)
    late = statistics.median(mb for frames, mb in seen if frames > args.long_frames * 0.8)
    growth = late / early - 1
    name = f"memory from the first fifth to the last of {args.long_frames} frames"
    yield Row(name, f"{early:.0f} to {late:.0f} MB, {growth:+.1%}", "flat (within 2 %)", abs(growth) <= 0.02)
    run = command("file", large, "--style", args.style, "-o", folder / "large.out.mp4", "--json")
    for size in ("720", "native"):
        _, peak = resident([*run, "--size", size, "--overwrite"])
        yield Row(f"peak memory, 1080p source, --size {size}", f"{peak:.0f} MB", "<= 1000 MB", peak <= 1000)


def bench_media(args: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """Frames, times and sound of the files given."""
    for path in args.media:
        output = folder / f"media{path.suffix}"
        report = stylize_file(FileJob(path, parse_recipe(args.style), output, SourceOptions(size=120), OVERWRITE))
        good = report.pts_equal is True and report.audio_equal is not False and not report.losses
        sound = {True: "bit-exact", False: "DIFFERS", None: "none"}[report.audio_equal]
        value = f"{report.frames_in} in, {report.frames_out} out, times equal: {report.pts_equal}, sound {sound}"
        yield Row(path.name, value, "all accounted for", good)


BENCHES = {
    "parity": bench_parity,
    "engines": bench_engines,
    "file": bench_file,
    "start": bench_start,
    "memory": bench_memory,
    "media": bench_media,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("which", nargs="*", choices=[[], *BENCHES], help=f"of {', '.join(BENCHES)}; all if left out")
    parser.add_argument("--style", default="anime")
    parser.add_argument("--teacher", type=Path, help="the published network (.pb or .tflite)")
    parser.add_argument("--parity", type=Path, help=".npz with input_bgr and output_bgr of that network")
    parser.add_argument("--clip", type=Path, help="video for the speed of a file (default: the demo's, at 720p)")
    parser.add_argument(
        "--media", type=Path, nargs="*", default=[], help="files whose frames, times and sound to check"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0, help="length of the sample clip")
    parser.add_argument("--loop-frames", type=int, default=8, help="frames the serial loop is timed on")
    parser.add_argument("--long-frames", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    av.logging.set_level(None)
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in args.which or BENCHES:
            for row in BENCHES[name](args, Path(folder)):
                missed += row.good is False
                mark = {True: "ok", False: "MISSED", None: ""}[row.good]
                text = f"{row.name:58} {row.value:42} {row.target:18} {mark}"
                print(json.dumps(row.__dict__) if args.json else text)
                sys.stdout.flush()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
