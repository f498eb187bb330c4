"""Processes, for tests: two that train together, and whether others have ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import psutil


def launch(launcher: str, script: str, arguments: list[str]) -> None:
    """Run ``script`` in two processes, started by torchrun or by hand as it would start them."""
    if launcher == "torchrun":
        run = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--no-python", sys.executable]
        commands, ranks = [[sys.executable, *run, "-c", script, *arguments]], [{}]
    else:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        commands = [[sys.executable, "-c", script, *arguments]] * 2
        ranks = [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    running = [
        subprocess.Popen(command, env=os.environ | rank, stderr=subprocess.PIPE, text=True)
        for command, rank in zip(commands, ranks, strict=True)
    ]
    for process in running:
        error = process.communicate(timeout=240)[1]
        assert process.returncode == 0, error[-2000:]


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # ended, perhaps between being found and being asked
        return False


def gone(pids: list[int], seconds: float = 20.0) -> bool:
    """Whether these processes end within some time."""
    end = time.monotonic() + seconds
    while any(_runs(pid) for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
