"""Keys of a terminal that other programs have in between."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from terminals import Terminal

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a Linux terminal stands in")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}

#: takes keys in the background: another process has the terminal
BEHIND = """
import os, subprocess, time
from vidstyle.live.keyboard import Keyboard
with Keyboard() as keyboard:
    with subprocess.Popen(["sleep", "30"], process_group=0) as other:
        os.tcsetpgrp(0, other.pid)
        print("behind", flush=True)
        time.sleep(0.5)
        keys = keyboard.keys()
        other.kill()
print("ended with", repr(keys), flush=True)
"""


#: takes a key after a shell has set the terminal as it likes it
AGAIN = """
import termios, time
from vidstyle.live.keyboard import Keyboard
shells = termios.tcgetattr(0)
keys = ""
with Keyboard() as keyboard:
    termios.tcsetattr(0, termios.TCSANOW, shells)
    keyboard.keys()
    print("back", flush=True)
    while not keys:
        keys = keyboard.keys()
        time.sleep(0.01)
print("ended with", repr(keys), flush=True)
"""


def test_keys_are_taken_after_ctrl_z_and_fg(tmp_path: Path) -> None:
    with Terminal([sys.executable, "-c", AGAIN], ENVIRONMENT, tmp_path) as terminal:
        terminal.read_until("back")
        terminal.press("n")
        terminal.read_until("ended with 'n'", 10)
        assert terminal.end() == 0


def test_a_job_in_the_background_leaves_the_terminal_alone(tmp_path: Path) -> None:
    """The system stops a job that reads it or sets it there: Ctrl-Z, bg, and a later SIGTERM did not end."""
    with Terminal([sys.executable, "-c", BEHIND], ENVIRONMENT, tmp_path) as terminal:
        terminal.read_until("behind")
        terminal.press("n\n")
        terminal.read_until("ended with ''")
