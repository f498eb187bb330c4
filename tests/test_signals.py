"""Signals that end every command in order; a terminal that is closed is one of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")

#: `main` with a command that waits, and hears a signal while it tidies up
COMMAND = """
import os, signal, time
signal.signal(signal.SIGHUP, signal.{before})
from vidstyle import cli
def run(args):
    try:
        os.write(1, b"begun")  # at once: a print in two writes may meet a terminal that is gone already
        {wait}
        return 0
    finally:
        os.kill(os.getpid(), signal.{then})
        time.sleep(0.01)
        open({tidied!r}, "w").close()
cli._run = run
cli.main([])
"""
HANGUP = "os.kill(os.getpid(), signal.SIGHUP); time.sleep(0.05)"


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def command(tidied: Path, wait: str = HANGUP, before: str = "SIG_DFL", then: str = "SIGHUP") -> list[str]:
    return [sys.executable, "-c", COMMAND.format(before=before, wait=wait, then=then, tidied=str(tidied))]


def test_a_hangup_ends_a_command_in_order_even_if_it_comes_twice(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path / "tidied"), env=environment(), capture_output=True, text=True)
    assert done.returncode == 143, done.stderr
    assert done.stderr == "vidstyle: stopped; nothing was left behind\n"
    assert (tmp_path / "tidied").exists()


def test_a_hangup_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """As under nohup."""
    args = command(tmp_path / "tidied", before="SIG_IGN")
    done = subprocess.run(args, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_that_is_gone_is_no_error(tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    args = command(tmp_path / "tidied", wait="time.sleep(30)")
    with subprocess.Popen(args, env=environment(), stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        assert os.read(ours, 100).startswith(b"begun")
        os.close(ours)
        process.send_signal(signal.SIGHUP)  # as the shell does, whose terminal it was
        assert process.wait(20) == 143
    assert (tmp_path / "tidied").exists()


def test_a_signal_that_is_sent_twice_is_one(tmp_path: Path) -> None:
    """`timeout` sends it to the process, and to the group that the process is in."""
    args = command(tmp_path / "tidied", wait="os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)", then="SIGTERM")
    done = subprocess.run(args, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (143, "vidstyle: stopped; nothing was left behind\n")
    assert (tmp_path / "tidied").exists()


@pytest.mark.parametrize("args", [("live", "--no-virtual-camera", "--camera"), ("file",)])
def test_a_server_that_does_not_answer_holds_no_command_up(tmp_path: Path, args: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.mp4"
        words = [sys.executable, "-m", "vidstyle", *args, url]
        with subprocess.Popen(words, env=environment(), cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            server.settimeout(30)
            connection, _ = server.accept()
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            assert process.wait(90) == 130
            assert time.monotonic() - began < 5
            assert process.stderr.read() == "vidstyle: stopped; nothing was left behind\n"
            connection.close()


#: a batch that is told by its terminal, and by Ctrl-C; and one under nohup
BATCH = """
import signal, time
from vidstyle.batch.stop import Stop
signal.signal(signal.SIGHUP, signal.SIG_DFL)
with Stop() as stop:
    for _ in range(4):
        signal.raise_signal(signal.SIGHUP)
    print(stop.asked, stop.code)
    signal.raise_signal(signal.SIGINT)
    print(stop.asked, stop.code)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with Stop() as stop:
    signal.raise_signal(signal.SIGHUP)
    print(stop.asked, stop.code)
with Stop() as stop:
    for pause in (0, 0, 0.2):  # sent twice, and a second one
        time.sleep(pause)
        signal.raise_signal(signal.SIGTERM)
        print(stop.asked, stop.code)
"""


def test_a_batch_is_asked_once_however_often_it_is_told() -> None:
    """In a process of its own: handlers of signals are the whole process's."""
    done = subprocess.run([sys.executable, "-c", BATCH], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["1 143", "2 143", "0 0", "1 143", "1 143", "2 143"]


#: networks that go in the order they came, or on another thread, before a signal that is heard
NETWORKS = """
import gc, os, signal, threading
from vidstyle.catalog import find_style
from vidstyle.engine import EngineSpec, Recipe, load_engine
recipe = Recipe(((find_style("anime-fast"), 1.0),))
heard = []
signal.signal(signal.SIGINT, lambda *_: heard.append(True))
engines = [load_engine(recipe, EngineSpec(64, 64), "openvino") for _ in range({count})]
def close():
    while engines:
        engines.pop(0).close()
        gc.collect()
{closing}
os.kill(os.getpid(), signal.SIGINT)
assert heard
"""


@pytest.mark.parametrize(
    ("count", "closing"), [(2, "close()"), (1, "t = threading.Thread(target=close); t.start(); t.join()")]
)
def test_a_signal_is_heard_after_networks_have_gone(count: int, closing: str) -> None:
    """OpenVINO left the thread a stack for signals that was freed."""
    script = NETWORKS.format(count=count, closing=closing)
    done = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr)
