"""From file to file at 1080p, beside its stages alone and the loop that most tools are."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from gpu_clip import count_decoded, encode, repeated_clip, styled_pictures, whole_job
from gpu_figures import Book, Figure
from gpu_loop import loop, one_frame
from gpu_setup import Setup
from gpu_table import aimed
from gpu_timing import pipelined

USUAL = "veryfast"  # the preset that a run has by itself
RUNS = [("student", USUAL), ("ttn", "ultrafast"), ("student", "ultrafast"), ("student", "superfast"), ("ttn", USUAL)]
ROUNDS = 3
SLOW_SHARE = 4  # what is slow gets a fourth of the frames
SECONDS = 70.0  # that one of `RUNS` may take


def file(setup: Setup, book: Book) -> None:
    """With the settings that a run has by itself, which the README tells of."""
    _runs(setup, book, _possible(setup)[:1])


def presets(setup: Setup, book: Book) -> None:
    """With others, for which there are no targets."""
    _runs(setup, book, _possible(setup)[1:] if setup.on_gpu else [])


def _possible(setup: Setup) -> list[tuple[str, str]]:
    return [run for run in RUNS if run[0] in setup.nets]


def _runs(setup: Setup, book: Book, runs: list[tuple[str, str]]) -> None:
    for net, preset in runs:
        key, name = f"file.{net}.{preset}", f"file 1080p, {net}, x264 {preset}"
        with book.attempt(key, name):
            book.need(SECONDS if setup.on_gpu else 0.0)
            seconds, facts = _seconds(setup, net, preset)
            for figure in figures(key, name, seconds):
                book.add(figure)
            if (net, preset) == RUNS[0]:
                for figure in headlines(seconds, preset):
                    book.add(figure)
                book.know(**facts)


def figures(key: str, name: str, seconds: dict[str, float]) -> list[Figure]:
    """From seconds a frame of every stage and of the whole."""
    made = [
        Figure(f"{key}.{who.replace(' ', '_')}", f"{name}: {who}", 1 / time, "fps") for who, time in seconds.items()
    ]
    both = 1 / (seconds["bare decoding"] + seconds["encode"])
    made.append(Figure(f"{key}.cores", f"{name}: what the processor can decode and encode", both, "fps"))
    return [*made, *_ratios(key, name, seconds)]


def headlines(seconds: dict[str, float], preset: str) -> list[Figure]:
    """The README's rows, from the run with the usual settings."""
    fps = aimed("file.fps", "file to file, 1080p", 1 / seconds["whole"], "fps", f"x264 {preset}")
    return [fps, *_ratios("file", "file to file, 1080p", seconds)]


def _ratios(key: str, name: str, seconds: dict[str, float]) -> list[Figure]:
    slowest = max(("decode", "network", "encode"), key=lambda stage: seconds[stage])
    of_slowest = seconds[slowest] / seconds["whole"]
    return [
        aimed(f"{key}.of_slowest", f"{name}: against the slowest stage alone", of_slowest, "x", slowest),
        aimed(f"{key}.over_loop", f"{name}: against the loop", seconds["loop"] / seconds["whole"], "x"),
    ]


def _seconds(setup: Setup, net: str, preset: str) -> tuple[dict[str, float], dict[str, str]]:
    """Median seconds a frame, and what the run's report says of how it went."""
    clip = repeated_clip(setup, setup.limit)
    with ExitStack() as stack:
        run = stack.enter_context(whole_job(setup, clip, setup.nets[net], preset))
        report = run()  # warms up, and makes what the encoder encodes
        works = _stages(setup, net, preset, clip, run, report.frames_out, stack)
        times: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(ROUNDS if setup.on_gpu else 1):
            for name, (work, count) in works.items():
                times[name].append(_timed(work) / count)
    seconds = {name: statistics.median(values) for name, values in times.items()}
    return seconds, {"file": "; ".join(filter(None, [report.engine, report.encoder, report.places, *report.notes]))}


def _stages(
    setup: Setup, net: str, preset: str, clip: Path, run: Any, frames: int, stack: ExitStack
) -> dict[str, tuple[Callable[[], object], int]]:
    """(work, frames of it) by name.

    "decode" is the run's own first stage, on the GPU where it decodes, with the conversion to RGB.
    """
    size, out = setup.sizes["1080p"], setup.folder / "out.mp4"
    pictures = styled_pictures(run.job.target)
    few = max(1, frames // SLOW_SHARE)
    engine = stack.enter_context(setup.loaded(setup.nets[net], size, setup.engine, in_flight=1))
    styled = one_frame(engine.submit_on_device, setup.device, size, setup.dtype)
    works: dict[str, tuple[Callable[[], object], int]] = {
        "decode": (run.source, frames),
        "bare decoding": (lambda: count_decoded(clip), frames),
        "network": (_alone(setup, run.stylizer.engine_for(*size), frames), frames),
        "encode": (lambda: encode(pictures, frames, out, preset), frames),
        "whole": (run, frames),
        "loop": (lambda: loop(clip, out, size, preset, few, styled), few),
    }
    if (net, preset) == RUNS[0]:
        short = repeated_clip(setup, few)
        works["through the host"] = (lambda: run.through_host(short), count_decoded(short))
    return works


def _alone(setup: Setup, engine: Any, frames: int) -> Callable[[], None]:
    work = pipelined(engine.submit_on_device, setup.pictures(1, setup.sizes["1080p"]), engine.spec.in_flight)

    def whole() -> None:
        work(frames)
        if setup.on_gpu:
            torch.cuda.synchronize(setup.device)

    return whole


def _timed(work: Callable[[], object]) -> float:
    """Seconds; of work that times itself, what it says."""
    started = time.perf_counter()
    said = work()
    return said if isinstance(said, float) else time.perf_counter() - started
