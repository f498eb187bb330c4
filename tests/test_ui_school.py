"""The training beside the page."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from processes import gone
from ui_client import until

from vidstyle.errors import StyleError, UsageError
from vidstyle.training_pictures import ENDINGS
from vidstyle.ui import school
from vidstyle.ui.school import School

PYTHON = sys.executable


@pytest.fixture
def teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[School]:
    """A school whose `vidstyle train` says what it was asked, then waits where it is not quick."""
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\necho "asked: $*"\ncase "$*" in *--quick*) exit 3;; *) exec sleep 60;; esac\n')
    program.chmod(0o700)
    monkeypatch.setattr(school.sys, "executable", str(program))
    one = School(tmp_path / "school")
    for kind in ("photos", "exemplars"):
        one.place(kind, "a.jpg").write_bytes(b"x")
    yield one
    one.close()


def test_a_training_runs_and_is_stopped(teacher: School) -> None:
    teacher.start("mine", way="standard")
    until(lambda: "asked: -m vidstyle train mine --photos" in teacher.state()["log"])
    assert teacher.state()["running"] and teacher.state()["name"] == "mine"
    with pytest.raises(UsageError, match="under way"):
        teacher.start("other", way="standard")
    with pytest.raises(UsageError, match="under way"):
        teacher.place("photos", "b.jpg")
    teacher.stop()
    assert not teacher.state()["running"] and teacher.state()["stopped"]


def test_a_second_page_leaves_the_first_ones_training_alone(teacher: School) -> None:
    teacher.start("mine", way="standard")
    second = School(teacher.folder)
    until(lambda: "asked:" in second.state()["log"])
    with pytest.raises(UsageError, match="under way in another vidstyle ui: wait for its end, or stop it there"):
        second.start("other", way="standard")
    for change in (lambda: second.place("photos", "b.jpg"), lambda: second.clear("photos")):
        with pytest.raises(UsageError, match="pictures can be changed when it has ended"):
            change()
    assert second.state()["name"] == "mine" and second.state()["photos"] == 1
    teacher.stop()
    second.place("photos", "b.jpg")
    second.clear("photos")
    assert second.state()["photos"] == 0


def test_how_a_training_ended_is_told(teacher: School) -> None:
    teacher.start("mine", way="quick")
    until(lambda: not teacher.is_running)
    assert teacher.state()["code"] == 3 and not teacher.state()["stopped"]
    assert School(teacher.folder).state()["log"].startswith("asked:")  # another page, later


def test_the_page_takes_every_picture_that_a_training_reads(teacher: School) -> None:
    for ending in ENDINGS:
        assert teacher.place("exemplars", f"b{ending}").exists()


def test_pictures_of_one_name_are_numbered(teacher: School) -> None:
    for data in (b"y", b"z"):
        teacher.place("photos", "a.jpg").write_bytes(data)
    found = {path.name: path.read_bytes() for path in (teacher.folder / "photos").iterdir()}
    assert found == {"a.jpg": b"x", "a-2.jpg": b"y", "a-3.jpg": b"z"}


def test_the_same_picture_again_is_kept_once(teacher: School) -> None:
    for data in (b"y", b"x", b"y"):
        path = teacher.place("photos", "a.jpg")
        path.write_bytes(data)
        teacher.settle("photos", "a.jpg", path)
    found = {path.name: path.read_bytes() for path in (teacher.folder / "photos").iterdir()}
    assert found == {"a.jpg": b"x", "a-2.jpg": b"y"}


@pytest.mark.parametrize(("way", "option"), [("quick", "--quick"), ("paired", "--paired"), ("standard", "")])
def test_each_way_is_an_option_of_the_command(teacher: School, way: str, option: str) -> None:
    teacher.start("mine", way)
    until(lambda: "asked:" in teacher.state()["log"])
    assert teacher.state()["log"].partition("--attended")[2].strip() == option
    assert teacher.state()["way"] == School(teacher.folder).state()["way"] == way


def test_pairs_are_counted_by_names_and_folders(teacher: School) -> None:
    for kind, name in (("photos", "day 1/b.jpg"), ("exemplars", "day 1/B.jpg.png"), ("exemplars", "b.png")):
        teacher.place(kind, name).write_bytes(b"y")
    state = teacher.state()
    assert (state["photos"], state["exemplars"], state["pairs"]) == (2, 3, 2)


def test_of_two_pictures_of_one_name_none_is_taken_for_a_pair(teacher: School) -> None:
    """Numbered, the drawing of one would be that of another, which nobody could see."""
    for kind in ("photos", "exemplars"):
        path = teacher.place(kind, "a.jpg")
        path.write_bytes(b"y")
        teacher.settle(kind, "a.jpg", path)
    with pytest.raises(UsageError, match=r"a\.jpg came more than once, each time another picture, .*: remove all"):
        teacher.start("mine", way="paired")
    assert not teacher.is_running
    for kind in ("photos", "exemplars"):
        teacher.clear(kind)
        path = teacher.place(kind, "a.jpg")
        path.write_bytes(b"y")
        teacher.settle(kind, "a.jpg", path)
    teacher.start("mine", way="paired")


def test_why_a_training_was_refused_is_told(teacher: School, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By the command itself, without the folder that nobody chose."""
    monkeypatch.setattr(school.sys, "executable", PYTHON)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.setenv("VIDSTYLE_HOME", str(tmp_path / "home"))
    teacher.start("mine", way="paired")
    until(lambda: not teacher.is_running)
    assert teacher.state()["code"] == 4
    assert teacher.state()["why"].startswith(
        "1 photos in photos, 1 drawings in exemplars, and 1 have the same name; at least 20 are needed"
    )
    teacher.place("photos", "a.png").write_bytes(b"y")
    teacher.start("mine", way="paired")
    assert teacher.state()["why"] == ""
    until(lambda: not teacher.is_running)
    assert teacher.state()["why"].startswith("Photos: a.jpg and a.png have one name")


