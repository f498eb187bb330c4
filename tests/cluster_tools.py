"""A real Ray cluster of several nodes on this machine, and what lies in its folders, for the tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from media import make_clip, save_tiny

TOKEN = "5" * 64
#: of this cluster alone: its own secret, nothing told to anyone, nothing read from or written to the home folder
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": TOKEN,
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
NODES = """
import sys
import ray._private.utils as utils
from ray.cluster_utils import Cluster
utils.write_ray_address = lambda *_: None  # other programs on this machine must not take it for theirs
folder, count = sys.argv[1], int(sys.argv[2])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "temp_dir": folder, "include_dashboard": False})
nodes = [cluster.add_node(num_cpus=1) for _ in range(count)]
print(cluster.address, flush=True)
for line in sys.stdin:
    if line.strip() == "remove":
        cluster.remove_node(nodes.pop(), allow_graceful=False)
        print("removed", flush=True)
    elif line.strip() == "add":
        nodes.append(cluster.add_node(num_cpus=1))
        print("added", flush=True)
cluster.shutdown()
"""


class Nodes:
    """A head without workers, and nodes with one CPU each, held by a process of their own."""

    def __init__(self, folder: Path, count: int) -> None:
        command = [sys.executable, "-c", NODES, str(folder), str(count)]
        options: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(
            command, env=os.environ | ENVIRONMENT, stderr=subprocess.DEVNULL, start_new_session=True, **options
        )
        self.address = self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, "the process that holds the nodes died"
        return line

    def tell(self, word: str) -> None:
        """ "remove" kills the last node, "add" adds one."""
        assert self._process.stdin is not None
        print(word, file=self._process.stdin, flush=True)
        self._answer()

    def close(self) -> None:
        children = psutil.Process(self._process.pid).children(recursive=True)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            for child in children:
                if child.is_running():
                    child.kill()
            self._process.wait()
            self._process.stdout.close()


Events = list[dict[str, Any]]


class Studio:
    """Videos in ``in``, results in ``out``, and the command that makes them on a cluster."""

    def __init__(self, folder: Path, home: Path, address: str) -> None:
        self.folder, self.out, self.address = folder, folder / "out", address
        (folder / "in").mkdir()
        save_tiny(home / "styles", "tiny")
        self.env = os.environ | ENVIRONMENT | {"VIDSTYLE_HOME": str(home)}
        self.running: list[subprocess.Popen[str]] = []

    def clip(self, name: str, seconds: int, rate: int = 1, **more: Any) -> Path:
        """``seconds`` of video, a segment every ten."""
        times = [index * 12800 // rate for index in range(seconds * rate)]
        return make_clip(self.folder / "in" / name, pts=times, **more).path

    def command(self, *options: str, cluster: str | None = None, places: bool = False) -> list[str]:
        """``places``: inputs and output are among the options."""
        address = ["--cluster", cluster or self.address]
        usual = [] if places else ["in", "-o", "out"]
        return [sys.executable, "-m", "vidstyle", "batch", *usual, "--style", "tiny", *address, *options]

    def start(self, *options: str, **more: Any) -> subprocess.Popen[str]:
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = self.command(*(options or ("--json",)), **more)
        process = subprocess.Popen(command, cwd=self.folder, env=self.env, **pipes)
        self.running.append(process)
        return process

    def run(self, *options: str, **more: Any) -> subprocess.CompletedProcess[str]:
        process = self.start(*options, **more)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def straight(self, name: str) -> bytes:
        """The same by one machine without a cluster, its encoder on one thread as a worker's is."""
        from dataclasses import replace

        from vidstyle.catalog import parse_recipe
        from vidstyle.cli.batch_cluster import for_workers
        from vidstyle.job import FileJob, stylize_file

        output = self.folder / f"straight-{name}"
        job = FileJob(self.folder / "in" / name, parse_recipe("tiny"), output)
        stylize_file(replace(for_workers(job, 1)))
        return output.read_bytes()

    def result(self, name: str) -> bytes:
        return (self.out / f"{Path(name).stem}.tiny{Path(name).suffix}").read_bytes()

    def left_behind(self) -> list[str]:
        """Names in the output folder that are neither results nor the journal."""
        kept = (".mp4", ".mkv", ".jsonl", ".lock")
        return sorted(path.name for path in self.out.iterdir() if path.is_dir() or path.suffix not in kept)

    def close(self) -> None:
        for process in self.running:
            process.kill()
            process.communicate()


def events_of(process: subprocess.CompletedProcess[str] | str) -> Events:
    text = process if isinstance(process, str) else process.stdout
    return [json.loads(line) for line in text.splitlines()]


def wait_for(process: subprocess.Popen[str], name: str, count: int = 1) -> Events:
    """The first ``count`` events of a name."""
    found: Events = []
    assert process.stdout is not None and process.stderr is not None
    for line in process.stdout:
        event = json.loads(line)
        found += [event] if event["event"] == name else []
        if len(found) == count:
            return found
    raise AssertionError(process.stderr.read())


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@contextmanager
def nodes(folder: Path, count: int) -> Iterator[Nodes]:
    cluster = Nodes(folder, count)
    try:
        yield cluster
    finally:
        cluster.close()


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
