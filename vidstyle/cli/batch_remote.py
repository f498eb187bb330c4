"""vidstyle batch --cluster with URLs: videos and results that no shared folder holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from vidstyle.batch.inputs import Found
    from vidstyle.batch.journal import Journal
    from vidstyle.batch.run import Wishes
    from vidstyle.cluster.standins import StandIns
    from vidstyle.job import FileJob


@dataclass(frozen=True)
class Far:
    """``work``: this machine's folder for the journal, None for one of its own; ``cache``: in GiB."""

    inputs: list[str]
    output: str
    work: Path | None
    cache: float


def run_remote(
    far: Far,
    request: tuple[str, int, int, float],
    template: FileJob,
    wishes: Wishes,
    every: float | None,
    dry_run: bool,
    report: Path | None,
    json: bool,
) -> int:
    """As `vidstyle.cli.batch_cluster.run_on`; gives the exit code.

    Args:
        request: see `vidstyle.cli.batch_cluster.Request`.
    """
    from vidstyle.cli.batch_cluster import Remote, Request, run_on
    from vidstyle.cluster.cache import GIB
    from vidstyle.cluster.connect import check_address
    from vidstyle.cluster.remote import RemoteWorker
    from vidstyle.cluster.standins import StandIns, as_url, work_for
    from vidstyle.cluster.store import check

    check_address(request[0])
    output = as_url(far.output)
    work = far.work or work_for(output)
    stand_ins = StandIns(work, output)
    if not dry_run:
        check(output)
    stand_ins.results()
    look = _looker(far.inputs, stand_ins, template, patience=every is not None)
    if dry_run:
        return _dry_run(look, stand_ins.folder, template, wishes, json)
    remote = Remote(RemoteWorker, (output, int(far.cache * GIB)), stand_ins)
    return run_on(Request(*request), look, stand_ins.folder, template, wishes, every, report, json, remote)


def _looker(inputs: list[str], stand_ins: StandIns, template: FileJob, patience: bool) -> Callable[[Journal], Found]:
    from dataclasses import replace

    def name(source: Path) -> Path:
        return Path(replace(template, source=source).target.name)

    return lambda journal: stand_ins.find(inputs, name, journal, patience)


def _dry_run(look: Callable[[Journal], Found], folder: Path, template: FileJob, wishes: Wishes, json: bool) -> int:
    """What would be done; how long it takes is not known, since nothing is fetched."""
    from vidstyle.batch.dry import decided
    from vidstyle.batch.journal import Journal
    from vidstyle.cli.batch_view import show_plan

    journal = Journal(folder)
    journal.read()
    found = look(journal)
    found.check()
    show_plan(decided(found.items, journal, template, wishes), found, json)
    return 0
