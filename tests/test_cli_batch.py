"""`vidstyle batch` at the command line: real videos, real workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from batch_shop import Shop, rest, wait_for
from filelock import FileLock
from media import video_times

from vidstyle import cli
from vidstyle.batch.journal import LOCK
from vidstyle.signals import CODES

pytest_plugins = "batch_fixtures"


@pytest.fixture
def main(shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """The command in this process, for what ends before any worker starts: gives exit code and stderr."""
    monkeypatch.chdir(shop.folder)
    handlers = {number: signal.getsignal(number) for number in CODES}

    def run(*args: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            cli.main(shop.command(*args)[3:])
        return int(end.value.code or 0), capsys.readouterr().err

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_tree_is_mirrored_then_skipped_then_made_anew(shop: Shop) -> None:
    for name in ("a.mp4", "sub/deep/b.mkv", "sub/new\nline ☃.mp4"):
        shop.clip(name)
    (shop.folder / "in" / "picture.JPG").touch()
    expected = ["a.tiny.mp4", "sub/deep/b.tiny.mkv", "sub/new\nline ☃.tiny.mp4"]

    done = shop.run("in", "--report", "report.json")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "passed over 1 other file" in done.stderr and "for vidstyle image: 1\n" in done.stderr
    assert "3 done in" in done.stderr
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
    assert done.stderr.count("made anew: an option of writing changed (--crf was not given, is 40)") == 4
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


def test_a_named_encoders_mistakes_are_told_before_any_video(main: Callable[..., tuple[int, str]], shop: Shop) -> None:
    """Every video failed by them, in a folder that was made for nothing; a dry run saw none."""
    shop.clip("a.mp4")
    for words, told in (
        ("--codec h265x", "no encoder 'h265x' here"),
        ("--codec hevc --crf 70", "--crf is 70: libx265 takes 0 to 51"),
        ("--codec hevc --preset quick", "--preset is 'quick'"),
        ("--codec vp9 --pixel-format rgb", "has no pixel format 'rgb'"),
        ("--codec h264 --encoder-option nothing=1", "has no option 'nothing'"),
    ):
        for more in ([], ["--dry-run"]):
            code, error = main("in", *words.split(), *more)
            assert (code, error.count("\n")) == (2, 1) and told in error, error
    assert not shop.out.exists()


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
        (["in", "--dry-run", "--cache", "20"], 2, "--cache is for --cluster and URLs"),
        (["in", "--dry-run", "--cluster", "local", "--work", "journal"], 2, "--work is for --cluster and URLs"),
        (["in", "--dry-run", "--every", "5"], 2, "--every is for --watch"),
        (["in", "--dry-run", "--watch"], 2, "--watch"),
        (["in", "--dry-run", "--report", "r.json"], 2, "--report is for a run"),
        (["in", "--report", "in/a.mp4/report.json"], 5, "cannot write in/a.mp4/report.json"),
        (["in", "-o", "in/a.mp4"], 5, "in/a.mp4 is a file"),
        (["in", "-o", "o" * 300], 5, "File name too long"),
        (["in", "-o", ""], 2, "a name is empty"),
        (["in", ""], 2, "a name is empty"),
        ([], 2, "IN"),
    ],
)
def test_mistakes_are_one_line_and_a_code(
    shop: Shop, main: Callable[..., tuple[int, str]], args: list[str], code: int, says: str
) -> None:
    (shop.folder / "in" / "a.mp4").write_bytes(b"never opened")
    found, error = main(*args)
    assert found == code, error
    assert says in error and len(error.strip().splitlines()) == 1
    assert not list(shop.folder.rglob("*.tiny.mp4"))


def test_a_config_file_may_say_what_this_run_does_not_use(
    shop: Shop, home: Path, main: Callable[..., tuple[int, str]]
) -> None:
    (home / "config.toml").write_text("[batch]\ncache = 5\nevery = 1\nwork = 'journal'\nreport = 'r.json'")
    (shop.folder / "in" / "a.mp4").write_bytes(b"never opened")
    code, error = main("in", "--dry-run")
    assert (code, error) == (0, "")


def test_two_batches_on_one_folder(shop: Shop, main: Callable[..., tuple[int, str]]) -> None:
    (shop.folder / "in" / "a.mp4").write_bytes(b"never opened")
    shop.out.mkdir()
    with FileLock(shop.out / LOCK):
        code, error = main("in")
    assert code == 5 and "another batch is at work in out" in error
    assert shop.results() == []


def test_a_container_that_holds_more_is_remembered(shop: Shop, shared: Callable[[str], Path]) -> None:
    shop.copy(shared("media/sample_with_ass_subtitles.mkv"), "a.webm")  # which cannot hold such subtitles
    assert "in/a.webm -> out/a.tiny.mkv" in shop.run("in", "--dry-run").stdout
    done = shop.run("in")
    assert done.returncode == 0, done.stderr
    assert shop.results() == ["a.tiny.mkv"]
    assert any("written as .mkv" in note for note in shop.journal("done")[0]["report"]["notes"])
    for more in ([], ["--json"]):  # programs are told the file that there is, also of what was made before
        skipped = shop.run("in", "--report", "report.json", *more)
        told = json.loads((shop.folder / "report.json").read_text())["files"]
        told += [event for event in map(json.loads, skipped.stdout.splitlines()) if event["event"] == "skipped"]
        assert [(file["source"], file["output"]) for file in told] == [("in/a.webm", "out/a.tiny.mkv")] * (
            1 + len(more)
        )
    planned = shop.run("in", "--dry-run").stdout
    assert "in/a.webm -> out/a.tiny.mkv  (done before)" in planned and "0 to do, 1 to skip, 0 would fail" in planned


def _clip_with_opus(path: Path) -> None:
    """Sound that a .mov of ours cannot hold: the result becomes .mkv."""
    with av.open(str(path), "w", format="mp4") as out:
        video, sound = out.add_stream("libx264", rate=25), out.add_stream("libopus", rate=48000, layout="mono")
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        picture, tone = av.VideoFrame(64, 48, "yuv420p"), av.AudioFrame("s16", "mono", 960)
        picture.pts, tone.pts, tone.sample_rate = 0, 0, 48000
        for packet in (*video.encode(picture), *video.encode(None), *sound.encode(tone), *sound.encode(None)):
            out.mux(packet)


def test_two_videos_never_become_one_file(shop: Shop) -> None:
    shop.clip("a.mkv", 5)
    _clip_with_opus(shop.folder / "in" / "a.mov")
    for options in (["--overwrite", "--jobs", "2"], []):
        done = shop.run("in", *options)
        assert done.returncode == 3, done.stderr
        assert "in/a.mkv becomes out/a.tiny.mkv too: rename one" in done.stderr
        assert shop.results() == ["a.tiny.mkv"] and len(video_times(shop.out / "a.tiny.mkv")) == 5
    assert "1 skipped, 1 failed" in done.stderr


def test_files_in_the_way_of_three_videos_do_not_end_the_batch(shop: Shop) -> None:
    """What they would become is known only when they are open: it is no disk that refuses everything."""
    shop.out.mkdir()
    for name in "abc":
        _clip_with_opus(shop.folder / "in" / f"{name}.mov")
        (shop.out / f"{name}.tiny.mkv").write_bytes(b"a person's own")
    shop.clip("d.mp4")
    done = shop.run("in")
    assert done.returncode == 3 and "1 done, 3 failed" in done.stderr, done.stderr
    assert done.stderr.count("exists and no batch made it") == 6
    assert (shop.out / "a.tiny.mkv").read_bytes() == b"a person's own"


def test_of_two_videos_with_one_result_the_second_fails_by_name_and_the_rest_is_done(shop: Shop) -> None:
    """Whatever the order of the folders, what is done stays done; and the journal says it once."""
    shop.clip("a.mp4", 3)
    shop.clip("b.mp4", 3)
    (shop.folder / "other").mkdir()
    shop.clip("../other/a.mp4", 7)
    says = "in/a.mp4 becomes out/a.tiny.mp4 too: rename one, or give the folder above both"
    plan = shop.run("in", "other", "--dry-run")
    assert says in plan.stdout and "2 to do (about 6 frames), 0 to skip, 1 would fail" in plan.stdout
    done = shop.run("in", "other")
    assert done.returncode == 3 and says in done.stderr and "2 done, 1 failed" in done.stderr
    for inputs in (["in", "other"], ["in", "other"], ["other", "in"], ["other", "in"]):
        done = shop.run(*inputs)
        assert done.returncode == 3 and "2 skipped, 1 failed" in done.stderr, done.stderr
        assert len(video_times(shop.out / "a.tiny.mp4")) == 3
    assert [Path(line["source"]).parent.name for line in shop.journal("failed")] == ["other", "other"]  # two reasons
    assert len(shop.journal("skipped")) == 2


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


@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--cluster", "local"]])
def test_an_output_that_can_be_no_folder_is_refused(
    main: Callable[..., tuple[int, str]], shop: Shop, more: Any
) -> None:
    """A folder of that name was planned, and made, without a word."""
    shop.clip("a.mp4")
    (shop.folder / "taken").write_text("a file")
    (shop.folder / "made.mp4").mkdir()
    before = sorted(shop.folder.rglob("*"))
    for output, code, told in (
        ("x.mp4", 2, "results go to a folder, got -o x.mp4: write x.mp4/ if a folder has that name"),
        ("x.PNG", 2, "results go to a folder, got -o x.PNG"),
        ("-", 2, "this command writes files, got standard output: give a folder with -o"),
        ("taken", 5, "taken is a file, and results go to a folder: give its name with -o"),
    ):
        ended, error = main("in", "-o", output, *more)
        assert (ended, error.count("\n")) == (code, 1) and told in error
    ended, error = main("in", "-", *more)
    assert ended == 2 and "got standard input: vidstyle file - reads that" in error
    assert sorted(shop.folder.rglob("*")) == before
    if more == ["--dry-run"]:
        assert [main("in", "-o", name, *more)[0] for name in ("made.mp4", "new.mp4/", "v1.2")] == [0, 0, 0]


def test_a_mistyped_folder_to_watch_is_told(shop: Shop) -> None:
    """It was waited for in silence."""
    shop.clip("a.mp4")
    process = shop.start("in", "inn", "late/*.mp4", "--watch", "--every", "0.2")
    begin = wait_for(process, lambda event: event["event"] == "begin")
    assert begin["missing"] == ["inn", "late/*.mp4"]
    process.send_signal(signal.SIGINT)
    assert rest(process)[0] == 130
