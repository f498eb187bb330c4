"""What a person at a terminal sees of a run: the bar's line, and the cursor afterwards."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rich.cells import cell_len

pty = pytest.importorskip("pty")
HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"

BAR = """
import sys, time
from types import SimpleNamespace
from vidstyle.cli.progress import watch
with watch(sys.argv[1], False) as update:
    update(SimpleNamespace(frames=7, total=10, fps=2.5, doing=""))
    time.sleep(0.3)
"""
#: hears Ctrl-C while a bar is shown, and once more while it tidies up
TWICE = """
import os, signal, time
from vidstyle import cli
from vidstyle.cli.progress import watch
def run(args):
    with watch("a.mp4", False):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        finally:
            time.sleep(0.2)  # sooner it would be the first one once more
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
cli._run = run
cli.main([])
"""
#: a training's bar
TRAINING = """
import time
from types import SimpleNamespace
from vidstyle.batch.stop import Stop
from vidstyle.cli.train_view import open_view
with Stop() as stop, open_view(False, stop) as view:
    view.begin(SimpleNamespace(name="ttn", title="draw photos with pieces of exemplars", unit="steps"), 3, 4)
    for done in (100, 110):
        view.step(done, 20000, {"loss": 0.12345, "texture": 0.00123, "critic": 12.3456})
        time.sleep(0.3)
"""
#: what a session shows again and again
STATUS = """
from vidstyle.cli.console import redraw
for _ in range(3):
    redraw("anime 100% | 30.0 fps in, 30.0 out | 28 ms, p95 41 | " + "長" * 20)
"""
#: goes on when its terminal is closed, as a job in the background does
ALONE = """
import signal, sys, time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from vidstyle.cli.console import human, redraw
from vidstyle.cli.progress import watch
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with watch("a.mp4", False) as update:
    update(SimpleNamespace(frames=7, total=10, fps=2.5, doing=""))
    with suppress(OSError):
        sys.stdin.read()
    update(SimpleNamespace(frames=8, total=10, fps=2.5, doing=""))
    time.sleep(0.3)
human("done")
redraw("done")
Path(sys.argv[1]).write_text("done")
"""


def opened(columns: int = 80) -> tuple[int, int]:
    """The two ends of a terminal."""
    import fcntl
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    return ours, theirs


def started(terminal: int, *args: str) -> subprocess.Popen[bytes]:
    """Python with these arguments on a terminal, which is its alone from now on."""
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    environment |= {"PYTHONPATH": str(Path(__file__).parents[1]), "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, *args]
    one = subprocess.Popen(command, env=environment, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    return one


def shown(*args: str, columns: int = 80) -> tuple[int, bytes]:
    """(exit code, what a terminal gets) of Python with these arguments."""
    ours, theirs = opened(columns)
    found: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(ours, 4096):
                found.append(data)
        except OSError:  # the other end is closed
            pass

    reader = threading.Thread(target=read)
    with started(theirs, *args) as one:
        reader.start()
        code = one.wait(30)
    reader.join(10)
    os.close(ours)
    return code, b"".join(found)


@pytest.mark.parametrize(
    "name", ["a.mp4", "/home/me/Videos/" + "a long name " * 12 + "and its end.mp4", "長い名前" * 30]
)
def test_the_figures_stay_on_the_line(name: str) -> None:
    _, data = shown("-c", BAR, name)
    assert b"7/10 frames" in data and b"2.5 fps" in data
    assert name[-8:].encode() in data


def test_a_name_in_the_bar_cannot_command_the_terminal() -> None:
    _, data = shown("-c", BAR, "a\x1b]0;gone\x07\x1b[31mred.mp4")
    assert b"\x1b]0;" not in data and b"\x1b[31mred" not in data and b"\\x1b[31mred.mp4" in data


def test_the_cursor_is_there_after_two_ctrl_c() -> None:
    code, data = shown("-c", TWICE)
    assert code == 130
    assert HIDE in data and data.rfind(SHOW) > data.rfind(HIDE)


def test_how_long_a_training_takes_is_on_the_line() -> None:
    _, data = shown("-c", TRAINING)
    assert re.search(rb"110/20000 steps, [0-9.]+ \w+ left, l", data)


def test_a_line_that_is_drawn_again_is_no_longer_than_the_terminal() -> None:
    """Also where stdout is no terminal, and where letters are two columns wide."""
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], stdout=subprocess.PIPE)"
    for columns in (40, 60):
        _, data = shown("-c", script, STATUS, columns=columns)
        lines = data.decode().split("\r\x1b[K")[1:]
        assert len(lines) == 3 and all(columns - 2 <= cell_len(line) < columns for line in lines)


def test_a_run_goes_on_where_its_terminal_is_gone(tmp_path: Path) -> None:
    ours, theirs = opened()
    with started(theirs, "-c", ALONE, str(tmp_path / "end")) as one:
        while b"7/10" not in os.read(ours, 4096):
            pass
        os.close(ours)
        assert one.wait(30) == 0
    assert (tmp_path / "end").read_text() == "done"


def test_looks_are_told_on_a_narrow_terminal_too() -> None:
    code, found = shown("-m", "vidstyle", "styles", "list", columns=40)
    lines = found.decode().splitlines()
    assert code == 0 and max(map(len, lines[1:])) <= 40
    assert any(line.split() == ["sketch", "a", "pencil", "sketch"] for line in lines)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full to fill")
@pytest.mark.parametrize("command", ["--version", "styles list", "styles info anime", "doctor", "doctor --json"])
def test_a_result_that_cannot_be_written_is_told(command: str) -> None:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # as people have it
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "vidstyle", *command.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )
    assert done.returncode == 5
    assert done.stderr == "vidstyle: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize("command", ["styles list", "styles info anime", "doctor"])
def test_standard_output_may_be_closed(command: str) -> None:
    close = "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    words = [sys.executable, "-c", close, "-m", "vidstyle", *command.split()]
    done = subprocess.run(words, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")
