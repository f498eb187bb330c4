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
from vidstyle.ui import school
from vidstyle.ui.school import School


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
    teacher.start("mine", quick=False)
    until(lambda: "asked: -m vidstyle train mine --photos" in teacher.state()["log"])
    assert teacher.state()["running"] and teacher.state()["name"] == "mine"
    with pytest.raises(UsageError, match="under way"):
        teacher.start("other", quick=False)
    with pytest.raises(UsageError, match="under way"):
        teacher.place("photos", "b.jpg")
    teacher.stop()
    assert not teacher.state()["running"] and teacher.state()["stopped"]


def test_a_second_page_leaves_the_first_ones_training_alone(teacher: School) -> None:
    teacher.start("mine", quick=False)
    second = School(teacher.folder)
    until(lambda: "asked:" in second.state()["log"])
    with pytest.raises(UsageError, match="under way in another vidstyle ui: wait for its end, or stop it there"):
        second.start("other", quick=False)
    for change in (lambda: second.place("photos", "b.jpg"), lambda: second.clear("photos")):
        with pytest.raises(UsageError, match="pictures can be changed when it has ended"):
            change()
    assert second.state()["name"] == "mine" and second.state()["photos"] == 1
    teacher.stop()
    second.place("photos", "b.jpg")
    second.clear("photos")
    assert second.state()["photos"] == 0


def test_how_a_training_ended_is_told(teacher: School) -> None:
    teacher.start("mine", quick=True)
    until(lambda: not teacher.is_running)
    assert teacher.state()["code"] == 3 and not teacher.state()["stopped"]
    assert School(teacher.folder).state()["log"].startswith("asked:")  # another page, later


def test_the_page_takes_every_picture_that_a_training_reads(teacher: School) -> None:
    from training.pictures import EXTENSIONS

    for ending in EXTENSIONS:
        assert teacher.place("exemplars", f"b{ending}").exists()


def test_pictures_of_one_name_are_numbered(teacher: School) -> None:
    for data in (b"y", b"z"):
        teacher.place("photos", "a.jpg").write_bytes(data)
    found = {path.name: path.read_bytes() for path in (teacher.folder / "photos").iterdir()}
    assert found == {"a.jpg": b"x", "a-2.jpg": b"y", "a-3.jpg": b"z"}


#: a page with a training, and `vidstyle train` that takes long
PAGE = """
import sys, time
from pathlib import Path
from vidstyle.ui.school import School
school = School(Path(sys.argv[1]))
for kind in ("photos", "exemplars"):
    school.place(kind, "a.jpg").write_bytes(b"x")
sys.executable = sys.argv[2]
school.start("mine", quick=False)
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
        teacher.start("../x", quick=True)
    with pytest.raises(UsageError, match="not taken"):
        teacher.place("photos", "a.exe")
    with pytest.raises(UsageError, match="not taken"):
        teacher.place("../other", "a.jpg")
    teacher.clear("photos")
    with pytest.raises(UsageError, match="needs photos"):
        teacher.start("mine", quick=True)
