"""What breaks first with very many machines and clips: demand of each part against what one of it gives."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vidstyle.batch.inputs import Item
from vidstyle.batch.journal import Journal

SEGMENT = 10.0  # seconds
FILE_OPS = 12  # that a call makes on the shared folder: open, stat, rename, list


@dataclass(frozen=True)
class Job:
    """Clips of ``seconds`` at ``rate`` pictures a second, on ``gpus`` that do ``fps`` each; files in Mbit/s."""

    gpus: int = 1000
    clips: int = 1_000_000
    seconds: float = 20.0
    rate: float = 30.0
    fps: float = 200.0
    mbit_in: float = 8.0
    mbit_out: float = 12.0
    gpus_a_node: int = 8

    @property
    def segments(self) -> int:
        """Of a clip."""
        return max(1, int(self.seconds // SEGMENT))

    @property
    def calls(self) -> int:
        """For a clip: looking at it, its segments, putting it together; two for one in one piece."""
        return 2 if self.segments == 1 else self.segments + 2

    @property
    def clips_a_second(self) -> float:
        return self.gpus * self.fps / (self.seconds * self.rate)

    @property
    def bytes_a_clip(self) -> float:
        """The source twice (pictures, then sound), segments written and read twice (checked, joined), the result
        written and read back."""
        return self.seconds * (2 * self.mbit_in + 5 * self.mbit_out) * 1e6 / 8


@dataclass(frozen=True)
class Part:
    """``demand`` and ``limit`` in the same unit."""

    name: str
    unit: str
    demand: float
    limit: float
    remedy: str

    def line(self, gpus: int) -> str:
        holds = gpus * self.limit / self.demand
        share = f"{self.demand:10,.1f} of {self.limit:9,.1f} {self.unit:12}"
        return f"{self.name:34} {share} holds up to {holds:10,.0f} GPUs; then: {self.remedy}"


def journal_ms(count: int = 200) -> float:
    """A line of the journal, brought to the disk."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, Journal(Path(folder)) as journal:
        began = time.perf_counter()
        for index in range(count):
            journal.write("failed", Path(folder, f"{index}.mp4"), Path(f"/in/{index}.mp4"), reason="none", code=1)
        return (time.perf_counter() - began) / count * 1000


def bytes_a_video(count: int = 20_000) -> float:
    """Of the driver's memory, for every video that was found and has a line in the journal."""
    tracemalloc.start()
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder))
        kept = []
        for index in range(count):
            target = Path(folder, f"some/folder/{index:07}.anime.mp4")
            kept.append(Item(Path(f"/shared/in/some/folder/{index:07}.mp4"), target))
            record = {"output": f"some/folder/{index:07}.anime.mp4", "source": str(kept[-1].source)}
            fingerprint = {"the source": f"{index:064}", "the style": "x"}
            journal._apply({**record, "event": "done", "fingerprint": fingerprint, "size": 1})
        used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used / count


def parts(job: Job, call_ms: float, line_ms: float) -> list[Part]:
    """``call_ms``: the driver's time for a call; ``line_ms``: for a line of the journal, two for each clip."""
    clips, nodes = job.clips_a_second, job.gpus / job.gpus_a_node
    driver = clips * (job.calls * call_ms + 2 * line_ms) / 1000
    more = "several batches, a folder each"
    storage = clips * job.bytes_a_clip / 1e9
    return [
        Part("shared storage, bytes", "GB/s", storage, 10.0, "more file servers"),
        Part("driver, one thread", "s each s", driver, 1.0, more),
        Part(
            "shared storage, file operations",
            "1000/s",
            clips * job.calls * FILE_OPS / 1e3,
            50.0,
            "more servers; " + more,
        ),
        Part("network of a node, 25 Gbit/s", "GB/s", storage / nodes, 3.1, "fewer GPUs a node"),
        Part("Ray's object store and messages", "MB/s", clips * job.calls * 4e-3, 500.0, "nothing else is in it"),
    ]


def lines(job: Job = Job(), call_ms: float = 0.75, line_ms: float | None = None) -> Iterator[str]:
    line_ms = journal_ms() if line_ms is None else line_ms
    video_bytes = bytes_a_video()
    found = parts(job, call_ms, line_ms)
    hours = job.clips / job.clips_a_second / 3600
    work = f"{job.clips:,} clips of {job.seconds:g} s on {job.gpus:,} GPUs of {job.fps:g} fps"
    yield f"{work}: {hours:.2f} h where nothing breaks"
    yield f"(measured here: {call_ms:.2f} ms a call, {line_ms:.2f} ms a line of the journal)"
    yield f"driver's memory: {job.clips * video_bytes / 1e9:.1f} GB ({video_bytes:,.0f} bytes a video)"
    for part in sorted(found, key=lambda part: part.limit / part.demand):
        yield part.line(job.gpus)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/simulate_cluster.py", description=__doc__)
    for name, value in vars(Job()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--call-ms", type=float, default=0.75, help="from scripts/bench cluster driver")
    parser.add_argument("--line-ms", type=float, help="measured in this folder where left out")
    args = vars(parser.parse_args())
    call_ms, line_ms = args.pop("call_ms"), args.pop("line_ms")
    for line in lines(Job(**args), call_ms, line_ms):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
