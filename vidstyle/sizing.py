"""The size, or the sizes, that a job's pictures are worked at: what was asked for, or what suits the faces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from vidstyle.faces import Suited, shown, suited
from vidstyle.source import SourceOptions, VideoSource

if TYPE_CHECKING:
    from vidstyle.job import FileJob
    from vidstyle.report import Report
    from vidstyle.workfolder import WorkFolder


def reading_of(job: FileJob) -> SourceOptions:
    """How the job's source is read: at the size that suits its faces, where that is known already."""
    if job.suited is None or job.suited.size is None:
        return job.reading
    return replace(job.reading, size=job.suited.size, enlarge=True, shots=job.suited.shots)


def at_its_faces(
    job: FileJob, source: VideoSource, work: WorkFolder | None = None, tell: Callable[[str], None] = lambda _: None
) -> FileJob:
    """``job`` with `FileJob.suited` where its size is by faces; ``source``, none of whose frames are taken, gets it.

    It takes about a second, and more where shots differ: what refuses the job is to be told before. TensorRT has an
    engine for each size, built in minutes: there the usual size stays. GPUs work at one size, never enlarged.

    Args:
        work: keeps what is found, for whoever goes on from there.
        tell: gets what is done, while it takes long.
    """
    engine = job.engine.settled()
    if not job.reading.by_faces or job.suited is not None or engine.engine == "tensorrt":
        return job
    on_cpu = not engine.on_device and engine.device in ("auto", "cpu")

    def look() -> Suited:
        return suited(source, by_shot=on_cpu, enlarge=on_cpu, tell=tell)

    found = look() if work is None else work.suited(look)
    if found.size is not None:
        source.work_at(found.size, found.shots)
    return replace(job, suited=found)


def say_size(job: FileJob, source: VideoSource, report: Report) -> None:
    """The sizes that ``source`` was worked at, and what is to be said of them."""
    report.working = ", ".join(map(shown, source.sizes))
    if job.suited is not None and job.suited.note:
        report.notes.append(job.suited.note)