#: a page with a training, and `vidstyle train` that takes long
PAGE = """
import sys, time
from pathlib import Path
from vidstyle.ui.school import School
school = School(Path(sys.argv[1]))
for kind in ("photos", "exemplars"):
    school.place(kind, "a.jpg").write_bytes(b"x")
sys.executable = sys.argv[2]
school.start("mine", way="standard")
print(school._process.pid, flush=True)
time.sleep(60)
"""
TRAIN = "import time; from vidstyle import cli; cli.train._training = lambda _: time.sleep(60); cli.main()"


def test_a_training_ends_with_a_page_that_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nshift 2\nexec "{sys.executable}" -c "{TRAIN}" "$@"\n')
    program.chmod(0o700)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "VIDSTYLE_HOME": str(tmp_path)}
    args = [sys.executable, "-c", PAGE, str(tmp_path / "school"), str(program)]
    with subprocess.Popen(args, env=env, stdout=subprocess.PIPE, text=True) as page:
        assert page.stdout is not None
        pid = int(page.stdout.readline())
        page.kill()
    try:
        assert gone([pid])
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_training_needs_pictures_and_a_name(teacher: School) -> None:
    with pytest.raises(StyleError):
        teacher.start("../x", way="quick")
    with pytest.raises(UsageError, match="not taken"):
        teacher.place("photos", "a.exe")
    with pytest.raises(UsageError, match="not taken"):
        teacher.place("../other", "a.jpg")
    with pytest.raises(UsageError, match=r"all\.zip is a zip: unpack it"):
        teacher.place("photos", "all.zip")
    with pytest.raises(UsageError, match="no way of training 'best': there are quick, paired, standard"):
        teacher.start("mine", way="best")
    teacher.clear("photos")
    with pytest.raises(UsageError, match="needs photos"):
        teacher.start("mine", way="quick")
