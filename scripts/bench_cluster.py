"""Measure vidstyle's cluster: equal results, how it scales, what the driver costs, and what very many machines cost."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import psutil

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

ENVIRONMENT = {"OMP_NUM_THREADS": "1"}
PARTS = ["equality", "overhead", "scaling", "driver", "simulate"]
Events = list[dict[str, Any]]


def looped(clip: Path, seconds: float, output: Path) -> Path:
    """The packets of ``clip``, without its sound, again and again."""
    with av.open(str(output), "w") as out:
        stream: Any = None
        base, tick = 0, Fraction(0)
        while base * tick < seconds or stream is None:
            with av.open(str(clip)) as source:
                video = source.streams.video[0]
                stream, tick = stream or out.add_stream_from_template(video), Fraction(video.time_base)
                ends = [_copy(packet, base, stream, out) for packet in source.demux(video) if packet.dts is not None]
            base = max(ends)
    return output


def _copy(packet: Any, base: int, stream: Any, out: Any) -> int:
    packet.pts, packet.dts, packet.stream = packet.pts + base, packet.dts + base, stream
    end = int(packet.pts + (packet.duration or 1))
    out.mux(packet)
    return end


def with_sound(path: Path, seconds: int, size: tuple[int, int]) -> Path:
    """A made-up clip with sound, at 10 pictures a second."""
    from media import make_clip

    return make_clip(path, pts=[index * 1280 for index in range(seconds * 10)], size=size).path


def facts(path: Path) -> dict[str, str]:
    """What two outputs have to have in common: digests of pictures, times and sound."""
    pictures, times, sound = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            pictures.update(frame.to_ndarray())
            times.update(str(frame.pts * Fraction(frame.time_base)).encode())
    with av.open(str(path)) as container:
        for packet in container.demux(*container.streams.audio) if container.streams.audio else ():
            sound.update(bytes(packet))
    names = {"pictures": pictures, "times": times, "sound": sound}
    return {name: digest.hexdigest()[:12] for name, digest in names.items()}


class Place:
    """A folder with one video, and the commands that style it."""

    def __init__(self, folder: Path, options: list[str]) -> None:
        self.folder, self.options = folder, options
        (folder / "in").mkdir(parents=True, exist_ok=True)

    def batch(self, name: str, *more: str) -> tuple[Events, Path, float]:
        """(events, output folder, seconds from the first worker to the end)."""
        process = self.start(name, *more)
        events, began = [], time.perf_counter()
        assert process.stdout is not None
        for line in process.stdout:
            events.append(json.loads(line))
            if events[-1]["event"] in ("worker", "begin"):
                began = time.perf_counter()
        _check(process, events)
        return events, self.folder / name, time.perf_counter() - began

    def start(self, name: str, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "vidstyle", "batch", str(self.folder / "in"), "-o", str(self.folder / name)]
        options = {"stdout": subprocess.PIPE, "text": True, "cwd": ROOT, "env": os.environ | ENVIRONMENT}
        return subprocess.Popen([*command, "--json", *self.options, *more], **options)  # type: ignore[call-overload,no-any-return]

    def on_workers(self, name: str, workers: int) -> tuple[Events, Path, float]:
        with cores(workers):
            return self.batch(name, "--cluster", "local", "--jobs", str(workers), "--threads", "1")


@contextmanager
def cores(count: int) -> Iterator[None]:
    """Room for so many workers in a local cluster, whatever this machine has; one core each, where it has them."""
    before = os.sched_getaffinity(0)
    os.environ["RAY_OVERRIDE_RESOURCES"] = json.dumps({"CPU": count})
    os.sched_setaffinity(0, sorted(before)[:count])  # or one worker's decoder and encoder would take a second core
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        del os.environ["RAY_OVERRIDE_RESOURCES"]


def result(folder: Path) -> Path:
    return next(path for path in folder.iterdir() if path.suffix in (".mp4", ".mkv"))


def alone(place: Place, style: str, name: str) -> tuple[Path, float]:
    """Without a cluster, on one thread: (output, seconds)."""
    from vidstyle.catalog import parse_recipe
    from vidstyle.cli.batch_cluster import for_workers
    from vidstyle.job import FileJob, stylize_file

    source = next((place.folder / "in").iterdir())
    output = place.folder / f"{name}{source.suffix}"
    job = for_workers(FileJob(source, parse_recipe(style), output), 1)
    began = time.perf_counter()
    stylize_file(replace(job, reading=replace(job.reading)))
    return output, time.perf_counter() - began


def equality(style: str, folder: Path) -> Iterator[str]:
    """The same pictures, times and sound from one machine and from any number of workers."""
    place = Place(folder, ["--style", style])
    with_sound(place.folder / "in/clip.mp4", 60, (320, 240))
    rows = {"one machine": facts(alone(place, style, "alone")[0])}
    for workers in (1, 2, 4):
        rows[f"{workers} workers"] = facts(result(place.on_workers(f"out{workers}", workers)[1]))
    rows["a worker killed every few seconds"], deaths = _under_fire(place)
    for name, row in rows.items():
        same = "identical" if row == rows["one machine"] else "DIFFERENT"
        yield f"{name:36} {' '.join(row.values())}  {same}"
    yield f"  (workers killed in the last row: {deaths})"


def _under_fire(place: Place) -> tuple[dict[str, str], int]:
    """Kill a worker again and again until it is done."""
    with cores(2):
        process = place.start("fire", "--cluster", "local", "--jobs", "2", "--threads", "1")
        alive, over = list[int](), threading.Event()
        deaths, events = 0, Events()
        shooter = threading.Thread(target=_shoot, args=(alive, over, random.Random(1)))
        shooter.start()
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            events.append(event)
            if event["event"] == "worker":
                alive.append(event["pid"])
            deaths += event["event"] == "worker-lost"
        over.set()
        shooter.join()
    _check(process, events)
    return facts(result(place.folder / "fire")), deaths


def _check(process: subprocess.Popen[str], events: Events) -> None:
    if process.wait() != 0:
        raise SystemExit(f"vidstyle ended with {process.returncode}: {events[-1].get('failures')}")


def _shoot(alive: list[int], over: threading.Event, chance: random.Random) -> None:
    while not over.wait(chance.uniform(2, 4)):
        if alive:
            pid = alive.pop(chance.randrange(len(alive)))
            if psutil.pid_exists(pid):
                psutil.Process(pid).kill()


def scaling(style: str, clip: Path, seconds: float, folder: Path) -> Iterator[str]:
    """Two workers of one thread and one core against one, and what is no styling. The machine has to be idle."""
    place = Place(folder, ["--style", style, "--size", "360"])
    looped(clip, seconds, place.folder / "in/film.mp4")
    load = os.getloadavg()[0]
    times = {}
    for workers in (1, 2):
        events, _, _ = place.on_workers(f"out{workers}", workers)
        done = next(event for event in events if event["event"] == "done")
        times[workers] = done["report"]["seconds"]
        parts = done["report"]["segments"]
        styled = sum(each["seconds"] for each in parts)
        if workers == 1:
            rest = times[1] - styled
            share = f"{rest:.1f} of {times[1]:.1f} s, {rest / times[1]:.1%}"
            yield f"planning, assembly, waiting: {share} ({len(parts)} segments)"
    ratio = times[1] / times[2]
    yield f"one worker {times[1]:.1f} s, two {times[2]:.1f} s: {ratio:.2f} times (load before: {load:.1f})"


def overhead(style: str, seconds: int, folder: Path) -> Iterator[str]:
    """What planning and putting together cost beside the styling, in one worker without a cluster."""
    from vidstyle.batch.decide import Fingerprints
    from vidstyle.batch.messages import Ended, Task
    from vidstyle.catalog import parse_recipe
    from vidstyle.cli.batch_cluster import for_workers
    from vidstyle.cluster.messages import Join, Order
    from vidstyle.cluster.worker import StyleWorker
    from vidstyle.job import FileJob
    from vidstyle.unit import Unit

    folder.mkdir()
    clip = with_sound(folder / "clip.mp4", seconds, (320, 240))
    job = for_workers(FileJob(Path(), parse_recipe(style)), 1)
    worker, task = StyleWorker(job, Fingerprints(job)), Task(clip, folder / "out.mp4", folder / "out.mp4", False)
    times = [time.perf_counter()]
    prepared = worker.prepare(task)
    times.append(time.perf_counter())
    assert prepared.plan is not None, prepared
    last = len(prepared.plan.starts) - 1
    for number in range(last + 1):
        unit = Unit(number, number if number < last else None)
        made = worker.style(Order(task, prepared.output, prepared.plan, unit))
        assert not made.error, made.error
    times.append(time.perf_counter())
    ended = worker.assemble(Join(task, prepared.output, list(range(last + 1)), frozenset(), "", 0, 0.0, []))
    times.append(time.perf_counter())
    assert isinstance(ended, Ended) and ended.status == "done", ended
    plan, styled, joined = (after - before for before, after in pairwise(times))
    share = (plan + joined) / (plan + styled + joined)
    frames = ended.report["frames_out"]
    parts = f"planning {plan:.2f} s, styling {styled:.1f} s, putting together {joined:.2f} s"
    yield f"{seconds} s of video, {frames} frames: {parts}"
    yield f"  planning and putting together: {share:.1%} with this look, {1000 * joined / frames:.2f} ms a frame"


# --- what the driver costs, without pictures


def driver_cost(films: int, segments: int, workers: int) -> dict[str, float]:
    """Styling that takes no time: memory and time of the driver for every segment, over a real cluster."""
    from simulated_worker import run_simulated

    return run_simulated(films, segments, workers)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench cluster", description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS, help=" ".join(PARTS))
    parser.add_argument("--style", default="anime")
    parser.add_argument("--clip", type=Path, default=ROOT.parent / "shared/clips/d18.mp4")
    parser.add_argument("--seconds", type=float, default=600)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if "equality" in args.parts:
            for line in equality(args.style, Path(place, "equality")):
                print(line, flush=True)
        if "overhead" in args.parts:
            for line in overhead(args.style, int(args.seconds), Path(place, "overhead")):
                print(line, flush=True)
        if "scaling" in args.parts:
            for line in scaling(args.style, args.clip, args.seconds, Path(place, "scaling")):
                print(line, flush=True)
        if "driver" in args.parts:
            for name, value in driver_cost(20, 500, 2).items():
                print(f"{name:48} {value:.2f}", flush=True)
        if "simulate" in args.parts:
            from simulate_cluster import lines

            for line in lines():
                print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
