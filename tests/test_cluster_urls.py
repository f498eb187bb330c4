"""Videos and results behind URLs: a worker's calls, what stands in for them on the driver, and the command."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cluster_tools import files_below
from media import make_clip, save_tiny
from test_cluster_cli import (
    greeted,
    main,  # noqa: F401 - a fixture
)
from test_cluster_unit import SPARSE, Bench

from vidstyle.batch.decide import Fingerprints
from vidstyle.batch.journal import Journal
from vidstyle.batch.messages import Away, Begun, Ended, Facts, Look, Task
from vidstyle.cluster import store as stores
from vidstyle.cluster.messages import Broken, Join, Order, Prepared
from vidstyle.cluster.remote import RemoteWorker
from vidstyle.cluster.standins import StandIns, as_url
from vidstyle.cluster.store import store
from vidstyle.errors import SourceError, UsageError
from vidstyle.planning import Plan
from vidstyle.unit import Unit


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "PAUSES", (0.0, 0.0, 0.0))


# --- a worker


class FarBench(Bench):
    """As `Bench`, its video and its result behind URLs."""

    def __init__(self, source: Path, recipe: str, folder: Path) -> None:
        super().__init__(source, recipe, folder)
        self.far = folder / "far"
        arguments = (self.template, Fingerprints(self.template), {}, f"file://{self.far}", 1 << 30)
        self.worker = RemoteWorker(*arguments, folder / "machine")
        facts = store(f"file://{source.parent}").facts(source.name)
        assert facts is not None
        stand_in = Path("work/in", source.name)
        target = Path("work/out/a.mp4")
        self.task = Task(stand_in, target, target, False, Away(facts, f"file://{self.far}"))
        self.straight_task = Task(source, target, target, False)

    @property
    def parts(self) -> list[str]:
        return [name for name in files_below(self.far) if ".part/" in name]

    def is_straight(self, prepared: Prepared) -> bool:
        task, self.task = self.task, self.straight_task
        try:
            return super().is_straight(replace(prepared, output=self.far / prepared.output.name))
        finally:
            self.task = task


@pytest.fixture
def bench(home: Path, tmp_path: Path) -> FarBench:
    return FarBench(make_clip(tmp_path / "in.mp4", pts=SPARSE).path, str(save_tiny(home, "tiny")), tmp_path)


def test_units_of_several_machines_give_the_straight_runs_bytes(bench: FarBench, tmp_path: Path) -> None:
    prepared, plan = bench.prepare()
    assert sorted(Path(name).name for name in bench.parts) == ["job.json", "plan.json"]
    for unit in reversed(bench.all_units(plan)):
        bench.worker = RemoteWorker(  # a machine of its own
            bench.template, Fingerprints(bench.template), {}, f"file://{bench.far}", 0, tmp_path / f"m{unit.first}"
        )
        bench.style(prepared, unit)
    ended = bench.join(prepared, [0, 1, 2, 3, 4])
    assert isinstance(ended, Ended) and ended.status == "done" and ended.stored is not None
    name = prepared.output.name
    assert ended.report["output"] == ended.stored.url == f"file://{bench.far}/{name}"
    assert ended.report["source"] == bench.task.away.source.url  # type: ignore[union-attr]
    assert files_below(bench.far) == [name] and bench.is_straight(prepared)
    assert not list(tmp_path.glob("m*/work/*/*")), "nothing of a call stays but the cache"


def test_a_damaged_segment_is_made_again(bench: FarBench) -> None:
    prepared, plan = bench.prepare()
    for unit in bench.all_units(plan):
        bench.style(prepared, unit)
    path = next(bench.far.glob("*.part/00002.mkv"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    assert bench.join(prepared, [0, 1, 2, 3, 4]) == Broken([2], [])
    assert not path.with_suffix(".json").exists()
    bench.style(prepared, Unit(2, 2))
    assert isinstance(bench.join(prepared, [0, 1, 2, 3, 4]), Ended) and bench.is_straight(prepared)


def test_another_run_goes_on_from_what_was_sent(bench: FarBench) -> None:
    prepared, _ = bench.prepare()
    bench.style(prepared, Unit(3, 3))
    bench.task = replace(bench.task, known=bench.task.target.with_name(prepared.output.name))  # as in the journal
    again, plan = bench.prepare()
    assert [done.number for done in again.done] == [3] and plan == prepared.plan


def test_a_copy_that_comes_late_sends_nothing(bench: FarBench) -> None:
    prepared, plan = bench.prepare()
    for unit in bench.all_units(plan):
        bench.style(prepared, unit)
    assert isinstance(bench.join(prepared, [0, 1, 2, 3, 4]), Ended)
    made = bench.worker.style(Order(bench.task, prepared.output, plan, Unit(2, 2)))
    assert "its video is over" in made.error and bench.parts == []


def test_a_file_that_no_batch_made_stays(bench: FarBench) -> None:
    prepared, _ = bench.prepare()
    (bench.far / prepared.output.name).write_bytes(b"mine")
    again = bench.worker.prepare(bench.task)
    assert again.ended is not None and again.ended.code == 5
    assert again.ended.reason.startswith(f"file://{bench.far}/{prepared.output.name} exists and no batch made it")


def test_failures_come_back_with_the_names_that_people_know(bench: FarBench, tmp_path: Path) -> None:
    away = bench.task.away
    assert away is not None
    (tmp_path / "in.mp4").write_bytes(b"nothing")
    changed = bench.worker.prepare(bench.task)
    assert changed.ended is not None and "changed while it was fetched" in changed.ended.reason
    facts = store(f"file://{tmp_path}").facts("in.mp4")
    assert facts is not None
    bench.task = replace(bench.task, away=replace(away, source=facts))
    broken = bench.worker.prepare(bench.task)
    assert broken.ended is not None and broken.ended.reason.startswith(f"{facts.url} is not a video")
    assert bench.worker.look(Look(bench.task.source, bench.task.away)).error.startswith(f"{facts.url} is not a video")
    (tmp_path / "in.mp4").unlink()
    bench.task = replace(bench.task, away=replace(away, source=replace(facts, mark="another state")))
    made = bench.worker.style(Order(bench.task, Path("a.mp4"), Plan([0], 1, True), Unit()))
    assert made.code == 4 and "no such file" in made.error
    assert isinstance(bench.worker.assemble(Join(bench.task, Path("a.mp4"), [], frozenset(), "", 0, 0, [])), Ended)


def test_a_video_in_one_piece_is_sent(home: Path, tmp_path: Path) -> None:
    bench = FarBench(make_clip(tmp_path / "in.mp4").path, str(save_tiny(home, "tiny")), tmp_path)
    prepared = bench.worker.prepare(bench.task)
    assert prepared.plan is None and prepared.ended is None
    ended = bench.worker.whole(bench.task)
    assert ended.status == "done" and files_below(bench.far) == [prepared.output.name]
    assert bench.is_straight(prepared)


def test_a_machine_that_cannot_reach_the_results_is_left_out(bench: FarBench, tmp_path: Path) -> None:
    worker = RemoteWorker(bench.template, Fingerprints(bench.template), {}, "foo://b", 0, tmp_path / "other")
    hello = worker.hello()
    assert hello.trouble.startswith("cannot use foo://b") and bench.worker.hello().trouble == ""
    pool, told = greeted(replace(hello, host="node7"), others=1)
    assert len(pool.workers) == 1 and told[0][1]["text"].startswith("left out: node7: cannot use foo://b")


def test_what_a_dead_worker_left_is_removed(bench: FarBench, tmp_path: Path) -> None:
    work = tmp_path / "machine/work"
    (work / "9-dead/x").mkdir(parents=True)
    (work / "9-dead.lock").touch()
    own = bench.worker._desk.path  # type: ignore[attr-defined]
    RemoteWorker(bench.template, Fingerprints(bench.template), {}, "file:///x", 0, tmp_path / "machine")
    assert not (work / "9-dead").exists() and own.exists()


# --- stand-ins


@pytest.fixture
def far(tmp_path: Path) -> Path:
    for name in ("in/a.mp4", "in/sub/b c.mkv", "in/notes.txt", "in/.hidden/c.mp4", "in/x.mp4.part/0.mkv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"data")
    return tmp_path


def found(stand_ins: StandIns, *inputs: str, journal: Journal | None = None) -> Any:
    def name(path: Path) -> str:
        return f"{path.stem}.x{path.suffix}"

    return stand_ins.find(inputs, name, journal or Journal(stand_ins.folder), False)


def test_videos_are_found_as_in_folders(far: Path) -> None:
    stand_ins = StandIns(far / "work", f"file://{far}/in/out/")
    (far / "in/out").mkdir()
    (far / "in/out/a.x.mp4").write_bytes(b"a result")
    top = f"file://{far}/in"
    result = found(stand_ins, top)
    assert [item.names for item in result.items] == [
        (f"{top}/a.mp4", f"{top}/out/a.x.mp4"),
        (f"{top}/sub/b c.mkv", f"{top}/out/sub/b c.x.mkv"),
    ]
    assert result.passed_over == 1
    assert [item.names[0] for item in found(stand_ins, f"{top}/**/*.mkv").items] == [f"{top}/sub/b c.mkv"]
    assert [item.names[0] for item in found(stand_ins, f"{top}/a.mp4", str(far / "in/a.mp4")).items] == [f"{top}/a.mp4"]
    with pytest.raises(SourceError, match="no such file or folder"):
        found(stand_ins, f"{top}/nothing")
    with pytest.raises(UsageError, match="nothing matches"):
        found(stand_ins, f"{top}/*.webm")
    later = [f"{top}/nothing", f"{top}/*.webm"]
    assert stand_ins.find(later, str, Journal(stand_ins.folder), True).missing == later  # type: ignore[arg-type]


@pytest.mark.parametrize("given", ["in [1]/clip [abc]?.mp4", "in [1]"])
def test_a_name_may_have_a_patterns_signs(far: Path, given: str) -> None:
    (far / "in [1]").mkdir()
    (far / "in [1]/clip [abc]?.mp4").write_bytes(b"data")
    items = found(StandIns(far / "work", f"file://{far}/out"), str(far / given)).items
    assert [item.names for item in items] == [
        (f"file://{far}/in [1]/clip [abc]?.mp4", f"file://{far}/out/clip [abc]?.x.mp4")
    ]


def test_a_buckets_nameless_folders_never_lead_out_of_the_work_folder(far: Path) -> None:
    """As ``b/in//a.mp4``, from a path put together with a slash too many: a stand-in would be /a.mp4 here."""
    outside = f"{far}/outside.mp4"
    memory = pytest.importorskip("fsspec").filesystem("memory")
    for name in ("fine.mp4", outside, "sub//b.mp4", f"{far}/notes.txt"):
        memory.pipe_file(f"/nameless/{name}", b"data")
    try:
        stand_ins = StandIns(far / "work", "memory://nameless")
        stand_ins.results()
        result = StandIns(far / "work2", "memory://elsewhere").find(
            ["memory://nameless"], lambda path: path.name, Journal(far / "work2/out"), False
        )
    finally:
        memory.rm("/nameless", recursive=True)
    assert not Path(outside).exists()
    assert files_below(stand_ins.folder) == ["fine.mp4"]
    assert [item.names[0] for item in result.items] == ["memory://nameless/fine.mp4"]
    why = "a folder in its name has no name"
    assert sorted(result.unreadable) == [
        f"cannot take memory://nameless/{name}: {why}" for name in (outside, "sub//b.mp4")
    ]


