"""A worker that makes nothing, at once: what is left is the cost of handing work out over a real cluster."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from vidstyle.batch.inputs import Item
from vidstyle.batch.messages import Begun, Ended, Task
from vidstyle.cluster.messages import Done, Hello, Join, Made, Order, Prepared
from vidstyle.planning import Plan


class NoWorker:
    """See `vidstyle.cluster.worker.StyleWorker`."""

    def __init__(self, segments: int) -> None:
        self._plan = Plan([number * 1000 for number in range(segments)], 1000, True)

    def hello(self, node: str) -> Hello:
        return Hello(node, socket.gethostname(), os.getpid(), _version(), [])

    def prepare(self, task: Task) -> Prepared:
        begun = Begun(task.target.name, {}, None, None)
        return Prepared(begun, None, task.target, self._plan, [], 250 * len(self._plan.starts), 921600)

    def style(self, order: Order) -> Made:
        return Made([Done(order.unit.first, 250)], 25.0, "none")

    def assemble(self, join: Join) -> Ended:
        return Ended("done", size=1, report={"frames_in": 250 * len(join.numbers), "notes": []})


def _version() -> str:
    from importlib.metadata import version

    return version("vidstyle")


class Silent:
    def show(self, event: Any) -> None: ...
    def tick(self, totals: Any) -> None: ...


def run_simulated(films: int, segments: int, workers: int) -> dict[str, float]:
    """``films`` videos of ``segments`` segments each."""
    from vidstyle.cluster.connect import joined
    from vidstyle.cluster.crew import ClusterCrew
    from vidstyle.cluster.nodes import Size
    from vidstyle.cluster.pool import RayPool

    os.environ["RAY_OVERRIDE_RESOURCES"] = json.dumps({"CPU": workers})
    me, memory = psutil.Process(), []
    with tempfile.TemporaryDirectory() as folder, joined("local") as cluster:

        def pool(_: Any, tell: Any) -> RayPool:
            return RayPool(NoWorker, (segments,), Size(workers), tell)

        with ClusterCrew(cluster, Path(folder), None, pool, Silent()) as crew:
            while len(crew.pool.ready) < workers:
                crew.heard(0.1)
            cpu, began, started, ended = me.cpu_times(), time.perf_counter(), 0, 0
            while ended < films:
                while started < films and (film := crew.idle()):
                    film.item = Item(Path(f"/in/{started}.mp4"), Path(f"/out/{started}.mp4"))
                    film.send(Task(film.item.source, film.item.target, film.item.target, False))
                    started += 1
                for film in crew.heard(0.25):
                    if isinstance(film.receive(), Ended):
                        ended += 1
                        memory.append(me.memory_info().rss / 1e6)
            seconds, used = time.perf_counter() - began, me.cpu_times()
    del os.environ["RAY_OVERRIDE_RESOURCES"]
    count, spent = films * segments, used.user + used.system - cpu.user - cpu.system
    return {
        "segments, simulated": count,
        "scheduling, ms of the driver's CPU a segment": spent / count * 1000,
        "from end to end, ms a segment": seconds / count * 1000,
        "driver's memory after a tenth, MB": memory[len(memory) // 10],
        "driver's memory at the end, MB": memory[-1],
    }
