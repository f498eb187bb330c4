"""The workers on a Ray cluster: started where there is room, one call each at a time, replaced when they are lost."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vidstyle.batch.journal import stamp
from vidstyle.cluster.film import Call, Film
from vidstyle.cluster.messages import Hello, is_failure
from vidstyle.cluster.nodes import Size, alive_nodes, no_room, room
from vidstyle.errors import EngineError

LOOK_AROUND = 3.0  # seconds between two looks at what nodes there are
STILLBORN = 3  # workers that died before they were ready: then one says so, or where none is ready it ends
SLOW_START = 20.0  # seconds without any worker before one says why


class Actor:
    """What Ray keeps in a process: a worker, and the name of its node."""

    def __init__(self, kind: type, *arguments: Any) -> None:
        self._worker = kind(*arguments)

    def hello(self) -> Any:
        import ray

        return self._worker.hello(ray.get_runtime_context().get_node_id())

    def do(self, name: str, argument: Any) -> Any:
        return getattr(self._worker, name)(argument)


@dataclass(eq=False)
class Worker:
    """One actor. ``call``: what it does; None while it starts, or waits for work."""

    number: int
    actor: Any
    reference: Any  # of the answer that is awaited
    hello: Hello | None = None
    call: Call | None = None
    film: Film | None = None  # of its last call
    segments: int = 0
    fps: float = 0.0  # of its last segment
    frames: int = 0
    seconds: float = 0.0  # in calls
    held: Any = None  # a failure that it answered: not believed before it has been asked whether it is still fit

    @property
    def machine(self) -> str:
        return self.hello.host if self.hello is not None else ""


@dataclass
class Answer:
    """``lost``: why there is none; ``deaths``: see `vidstyle.cluster.film.Film.lost`."""

    worker: Worker
    call: Call
    value: Any = None
    lost: str = ""
    deaths: int | None = None


@dataclass
class RayPool:
    """The workers of one batch, from `start` to `end`; whoever has it calls `grow` and `heard` again and again.

    Args:
        kind: class of the workers, `vidstyle.cluster.worker.StyleWorker` or what stands in for it.
        arguments: of ``kind``.
        size: how many workers, and what each takes of its node.
        tell: gets what happens to nodes and workers: (event, facts).
    """

    kind: type
    arguments: Sequence[Any]
    size: Size
    tell: Callable[[str, dict[str, Any]], None]
    workers: list[Worker] = field(default_factory=list)
    nodes: dict[str, str] = field(default_factory=dict)  # alive: Ray's name -> host's

    def __post_init__(self) -> None:
        self._stored: list[Any] = []  # the arguments in Ray's object store
        self._count = 0  # workers started so far
        self._sent_home: list[str] = []  # nodes of workers that are not replaced, until their node is started anew
        self._why_unfit = ""  # the last of them was
        self._looked = self._began = -LOOK_AROUND  # `time.monotonic`: the last look at the nodes, the start
        self._room = 0  # workers that fit on the nodes
        self._said = False  # whether it was told why there is no worker
        self._stillborn = self._deaths = 0  # workers that died before they were ready, and after

    def start(self) -> None:
        import ray

        self._began = time.monotonic()
        self._actor: Any = ray.remote(Actor)
        self._stored = [ray.put(argument) for argument in self.arguments]
        self.grow()

    def grow(self) -> None:
        """Look at the nodes every few seconds, and start the workers that there is room for.

        Raises:
            EngineError: no node's workers are fit.
        """
        if time.monotonic() - self._looked < LOOK_AROUND:
            return
        self._looked = time.monotonic()
        self._look_around()
        wanted = (self.size.workers or max(1, self._room)) - len(self._sent_home)
        if self._sent_home and not self.workers and wanted <= 0:
            raise EngineError(self._why_unfit)
        for _ in range(wanted - len(self.workers)):
            self._hire()
        if not self._said and not self.ready and (text := self._why_none()):
            self._said = True
            self.tell("note", {"text": text})

    def _why_none(self) -> str:
        """Why there is no worker, where that is known or it takes long; "" before that."""
        if not self._room:  # it is waited for, since clusters may grow
            return f"{no_room(self.size)}; waiting for one that has"
        if self._looked - self._began > SLOW_START:
            return f"waiting for room in the cluster: a worker takes {self.size} (--threads, --gpus)"
        return ""

    def _look_around(self) -> None:
        alive = alive_nodes()
        for name in self.nodes.keys() - alive.keys():
            self.tell("node-lost", {"node": name, "host": self.nodes[name]})
        for name in alive.keys() - self.nodes.keys():
            self.tell("node", {"node": name, "host": alive[name]["NodeManagerHostname"]})
        self.nodes = {name: node["NodeManagerHostname"] for name, node in alive.items()}
        self._sent_home = [node for node in self._sent_home if node in alive]
        self._room = room(self.size, alive)

    def _hire(self) -> None:
        options = {"num_cpus": self.size.cpus, "num_gpus": self.size.gpus, "max_restarts": 0}
        actor = self._actor.options(**options, scheduling_strategy="SPREAD").remote(self.kind, *self._stored)
        self._count += 1
        self.workers.append(Worker(self._count, actor, actor.hello.remote()))

    @property
    def ready(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.hello is not None]

    @property
    def free(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.hello is not None and worker.call is None]

    @property
    def calls(self) -> list[Call]:
        return [worker.call for worker in self.workers if worker.call is not None]

    def give(self, worker: Worker, call: Call) -> None:
        call.began = time.monotonic()
        worker.call, worker.film = call, call.film
        worker.reference = worker.actor.do.remote(call.kind, call.argument)

    def heard(self, seconds: float) -> list[Answer]:
        """What has come back, waiting up to ``seconds`` for the first."""
        import ray

        waiting = {worker.reference: worker for worker in self.workers if worker.reference is not None}
        if not waiting:
            time.sleep(seconds)
            return []
        found, rest = ray.wait(list(waiting), num_returns=1, timeout=seconds)
        if found and rest:
            found += ray.wait(rest, num_returns=len(rest), timeout=0)[0]
        answers = [self._take(waiting[reference]) for reference in found]
        return [answer for answer in answers if answer is not None]

    def _take(self, worker: Worker) -> Answer | None:
        import ray

        reference, call, held = worker.reference, worker.call, worker.held
        worker.reference = worker.call = worker.held = None
        try:
            value = ray.get(reference)
        except ray.exceptions.RayError as error:
            return self._lose(worker, call, error)
        if call is None:
            self._welcome(worker, value)
            return None
        if held is not None:
            return self._believed(worker, call, held, value)
        worker.seconds += time.monotonic() - call.began
        if is_failure(value):
            worker.call, worker.held, worker.reference = call, value, worker.actor.hello.remote()
            return None
        return Answer(worker, call, value)

    def _believed(self, worker: Worker, call: Call, failure: Any, hello: Hello) -> Answer:
        """``failure`` from a worker that is still fit. One whose machine lost the shared folders fails everything at
        once, and would go through all videos while the others are at work on one; its successor may see them again."""
        if not (why := _trouble_of(hello)):
            return Answer(worker, call, failure)
        self.dismiss(worker)
        self._looked = -LOOK_AROUND
        self.tell("worker-lost", {"worker": worker.number, "host": worker.machine, "reason": why})
        return Answer(worker, call, lost=why)

    def _welcome(self, worker: Worker, hello: Hello) -> None:
        if why := _trouble_of(hello):
            return self._send_home(worker, hello.node, why)
        worker.hello = hello
        self.tell("worker", {"worker": worker.number, "host": hello.host, "pid": hello.pid})
        return None

    def _send_home(self, worker: Worker, node: str, why: str) -> None:
        """It would fail every video. The others go on; where there are none, this ends the batch."""
        self._sent_home.append(node)
        self._why_unfit = why
        self.dismiss(worker)
        self._looked = -LOOK_AROUND
        self.tell("note", {"text": f"left out: {why}"})

    def _lose(self, worker: Worker, call: Call | None, error: Exception) -> Answer | None:
        self.dismiss(worker)
        if worker.hello is None:  # at the next look another tries: here it would be as soon as one has died
            cause = getattr(error, "cause", None)
            self._unborn(str(error if cause is None else cause))
            return None
        self._looked = -LOOK_AROUND  # someone should take its place
        node_lost = worker.hello.node not in alive_nodes()
        name = f"worker {worker.number} on {worker.machine} died"
        why = f"the machine {worker.machine} is gone" if node_lost else name
        self.tell("worker-lost", {"worker": worker.number, "host": worker.machine, "reason": why})
        self._deaths += not node_lost
        deaths = None if node_lost else self._deaths
        return Answer(worker, call, lost=why, deaths=deaths) if call is not None else None

    def _unborn(self, said: str) -> None:
        self._stillborn += 1
        reason, place = _last_error(said), re.search(r"\bip=([\w.:]+)", said)  # of its node
        remedy = "install the same vidstyle on all nodes" if "ModuleNotFound" in reason else "see vidstyle doctor there"
        text = f"a worker cannot start{f' on {place[1]}' if place else ''} ({reason}): {remedy}"
        if self._stillborn >= STILLBORN and not self.ready:
            raise EngineError(text)
        if self._stillborn == STILLBORN:
            self.tell("note", {"text": text})

    def dismiss(self, worker: Worker) -> None:
        import ray

        self.workers.remove(worker)
        ray.kill(worker.actor)

    def end(self) -> None:
        for worker in list(self.workers):
            self.dismiss(worker)


def _trouble_of(hello: Hello) -> str:
    """Why a worker that says this cannot work, "" where it can."""
    if hello.version != version("vidstyle"):
        what = f"has vidstyle {hello.version}, this machine {version('vidstyle')}: install the same on all nodes"
        return f"{hello.host} {what}"
    if unseen := [path for path in hello.unseen if stamp(Path(path))]:  # or it is gone here, too
        return f"{hello.host} does not see {unseen[0]}: give folders that all machines share, under the same names"
    return f"{hello.host}: {hello.trouble}" if hello.trouble else ""


def _last_error(text: str) -> str:
    """The last line that names an error, else the last one there is."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "no reason given")[:200]
