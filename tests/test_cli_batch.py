"""`vidstyle batch` at the command line: real videos, real workers, real signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from filelock import FileLock
from media import make_clip, save_tiny, video_times

from vidstyle import cli
from vidstyle.batch.journal import LOCK, NAME

#: two segments of a picture a second, so that a stop soon finds finished ones, and many pictures after them
LONG = [i * 12800 for i in range(20)] + [20 * 12800 + i * 512 for i in range(500)]
Events = list[dict[str, Any]]


class Shop:
    """A folder with videos in ``in``, results in ``out``, and the command that makes them."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        (folder / "in").mkdir()
        self.env = {**os.environ, "VIDSTYLE_HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[1])}
        self.running: list[subprocess.Popen[str]] = []

    def copy(self, clip: Path, name: str) -> None:
        shutil.copy(clip, self.folder / "in" / name)

    def clip(self, name: str, frames: int = 3, **more: Any) -> Path:
        path = self.folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return make_clip(path, frames, audio=0, **more).path

    def command(self, *args: object) -> list[str]:
        return [sys.executable, "-m", "vidstyle", "batch", "-o", "out", "--style", "tiny", *map(str, args)]

    def run(self, *args: object, **more: Any) -> subprocess.CompletedProcess[str]:
        env = {**self.env, **more.pop("env", {})}
        options = {"capture_output": True, "text": True, "timeout": 120, "cwd": self.folder, "env": env, **more}
        return subprocess.run(self.command(*(args or ("in",))), **options)

    def start(self, *args: object) -> subprocess.Popen[str]:
        options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(self.command("--json", *args), cwd=self.folder, env=self.env, **options)
        self.running.append(process)
        return process

    def journal(self, *events: str) -> Events:
        lines = [json.loads(line) for line in (self.out / NAME).read_text().splitlines()]
        return [line for line in lines if line["event"] in events] if events else lines

    def results(self) -> list[str]:
        """Everything in the output folder but the journal and its lock."""
        paths = (path for path in self.out.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.out)) for path in paths if path.name not in (NAME, LOCK))


@pytest.fixture
def shop(home: Path, tmp_path: Path) -> Iterator[Shop]:
    save_tiny(home / "styles", "tiny")
    shop = Shop(tmp_path, home)
    yield shop
    for process in shop.running:
        process.kill()
        process.communicate()


