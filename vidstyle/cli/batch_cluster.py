"""vidstyle batch --cluster: the same batch, over the machines of a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidstyle.errors import SOME_FAILED

if TYPE_CHECKING:
    from collections.abc import Callable

    from vidstyle.batch.dry import Planned
    from vidstyle.batch.inputs import Found, Item
    from vidstyle.batch.journal import Journal
    from vidstyle.batch.run import Wishes
    from vidstyle.cluster.standins import StandIns
    from vidstyle.job import FileJob

UNBOUNDED = 1 << 30  # the crew, not the batch, says how many videos are under way


@dataclass(frozen=True)
class Request:
    """``workers``: 0 for as many as fit; ``threads``: of each, 0 for one; ``gpus``: of each."""

    address: str
    workers: int = 0
    threads: int = 0
    gpus: float = 0.0

    @property
    def cpus(self) -> int:
        return self.threads or 1


@dataclass(frozen=True)
class Remote:
    """Videos behind URLs: the class of the workers, what it is made with besides, and the driver's stand-ins."""

    kind: type
    arguments: tuple[Any, ...]
    stand_ins: StandIns


def for_workers(template: FileJob, threads: int) -> FileJob:
    """The job of every worker, whatever its machine: encoders give other bytes with other numbers of threads."""
    writing = replace(template.writing, encoder=replace(template.writing.encoder, threads=threads))
    reading, engine = replace(template.reading, threads=threads), replace(template.engine, threads=threads)
    return replace(template, reading=reading, writing=writing, engine=engine)


def run_on(
    request: Request,
    look: Callable[[Journal], Found],
    folder: Path,
    template: FileJob,
    wishes: Wishes,
    every: float | None,
    report: Path | None,
    json: bool,
    far: Remote | None = None,
) -> int:
    """As `vidstyle batch` without --cluster; gives the exit code. ``far``: of videos behind URLs."""
    from vidstyle.batch.decide import Fingerprints
    from vidstyle.batch.journal import Journal
    from vidstyle.batch.reports import reported
    from vidstyle.batch.run import Batch, Event
    from vidstyle.batch.stop import Stop
    from vidstyle.batch.watch import Arrivals
    from vidstyle.cli.batch_cluster_view import open_cluster_view
    from vidstyle.cluster.connect import joined
    from vidstyle.cluster.crew import ClusterCrew
    from vidstyle.cluster.pool import RayPool, Size
    from vidstyle.cluster.worker import StyleWorker

    journal = Journal(folder)
    journal.read()
    found = look(journal)
    items: list[Item] = found.items
    sample = items[0].source if items else None
    arrivals = None
    if every is not None:
        items, arrivals = [], Arrivals(lambda: look(journal), every)
    else:
        found.check()
    worker_job, fingerprints = for_workers(template, request.cpus), Fingerprints(template)

    def pool(visible: dict[str, str], tell: Callable[[str, dict[str, Any]], None]) -> RayPool:
        arguments = (worker_job, fingerprints, visible, *(far.arguments if far else ()))
        return RayPool(
            far.kind if far else StyleWorker, arguments, Size(request.workers, request.cpus, request.gpus), tell
        )

    # Ray has a handler of its own for SIGTERM: ours comes after it.
    with (
        journal,
        joined(request.address) as cluster,
        Stop() as stop,
        open_cluster_view(json) as view,
        reported(view, report) as shown,
    ):
        crew = ClusterCrew(cluster, folder, sample, pool, shown, (far.stand_ins, fingerprints) if far else None)
        view.begin(found, every)
        view.follow(crew)
        shown.show(Event("cluster", data={"address": cluster.address, "dashboard": cluster.dashboard}))
        wishes = replace(wishes, jobs=UNBOUNDED)
        totals = Batch(template, items, journal, wishes, shown, stop, arrivals, crew).run()
        view.end(totals, stop.code, journal.path)
    return stop.code or (SOME_FAILED if totals.failures or found.unreadable else 0)


def dry_run_for(
    request: Request,
    look: Callable[[Journal], Found],
    folder: Path,
    template: FileJob,
    wishes: Wishes,
    json: bool,
) -> int:
    """The plan of a dry run, and how long it would take. The speed is measured here, for a moment."""
    from vidstyle.batch.dry import plan
    from vidstyle.batch.journal import Journal
    from vidstyle.cli.batch_view import show_plan

    journal = Journal(folder)
    journal.read()
    found = look(journal)
    found.check()
    workers = request.workers or _room(request)
    planned = list(plan(found.items, journal, template, wishes))
    show_plan(planned, found, json)
    _show_estimate(planned, for_workers(template, request.cpus), template, workers, json)
    return 0


def _show_estimate(planned: list[Planned], worker_job: FileJob, alone_job: FileJob, workers: int, json: bool) -> None:
    from vidstyle.cli.batch_view import clock
    from vidstyle.cli.console import event, result
    from vidstyle.cluster.estimate import Length, advice, measured_fps, seconds_alone, seconds_on

    lengths = [Length(entry.frames) for entry in planned if entry.frames]
    if not lengths:
        return
    sizes = [entry.pixels for entry in planned if entry.frames]
    fps, alone_fps = (measured_fps(job, sum(sizes) // len(sizes)) for job in (worker_job, alone_job))
    cluster, alone = seconds_on(lengths, workers, fps), seconds_alone(lengths, alone_fps)
    if json:
        facts = {"workers": workers, "fps": round(fps, 2), "seconds": round(cluster), "alone": round(alone)}
        return event({"event": "estimate", **facts, "advice": advice(cluster, alone)})
    result(f"about {clock(cluster)} on {workers} workers like this machine's, {fps:.1f} fps each")
    return result(f"about {clock(alone)} on this machine alone, {alone_fps:.1f} fps: {advice(cluster, alone)}")


def _room(request: Request) -> int:
    """Workers that the cluster has room for now."""
    from vidstyle.cluster.connect import LOCAL, check_address, joined
    from vidstyle.cluster.pool import Size, room
    from vidstyle.cores import usable_cores

    size = Size(0, request.cpus, request.gpus)
    if request.address == LOCAL:
        check_address(LOCAL)
        return max(1, size.fit({"CPU": usable_cores(), "GPU": 0}))
    with joined(request.address):
        return max(1, room(size))
