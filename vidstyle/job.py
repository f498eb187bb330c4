"""One file from beginning to end: Source, Stylizer, Sink, each a bounded number of frames ahead."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from vidstyle.codecs import default_output
from vidstyle.engine import Recipe
from vidstyle.errors import SourceError
from vidstyle.frame import VideoInfo
from vidstyle.prefetch import Prefetch
from vidstyle.report import Report
from vidstyle.sink import FileSink, SinkOptions, check_output
from vidstyle.source import SourceOptions, VideoSource
from vidstyle.stylizer import Stylizer

AHEAD = 4  # frames waiting between two stages: hides jitter, and bounds memory


@dataclass(frozen=True)
class EngineOptions:
    """See `vidstyle.engine.EngineSpec`; ``engine`` is the runtime's name."""

    engine: str = "openvino"
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0


@dataclass(frozen=True)
class FileJob:
    """Everything one run needs, settled before it starts."""

    source: Path
    recipe: Recipe
    output: Path | None = None
    reading: SourceOptions = field(default_factory=SourceOptions)
    writing: SinkOptions = field(default_factory=SinkOptions)
    engine: EngineOptions = field(default_factory=EngineOptions)

    @property
    def target(self) -> Path:
        return self.output or default_output(self.source, self.recipe.name)


@dataclass(frozen=True)
class Progress:
    """After every written frame. ``total`` is an estimate, None where nothing is known."""

    frames: int
    total: int | None
    seconds: float  # since the first frame was asked for
    info: VideoInfo

    @property
    def fps(self) -> float:
        return self.frames / self.seconds if self.seconds > 0 else 0.0


def stylize_file(job: FileJob, on_progress: Callable[[Progress], None] = lambda _: None) -> Report:
    """Style a video file; returns what became of it.

    Raises:
        SourceError, SinkError, EngineError, StyleError, UsageError: nothing is left behind then.
    """
    if not job.source.exists():
        raise SourceError(f"no such file: {job.source}")
    check_output(job.target, job.source, job.writing.overwrite)
    report = Report(str(job.source), str(job.target))
    started = time.perf_counter()
    options = job.engine
    stylizer = Stylizer(job.recipe, options.engine, options.device, options.precision, options.threads, in_flight=0)
    with VideoSource(job.source, job.reading) as source, stylizer:
        engine = stylizer.engine_for(*source.info.working)
        report.engine = engine.description
        report.working = f"{source.info.working[1]}x{source.info.working[0]}"
        with FileSink(job.target, source, job.writing, report) as sink:
            with (
                Prefetch(source, AHEAD, "source") as frames,
                Prefetch(stylizer.frames(frames), AHEAD, "stylizer") as styled,
            ):
                for count, frame in enumerate(styled, start=1):
                    sink.write(frame)
                    on_progress(Progress(count, source.info.frames, time.perf_counter() - started, source.info))
            report.frames_in = count
        report.reused = stylizer.reused
        _describe_losses(source, sink.reached, report)
    report.seconds = time.perf_counter() - started
    report.fps = report.frames_out / report.seconds
    return report


def cut_short(end: Fraction, declared: Fraction | None) -> bool:
    """Whether a file that should last to ``declared`` and ends at ``end`` (seconds) has lost its rest.

    Headers are off by a picture or by what an edit list hides; a missing rest is more than that.
    """
    missing = declared - end if declared else Fraction(0)
    return missing > max(Fraction(1), (declared or 0) * Fraction(1, 50)) or missing > (declared or 0) * Fraction(1, 4)


def _describe_losses(source: VideoSource, sound_end: Fraction, report: Report) -> None:
    end, declared = max(source.reached, sound_end), source.declared_end
    # Sound that was not copied may have been the longer one.
    whole = not any(note.kind == "audio" and note.action == "dropped" for note in report.streams)
    if whole and not source.faults and declared is not None and cut_short(end, declared):
        report.losses.append(f"the source ends at {float(end):.1f} s of {float(declared):.1f} s: it is cut short")
    for fault in source.faults:
        (report.notes if "repaired" in fault else report.losses).append(fault)
    if source.colour.is_hdr:
        report.notes.append("the source is HDR; its colours were tone-mapped to SDR (BT.709)")
    if source.deinterlaced:
        report.notes.append("the source is interlaced; it was deinterlaced")
    if source.info.orientation:
        report.notes.append("the source's rotation was applied to the pictures")
