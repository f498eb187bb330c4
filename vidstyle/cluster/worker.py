"""A worker of a cluster seen from inside: one process that keeps its look loaded from call to call.

Nothing here knows the cluster. Whatever happens in a call comes back as its answer: a worker dies of nothing but a
crash.
"""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import av

from vidstyle.account import describe_run
from vidstyle.batch.decide import Fingerprints
from vidstyle.batch.messages import Begun, Ended, Look, Seen, Task
from vidstyle.batch.worker import LOST, Tools, begin, can_go_on, ended_with, finished, look, style
from vidstyle.cluster.messages import Broken, Done, Hello, Join, Made, Order, Prepared
from vidstyle.errors import DeviceLostError, VidstyleError
from vidstyle.job import FileJob, open_source
from vidstyle.report import Report
from vidstyle.segment import Segment, follows
from vidstyle.sink import FileSink, SegmentSink
from vidstyle.sizing import at_its_faces, reading_of, say_size
from vidstyle.source import VideoSource
from vidstyle.stylizer import Stylizer
from vidstyle.unit import pump, unit_frames, warm_for
from vidstyle.workfolder import WorkFolder, work_path


class StyleWorker:
    """Args as of `vidstyle.batch.worker.work`; ``visible``: files that it should see, as the driver does, with their
    texts, "" for any."""

    def __init__(self, template: FileJob, fingerprints: Fingerprints, visible: Mapping[str, str] | None = None) -> None:
        av.logging.set_level(None)
        options = template.engine.settled()
        runtime = (options.engine, options.device, options.precision, options.threads)
        self._stylizer = Stylizer(template.recipe, *runtime, in_flight=0, batch=0)
        self._tools = Tools(template, fingerprints, self._stylizer, threading.Event(), lambda _: None)
        self._template, self._visible = template, visible or {}

    def hello(self, node: str = "") -> Hello:
        unseen = [path for path, text in self._visible.items() if not _sees(Path(path), text)]
        return Hello(node, socket.gethostname(), os.getpid(), version("vidstyle"), unseen)

    def look(self, task: Look) -> Seen:
        return look(task, self._template)

    def whole(self, task: Task) -> Ended:
        """All of a video, as one machine does it."""
        ended = style(task, self._tools)
        if ended.lost:
            os._exit(LOST)
        gc.collect()
        return ended

    def prepare(self, task: Task) -> Prepared:
        """Settle the output and the plan; make the work folder, or find what an earlier run left in it."""
        said: list[object] = []
        try:
            return self._prepare(task, replace(self._tools, say=said.append), said)
        except Exception as error:
            return Prepared(_begun(said), ended_with(error))

    def _prepare(self, task: Task, tools: Tools, said: list[object]) -> Prepared:
        job, notes = begin(task, tools)
        output = job.target
        with VideoSource(job.input, job.reading) as source:
            seen = Prepared(_begun(said), output=output, frames=source.info.frames, notes=notes)
            if not source.exact:
                return _looked_at(seen, job, source)
            with self._work(job, output, can_go_on(job, output)) as work:
                plan = work.plan(source)
                if len(plan.starts) == 1:
                    work.done = True  # nothing is left of it
                    return _looked_at(seen, job, source, work)
                FileSink(output, source, job.writing, Report("", ""), work)  # tells what container and encoder refuse
                done = [Done(segment.number, len(segment.pts)) for segment in work.segments]
                return _looked_at(replace(seen, plan=plan, done=done), job, source, work)

    def _job(self, task: Task, output: Path) -> FileJob:
        writing = replace(self._template.writing, overwrite=True)
        return replace(self._template, source=task.source, output=output, writing=writing)

    def _work(self, job: FileJob, output: Path, resume: bool) -> WorkFolder:
        return WorkFolder(output, job.fingerprint(), resume, overwrite=not resume, parts=True)

    def style(self, order: Order) -> Made:
        """Some segments of a video."""
        started, reused = time.perf_counter(), self._stylizer.reused
        try:
            done, engine = self._styled(order)
        except DeviceLostError:
            os._exit(LOST)  # another worker takes the segment: nothing more can be done in this process
        except Exception as error:
            self._stylizer.unload()  # pictures may be under way in it; the next call loads it again
            ended = ended_with(error)
            return Made(error=ended.reason, code=ended.code, seconds=time.perf_counter() - started)
        finally:
            gc.collect()
        return Made(done, time.perf_counter() - started, engine, self._stylizer.reused - reused)

    def _styled(self, order: Order) -> tuple[list[Done], str]:
        job, made = self._job(order.task, order.output), list[Segment]()
        folder, plan = work_path(order.output), order.plan
        unit = replace(order.unit, warm=warm_for(job.steady))
        with open_source(replace(job, suited=order.suited)) as source:
            self._stylizer.keep(source.sizes)
            engine = self._stylizer.engine_for(*source.info.working)
            if source.device is not None:
                source.device.check(engine)
            sink = SegmentSink(order.output, source, job.writing, Report("", ""), folder, plan, made, unit.first)
            try:
                pump(source, unit_frames(source, plan, unit), self._stylizer, sink.write, job.steady)
                sink.finish()
            except BaseException:
                sink.discard()
                raise
        return [Done(segment.number, len(segment.pts)) for segment in made], engine.description

    def assemble(self, join: Join) -> Ended | Broken:
        """Check every segment, join them with the source's other streams, and put the file in place."""
        try:
            return self._assembled(join)
        except Exception as error:
            return ended_with(error)
        finally:
            gc.collect()

    def _assembled(self, join: Join) -> Ended | Broken:
        started, job = time.perf_counter(), replace(self._job(join.task, join.output), suited=join.suited)
        report = Report(job.input.name, str(join.output), notes=list(join.notes))
        with VideoSource(job.input, reading_of(job)) as source, self._work(job, join.output, True) as work:
            if broken := _broken(work, join):
                return broken
            try:
                with FileSink(join.output, source, job.writing, report, work) as sink:
                    report.frames_in = work.frames
            except VidstyleError:
                if broken := _miscounted(work):
                    return broken
                raise
            report.engine, report.reused = join.engine, join.reused
            say_size(job, source, report)
            describe_run(source, work, sink.reached, report)
        report.seconds = join.seconds + time.perf_counter() - started
        report.fps = report.frames_out / report.seconds
        return finished(join.output, report)


