"""A batch from beginning to end: decide, hand out, listen, write down, until nothing is left."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from vidstyle.batch.crew import Crew, Worker
from vidstyle.batch.decide import Decision, Fingerprints, fate, place, refused
from vidstyle.batch.devices import templates
from vidstyle.batch.inputs import Item
from vidstyle.batch.journal import OWN_FAULT, Journal, stamp
from vidstyle.batch.messages import Begun, Ended, Look, Ready, Seen, Step, Task
from vidstyle.batch.names import Names
from vidstyle.batch.stop import Stop
from vidstyle.batch.totals import Totals
from vidstyle.batch.watch import Arrivals
from vidstyle.errors import TERMINATED, SourceError, UsageError
from vidstyle.job import FileJob

if TYPE_CHECKING:
    from vidstyle.cluster.crew import ClusterCrew

TICK = 0.25  # seconds
DECIDING = 0.1  # seconds at a time, while workers wait
PATIENCE = 5.0  # seconds that videos under way get at SIGTERM, which may be followed by a SIGKILL
IN_A_ROW = 3  # failures that are not the videos' own fault end the batch


@dataclass(frozen=True)
class Event:
    """What happens, for whoever shows it.

    ``name``: start, progress, done, incomplete (done with losses), failed, skipped, stopped, waiting (a video that
    does not open yet), unopened (one that never did), note; of a cluster also cluster, node, node-lost, worker,
    worker-lost, segment, retry, copied. ``worker`` counts from 1, 0 for none. ``data`` is JSON-ready.
    """

    name: str
    item: Item | None = None
    worker: int = 0
    data: dict[str, Any] = field(default_factory=dict)


class View(Protocol):
    def show(self, event: Event) -> None: ...
    def tick(self, totals: Totals) -> None: ...  # a few times a second


@dataclass(frozen=True)
class Wishes:
    """
    Attributes:
        jobs: videos at one time, on each device where there are several.
        overwrite: outputs that no batch made, too.
        retry: what failed too often, too.
    """

    jobs: int = 1
    overwrite: bool = False
    retry: bool = False


class Batch:
    """One run. `run` returns the totals; what it decides and does is shown and written to the journal.

    Args:
        template: every video's job but for its source and output.
        items: the videos known at the start.
        arrivals: more of them as they come, until ``stop``; None to end with the last item.
        crew: who does the work; None for processes on this machine.
    """

    def __init__(
        self,
        template: FileJob,
        items: Sequence[Item],
        journal: Journal,
        wishes: Wishes,
        view: View,
        stop: Stop,
        arrivals: Arrivals | None = None,
        crew: Crew | ClusterCrew | None = None,
    ) -> None:
        self.totals = Totals()
        self._journal, self._wishes, self._view, self._stop, self._arrivals = journal, wishes, view, stop, arrivals
        self._fingerprints = Fingerprints(template)
        if crew is not None and "," in template.engine.device:
            given = template.engine.device
            raise UsageError(f"--cluster gives each worker a GPU of its own: --device cuda:0 in place of {given}")
        self._crew: Any = crew or Crew(templates(template, wishes.jobs), self._fingerprints)
        self._undecided = deque(items)
        self._ready: deque[tuple[Item, str]] = deque()  # and why, where it is not new
        self._unseen: deque[Item] = deque()  # for the scout
        self._changed: dict[Item, Seen] = {}  # arrived again while they were under way: decided when that has ended
        self._waiting: dict[Item, str] = {}  # arrived, and did not open: why
        self._names = Names(watching=arrivals is not None)
        self._away = ""  # why the inputs could not be looked at, the last time
        self._halted = False  # nothing more is begun
        self._asked = False  # the videos under way were asked to end
        self._kill_at = math.inf  # monotonic time
        self._row = 0
        self.totals.found = len(items)

    def run(self) -> Totals:
        """Work until nothing is left, or until ``stop``.

        Raises:
            SinkError: the journal cannot be written.
            EngineError: workers cannot be started.
        """
        ticked = -TICK
        with self._crew:
            while not self._over():
                self._decide_some()
                self._hand_out()
                for worker in self._crew.heard(0 if self._undecided and not self._halted else TICK):
                    self._listen(worker)
                self._arrive()
                if time.monotonic() - ticked >= TICK:
                    self._view.tick(self.totals)
                    ticked = time.monotonic()
            if self._crew.busy:
                self._crew.patience = 0.0
        self._view.tick(self.totals)
        for item, reason in self._waiting.items():
            if stamp(item.source) is not None:
                self._view.show(Event("unopened", item, data={"reason": reason}))
        return self.totals

    def _over(self) -> bool:
        if self._stop.asked and not self._asked:
            self._ask_for_the_end()
        if self._stop.asked > 1 or time.monotonic() > self._kill_at:
            return True
        if self._halted:
            return not self._crew.busy
        return self._arrivals is None and not (self._undecided or self._ready or self._crew.busy)

    def _ask_for_the_end(self) -> None:
        self._halted = self._asked = True
        if self._stop.code == TERMINATED:
            self._kill_at = time.monotonic() + PATIENCE
        if names := [worker.item.source.name for worker in self._crew.busy if worker.item]:
            self._note(f"stopping {', '.join(names)} at the next frame; once more to stop at once")
        self._crew.stop()

    def _note(self, text: str) -> None:
        self._view.show(Event("note", data={"text": text}))

    # --- what to do

    def _decide_some(self) -> None:
        """A little at a time: of thousands of videos the first is begun at once."""
        until = time.monotonic() + DECIDING
        while self._undecided and not self._halted and time.monotonic() < until:
            self._decide(self._undecided.popleft())

    def _decide(self, item: Item) -> None:
        wishes = self._wishes
        decision = fate(item, self._journal, self._names, self._fingerprints, wishes.overwrite, wishes.retry)
        if decision.action == "do":
            self.totals.add(item)
            self._ready.append((item, decision.why))
            if self._arrivals is None and self.totals.found > self._wishes.jobs:
                self._unseen.append(item)
        else:
            self._settle(item, decision)

    def _settle(self, item: Item, decision: Decision) -> None:
        """Nothing is to be done; one line in the journal, however often that is found."""
        ended = Ended("skipped" if decision.action == "skip" else "failed", decision.why, decision.code)
        if self._journal.last(item.target, item.source) != ended.reason:
            details = {"code": ended.code} if ended.status == "failed" else {}
            self._journal.write(ended.status, item.target, item.source, reason=ended.reason, **details)
        self._end(item, ended, 0)

    def _hand_out(self) -> None:
        while not self._halted and (at := self._next()) is not None and (worker := self._crew.idle()):
            item, worker.why = self._ready[at]
            del self._ready[at]
            worker.item, worker.fingerprint = item, None
            self._names.open(item)
            known = place(item, self._journal.entry(item.target))
            worker.send(Task(item.source, item.target, known, self._wishes.overwrite, taken=self._names.taken(item)))
        if self._unseen and not self._halted and (scout := self._crew.scout()):
            scout.item = self._unseen.popleft()
            scout.send(Look(scout.item.source))

    def _next(self) -> int | None:
        """Place in the queue of the first that may be begun."""
        for at, (item, _) in enumerate(self._ready):
            if not self._names.is_open(item):
                if not (other := self._names.claim(item.target, item)):
                    return at
                del self._ready[at]  # the result of one that was opened meanwhile is called so
                self._settle(item, refused(item, item.target, other))
                return self._next()
        return None

    def _arrive(self) -> None:
        if self._arrivals is None or self._halted:
            return
        try:
            self._unseen.extend(self._arrivals.complete())
            self._away = ""
        except SourceError as error:  # as of a network's disk that is away for a moment: others may come back, too
            if str(error) != self._away:
                self._note(f"{error}; looking again")
            self._away = str(error)

    # --- what workers say

    def _listen(self, worker: Worker) -> None:
        message, item = worker.receive(), worker.item
        if message is None:
            self._died(worker)
        elif isinstance(message, Ready):
            worker.ready = True
        elif item is not None and isinstance(message, Begun):
            self._begun(worker, item, message)
        elif item is not None and isinstance(message, Step):
            self.totals.step(item, message)
            data = {"frames": message.frames, "total": message.total, "fps": round(message.fps, 2)}
            self._view.show(Event("progress", item, worker.number, data))
        elif item is not None and isinstance(message, Ended):
            self._ended(worker, item, message)
            if message.lost:
                self._crew.bury(worker)  # it has ended: before it is given another video
        elif item is not None and isinstance(message, Seen):
            worker.item = None
            self._seen(item, message)
            if self._arrivals is None and not self._unseen and not self._undecided:
                self._crew.dismiss(worker)

    def _died(self, worker: Worker) -> None:
        cause, item = self._crew.bury(worker), worker.item
        if item is not None and not worker.is_scout:
            self._ended(worker, item, Ended("failed", cause, 1))
        elif item is not None:
            self._seen(item, Seen(error=cause))

    def _begun(self, worker: Worker, item: Item, begun: Begun) -> None:
        worker.fingerprint = begun.fingerprint
        self._names.opened(item, begun.file)
        marks = {"file": begun.file, "fingerprint": begun.fingerprint, "stamp": begun.stamp, "before": begun.before}
        self._journal.write("started", item.target, item.source, **marks)
        why = {"why": worker.why} if worker.why else {}
        pid = {"pid": worker.pid} if worker.pid else {}
        self._view.show(Event("start", item, worker.number, pid | why))

    def _seen(self, item: Item, seen: Seen) -> None:
        self._waiting.pop(item, None)
        if self._arrivals is None:
            self.totals.weigh(item, seen.frames, seen.pixels)
        elif seen.error:
            self._waiting[item] = item.told(seen.error)
            self._view.show(Event("waiting", item, data={"reason": self._waiting[item]}))
        elif any(worker.item == item for worker in self._crew.busy):
            self._changed[item] = seen  # two workers would write one output
        elif all(item != waiting for waiting, _ in self._ready):  # or it will be read as it is then
            self.totals.found += 1
            self._decide(item)
            self.totals.weigh(item, seen.frames, seen.pixels)

    def _ended(self, worker: Worker, item: Item, ended: Ended) -> None:
        worker.item = None
        self._names.opened(item)
        if ended.status != "stopped":
            self._record(item, ended, worker)
            self._count_row(ended)
        self._end(item, ended, worker.number)
        if item in self._changed and not self._halted:
            self._seen(item, self._changed.pop(item))

    def _record(self, item: Item, ended: Ended, worker: Worker) -> None:
        data: dict[str, Any] = {"fingerprint": worker.fingerprint}
        if ended.status != "done":
            data |= {"reason": ended.reason, "code": ended.code}
        if ended.report:
            data |= {"size": ended.size, "report": ended.report}
        self._journal.write(ended.status, item.target, item.source, **data)

    def _count_row(self, ended: Ended) -> None:
        """A full disk or a lost device would fail every video: end the batch, it can go on later."""
        own = ended.code in OWN_FAULT or ended.taken
        self._row = self._row + 1 if ended.status == "failed" and not own else 0
        if self._row >= IN_A_ROW and not self._halted:
            self._halted = True
            self._note(f"{IN_A_ROW} in a row failed, and not by their own fault: stopped; mend it, then run it again")

    def _end(self, item: Item, ended: Ended, worker: int) -> None:
        ended = replace(ended, reason=item.told(ended.reason))
        self.totals.end(item, ended)
        data: dict[str, Any] = {"reason": ended.reason} if ended.reason else {}
        data |= {"code": ended.code} if ended.code else {}
        if ended.status in ("done", "incomplete", "skipped"):
            data["output"] = item.named(place(item, self._journal.entry(item.target)).name)
        if ended.report:
            data["report"] = {**ended.report, "source": item.names[0], "output": data["output"]}
        self._view.show(Event(ended.status, item, worker, data))
