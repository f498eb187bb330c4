"""vidstyle batch --cluster: the same batch, over the machines of a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidstyle.errors import SOME_FAILED, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vidstyle.batch.dry import Planned
    from vidstyle.cli.batch_asked import Asked, Cluster, Look
    from vidstyle.cluster.nodes import Size
    from vidstyle.cluster.standins import StandIns
    from vidstyle.job import FileJob

UNBOUNDED = 1 << 30  # the crew, not the batch, says how many videos are under way


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


def run_on(machines: Cluster, look: Look, folder: Path, asked: Asked, far: Remote | None = None) -> int:
    """As `vidstyle batch` without --cluster; gives the exit code. ``far``: of videos behind URLs."""
    from vidstyle.batch.decide import Fingerprints
    from vidstyle.batch.reports import reported
    from vidstyle.batch.run import Batch, Event
    from vidstyle.batch.stop import Stop
    from vidstyle.cli.batch_asked import begin
    from vidstyle.cli.batch_cluster_view import open_cluster_view
    from vidstyle.cluster.connect import joined
    from vidstyle.cluster.crew import ClusterCrew
    from vidstyle.cluster.pool import RayPool
    from vidstyle.cluster.worker import StyleWorker

    if asked.dry_run:
        return _dry_run(machines, look, folder, asked)
    begun, template = begin(folder, look, asked.every), asked.template
    journal, found = begun.journal, begun.found
    sample = found.items[0].source if found.items else None
    worker_job, fingerprints = for_workers(template, machines.cpus), Fingerprints(template)

    def pool(visible: dict[str, str], tell: Callable[[str, dict[str, Any]], None]) -> RayPool:
        arguments = (worker_job, fingerprints, visible, *(far.arguments if far else ()))
        return RayPool(far.kind if far else StyleWorker, arguments, _size(machines), tell)

    # Ray has a handler of its own for SIGTERM: ours comes after it.
    with (
        journal,
        joined(machines.address) as cluster,
        Stop() as stop,
        open_cluster_view(asked.json) as view,
        reported(view, asked.report) as shown,
    ):
        crew = ClusterCrew(cluster, folder, sample, pool, shown, (far.stand_ins, fingerprints) if far else None)
        view.begin(found, asked.every)
        view.follow(crew)
        shown.show(Event("cluster", data={"address": cluster.address, "dashboard": cluster.dashboard}))
        wishes = replace(asked.wishes, jobs=UNBOUNDED)
        totals = Batch(template, begun.items, journal, wishes, shown, stop, begun.arrivals, crew).run()
        view.end(totals, stop.code, journal.path)
    return stop.code or (SOME_FAILED if totals.failures or found.unreadable else 0)


def _dry_run(machines: Cluster, look: Look, folder: Path, asked: Asked) -> int:
    """The plan, and how long it would take. The speed is measured here, for a moment."""
    from vidstyle.batch.dry import plan
    from vidstyle.cli.batch_asked import begin
    from vidstyle.cli.batch_view import show_plan

    begun, template, room = begin(folder, look), asked.template, _room(machines)
    planned = list(plan(begun.items, begun.journal, template, asked.wishes))
    show_plan(planned, begun.found, asked.json)
    if not any(entry.frames for entry in planned):
        return 0
    if room:
        workers = min(machines.workers or room, room)
        _show_estimate(planned, for_workers(template, machines.cpus), template, workers, asked.json)
    else:
        _show_no_room(_size(machines), asked.json)
    return 0


def _show_no_room(size: Size, json: bool) -> None:
    """In place of an estimate: nobody knows when a cluster will have grown."""
    from vidstyle.cli.console import event, result
    from vidstyle.cluster.nodes import no_room

    advice = f"{no_room(size)}: the batch would wait for one that has"
    if json:
        return event({"event": "estimate", "workers": 0, "advice": advice})
    return result(advice)


def _show_estimate(planned: list[Planned], worker_job: FileJob, alone_job: FileJob, workers: int, json: bool) -> None:
    from vidstyle.cli.batch_view import clock
    from vidstyle.cli.console import event, result
    from vidstyle.cluster.estimate import Length, advice, measured_fps, seconds_alone, seconds_on

    lengths = [Length(entry.frames) for entry in planned if entry.frames]
    sizes = [entry.pixels for entry in planned if entry.frames]
    fps, alone_fps = (measured_fps(job, sum(sizes) // len(sizes)) for job in (worker_job, alone_job))
    cluster, alone = seconds_on(lengths, workers, fps), seconds_alone(lengths, alone_fps)
    if json:
        facts = {"workers": workers, "fps": round(fps, 2), "seconds": round(cluster), "alone": round(alone)}
        return event({"event": "estimate", **facts, "advice": advice(cluster, alone)})
    count = f"{workers} worker{'s'[: workers != 1]}"
    result(f"about {clock(cluster)} on {count} like this machine's, {fps:.1f} fps each")
    return result(f"about {clock(alone)} on this machine alone, {alone_fps:.1f} fps: {advice(cluster, alone)}")


def check_room(machines: Cluster) -> None:
    """Refuse workers that this machine can never hold; on another cluster they wait for a node that can.

    Raises:
        EngineError, UsageError: see `check_address`; or no worker fits.
    """
    from vidstyle.cluster.connect import LOCAL, check_address, local_resources

    check_address(machines.address)
    if machines.address != LOCAL:
        return
    size, there = _size(machines), local_resources()
    if size.fit(there):
        return
    cpus, gpus = int(there["CPU"]), int(there["GPU"])
    remedy = f"give --gpus {gpus} or less" if gpus else "leave out --gpus"
    if size.cpus > cpus:
        remedy = f"give --threads {cpus} or less"
    raise UsageError(f"--cluster local: a worker takes {size}, this machine has {cpus} CPU and {gpus} GPU: {remedy}")


def _size(machines: Cluster) -> Size:
    from vidstyle.cluster.nodes import Size

    return Size(machines.workers, machines.cpus, machines.gpus)


def _room(machines: Cluster) -> int:
    """Workers that the cluster has room for now."""
    from vidstyle.cluster.connect import LOCAL, joined, local_resources
    from vidstyle.cluster.nodes import alive_nodes, room

    if machines.address == LOCAL:
        return _size(machines).fit(local_resources())
    with joined(machines.address):
        return room(_size(machines), alive_nodes())
