"""`vidstyle batch` when it, or a worker of it, is stopped, and while it watches: real signals, real processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from batch_shop import Shop, rest, styled, wait_for
from media import make_clip, save_tiny, video_times
from processes import gone

from vidstyle.batch import crew
from vidstyle.batch.decide import Fingerprints
from vidstyle.catalog import parse_recipe
from vidstyle.errors import INTERRUPTED, Interrupted
from vidstyle.job import FileJob
from vidstyle.signals import ECHO

pytest_plugins = "batch_fixtures"

#: two segments of a picture a second, so that a stop soon finds finished ones, and many pictures after them
LONG = [i * 12800 for i in range(20)] + [20 * 12800 + i * 512 for i in range(500)]


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that takes long enough to be caught in the middle."""
    return make_clip(tmp_path_factory.mktemp("long") / "long.mp4", pts=LONG, size=(320, 240), audio=0).path


def test_a_worker_that_is_killed_costs_its_video_only(shop: Shop, long_clip: Path) -> None:
    shop.copy(long_clip, "a.mp4")
    shop.clip("b.mp4")
    process = shop.start("in")
    pid = wait_for(process, lambda event: event["event"] == "start")["pid"]
    wait_for(process, styled(12))
    os.kill(pid, signal.SIGKILL)
    code, events, errors = rest(process)
    assert (code, errors) == (3, "")
    failed = next(event for event in events if event["event"] == "failed")
    assert failed["source"] == "in/a.mp4" and "SIGKILL" in failed["reason"] and failed["code"] == 1
    assert events[-1]["done"] == 1 and shop.journal("failed")[0]["reason"] == failed["reason"]
    done = shop.run("in")
    assert done.returncode == 0 and "failed before, 1 of 3 times" in done.stderr
    report = shop.journal("done")[-1]["report"]
    assert any("interrupted run" in note for note in report["notes"])  # it went on where the worker died
    assert shop.results() == ["a.tiny.mp4", "b.tiny.mp4"]
    assert len(video_times(shop.out / "a.tiny.mp4")) == len(LONG)


def test_a_batch_that_is_killed_leaves_no_process_and_goes_on(shop: Shop, long_clip: Path) -> None:
    shop.clip("a.mp4")
    shop.copy(long_clip, "b.mp4")
    shop.clip("c.mp4")
    process = shop.start("in", "--jobs", "2")
    wait_for(
        process, lambda event: event["event"] == "progress" and event["source"] == "in/b.mp4" and event["frames"] > 15
    )
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 3  # two workers, and the tracker of multiprocessing
    process.kill()
    done = shop.run("in")  # at once, while the worker of the dead batch may still be stopping
    assert gone([child.pid for child in children])
    assert done.returncode == 0, done.stderr
    assert "again    in/b.mp4: was interrupted" in done.stderr and "done before" not in done.stderr
    assert shop.results() == ["a.tiny.mp4", "b.tiny.mp4", "c.tiny.mp4"]
    assert len(video_times(shop.out / "b.tiny.mp4")) == len(LONG)
    skipped = {line["output"] for line in shop.journal("skipped")}
    made = [line["output"] for line in shop.journal("done")]
    assert sorted(made) == ["a.tiny.mp4", "b.tiny.mp4", "c.tiny.mp4"] and skipped <= {"a.tiny.mp4", "c.tiny.mp4"}


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_in_order(shop: Shop, long_clip: Path, sent: int, code: int) -> None:
    """To the whole group, as a terminal does."""
    shop.copy(long_clip, "a.mp4")
    shop.clip("b.mp4")
    process = shop.start("in")
    wait_for(process, styled(12))
    children = psutil.Process(process.pid).children(recursive=True)
    for each in [*children, psutil.Process(process.pid)]:
        each.send_signal(sent)
    found, events, errors = rest(process)
    assert (found, errors) == (code, "")
    assert gone([child.pid for child in children])
    assert [event["event"] for event in events[-2:]] == ["stopped", "end"] and events[-1]["left"] == 2
    assert events[-1]["stopped"] and events[-1]["failures"] == []
    if sent == signal.SIGINT:
        assert shop.run("in").returncode == 0
        assert any("interrupted run" in note for note in shop.journal("done")[0]["report"]["notes"])
        assert shop.results() == ["a.tiny.mp4", "b.tiny.mp4"]


def test_the_second_ctrl_c_does_not_wait(shop: Shop, long_clip: Path) -> None:
    shop.copy(long_clip, "a.mp4")
    process = shop.start("in")
    pid = wait_for(process, lambda event: event["event"] == "start")["pid"]
    wait_for(process, styled(12))
    os.kill(pid, signal.SIGSTOP)  # it will never come to its next frame
    process.send_signal(signal.SIGINT)
    wait_for(process, lambda event: event["event"] == "note")
    time.sleep(2 * ECHO)  # at once it would be the first one, sent twice
    process.send_signal(signal.SIGINT)
    code, events, errors = rest(process)
    assert (code, errors) == (130, "") and events[-1]["left"] == 1
    assert not psutil.pid_exists(pid)


def test_a_signal_while_a_worker_is_born_leaves_no_process(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is heard when the worker is there, and nobody knows of it yet; as in a dry run, where signals raise."""

    @contextmanager
    def heard_at_its_end() -> Iterator[None]:
        yield
        raise Interrupted(INTERRUPTED)

    monkeypatch.setattr(crew, "_deaf", heard_at_its_end)
    template = FileJob(Path(), parse_recipe(str(save_tiny(home / "styles", "tiny"))))
    with pytest.raises(Interrupted), crew.Crew([template], Fingerprints(template)) as workers:
        workers.scout()
    assert multiprocessing.active_children() == []


def test_watching_takes_videos_when_they_are_complete(shop: Shop) -> None:
    whole = shop.clip("a.mp4", 50).read_bytes()
    path = shop.folder / "in" / "a.mp4"
    path.write_bytes(whole[: len(whole) // 2])  # half a copy: it does not open
    process = shop.start("in", "--watch", "--every", "0.2", "--report", "report.json")
    waiting = wait_for(process, lambda event: event["event"] == "waiting")
    assert waiting["source"] == "in/a.mp4" and waiting["reason"]
    with path.open("ab") as file:
        file.write(whole[len(whole) // 2 :])
    assert wait_for(process, lambda event: event["event"] == "done")["report"]["frames_out"] == 50
    shop.clip("new/b.mp4")
    assert wait_for(process, lambda event: event["event"] == "done")["source"] == "in/new/b.mp4"
    shop.clip("a.mp4", 7)  # another one of that name
    again = wait_for(process, lambda event: event["event"] == "start")
    assert again["why"] == "made anew: the source changed"
    assert wait_for(process, lambda event: event["event"] == "done")["report"]["frames_out"] == 7
    for name in ("gone.mp4", "half.mp4"):
        (shop.folder / "in" / name).write_bytes(whole[: len(whole) // 2])
        wait_for(process, lambda event: event["event"] == "waiting")
    (shop.folder / "in" / "gone.mp4").unlink()
    process.send_signal(signal.SIGINT)
    code, events, errors = rest(process)
    assert (code, errors) == (130, "") and events[-1]["done"] == 3
    assert [event["source"] for event in events if event["event"] == "unopened"] == ["in/half.mp4"]
    unopened = json.loads((shop.folder / "report.json").read_text())["files"][-1]
    assert (unopened["source"], unopened["status"]) == ("in/half.mp4", "unopened") and unopened["reason"]
    assert shop.results() == ["a.tiny.mp4", "new/b.tiny.mp4"]
