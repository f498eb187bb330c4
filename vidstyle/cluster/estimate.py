"""How long a batch takes on a number of workers, from the lengths of its videos: told before anything is done."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidstyle import segment
from vidstyle.job import FileJob
from vidstyle.stylizer import Stylizer

START = 8.0  # seconds until a worker has Python, its libraries and the look loaded
VIDEO = 0.5  # seconds of a worker for opening a video, and again for putting it together
UNIT = 0.3  # seconds of a worker for getting to a segment
ASSEMBLY = 4000.0  # frames a second of putting together: packets are copied
PICTURES = 20  # that the speed is measured with, for two seconds at most
NETWORK_SHARE = 0.75  # of the time that a picture takes; decoding and encoding have the rest
WORTH = 1.25  # times as fast as one machine, or it is not worth another


@dataclass(frozen=True)
class Length:
    """``frames`` of a video, and its ``rate`` in frames a second."""

    frames: int
    rate: float = 25.0

    @property
    def pieces(self) -> int:
        """Segments."""
        return max(1, math.floor(self.frames / (float(segment.SECONDS) * self.rate)))


def seconds_on(lengths: Sequence[Length], workers: int, fps: float) -> float:
    """All the work shared by all workers, who never wait, but for the video that takes longest from end to end.

    Args:
        fps: frames a second of one worker.
    """
    work = sum(_open_and_join(length) + length.pieces * UNIT + length.frames / fps for length in lengths)
    chain = max(_open_and_join(length) + UNIT + length.frames / length.pieces / fps for length in lengths)
    uneven = max(length.frames / length.pieces / fps for length in lengths) / 2  # at the end some have no work left
    return START + max(work / workers + (uneven if workers > 1 else 0), chain)


def _open_and_join(length: Length) -> float:
    return 2 * VIDEO + length.frames / ASSEMBLY


def seconds_alone(lengths: Sequence[Length], fps: float) -> float:
    """One machine without a cluster; ``fps`` of all its cores together."""
    return 1.0 + sum(length.frames / fps + VIDEO for length in lengths)


def measured_fps(job: FileJob, pixels: int) -> float:
    """Frames a second of one worker with a job's look and threads, from a few pictures on this machine.

    ``pixels`` of a picture at the working size.
    """
    height = max(16, math.isqrt(pixels * 9 // 16))
    image = np.random.default_rng(0).integers(0, 256, (height, max(16, pixels // height), 3), np.uint8)
    options = job.engine
    with Stylizer(job.recipe, options.engine, options.device, options.precision, options.threads) as stylizer:
        stylizer(image)  # loads it
        began, count = time.perf_counter(), 0
        while count < PICTURES and time.perf_counter() - began < 2:
            stylizer(image)
            count += 1
        return NETWORK_SHARE * count / (time.perf_counter() - began)


def advice(cluster: float, alone: float) -> str:
    """Which is better, for people."""
    if alone <= cluster:
        return "one machine is better: leave out --cluster"
    if alone < cluster * WORTH:
        return "one machine is about as fast: the cluster is hardly worth it"
    return f"the cluster is {alone / cluster:.1f} times as fast as one machine"
