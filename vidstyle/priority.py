"""Threads keep the priority that the person gave them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TASKS = Path("/proc/self/task")  # Linux: the threads of this process


@contextmanager
def kept_priority() -> Iterator[None]:
    """Take back what the block does to the scheduling of this process's threads.

    SVT-AV1, where it is run by root as in most containers, gives its threads and the one that opens it the highest
    real-time priority. On a small machine nothing else is then run until the video is done, not even a shell.
    """
    if sys.platform != "linux" or not TASKS.is_dir():
        yield
        return
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for task in TASKS.iterdir():
            with suppress(OSError):  # it ended meanwhile
                if os.sched_getscheduler(int(task.name)) != policy:
                    os.sched_setscheduler(int(task.name), policy, priority)
