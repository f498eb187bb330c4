"""`vidstyle live` at the command line: keys, signals, figures, mistakes, and what the doctor says of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from media import make_clip, save_tiny
from terminals import Terminal

from vidstyle.cli import app
from vidstyle.cli.live import status_line, summary
from vidstyle.errors import SourceError, VidstyleError

SMALL = ["--camera", "lavfi:testsrc2=size=64x48:rate=30", "--output-size", "64x48", "--style", "tiny"]


@pytest.fixture
def styled_home(home: Path) -> Path:
    save_tiny(home / "styles", "tiny")
    save_tiny(home / "styles", "other", seed=1)
    return home


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "vidstyle", "live", *map(str, args)]


def environment(home: Path) -> dict[str, str]:
    return os.environ | {"VIDSTYLE_HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[1])}


def test_a_file_runs_to_its_end(styled_home: Path, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=20)
    args = command("--camera", clip.path, "--output-size", "64x48", "--style", "tiny", "--json")
    args += ["--no-virtual-camera", "--record", str(tmp_path / "out.mkv")]
    done = subprocess.run(args, env=environment(styled_home), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert {event["event"] for event in events} == {"message", "status", "done"}
    final = events[-1]
    assert final["exit_code"] == 0 and final["captured"] == 20 and final["sent"] + final["dropped"] == 20
    assert final["latency"]["p50"] <= final["latency"]["p95"] <= final["latency"]["max"]
    assert next(e for e in events if e["event"] == "status")["looks"][:2] == ["other", "tiny"]
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert sum(1 for _ in container.decode(video=0)) == final["sent"]


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_the_recording_is_whole(styled_home: Path, tmp_path: Path, number: int, code: int) -> None:
    args = command(*SMALL, "--no-virtual-camera", "--record", tmp_path / "out.mp4", "--json")
    with subprocess.Popen(args, env=environment(styled_home), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("sent", 0) > 5:
                break
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait(30) == code
    assert json.loads(rest.splitlines()[-1])["exit_code"] == code
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == container.streams.video[0].frames > 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "out.mp4"]


#: a session whose pictures take for ever, in a library's code, and Ctrl-C meanwhile
SLOW = """
import os, signal, sys, time
import cv2, numpy
from vidstyle import cli
from vidstyle.live import session
def slow(picture):
    large = numpy.zeros((1000, 1000, 3), numpy.uint8)
    os.kill(os.getpid(), signal.SIGINT)
    while True:
        cv2.GaussianBlur(large, (31, 31), 9)
session.mirrored = slow
cli.main(sys.argv[1:])
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_does_not_wait_for_a_picture_and_is_no_crash(styled_home: Path, tmp_path: Path) -> None:
    """The interpreter would end the thread that styles in the middle of OpenCV, which aborts the process."""
    args = [sys.executable, "-c", SLOW, "live", *SMALL, "--no-virtual-camera", "--page", "--mirror"]
    done = subprocess.run(args, env=environment(styled_home), capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 130, done.stderr
    assert done.stderr.splitlines()[-1].endswith("0 sent, 0 dropped"), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="a Linux terminal stands in")
def test_keys_in_a_terminal(styled_home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    args = command(*SMALL, "--no-virtual-camera", "--record", "out.mkv")
    with Terminal(args, environment(styled_home), folder) as terminal:
        terminal.read_until("keys: n next look")
        terminal.read_until("fps in")
        terminal.press("p")
        terminal.read_until("other 100%")  # the look before tiny
        terminal.press("--")
        terminal.read_until("other 80%")
        terminal.press("f")
        terminal.read_until("frozen | ")
        terminal.press("s")
        terminal.read_until("saved vidstyle-")
        terminal.press("q")
        assert terminal.end() == 0
    assert "pictures in" in terminal.text and "delay the sound" in terminal.text
    assert len(list(folder.glob("vidstyle-*.png"))) == 1 and (folder / "out.mkv").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="a Linux terminal stands in")
