"""One file from beginning to end: Source, Stylizer, Sink, each a bounded number of frames ahead."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vidstyle.account import describe_run
from vidstyle.codecs import glass_extension, named_codec
from vidstyle.containers import default_output, fitting_container, usual_extension
from vidstyle.engine import Recipe
from vidstyle.engine_options import EngineOptions
from vidstyle.errors import SourceError, UsageError
from vidstyle.faces import Suited
from vidstyle.frame import Frame, VideoInfo
from vidstyle.inputs import Input, batch_input, parse_input
from vidstyle.on_device import Device, Route, settled
from vidstyle.outputs import PIPE, check_output, check_pictures
from vidstyle.picture_codecs import numbered, numbered_as
from vidstyle.report import Report
from vidstyle.sink import FileSink, SinkOptions, StreamSink, check_stream
from vidstyle.sizing import at_its_faces, reading_of, say_size
from vidstyle.source import SourceOptions, VideoSource
from vidstyle.stylizer import Stylizer
from vidstyle.unit import Unit, pump, unit_frames, warm_for
from vidstyle.whole import made_folder
from vidstyle.workfolder import PLACING, WorkFolder

_STILL_BRANDS = ("avif", "heic", "heix", "mif1")  # of pictures in MP4's form
_IMMATERIAL: dict[str, Any] = {"limit": None, "timeout": 0.0}  # of reading: decides whether, not what


@dataclass(frozen=True)
class FileJob:
    """Everything one run needs, settled before it starts.

    Attributes:
        source: a path, or an `vidstyle.inputs.Input` of another kind (URL, standard input).
        output: None for the default name, `vidstyle.outputs.PIPE` for standard output; numbered pictures by their
            pattern.
        folder: of the default name; None for the source's.
        resume: go on from an interrupted run's finished segments, where there are any.
        pipe: FFmpeg's muxer for standard output.
        steady: smoothing over time, see `vidstyle.steady.Steady`.
        suited: what ``reading.by_faces`` comes to, where another run or machine has found it; None to look.
        rate: of numbered pictures among the sources of a batch, a second; None where there are none.
        pictures: ending of the numbered pictures that the default name is of, as ".png"; "" for a video.
    """

    source: Input | Path
    recipe: Recipe
    output: Path | None = None
    reading: SourceOptions = field(default_factory=SourceOptions)
    writing: SinkOptions = field(default_factory=SinkOptions)
    engine: EngineOptions = field(default_factory=EngineOptions)
    resume: bool = False
    pipe: str = "matroska"
    steady: float = 0.0
    folder: Path | None = None
    suited: Suited | None = None
    rate: Fraction | None = None
    pictures: str = ""

    def __post_init__(self) -> None:
        if self.steady:
            from vidstyle.steady import Steady

            Steady(self.steady)  # a wrong amount and a missing OpenCV are told before any work

    @property
    def input(self) -> Input:
        return self.source if isinstance(self.source, Input) else parse_input(self.source)

    @property
    def target(self) -> Path:
        """The output's path as far as it is known before the source is opened."""
        return self.output or self._default()

    def of(self, source: Path) -> FileJob:
        """The same job of another source, see `vidstyle.inputs.batch_input`; raises as that."""
        return replace(self, source=batch_input(source, self.rate))

    def result_name(self, source: Path) -> str:
        """The default name of another source's result, as far as it is known before that is opened."""
        return replace(self, source=batch_input(source, self.rate, by_name=True)).target.name

    def _default(self, streams: Iterable[tuple[str, str]] = ()) -> Path:
        path = default_output(self.input, self.recipe.name, streams)
        if self.pictures:
            path = numbered_as(path, self.pictures, self.input.series)
        return path if self.folder is None else self.folder / path.name

    def target_for(self, source: VideoSource) -> tuple[Path, str | None]:
        """The output's path for an opened source, and why it is in another container than the source, if it is.

        A name that says no container gets the source's own, another's where that cannot hold the codec that was asked
        for, or Matroska's where that holds more of the streams.

        Raises:
            UsageError: there is no such encoder.
        """
        if self.pictures and self.output is None:
            return self._default(), None
        if self.output is not None and self.output.suffix:
            return self.output, None
        contents = source.contents()
        glass = self.input.series is not None and source.info.alpha and glass_extension(self.writing.encoder)
        preferred = glass or usual_extension(self.input)
        extension, reason = fitting_container(preferred, contents, named_codec(self.writing.encoder))
        if glass and reason is None:
            reason = ".mp4 keeps no alpha"
        if self.output is not None:
            return self.output.with_name(self.output.name + extension), reason
        return self._default(contents).with_suffix(extension), reason

    def fingerprint(self) -> dict[str, Any]:
        """What decides the result, JSON-ready: equal for two jobs whose outputs are the same.

        Raises:
            SourceError: the source cannot be read.
        """
        names = None if self.output is None else numbered(self.output)
        engine = self.engine.settled()
        kind = engine.device.partition(":")[0]  # which of several GPUs it is changes nothing
        return {
            "vidstyle's version": version("vidstyle"),
            "the source": self.input.digest(),
            **({"--fps": str(self.input.series.rate)} if self.input.series is not None else {}),
            **({"the pictures' names": names.pattern.name} if names is not None else {}),
            "the style": f"{self.recipe.key()} {self.recipe.shares.tolist()}",
            "an option of reading": _differing(replace(self.reading, **_IMMATERIAL)),
            "an option of writing": _differing(replace(self.writing, overwrite=False)),
            "the engine": _differing(replace(engine, device=kind)),
            **({"where pictures are converted": "on the engine's device"} if engine.on_device else {}),
            **({"the steadying": self.steady} if self.steady else {}),
        }