def test_results_beside_their_sources_are_no_sources(far: Path) -> None:
    stand_ins, top = StandIns(far / "work", f"file://{far}/in"), f"file://{far}/in"
    (far / "in/a.x.mp4").write_bytes(b"a result")
    (far / "in/sub/b c.x.mp4").write_bytes(b"one in another container")
    with Journal(stand_ins.folder) as journal:
        target, made = stand_ins.folder / "sub/b c.x.mkv", {"fingerprint": {}, "stamp": None, "before": None}
        journal.write("started", target, Path("b c.mkv"), file="b c.x.mp4", **made)
    for given in (top, f"{top}/", f"{top}/**/*.m*"):
        sources = [item.names[0] for item in found(stand_ins, given, journal=journal).items]
        assert sources == [f"{top}/a.mp4", f"{top}/sub/b c.mkv"]


def test_a_stand_in_changes_when_its_file_does(far: Path) -> None:
    stand_ins = StandIns(far / "work", f"file://{far}/out")
    source = found(stand_ins, f"file://{far}/in/a.mp4").items[0].source
    before = source.stat()
    found(stand_ins, f"file://{far}/in/a.mp4")
    assert source.stat().st_mtime_ns == before.st_mtime_ns
    os.utime(far / "in/a.mp4", (5, 5))
    text = source.read_bytes()
    found(stand_ins, f"file://{far}/in/a.mp4")
    assert source.read_bytes() != text and source.stat().st_mtime_ns != before.st_mtime_ns