def test_ctrl_c_in_a_terminal_gives_it_back(styled_home: Path, tmp_path: Path) -> None:
    args = command(*SMALL, "--no-virtual-camera", "--record", "out.mkv")
    with Terminal(args, environment(styled_home), tmp_path) as terminal:
        terminal.read_until("fps in")
        terminal.press("\x03")
        assert terminal.end() == 130
    assert "Traceback" not in terminal.text


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["--camera", "no-such-camera"], 4, "no camera 'no-such-camera'"),
        (["--camera", "/dev/video97"], 4, "--list"),
        (["--camera", "CLIP", "--camera-size", "9999x9999"], 4, "it gives 64x48"),
        (["--camera", "CLIP", "--camera-size", "big"], 2, "--camera-size"),
        (["--camera", "CLIP", "--fps", "0"], 2, "--fps is 0: expected pictures a second, from 1 on"),
        (["--camera", "CLIP", "--output-size", "65x48"], 2, "even numbers"),
        (["--camera", "CLIP", "--fit", "stretch"], 2, "letterbox, crop"),
        (["--camera", "CLIP", "--strength", "2"], 2, "strength"),
        (["--camera", "CLIP", "--delay", "-1"], 2, "--delay"),
        (["--camera", "CLIP", "--size", "huge", "--no-virtual-camera", "--record", "x.mkv"], 2, "--size"),
        (["--camera", "CLIP", "--style", "tinny"], 7, "tiny"),
        (["--camera", "CLIP", "--no-virtual-camera", "--record", "x.gif"], 2, ".mkv"),
        (["--camera", "CLIP", "--no-virtual-camera", "--record", "missing/x.mkv"], 5, "make it first"),
        (["--camera", "CLIP", "--no-virtual-camera", "--record", "CLIP", "--overwrite"], 2, "is read in this session"),
        (["--camera", "URL", "--no-virtual-camera", "--record", "CLIP", "--overwrite"], 2, "is read in this session"),
        ([*SMALL, "--microphone", "CLIP", "--no-virtual-camera", "--record", "CLIP", "--overwrite"], 2, "is read in"),
        (["--camera", "CLIP", "--no-virtual-camera", "--record", "x.mkv", "--device", "tpu"], 6, "tpu"),
        (["--camera", "CLIP", "--microphone", "default"], 2, "--record"),
        (["--camera", "CLIP", "--virtual-device", "/dev/video98"], 5, "--no-virtual-camera"),
    ],
)
@pytest.mark.usefixtures("styled_home")
def test_mistakes_are_one_line_and_a_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], code: int, says: str
) -> None:
    import threading

    clip = make_clip(tmp_path / "in.mp4", frames=3)
    monkeypatch.chdir(tmp_path)
    before = set(threading.enumerate())
    names = {"CLIP": str(clip.path), "URL": clip.path.as_uri()}
    words = ["live", "--style", "tiny", *[names.get(arg, arg) for arg in args]]
    with pytest.raises(VidstyleError) as caught:
        app(args=words, standalone_mode=False)
    assert caught.value.exit_code == code and says in str(caught.value) and "\n" not in str(caught.value)
    assert set(threading.enumerate()) <= before, "something is left running"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "in.mp4"], "something is left behind"


@pytest.mark.usefixtures("styled_home")
def test_a_file_without_a_picture_is_an_error_and_leaves_nothing(
    tmp_path: Path, shared: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["live", "--camera", str(shared("media/invalid_userdata.mp4")), "--style", "tiny", "--output-size", "64x48"]
    with pytest.raises(SourceError, match="no picture of it can be decoded"):
        app(args=[*args, "--json", "--no-virtual-camera", "--record", str(tmp_path / "x.mp4")], standalone_mode=False)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["exit_code"] == 4
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_list_shows_cameras_and_microphones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vidstyle.live import devices
    from vidstyle.live.devices import Device

    monkeypatch.setattr(
        devices, "list_cameras", lambda: [Device(0, "/dev/video0", "HD Cam"), Device(1, "v", "x", True)]
    )
    monkeypatch.setattr(devices, "list_microphones", lambda: [Device(0, "hw:0", "Mic")])
    app(args=["live", "--list"], standalone_mode=False)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == ["camera 0 HD Cam (/dev/video0)", "camera 1 x (v) (virtual)", "microphone 0 Mic (hw:0)"]
    app(args=["live", "--list", "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out.splitlines()[0])["address"] == "/dev/video0"


def figures(**more: Any) -> dict[str, Any]:
    now = {"state": "running", "shown": "anime", "loading": "", "strength": 0.8, "fps_in": 30.0, "fps_out": 29.9}
    now |= {"latency": {"p50": 31.4, "p95": 44.2, "max": 90.0}, "dropped": 3, "working": [640, 360], "captured": 100}
    return now | {"sent": 97, "failed": 0, "delay": 0} | more


def test_the_status_line_has_the_figures() -> None:
    assert status_line(figures()) == "anime 80% | 30.0 fps in, 29.9 out | 31 ms, p95 44 | 3 dropped | 640x360"
    waiting = status_line(figures(state="waiting for the camera", loading="3d", latency={}))
    assert waiting.startswith("waiting for the camera | anime 80%, loading 3d") and "no picture yet" in waiting


def test_the_summary_says_by_how_much_to_delay_the_sound() -> None:
    counts, advice = summary(figures(failed=2))
    assert (
        counts
        == "100 pictures in, 97 sent, 3 dropped, 2 without the look; from capture to sending 31 ms, p95 44, worst 90"
    )
    assert advice == "the picture is about 31 ms late: delay the sound by as much, or fix it with --delay 50"
    assert summary(figures(delay=50))[1] == "the picture is 50 ms late: delay the sound by as much"
    assert "--delay 50" in summary(figures(delay=20))[1], "a delay that is too short does not hold"
    assert len(summary(figures(latency={}))) == 1