def _differing(options: Any) -> str:
    """What of a dataclass of options is not its default: options that a later version adds change nothing."""
    usual = type(options)()
    names = [f.name for f in fields(options) if getattr(options, f.name) != getattr(usual, f.name)]
    return repr({name: getattr(options, name) for name in names})


@dataclass(frozen=True)
class Progress:
    """After every written frame, and before the first while it takes long. ``total``: an estimate, None without one."""

    frames: int
    total: int | None
    seconds: float  # since the first frame was asked for
    info: VideoInfo
    before: int = 0  # frames of an interrupted run that this one goes on from
    doing: str = ""  # in words, before the first frame

    @property
    def fps(self) -> float:
        return (self.frames - self.before) / self.seconds if self.seconds > 0 else 0.0


def stylize_file(
    job: FileJob, on_progress: Callable[[Progress], None] = lambda _: None, stylizer: Stylizer | None = None
) -> Report:
    """Style a video file; returns what became of it.

    What was finished before an error, or before Ctrl-C, stays in ``OUT.part/``, and the error has a note that says
    so; where nothing was, nothing is left behind.

    Args:
        stylizer: a warm one of the same recipe and engine, which stays open; None to make one for this run.

    Raises:
        SourceError, SinkError, EngineError, StyleError, UsageError.
    """
    options = job.engine.settled()
    job = replace(job, engine=options)
    if "," in options.device:
        raise UsageError(f"one video takes one device, got --device {options.device}: use vidstyle batch for several")
    with ExitStack() as stack:
        source = stack.enter_context(open_source(job))
        report = Report(job.input.name, "standard output")
        work = None
        if job.output != PIPE:
            work = _work_folder(job, source, report, stack)
        if stylizer is None:
            runtime = (options.engine, options.device, options.precision, options.threads)
            stylizer = stack.enter_context(Stylizer(job.recipe, *runtime, in_flight=0, batch=0))
        _run(job, source, stylizer, work, report, on_progress)
    return report


def open_source(job: FileJob) -> VideoSource:
    """The job's source, with its pictures where the engine's are; the caller closes it.

    Where `FileJob.suited` is to be found yet, it works at the most: see `at_its_faces`.

    Raises:
        SourceError: as `VideoSource`, or it is a single picture.
    """
    engine = job.engine.settled()
    name = "cpu" if engine.engine == "torch" and engine.device == "auto" else settled(engine.device)
    source = VideoSource(job.input, reading_of(job), Device(name) if engine.on_device and not job.steady else None)
    if (path := job.input.file) is not None and _is_still(source.stream):
        source.close()
        raise SourceError(f"{path} is a picture, not a video: use vidstyle image {path}")
    if engine.on_device and job.steady:
        source.route = Route(name, converted="RGB on the CPU (for --steady)")
    return source