@pytest.fixture
def main(shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """The command in this process, for what ends before any worker starts: gives exit code and stderr."""
    monkeypatch.chdir(shop.folder)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*args: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            cli.main(shop.command(*args)[3:])
        return int(end.value.code or 0), capsys.readouterr().err

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that takes long enough to be caught in the middle."""
    return make_clip(tmp_path_factory.mktemp("long") / "long.mp4", pts=LONG, size=(320, 240), audio=0).path


def wait_for(process: subprocess.Popen[str], wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first event of a kind."""
    assert process.stdout is not None and process.stderr is not None
    for text in process.stdout:
        if wanted(event := json.loads(text)):
            return event
    raise AssertionError(f"it ended: {process.stderr.read()}")


def styled(frames: int) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["event"] == "progress" and event["frames"] >= frames


def rest(process: subprocess.Popen[str]) -> tuple[int, Events, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, [json.loads(line) for line in out.splitlines()], err


def wait_until_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert alive == []


def test_a_tree_is_mirrored_then_skipped_then_made_anew(shop: Shop) -> None:
    for name in ("a.mp4", "sub/deep/b.mkv", "sub/new\nline ☃.mp4"):
        shop.clip(name)
    (shop.folder / "in" / "picture.jpg").touch()
    expected = ["a.tiny.mp4", "sub/deep/b.tiny.mkv", "sub/new\nline ☃.tiny.mp4"]

    done = shop.run("in", "--report", "report.json")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "passed over 1 other file" in done.stderr and "3 done in" in done.stderr
    assert shop.results() == expected
    assert [len(video_times(shop.out / name)) for name in expected] == [3, 3, 3]
    assert [line["report"]["frames_out"] for line in shop.journal("done")] == [3, 3, 3]
    report = json.loads((shop.folder / "report.json").read_text())
    assert [file["report"]["pts_equal"] for file in report["files"]] == [True] * 3
    assert report["totals"]["done"] == 3

    before = [(shop.out / name).stat().st_mtime_ns for name in expected]
    shop.clip("sub/c.mp4")
    done = shop.run("--json", "in")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert (done.returncode, done.stderr) == (0, "")
    assert kinds[0] == "begin" and kinds[-1] == "end" and kinds.count("skipped") == 3
    assert [kind for kind in kinds if kind in ("start", "done")] == ["start", "done"]
    assert events[-1]["done"] == 1 and events[-1]["skipped"] == 3 and events[-1]["failures"] == []
    assert [(shop.out / name).stat().st_mtime_ns for name in expected] == before

    done = shop.run("in", "--crf", "40")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("made anew: an option of writing changed") == 4
    assert all((shop.out / name).stat().st_mtime_ns > old for name, old in zip(expected, before, strict=True))


def test_what_fails_is_told_and_does_not_stop_the_rest(shop: Shop) -> None:
    shop.clip("z.mp4")
    whole = shop.clip("whole.mkv", 100).read_bytes()
    inputs = shop.folder / "in"
    (inputs / "whole.mkv").unlink()
    (inputs / "cut.mkv").write_bytes(whole[: len(whole) * 6 // 10])
    (inputs / "empty.mp4").touch()
    (inputs / "text.mov").write_text("no video at all")
    done = shop.run("in")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr and "1 done, 3 failed" in done.stderr
    for reason in ("it is empty (0 bytes)", "it is not a video that can be read", "it is cut short"):
        assert sum(reason in line for line in done.stderr.split("  failed: ")[1:]) == 1, done.stderr
    assert shop.results() == ["cut.tiny.mkv", "z.tiny.mp4"]
    assert [(line["output"], line["code"]) for line in shop.journal("failed")] == [
        ("empty.tiny.mp4", 4),
        ("text.tiny.mov", 4),
    ]
    assert [line["output"] for line in shop.journal("incomplete")] == ["cut.tiny.mkv"]

    shop.clip("empty.mp4")  # copied again
    done = shop.run("in")
    assert done.returncode == 3 and "1 done, 1 skipped, 2 failed" in done.stderr
    assert "again    in/text.mov: failed before, 1 of 3 times" in done.stderr
    assert len(shop.journal("started")) == 6  # of cut.mkv there is all that can be


def test_the_commands_own_mistakes_cost_no_video(shop: Shop) -> None:
    for index in range(5):
        shop.clip(f"{index}.mp4")
    done = shop.run("in", "--device", "tpu")
    assert done.returncode == 3
    assert (
        "3 failed" in done.stderr and "stopped; mend it, then run it again" in done.stderr and "2 left" in done.stderr
    )
    assert shop.run("in").returncode == 0
    assert len(shop.results()) == 5


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
    wait_until_gone(children)
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
    wait_until_gone(children)
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
    process.send_signal(signal.SIGINT)
    code, events, errors = rest(process)
    assert (code, errors) == (130, "") and events[-1]["left"] == 1
    assert not psutil.pid_exists(pid)


def test_watching_takes_videos_when_they_are_complete(shop: Shop) -> None:
    whole = shop.clip("a.mp4", 50).read_bytes()
    path = shop.folder / "in" / "a.mp4"
    path.write_bytes(whole[: len(whole) // 2])  # half a copy: it does not open
    process = shop.start("in", "--watch", "--every", "0.2")
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
    process.send_signal(signal.SIGINT)
    code, events, errors = rest(process)
    assert (code, errors) == (130, "") and events[-1]["done"] == 3
    assert shop.results() == ["a.tiny.mp4", "new/b.tiny.mp4"]


def test_a_dry_run_writes_nothing(shop: Shop) -> None:
    shop.clip("a.mp4", 12)
    shop.clip("b.mp4", 25)
    (shop.folder / "in" / "empty.mp4").touch()
    done = shop.run("in", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "do      12 frames  in/a.mp4 -> out/a.tiny.mp4" in done.stdout
    assert "fail               in/empty.mp4 is empty" in done.stdout
    assert "2 to do (about 37 frames), 0 to skip, 1 would fail" in done.stdout
    assert not shop.out.exists()
    assert shop.run("in/a.mp4").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in shop.out.iterdir()}
    done = shop.run("in", "--dry-run", "--json")
    plan = {event["source"]: event["action"] for event in map(json.loads, done.stdout.splitlines()[:-1])}
    assert plan == {"in/a.mp4": "skip", "in/b.mp4": "do", "in/empty.mp4": "fail"}
    assert {path: path.stat().st_mtime_ns for path in shop.out.iterdir()} == before


def test_files_of_others_are_kept(shop: Shop) -> None:
    shop.clip("a.mp4")
    shop.clip("b.mp4")
    shop.out.mkdir()
    mine = shop.out / "a.tiny.mp4"
    mine.write_bytes(b"mine")
    done = shop.run("in")
    assert done.returncode == 3 and "exists and no batch made it" in done.stderr
    assert mine.read_bytes() == b"mine" and shop.results() == ["a.tiny.mp4", "b.tiny.mp4"]


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["in", "missing.mp4"], 4, "no such file or folder: missing.mp4"),
        (["in/*.avi"], 2, "nothing matches"),
        (["in", "--style", "tinny"], 7, "tinny"),
        (["in", "--jobs", "0"], 2, "--jobs"),
        (["in", "--dry-run", "--watch"], 2, "--watch"),
        (["in", "clash"], 2, "would both become out/a.tiny.mp4"),
        (["in", "--report", "no/report.json"], 5, "cannot write no/report.json"),
        (["in", "-o", "in/a.mp4"], 5, "in/a.mp4 is a file"),
        ([], 2, "IN"),
    ],
)
def test_mistakes_are_one_line_and_a_code(
    shop: Shop, main: Callable[..., tuple[int, str]], args: list[str], code: int, says: str
) -> None:
    for name in ("in/a.mp4", "clash/a.mp4"):
        (shop.folder / name).parent.mkdir(exist_ok=True)
        (shop.folder / name).write_bytes(b"never opened")
    found, error = main(*args)
    assert found == code, error
    assert says in error and len(error.strip().splitlines()) == 1
    assert not list(shop.folder.rglob("*.tiny.mp4"))


def test_two_batches_on_one_folder(shop: Shop, main: Callable[..., tuple[int, str]]) -> None:
    (shop.folder / "in" / "a.mp4").write_bytes(b"never opened")
    shop.out.mkdir()
    with FileLock(shop.out / LOCK):
        code, error = main("in")
    assert code == 5 and "another batch is at work in out" in error
    assert shop.results() == []


def test_a_container_that_holds_more_is_remembered(shop: Shop, shared: Callable[[str], Path]) -> None:
    shop.copy(shared("media/sample_with_ass_subtitles.mkv"), "a.webm")  # which cannot hold such subtitles
    done = shop.run("in")
    assert done.returncode == 0, done.stderr
    assert shop.results() == ["a.tiny.mkv"]
    assert any("written as .mkv" in note for note in shop.journal("done")[0]["report"]["notes"])
    assert "0 to do, 1 to skip, 0 would fail" in shop.run("in", "--dry-run").stdout


def test_results_beside_their_sources_are_not_styled_again(shop: Shop) -> None:
    shop.clip("a.mp4")
    assert shop.run("in", "-o", "in").returncode == 0
    done = shop.run("in", "-o", "in", "--dry-run")
    assert "0 to do, 1 to skip, 0 would fail" in done.stdout
    assert sorted(path.name for path in (shop.folder / "in").glob("*.mp4")) == ["a.mp4", "a.tiny.mp4"]


def test_odd_names_an_ascii_terminal_and_no_standard_input(shop: Shop) -> None:
    names = ["-dash.mp4", "new\nline.mp4", "ünï ☃.mp4", "100%d.mp4", "concat:a.mp4", os.fsdecode(b"\xff.mp4")]
    for name in names:
        shop.clip("x.mp4").rename(shop.folder / "in" / name)
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = ["sh", "-c", 'exec "$@" <&-', "sh", *shop.command("--", *names)]
    done = subprocess.run(
        command, cwd=shop.folder / "in", env={**shop.env, **plain}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    results = [path.name for path in (shop.folder / "in" / "out").glob("*.tiny.mp4")]
    assert sorted(results) == sorted(name.replace(".mp4", ".tiny.mp4") for name in names)
    assert len(done.stderr.splitlines()) == len(names) + 1  # a newline in a name starts no line


def test_no_videos_is_no_error(main: Callable[..., tuple[int, str]]) -> None:
    code, error = main("in")
    assert code == 0 and "no videos found" in error
