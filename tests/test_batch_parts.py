"""The small parts of a batch: arrivals, totals, lines for people, the division of cores."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from media import save_tiny

from vidstyle.batch.devices import divided
from vidstyle.batch.inputs import Found, Item
from vidstyle.batch.messages import Ended, Step
from vidstyle.batch.names import Names
from vidstyle.batch.reports import reported
from vidstyle.batch.run import Event
from vidstyle.batch.totals import Totals
from vidstyle.batch.watch import Arrivals
from vidstyle.catalog import parse_recipe
from vidstyle.cli.batch_table import TableView
from vidstyle.cli.batch_view import clock, how_far, line, plain, preface, summary
from vidstyle.cli.console import shortened
from vidstyle.engine_options import EngineOptions
from vidstyle.errors import SinkError, UsageError
from vidstyle.job import FileJob


def item(name: str) -> Item:
    return Item(Path("in") / name, Path("out") / name)


# --- arrivals


def test_a_video_is_taken_when_two_looks_find_it_alike(tmp_path: Path) -> None:
    source = tmp_path / "a.mp4"
    arrivals = Arrivals(lambda: Found([Item(source, tmp_path / "out.mp4")] if source.exists() else []), every=0)
    assert arrivals.complete() == []
    source.write_bytes(b"1")
    assert arrivals.complete() == []
    source.write_bytes(b"12")  # it grows
    assert arrivals.complete() == []
    assert [found.source for found in arrivals.complete()] == [source]
    assert arrivals.complete() == []  # once
    source.write_bytes(b"123")  # another one of that name
    assert arrivals.complete() == []
    assert [found.source for found in arrivals.complete()] == [source]
    source.unlink()
    assert arrivals.complete() == []


def test_a_look_is_not_due_before_its_time() -> None:
    looks: list[int] = []
    arrivals = Arrivals(lambda: (looks.append(1), Found())[1], every=1000)
    for _ in range(5):
        arrivals.complete()
    assert len(looks) == 1


# --- names


def test_no_two_videos_get_one_name() -> None:
    names, mov, mkv, other = Names(watching=False), item("a.mov"), item("a.mkv"), item("b.mkv")
    assert [names.claim(each.target, each) for each in (mov, other)] == [None, None]
    names.open(mov)
    assert names.is_open(mkv) and not names.is_open(other)  # it may come out as a.mkv
    names.opened(mov, "a.mkv")
    assert not names.is_open(mkv)
    assert names.claim(mkv.target, mkv) == mov and names.claim(mov.target, mov) is None
    assert (names.taken(mkv), names.taken(mov)) == ({"a.mkv": "in/a.mov", "a.mov": "in/a.mov"}, {})


@pytest.mark.parametrize("watching", [True, False])
def test_the_name_of_a_video_that_is_gone_is_free_while_watching(tmp_path: Path, watching: bool) -> None:
    names, gone, new = Names(watching), Item(tmp_path / "a", Path("out/x")), Item(tmp_path / "b", Path("out/x"))
    gone.source.touch()
    assert names.claim(gone.target, gone) is None and names.claim(new.target, new) == gone
    gone.source.unlink()
    assert names.claim(new.target, new) == (None if watching else gone)


# --- totals


def step(frames: int, total: int | None, before: int = 0, fps: float = 10.0) -> Step:
    return Step(frames, total, fps, pixels=100, before=before)


def test_the_time_left_is_told_from_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    totals, (a, b, c, d) = Totals(), map(item, "abcd")
    totals.found = 4
    for each in (a, b, c, d):
        totals.add(each)
    assert totals.eta is None
    totals.step(a, step(0, 100))
    totals.weigh(b, 50, 200)
    now = 10.0
    totals.step(a, step(50, 100))  # 5,000 pixels in 10 s
    # a: 5,000 pixels left, b: 10,000, c and d: nothing known, as large as b
    assert totals.eta == pytest.approx((5_000 + 3 * 10_000) / 500)
    totals.end(a, Ended("done", report={"frames_in": 100}))
    totals.end(c, Ended("failed", "x", 4))
    assert totals.eta == pytest.approx((10_000 + 10_000) / 1000)
    assert (totals.frames, totals.left, totals.done) == (100, 2, 1)
    assert [failure.reason for failure in totals.failures] == ["x"]


def test_frames_of_an_interrupted_run_are_not_counted_again() -> None:
    totals, a = Totals(), item("a")
    totals.add(a)
    totals.step(a, step(251, 300, before=250))
    totals.end(a, Ended("done", report={"frames_in": 300}))
    assert totals.frames == 50


def test_the_last_video_takes_as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    totals, a = Totals(), item("a")
    totals.add(a)
    totals.step(a, step(0, 1000))
    now = 1.0
    totals.step(a, step(900, 1000, fps=10))
    assert totals.eta == pytest.approx(10)


# --- division of the cores


def test_cores_are_divided_and_explicit_threads_stay(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidstyle.batch.devices.usable_cores", lambda: 8)
    job = FileJob(Path(), parse_recipe(str(save_tiny(home, "tiny"))))
    assert divided(job, 1) is job
    shared = divided(job, 3)
    assert (shared.engine.threads, shared.reading.threads, shared.writing.encoder.threads) == (2, 2, 2)
    assert divided(job, 99).engine.threads == 1
    assert divided(FileJob(Path(), job.recipe, engine=EngineOptions(threads=5)), 3).engine.threads == 5


# --- lines for people


def test_names_cannot_move_the_cursor() -> None:
    assert plain("new\nline \x1b[2J \udcff é ☃") == "new\\nline \\x1b[2J \\udcff é ☃"


@pytest.mark.parametrize(("seconds", "text"), [(3, "0:03"), (59.6, "1:00"), (125, "2:05"), (3723, "1:02:03")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


REPORT = {"output": "out/a.mp4", "frames_out": 12, "fps": 24.0, "pts_equal": True, "audio_equal": None, "streams": []}


def _dropped(kind: str, harmless: bool) -> dict[str, Any]:
    return {"kind": kind, "action": "dropped", "harmless": harmless}


def test_one_line_an_event() -> None:
    a = item("a.mp4")
    assert line(Event("done", a, 1, {"report": REPORT})) == "done     out/a.mp4: 12 frames, 24.0 fps"
    dropped = {**REPORT, "pts_equal": False, "streams": [_dropped("data", False), _dropped("video", True)]}
    shown = line(Event("done", a, 1, {"report": dropped}))
    assert shown is not None and shown.endswith("TIMES DIFFER; not kept: data")
    assert line(Event("failed", a, 1, {"reason": "in/a.mp4 is empty"})) == "failed   in/a.mp4 is empty"
    assert line(Event("failed", a, 1, {"reason": "SIGSEGV"})) == "failed   in/a.mp4: SIGSEGV"
    assert line(Event("incomplete", a, 1, {"reason": "cut"})) == "damaged  in/a.mp4: cut"
    assert line(Event("start", a, 1, {"why": "was interrupted", "pid": 1})) == "again    in/a.mp4: was interrupted"
    assert line(Event("start", a, 1, {"pid": 1})) is None
    assert line(Event("skipped", a, 0, {"reason": "done before"})) is None


def test_the_beginning_says_what_was_left_out() -> None:
    found = Found([item("a")], passed_over=2, unreadable=["cannot look into in/x: Permission denied"])
    assert list(preface(found, None)) == ["passed over 2 other files (no videos by their names)", *found.unreadable]
    assert list(preface(Found(), None)) == ["no videos found"]
    watched = list(preface(Found(passed_over=3, pictures=2, missing=["inn"]), 5))
    assert watched[2:] == ["pictures among those, for vidstyle image: 2", "not there yet: inn"]
    assert list(preface(Found(), 5)) == ["looking for videos every 5 s; Ctrl-C ends it"]


def test_failures_are_listed_by_reason() -> None:
    totals = Totals(found=23)
    for index in range(20):
        name = f"in/{index}.mp4"
        totals.end(Item(Path(name), Path("out") / name), Ended("failed", f"{name} is empty", 4))
    totals.end(item("b"), Ended("failed", "SIGSEGV", 1))
    totals.end(item("c"), Ended("done"))
    lines = list(summary(totals, 0, Path("out/journal")))
    assert lines[0] == "1 done, 21 failed"
    assert lines[1:3] == ["  failed: it is empty", "    in/0.mp4"]
    assert lines[9:12] == ["    in/7.mp4", "    and 12 more", "  failed: SIGSEGV"]
    assert lines[-2:] == ["1 left: the same command goes on from there", "everything is written down in out/journal"]
    assert how_far(totals) == "1 done, 21 failed, 1 left"


def test_a_failure_that_begins_with_the_videos_name_is_a_sentence_without_it() -> None:
    totals = Totals(found=1)
    totals.end(item("a.mkv"), Ended("failed", "in/a.mkv: no pictures: is it complete?", 4))
    lines = list(summary(totals, 0, Path("out/journal")))
    assert lines[1:3] == ["  failed: no pictures: is it complete?", "    in/a.mkv"]


def test_a_failure_names_a_command_and_not_it() -> None:
    totals = Totals(found=1)
    totals.end(item("a.jpg"), Ended("failed", "in/a.jpg is a picture, not a video: use vidstyle image in/a.jpg", 4))
    lines = list(summary(totals, 0, Path("out/journal")))
    assert lines[1:3] == ["  failed: it is a picture, not a video: use vidstyle image", "    in/a.jpg"]


def test_what_a_machine_of_a_cluster_says_has_the_names_that_were_given() -> None:
    video = item("a.mkv")
    said = f"cannot read {video.source.absolute()}: gone"
    assert video.told(said) == "cannot read in/a.mkv: gone"
    assert video.told("cannot read in/a.mkv: gone") == "cannot read in/a.mkv: gone"


def test_a_long_name_keeps_its_end() -> None:
    assert shortened("in/holiday/beach.mp4", 15) == "…iday/beach.mp4"
    assert shortened("短い", 12) == "短い"


def test_the_table_draws_every_kind_of_row(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its looks are for eyes; that no event breaks it is for tests."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "6")
    totals = Totals(found=9)
    with TableView() as view:
        view.begin(Found(passed_over=1), None)
        view.tick(totals)
        for worker in range(1, 7):
            view.show(Event("start", item(f"{worker}.mp4"), worker, {"pid": 1}))
        view.show(Event("progress", item("1.mp4"), 1, {"frames": 5, "total": 10, "fps": 2.5}))
        view.show(Event("progress", item("x" * 200), 2, {"frames": 5, "total": None, "fps": 0.0}))
        view.tick(totals)
        view.show(Event("failed", item("[bold]1.mp4"), 1, {"reason": "in/[bold]1.mp4 is empty"}))
        view.end(totals, 130, Path("journal"))
    shown = capsys.readouterr().err
    assert "failed   in/[bold]1.mp4 is empty" in shown
    assert "stopped with 9 left" in shown


@pytest.mark.parametrize("every", [None, 5.0])
def test_only_a_watched_folder_is_waited_for(
    every: float | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with TableView() as view:
        view.begin(Found(), every)
        view.tick(Totals(found=1, done=1))
    shown = capsys.readouterr().err
    assert "1 done" in shown and ("waiting for videos" in shown) == (every is not None)


# --- the report


class Silent:
    def show(self, event: Event) -> None: ...
    def tick(self, totals: Totals) -> None: ...


def test_the_report_is_whole_also_after_an_interruption(tmp_path: Path) -> None:
    path, totals = tmp_path / "report.json", Totals(found=3)
    with pytest.raises(KeyboardInterrupt), reported(Silent(), path) as view:
        view.show(Event("start", item("a"), 1))
        view.show(Event("done", item("a"), 1, {"report": REPORT}))
        view.show(Event("failed", item("b\udcff"), 1, {"reason": "x", "code": 4}))
        view.tick(totals)
        raise KeyboardInterrupt
    found = json.loads(path.read_text())
    ends = [(entry["source"], entry["status"]) for entry in found["files"]]
    assert ends == [("in/a", "done"), ("in/b\udcff", "failed")]
    assert found["totals"]["found"] == 3


@pytest.mark.skipif(sys.platform == "win32", reason="no limit can be set there")
@pytest.mark.parametrize("ends", [22, 60])
def test_a_disk_that_is_full_for_the_report_is_told_and_nothing_of_it_left(tmp_path: Path, ends: int) -> None:
    """After 22 ends the last write fails, after 60 one on the way; both with more that waits to be written."""
    import resource

    item, before = Item(Path("a.mp4"), Path("b.mp4")), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # writing more fails, as on a full disk
    try:
        with pytest.raises(SinkError, match="cannot write"), reported(Silent(), tmp_path / "report.json") as view:
            for _ in range(ends):
                view.show(Event("done", item, data={"report": "x" * 1000}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_the_reports_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"
    with reported(Silent(), path):
        pass
    assert json.loads(path.read_text())["files"] == []


def test_a_report_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "no").touch()
    with pytest.raises(SinkError, match="cannot write"), reported(Silent(), tmp_path / "no" / "report.json"):
        pytest.fail("it was not told")
    for name in ("vidstyle-batch.jsonl", "a.mp4"):
        with pytest.raises(UsageError, match=r"has .* name: give"), reported(Silent(), tmp_path / name):
            pytest.fail("it would go over what the batch makes")
    (tmp_path / "old.jsonl").write_text('{"event": "done"}')
    with pytest.raises(SinkError, match="is no report"), reported(Silent(), tmp_path / "old.jsonl"):
        pytest.fail("it would go over a journal")
    for folder in (tmp_path, Path()):
        with pytest.raises(SinkError, match="is a folder"), reported(Silent(), folder):
            pytest.fail("it was not told")
