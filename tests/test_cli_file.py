"""`vidstyle file` at the command line: exit codes, messages, signals, odd names."""

import errno
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media import Clip, left_behind, make_clip, picture, save_tiny, video_times

from vidstyle.account import cut_short
from vidstyle.cli.console import event, human
from vidstyle.cli.progress import _json, _plain
from vidstyle.errors import SinkError, SourceError
from vidstyle.job import Progress


def run(home: Path, *args: object, **more: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "VIDSTYLE_HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "vidstyle", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, **more)  # type: ignore[call-overload]


@pytest.fixture
def styled_home(home: Path) -> Path:
    save_tiny(home / "styles", "tiny")
    return home


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    return make_clip(tmp_path / "in.mp4", frames=10)


def test_command_line(styled_home: Path, clip: Clip, tmp_path: Path) -> None:
    done = run(styled_home, "file", clip.path, "--style", "tiny", "--crf", "30", "--encoder-option", "tune=animation")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "10 frames in, 10 out, every time exact; sound bit-exact" in done.stderr
    assert "tune=animation" in done.stderr and "crf=30" in done.stderr
    assert video_times(tmp_path / "in.tiny.mp4") == clip.times


@pytest.mark.parametrize("name", ["drawn", "drawn/"])
def test_a_folder_gets_the_default_name(styled_home: Path, clip: Clip, tmp_path: Path, name: str) -> None:
    (tmp_path / "drawn").mkdir()
    done = run(styled_home, "file", clip.path, "--style", "tiny", "-o", name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "drawn/in.tiny.mp4" in done.stderr.splitlines()
    assert video_times(tmp_path / "drawn" / "in.tiny.mp4") == clip.times
    assert left_behind(tmp_path, "in.mp4", "drawn") == []


def test_svt_av1_is_silent(styled_home: Path, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads its level once in a process, which may have been another test's."""
    monkeypatch.delenv("SVT_LOG", raising=False)
    done = run(
        styled_home, "file", clip.path, "--style", "tiny", "--codec", "av1", "-o", tmp_path / "out.mkv", "--json"
    )
    assert done.returncode == 0 and done.stderr == ""


def test_json_is_one_object_a_line(styled_home: Path, clip: Clip) -> None:
    done = run(styled_home, "file", clip.path, "--style", "tiny", "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and done.stderr == ""
    assert events[0]["event"] == "progress"
    assert events[-1]["event"] == "done" and events[-1]["frames_out"] == 10 and events[-1]["losses"] == []


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["missing.mp4", "--style", "tiny"], 4, "no such file"),
        (["IN", "--style", "tinny"], 7, "tiny"),
        (["IN", "--style", "tiny", "--size", "huge"], 2, "--size"),
        (["IN", "--style", "tiny", "--start", "1m"], 2, "--start"),
        (["IN", "--style", "tiny", "--start", "1:99"], 2, "--start"),
        (["IN", "--style", "tiny", "--start", "5", "--end", "3"], 2, "--end"),
        (["IN", "--style", "tiny", "--strength", "2"], 2, "strength"),
        (["IN", "--style", "tiny", "--precision", "fp8"], 2, "precision"),
        (["IN", "--style", "tiny", "--device", "tpu"], 6, "tpu"),
        (["IN", "--style", "tiny", "--engine", "onnx"], 2, "openvino"),
        (["IN", "--style", "tiny", "-o", "IN"], 2, "source itself"),
        (["IN", "--style", "tiny", "-o", ""], 2, "name is empty"),
        (["IN", "--style", "tiny", "-o", "https://host/out.mp4"], 2, "the output is a URL"),
        (["IN", "--style", "tiny", "-o", "missing/"], 5, "no folder missing"),
        (["IN", "--style", "tiny", "--encoder-option", "tune"], 2, "name=value"),
        (["IN", "--no-such-option"], 2, "--no-such-option"),
        (["IN", "--style", "tiny", "-o", "x.mkv", "--pipe", "y4m"], 2, "--pipe y4m is for standard output: add -o -"),
        (["IN", "--style", "tiny", "-o", "-", "--resume"], 2, "from a file, got standard output: leave it out"),
        (["-", "--style", "tiny", "-o", "x.mkv", "--resume"], 2, "from a file, got standard input: leave it out"),
        (["IN", "--style", "tiny", "--deinterlace", "on"], 2, "--deinterlace is 'on': expected one of auto"),
        (["IN", "--style", "tiny", "--report", "."], 5, ". is a folder: give a file's name"),
        (["IN", "--style", "tiny", "--report", "in.mp4/x.json"], 5, "in.mp4 is no folder"),
        (["IN", "--style", "tiny", "--report", "IN"], 2, "has a video's name: give one as report.json"),
        (["IN", "--style", "tiny", "-o", "o.mkv", "--report", "o.mkv"], 2, "o.mkv has a video's name"),
        (["IN", "--style", "tiny", "--report", __file__], 5, "exists and is no report: give --report another name"),
        (["IN", "--style", "tiny", "--report", "/dev/null"], 5, "/dev/null exists and is no report"),
        (["x" * 300, "--style", "tiny"], 4, "File name too long"),
        (["IN", "--style", "tiny", "--report", "x" * 300], 5, "File name too long"),
        (["IN", "--style", "tiny", "-o", "/dev/null"], 2, "/dev/null is neither a file nor a folder: - is standard"),
    ],
)
def test_mistakes_are_one_line_and_a_code(
    styled_home: Path, clip: Clip, tmp_path: Path, args: list[str], code: int, says: str
) -> None:
    done = run(styled_home, "file", *[str(clip.path) if a == "IN" else a for a in args], cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr
    assert left_behind(tmp_path, "in.mp4") == []


def test_what_strict_finds_is_named(styled_home: Path, tmp_path: Path) -> None:
    source, output = make_clip(tmp_path / "in.mp4", frames=2).path, tmp_path / "out.webm"  # which cannot hold aac
    done = run(styled_home, "file", source, "--style", "tiny", "-o", output, "--strict")
    assert done.returncode == 1 and output.exists()
    assert "vidstyle: --strict: audio aac: webm cannot hold aac sound" in done.stderr


def test_a_link_to_nothing_is_not_replaced_unasked(styled_home: Path, clip: Clip, tmp_path: Path) -> None:
    (tmp_path / "out.mp4").symlink_to("nowhere.mp4")
    done = run(styled_home, "file", clip.path, "--style", "tiny", "-o", tmp_path / "out.mp4")
    assert done.returncode == 5 and "out.mp4 exists" in done.stderr
    assert (tmp_path / "out.mp4").is_symlink()


def test_a_report_never_replaces_its_video(styled_home: Path, clip: Clip, tmp_path: Path) -> None:
    given = ("--style", "tiny", "-o", "out", "--report", "out.mp4")  # out gets the source's extension
    done = run(styled_home, "file", clip.path, *given, cwd=tmp_path)
    assert done.returncode == 2 and "--report out.mp4 has a video's name" in done.stderr
    assert not (tmp_path / "out.mp4").exists()


def test_a_pipe_format_of_the_config_is_no_mistake_of_a_file(styled_home: Path, clip: Clip, tmp_path: Path) -> None:
    (styled_home / "config.toml").write_text('[file]\npipe = "y4m"\nstyle = "tiny"\n')
    done = run(styled_home, "file", clip.path, "-o", tmp_path / "out.mp4")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("args", [[], ["styles"]])
def test_nothing_given_shows_the_help_alone(home: Path, args: list[str]) -> None:
    done = run(home, *args)
    assert done.returncode == 2 and "Usage: vidstyle" in done.stdout + done.stderr
    assert "(see vidstyle --help)" not in done.stderr


@pytest.mark.parametrize("words", [[], ["file"], ["styles"], ["styles", "pull"]])
def test_options_without_a_value_show_no_type(home: Path, words: list[str]) -> None:
    shown = run(home, *words, "--help").stdout
    assert "--help" in shown and "<bool>" not in shown


def test_the_time_left_is_told_from_what_this_run_did(capsys: pytest.CaptureFixture[str]) -> None:
    info: Any = None
    _plain(Progress(901, 1000, 0.5, info, before=900))
    _plain(Progress(910, 1000, 1.0, info, before=900))
    assert capsys.readouterr().err.splitlines() == [
        "901 of about 1000 frames, 2.0 fps",
        "910 of about 1000 frames, 10.0 fps, about 9 s left",
    ]


def test_what_is_done_before_the_first_frame_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a long film shots are looked at for minutes."""
    info: Any = None
    progress = Progress(0, None, 0.0, info, doing="looking for faces, at 31 of 7200 s")
    _plain(progress)
    _json(progress)
    said = capsys.readouterr()
    assert said.err == "looking for faces, at 31 of 7200 s\n"
    assert json.loads(said.out) == {"event": "preparing", "doing": progress.doing}


def test_debug_shows_where_it_happened(styled_home: Path, tmp_path: Path) -> None:
    done = run(styled_home, "file", "missing.mp4", "--style", "tiny", "--debug", cwd=tmp_path)
    assert "Traceback" in done.stderr and "SourceError" in done.stderr


def test_a_lost_part_is_never_a_success(styled_home: Path, shared, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    source = shared("media/sample_with_invalid_nalu.mp4")
    done = run(styled_home, "file", source, "-o", output, "--style", "tiny", "--size", "64")
    assert done.returncode == 1
    assert "LOST: cannot be decoded after 26 pictures" in done.stderr
    assert len(video_times(output)) == 29  # the decoder finds its feet again after the broken one


def test_a_file_cut_short_is_never_a_success(styled_home: Path, tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mkv", frames=100)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.path.read_bytes()[: whole.path.stat().st_size * 6 // 10])
    done = run(styled_home, "file", cut, "--style", "tiny")
    assert done.returncode == 1
    assert "it is cut short" in done.stderr
    assert 20 < len(video_times(tmp_path / "cut.tiny.mkv")) < 90
    done = run(styled_home, "file", whole.path, "--style", "tiny")
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("end", "declared", "short"),
    [
        (Fraction("2.26"), Fraction("2.77"), False),  # an edit list hides half a second
        (Fraction("0.41"), Fraction("1.14"), True),
        (Fraction(7100), Fraction(7200), False),
        (Fraction(6500), Fraction(7200), True),
        (Fraction(16), Fraction(13), False),
        (Fraction(3), None, False),
    ],
)
def test_what_counts_as_cut_short(end: Fraction, declared: Fraction | None, short: bool) -> None:
    assert cut_short(end, declared) is short


@pytest.mark.parametrize(
    "name", ["a b.mp4", "ünï ☃.mp4", "100%d.mp4", "-x.mp4", "it's;$(x).mp4", "new\nline.mp4", "concat:a.mp4"]
)
def test_odd_names(styled_home: Path, clip: Clip, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / name).write_bytes(clip.path.read_bytes())
    done = run(styled_home, "file", "--style", "tiny", "--", name, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert video_times(folder / name.replace(".mp4", ".tiny.mp4")) == clip.times


def test_a_name_as_long_as_the_disk_allows(styled_home: Path, clip: Clip, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    output = folder / ("n" * 251 + ".mp4")
    done = run(styled_home, "file", clip.path, "-o", output, "--style", "tiny")
    assert done.returncode == 0, done.stderr
    assert [p.name for p in folder.iterdir()] == [output.name]
    done = run(styled_home, "file", clip.path, "-o", folder / ("n" * 252 + ".mp4"), "--style", "tiny")
    assert done.returncode == 5 and "too long" in done.stderr


def test_locale_c(styled_home: Path, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("PYTHONUTF8", "0")
    monkeypatch.setenv("PYTHONCOERCECLOCALE", "0")
    output = tmp_path / "ü.mp4"
    done = run(styled_home, "file", clip.path, "-o", output, "--style", "tiny")
    assert done.returncode == 0, done.stderr
    assert output.exists()


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_cleanly(styled_home: Path, tmp_path: Path, sent: int, code: int) -> None:
    long = make_clip(tmp_path / "long.mp4", frames=900, size=(320, 240), audio=0)
    env = {**os.environ, "VIDSTYLE_HOME": str(styled_home), "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "vidstyle", "file", str(long.path), "--style", "tiny", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()  # the first frame is done
    process.send_signal(sent)
    started = time.monotonic()
    process.communicate(timeout=30)
    assert process.returncode == code
    assert time.monotonic() - started < 10
    assert left_behind(tmp_path, "long.mp4") == []


class Full(io.StringIO):
    """A file on a full disk."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_what_people_cannot_read_is_not_said_and_a_lost_result_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Full())
    monkeypatch.setattr(sys, "stdout", Full())
    human("on the way")
    human("still")
    with pytest.raises(SinkError, match="cannot write to standard output: No space left on device"):
        event({"event": "done"})


@pytest.mark.usefixtures("styled_home")
@pytest.mark.parametrize(("redirected", "more"), [("2>&-", ""), (">&-", "--json")])
def test_a_closed_terminal_stops_no_run(clip: Clip, tmp_path: Path, redirected: str, more: str) -> None:
    command = f'{shlex.quote(sys.executable)} -m vidstyle file "$1" --style tiny -o "$2" {more} {redirected}'
    output = tmp_path / "out.mp4"
    done = subprocess.run(["sh", "-c", command, "sh", str(clip.path), str(output)], cwd=Path(__file__).parents[1])
    assert done.returncode == 0 and len(video_times(output)) == len(clip.times)


def test_an_error_that_nobody_reads_has_its_exit_code() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-m", "vidstyle", "file", "nosuch.mp4"]
    done = subprocess.run(command, stderr=theirs, cwd=Path(__file__).parents[1])
    os.close(theirs)
    assert done.returncode == SourceError.exit_code


def test_ctrl_c_while_modules_are_loaded_says_nothing() -> None:
    script = """if 1:
        import os, runpy, signal, sys

        class CtrlC:
            def find_spec(self, name, *_):
                if name == "vidstyle.cli":
                    os.kill(os.getpid(), signal.SIGINT)

        sys.meta_path.insert(0, CtrlC())
        runpy.run_module("vidstyle", run_name="__main__")
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_help_is_quick_to_load() -> None:
    """Nothing heavy is imported for --help (its time is measured by scripts/bench)."""
    script = (
        "import sys, vidstyle.cli; print([m for m in ('numpy', 'av', 'openvino', 'rich', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.stdout.strip() == "[]", done.stderr


def test_pictures_helper_tells_frames_apart() -> None:
    assert not np.array_equal(picture(0, 8, 8), picture(1, 8, 8))


def test_closing_a_source_never_waits_for_its_own_log(styled_home: Path, clip: Clip) -> None:
    """A decoder's thread that reports to Python while the main thread closes it would wait for ever."""
    env = {**os.environ, "VIDSTYLE_HOME": str(styled_home), "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "vidstyle", "file", str(clip.path), "--style", "tiny", "--engine", "onnx"]
    for _ in range(4):
        outputs = [["-o", str(clip.path.with_name(f"{i}.mp4"))] for i in range(3)]
        processes = [subprocess.Popen(command + output, env=env, stderr=subprocess.DEVNULL) for output in outputs]
        try:
            assert [process.wait(timeout=30) for process in processes] == [2, 2, 2]
        finally:
            for process in processes:
                process.kill()