def _is_still(stream: Any) -> bool:
    """Whether it is a picture's, as `vidstyle image` reads them: most of FFmpeg's formats of those are called so."""
    container = stream.container
    name, brand = container.format.name, container.metadata.get("major_brand")
    of_one = name.endswith("_pipe") or name in ("image2", "ico")  # image2: by the name, as most .jpg
    return of_one or (brand in _STILL_BRANDS and stream.frames == 1)


def _work_folder(job: FileJob, source: VideoSource, report: Report, stack: ExitStack) -> WorkFolder:
    target, reason = job.target_for(source)
    if reason is not None:
        report.notes.append(f"written as {target.suffix}, since {reason}")
    report.output = str(target)
    overwrite, pattern = job.writing.overwrite, numbered(target)
    folder = WorkFolder(target, job.fingerprint(), job.resume, overwrite and not job.resume)
    if pattern is None:
        check_output(target, job.input.file, overwrite)
        return stack.enter_context(folder)
    begun = (folder.path / PLACING).exists()  # some of those that are there are of the run to go on from
    check_pictures(pattern, job.input.series, overwrite or begun)
    stack.enter_context(made_folder(pattern.folder))
    stack.enter_context(folder)
    if begun and not folder.segments:
        check_pictures(pattern, job.input.series, overwrite)
    return folder


def _run(
    job: FileJob,
    source: VideoSource,
    stylizer: Stylizer,
    work: WorkFolder | None,
    report: Report,
    on_progress: Callable[[Progress], None],
) -> None:
    reused, noted = stylizer.reused, len(stylizer.notes)
    done = report.frames_in = work.frames if work is not None else 0
    with ExitStack() as stack:
        early = _file_sink(job, source, report, work)  # refuses before faces are looked for
        if early is not None:
            stack.enter_context(early)

        def tell(doing: str) -> None:
            on_progress(Progress(done, None, 0.0, source.info, done, doing))

        job = at_its_faces(job, source, work, tell)
        started, info = time.perf_counter(), source.info
        stylizer.keep(source.sizes)
        engine = stylizer.engine_for(*info.working)
        report.engine = engine.description
        if source.device is not None:
            source.device.check(engine)
        say_size(job, source, report)
        sink = early or stack.enter_context(_stream_sink(job, source, report, work))

        def write(frame: Frame) -> None:
            if not sink.write(frame):
                return
            report.frames_in += 1
            on_progress(Progress(report.frames_in, info.frames, time.perf_counter() - started, info, done))

        pump(source, _frames(job, source, work, sink), stylizer, write, job.steady)
    report.reused = stylizer.reused - reused
    report.notes += stylizer.notes[noted:]
    describe_run(source, work, sink.reached, report)
    report.seconds = time.perf_counter() - started
    report.fps = (report.frames_out - done) / report.seconds
    if source.route is not None:
        report.places = source.route.line(report.encoder_name)
    if done:
        report.notes.append(f"went on after {done} frames of an interrupted run")


def _file_sink(job: FileJob, source: VideoSource, report: Report, work: WorkFolder | None) -> FileSink | None:
    """None for a stream, whose header is written at once: that waits for the engine, but is refused as early."""
    if work is not None and job.input.path is not None:
        return FileSink(work.target, source, job.writing, report, work)
    check_stream(None if work is None else work.target, source, job.writing, job.pipe)
    return None


def _stream_sink(job: FileJob, source: VideoSource, report: Report, work: WorkFolder | None) -> StreamSink:
    return StreamSink(None if work is None else work.target, source, job.writing, report, work, job.pipe)


def _frames(job: FileJob, source: VideoSource, work: WorkFolder | None, sink: FileSink | StreamSink) -> Iterator[Frame]:
    """The source's frames, from where the finished segments end, or a little before."""
    if work is None or not isinstance(sink, FileSink):
        return iter(source)
    return unit_frames(source, work.plan(source), Unit(warm=warm_for(job.steady)), work.segments)
