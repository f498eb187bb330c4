"""vidstyle batch --cluster with URLs: videos and results that no shared folder holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidstyle.cli.batch_asked import Asked, Cluster, Look
    from vidstyle.cluster.standins import StandIns
    from vidstyle.job import FileJob


@dataclass(frozen=True)
class Far:
    """``work``: this machine's folder for the journal, None for one of its own; ``cache``: in GiB."""

    inputs: list[str]
    output: str
    work: Path | None
    cache: float


def run_remote(far: Far, machines: Cluster, asked: Asked) -> int:
    """As `vidstyle.cli.batch_cluster.run_on`; gives the exit code."""
    from vidstyle.cli.batch_cluster import Remote, run_on
    from vidstyle.cluster.cache import GIB
    from vidstyle.cluster.remote import RemoteWorker
    from vidstyle.cluster.standins import StandIns, as_url, work_for
    from vidstyle.cluster.store import check

    output = as_url(far.output)
    work = far.work or work_for(output)
    stand_ins = StandIns(work, output)
    if not asked.dry_run:
        check(output)
    stand_ins.results()
    look = _looker(far.inputs, stand_ins, asked.template, patience=asked.every is not None)
    if asked.dry_run:
        return _dry_run(look, stand_ins.folder, asked)
    remote = Remote(RemoteWorker, (output, int(far.cache * GIB)), stand_ins)
    return run_on(machines, look, stand_ins.folder, asked, remote)


def _looker(inputs: list[str], stand_ins: StandIns, template: FileJob, patience: bool) -> Look:
    return lambda journal: stand_ins.find(inputs, template.result_name, journal, patience)


def _dry_run(look: Look, folder: Path, asked: Asked) -> int:
    """What would be done; how long it takes is not known, since nothing is fetched."""
    from vidstyle.batch.dry import decided
    from vidstyle.cli.batch_asked import begin
    from vidstyle.cli.batch_view import show_plan

    begun = begin(folder, look)
    planned = decided(begun.items, begun.journal, asked.template, asked.wishes)
    show_plan(planned, begun.found, asked.json)
    return 0
