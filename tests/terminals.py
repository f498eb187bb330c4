"""A program on a terminal of its own, for tests."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, args: list[str], env: dict[str, str], folder: Path) -> None:
        import fcntl
        import pty
        import termios

        self._termios = termios
        self.main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, b"\x28\x00\xa0\x00\x00\x00\x00\x00")  # 40 rows of 160
        self.before = termios.tcgetattr(self.main)
        self.process = subprocess.Popen(
            args,
            env=env,
            cwd=folder,
            stdin=side,
            stdout=side,
            stderr=side,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(side)
        self.text = ""

    def read_until(self, wanted: str, seconds: float = 60.0) -> None:
        import select

        end = time.monotonic() + seconds
        while wanted not in self.text:
            assert time.monotonic() < end, f"{wanted!r} did not come: {self.text[-500:]}"
            if select.select([self.main], [], [], 0.5)[0]:
                try:
                    self.text += os.read(self.main, 65536).decode("utf-8", "replace")
                except OSError:  # the program has ended
                    assert wanted in self.text, self.text[-500:]

    def press(self, keys: str) -> None:
        os.write(self.main, keys.encode())

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.main)

    def end(self) -> int:
        import select

        while self.process.poll() is None:  # a full terminal would hold it up
            if select.select([self.main], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self.main, 65536).decode("utf-8", "replace")
                except OSError:
                    break
        code = self.process.wait(30)
        assert self._termios.tcgetattr(self.main)[:4] == self.before[:4], "the terminal is not as it was"
        return code