def test_results_that_are_gone_have_no_stand_in(far: Path) -> None:
    stand_ins = StandIns(far / "work", f"file://{far}/in")
    stand_ins.results()
    assert files_below(stand_ins.folder) == ["a.mp4", "sub/b c.mkv"]
    (far / "in/a.mp4").unlink()
    stand_ins.results()
    assert files_below(stand_ins.folder) == ["sub/b c.mkv"]


def test_no_password_is_written_down_or_shown(far: Path) -> None:
    stand_ins = StandIns(far / "work", "sftp://me:secret@host/out")
    url = "sftp://me:secret@host/in"
    item = stand_ins._item(url, "a.mp4", Facts(f"{url}/a.mp4", 1, "m"), lambda path: Path(path.name))
    assert item.names == ("sftp://host/in/a.mp4", "sftp://host/out/a.mp4")
    assert b"secret" not in item.source.read_bytes()
    task = stand_ins.sent(Task(item.source, item.target, item.target, False))
    assert task.away == Away(Facts(f"{url}/a.mp4", 1, "m"), "sftp://me:secret@host/out")


def test_a_workers_answer_becomes_one_about_stand_ins(far: Path) -> None:
    stand_ins = StandIns(far / "work", f"file://{far}/out")
    item = found(stand_ins, f"file://{far}/in/sub/*.mkv").items[0]

    class Marks:
        def of(self, path: Path) -> dict[str, str]:
            return {"the source": path.name}

    marks: Any = Marks()
    prepared = stand_ins.came(item, Prepared(Begun("b c.x.mp4", {}, None, (1, 1))), marks)
    assert prepared.begun.fingerprint == {"the source": "b c.mkv"} and prepared.begun.before is None
    assert prepared.begun.stamp == (item.source.stat().st_size, item.source.stat().st_mtime_ns)
    stored = Facts(f"file://{far}/out/b c.x.mp4", 7, "m")
    ended = stand_ins.came(item, Ended("done", size=7, stored=stored), marks)
    path = item.target.with_name("b c.x.mp4")
    assert path.parent == item.target.parent and ended.size == path.stat().st_size