def _looked_at(seen: Prepared, job: FileJob, source: VideoSource, work: WorkFolder | None = None) -> Prepared:
    """With the size that its faces ask for: that takes about a second, so what cannot be written is told before."""
    suited = at_its_faces(job, source, work).suited
    height, width = source.info.working
    return replace(seen, pixels=height * width, suited=suited)


def _sees(path: Path, text: str) -> bool:
    try:
        return path.exists() and (not text or path.read_text() == text)
    except OSError:
        return False


def _begun(said: list[object]) -> Begun | None:
    return next((message for message in said if isinstance(message, Begun)), None)


def _broken(work: WorkFolder, join: Join) -> Broken | None:
    """What has to be made again before a video can be put together."""
    found = {segment.number: segment for segment in work.segments}
    damaged = [number for number in join.numbers if number not in found]
    if damaged:
        return _damaged(work, damaged)
    before, misfits = None, list[int]()
    for number in sorted(found):
        segment = found[number]
        accepted = number in join.accepted and before is not None and segment.after == before.last
        if not (accepted or follows(segment, before)):
            misfits.append(number)
        before = segment
    if before is not None and before.check is not None:  # pictures follow it that no segment has
        misfits.append(before.number)
    return Broken([], misfits) if misfits else None


def _miscounted(work: WorkFolder) -> Broken | None:
    """Segments with other numbers of pictures than of times: joining stops at the first, so they are sought then."""
    wrong = [segment.number for segment in work.segments if not _counted(work.path, segment)]
    return _damaged(work, wrong) if wrong else None


def _damaged(work: WorkFolder, numbers: list[int]) -> Broken:
    for number in numbers:  # what is not whole must not be taken for it
        (work.path / f"{number:05d}.json").unlink(missing_ok=True)
    return Broken(numbers, [])


def _counted(folder: Path, segment: Segment) -> bool:
    """Whether its file has as many packets as there are times."""
    try:
        with av.open(f"file:{folder / segment.file}") as container:
            return sum(bool(packet.size) for packet in container.demux(video=0)) == len(segment.pts)
    except (av.error.FFmpegError, OSError):
        return False