def test_a_local_folder_may_be_among_them() -> None:
    assert as_url("s3://b/in") == "s3://b/in" and as_url("/mnt/a b") == "file:///mnt/a b"


# --- at the command line


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["-o", "s3://b/out"], 2, "s3://b/out: URLs take --cluster; --cluster local is this machine alone"),
        (["-o", "foo://b/out", "--cluster", "local"], 2, "cannot use foo://b/out: foo:// is not known"),
        (["-o", "file:///proc/nothing/out", "--cluster", "local"], 5, "cannot write file:///proc/nothing/out/"),
        (
            ["-o", "file://far", "--cluster", "local", "--work", "in/a.mp4"],
            5,
            "another folder of this machine with --work",
        ),
    ],
)
def test_what_cannot_be_done_with_urls_is_told_in_one_line(
    main: Callable[..., tuple[int, str, str]],  # noqa: F811
    args: list[str],
    code: int,
    words: str,
) -> None:
    found, out, err = main(*args)
    assert (found, out, err.count("\n")) == (code, "", 1) and words in err, err


def test_a_dry_run_of_urls_fetches_nothing(main: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:  # noqa: F811
    code, out, err = main("-o", f"file://{tmp_path}/far", "--cluster", "local", "--dry-run", "--work", "journal")
    assert code == 0, err
    assert f"file://{tmp_path}/in/a.mp4 -> file://{tmp_path}/far/a.tiny.mp4" in out and "1 to do" in out
    assert not (tmp_path / "far").exists()
