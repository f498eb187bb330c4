"""One video on a cluster: what is to do, what is under way, and what came out damaged."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from vidstyle.batch.inputs import Item
from vidstyle.batch.journal import OWN_FAULT, Fingerprint
from vidstyle.batch.messages import Ended, Look, Seen, Step, Task
from vidstyle.cluster.messages import Broken, Join, Made, Order, Prepared
from vidstyle.unit import Unit

TRIES = 3  # that one piece of work may fail, or come out damaged
DEATHS = 6  # workers that may die of it, where it is nearly alone in that: then it is what kills them
SHARE = 0.9  # of all workers that died meanwhile, for "nearly alone"
MOST_DEATHS = 50  # whatever else dies
LOOK, PREPARE, WHOLE, STYLE, ASSEMBLE = "look", "prepare", "whole", "style", "assemble"  # methods of a worker


@dataclass(eq=False)
class Call:
    """One thing that a worker does for a video. ``first``: of the unit; -1 for what is no unit."""

    film: Film
    kind: str
    argument: Any
    first: int = -1
    frames: float = 0.0  # expected
    began: float = 0.0  # `time.monotonic`


@dataclass(eq=False)
class Film:
    """One video on its way through the cluster; a batch takes it for a `vidstyle.batch.crew.Worker` that has it.

    Attributes:
        tell: gets what happens to it: (event, facts).
        is_scout: it is only looked at, for its length.
        item, why, fingerprint: the batch's.
        number, pid, ready: of a worker; no process is one video's, so they say nothing.
        task: what the batch sent.
        inbox: what the batch will hear.
        todo: units that nobody has.
        running: first segment of every unit under way -> calls that do it.
        done: number of every finished segment -> its frames.
        log: of every segment that was made: number, frames, seconds, machine, tries.
        over: nothing more is done; the last word is in the inbox.
    """

    tell: Callable[[str, dict[str, Any]], None]
    is_scout: bool = False
    item: Item | None = None
    why: str = ""
    fingerprint: Fingerprint | None = None
    number: int = 0
    pid: int = 0
    ready: bool = True
    task: Task | Look | None = None
    inbox: deque[Any] = field(default_factory=deque)
    todo: deque[Unit] = field(default_factory=deque)
    running: dict[int, list[Call]] = field(default_factory=dict)
    done: dict[int, int] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)
    over: bool = False

    def __post_init__(self) -> None:
        self._prepared: Prepared | None = None
        self._next: Call | None = None  # what is to do and is no unit
        self._alone: Call | None = None  # the same, under way
        self._failures, self._deaths = Counter[int](), Counter[int]()  # of a unit, by its first segment
        self._before_deaths: dict[int, int] = {}  # workers that had died before the first that died with it
        self._wholes: set[int] = set()  # units that were decoded from the beginning
        self._accepted: set[int] = set()
        self._engine, self._reused, self._began = "", 0, 0.0  # of what was made; `time.monotonic`
        self._before = 0  # frames of an interrupted run

    # --- the batch's side: see `vidstyle.batch.crew.Worker`

    def send(self, message: Task | Look) -> None:
        self.task = message
        self._next = Call(self, LOOK if isinstance(message, Look) else PREPARE, message)

    def receive(self) -> Any:
        return self.inbox.popleft()

    # --- the schedule's side

    @property
    def backlog(self) -> int:
        """Calls that could be made at once."""
        return len(self.todo) + (self._next is not None)

    @property
    def segments(self) -> int:
        """Of the plan; 0 while there is none."""
        return len(self._prepared.plan.starts) if self._prepared is not None and self._prepared.plan is not None else 0

    def next_alone(self, *kinds: str) -> Call | None:
        """What is to do and is no unit, if it is of these kinds."""
        if self._next is None or self._next.kind not in kinds:
            return None
        self._alone, self._next = self._next, None
        return self._alone

    def next_unit(self) -> Call | None:
        if not self.todo:
            return None
        self._began = self._began or time.monotonic()
        unit = self.todo.popleft()
        return self._order(unit)

    def copy_of(self, call: Call) -> Call:
        """The same unit, for a second worker: whoever is first counts."""
        return self._order(call.argument.unit)

    def _order(self, unit: Unit) -> Call:
        assert self._prepared is not None and self._prepared.plan is not None
        assert isinstance(self.task, Task), "only what is to be styled has units"
        order = Order(self.task, self._prepared.output, self._prepared.plan, unit, self._prepared.suited)
        frames = (self._prepared.frames or 0) / max(1, self.segments)
        call = Call(self, STYLE, order, unit.first, frames)
        self.running.setdefault(unit.first, []).append(call)
        return call

    # --- what comes back

    def answer(self, call: Call, value: Any, machine: str) -> None:
        """A worker has done it."""
        if self.over or not self._forget(call):
            return  # another copy was first
        if isinstance(value, Seen):
            self.inbox.append(value)
            self.over = True
        elif isinstance(value, Prepared):
            self._on_prepared(value)
        elif isinstance(value, Made):
            self._on_made(call, value, machine)
        elif isinstance(value, Broken):
            self._on_broken(value)
        else:
            if call.kind == WHOLE and value.report:  # one segment
                self._note(call.first, 1, value.report["frames_in"], value.report["seconds"], machine)
            self._end(value)

    def lost(self, call: Call, reason: str, deaths: int | None) -> None:
        """Its worker is gone.

        Args:
            deaths: workers that died so far, this one included; None where its machine is gone.
        """
        if self.over or not self._forget(call):
            return
        if deaths is not None and self._kills(call.first, deaths):
            what = f"segment {call.first}" if call.kind == STYLE else "it"
            return self._end(Ended("failed", f"{self._deaths[call.first]} workers died of {what}: {reason}", 1))
        self.tell("retry", self._about(call.first, reason))
        if call.kind != STYLE:
            self._next = call
        elif call.first not in self.running:
            self.todo.appendleft(call.argument.unit)

    def _kills(self, first: int, deaths: int) -> bool:
        """Whether it is a piece of work that workers die of, and not bad luck that others have, too."""
        before = self._before_deaths.setdefault(first, deaths - 1)
        self._deaths[first] += 1
        own = self._deaths[first]
        return own >= MOST_DEATHS or (own >= DEATHS and own >= SHARE * (deaths - before))

    def _forget(self, call: Call) -> bool:
        """Whether it was still wanted."""
        if call is self._alone:
            self._alone = None
            return True
        calls = self.running.get(call.first, [])
        if call not in calls:
            return False
        calls.remove(call)
        if not calls:
            del self.running[call.first]
        return True

    def _about(self, first: int, reason: str) -> dict[str, Any]:
        return {**({"segment": first} if first >= 0 else {}), "reason": reason}

    def _on_prepared(self, prepared: Prepared) -> None:
        self._prepared = prepared
        if prepared.begun is not None:
            self.inbox.append(prepared.begun)
        if prepared.ended is not None:
            return self._end(prepared.ended)
        if prepared.plan is None:
            self._began = time.monotonic()
            assert isinstance(self.task, Task), "only what is to be styled is prepared"
            task = replace(self.task, suited=prepared.suited)  # it is looked at once
            self._next = Call(self, WHOLE, task, frames=prepared.frames or 0)
            self.inbox.append(Step(0, prepared.frames, 0.0, prepared.pixels, 0))
            return None
        self.done = {done.number: done.frames for done in prepared.done}
        self._before = sum(self.done.values())
        self.todo.extend(self._unit(number) for number in range(self.segments) if number not in self.done)
        return self._go_on()

    def _first(self, number: int) -> int:
        """First segment of the unit that makes this one: the plan's last makes all beyond it, too."""
        return min(number, self.segments - 1)

    def _unit(self, number: int) -> Unit:
        """The one that makes a segment."""
        first = self._first(number)
        last = first if first < self.segments - 1 else None
        return Unit(first, last, whole=first in self._wholes)

    def _on_made(self, call: Call, made: Made, machine: str) -> None:
        if made.error:
            return self._failed(call.first, made.error, made.code, call.argument.unit)
        self.running.pop(call.first, None)  # copies of it are no longer wanted
        self._engine, self._reused = made.engine, self._reused + made.reused
        for done in made.done:
            self.done[done.number] = done.frames
        self._note(call.first, len(self.done), sum(done.frames for done in made.done), made.seconds, machine)
        self._step()
        return self._go_on()

    def _note(self, first: int, done: int, frames: int, seconds: float, machine: str) -> None:
        """Write down who made what. ``done``: segments by now."""
        facts = {"segment": max(0, first), "frames": frames, "machine": machine, "seconds": round(seconds, 3)}
        self.log.append(facts | {"tries": self._failures[first] + self._deaths[first] + 1})
        self.tell("segment", {**self.log[-1], "done": done, "of": max(1, self.segments)})

    def _step(self) -> None:
        assert self._prepared is not None
        frames, seconds = sum(self.done.values()), max(0.001, time.monotonic() - self._began)
        fps = (frames - self._before) / seconds
        self.inbox.append(Step(frames, self._prepared.frames, fps, self._prepared.pixels, self._before))

    def _failed(self, first: int, reason: str, code: int, unit: Unit) -> None:
        self._failures[first] += 1
        if first in self.running:  # a copy is under way
            return None
        if code not in OWN_FAULT or self._failures[first] >= TRIES:
            return self._end(Ended("failed", reason, code))
        self.tell("retry", self._about(first, reason))
        self.todo.appendleft(unit)
        return None

    def _go_on(self) -> None:
        """Once all segments are there, put them together."""
        assert self._prepared is not None
        if self.todo or self.running:
            return
        numbers = sorted(self.done)
        seconds = time.monotonic() - self._began if self._began else 0.0
        facts = (self._engine, self._reused, seconds, self._prepared.notes, self._prepared.suited)
        assert isinstance(self.task, Task), "only what is to be styled is put together"
        join = Join(self.task, self._prepared.output, numbers, frozenset(self._accepted), *facts)
        self._next = Call(self, ASSEMBLE, join)

    def _on_broken(self, broken: Broken) -> None:
        for number in broken.damaged:
            self._again(number, "it is damaged, or gone")
        for number in broken.misfits:
            self._misfit(number)
        if not self.over:
            self._go_on()

    def _misfit(self, number: int) -> None:
        """Decode from the beginning, it and then the one before: near the joint that gave other pictures."""
        first, before = self._first(number), self._first(max((n for n in self.done if n < number), default=0))
        if first in self._wholes and before in self._wholes:
            self._accepted.add(number)  # damage is not mended in the same way twice
            return
        unsure = before if first in self._wholes else first
        self._wholes.add(unsure)
        self._again(unsure, "its pictures do not fit those before: decoding from the beginning")

    def _again(self, number: int, reason: str) -> None:
        unit = self._unit(number)
        self._failures[unit.first] += 1
        if self._failures[unit.first] >= TRIES:
            what = f"segment {unit.first} came out damaged {TRIES} times, the last time because {reason}"
            return self._end(Ended("failed", f"{what}: check the memory and the disks of the machines", 1))
        for made in [n for n in self.done if unit.first <= n and (unit.last is None or n <= unit.last)]:
            del self.done[made]
        if unit not in self.todo:
            self.todo.append(unit)
        return self.tell("retry", self._about(unit.first, reason))

    def stop(self) -> None:
        self._end(Ended("stopped"))

    def _end(self, ended: Ended) -> None:
        self.over = True
        self.todo.clear()
        self.running.clear()
        self._next = self._alone = None
        if ended.report and self.log:
            notes = [f"went on after {self._before} frames of an interrupted run"] if self._before else []
            report = {**ended.report, "notes": [*ended.report["notes"], *notes]}
            ended = Ended(ended.status, ended.reason, ended.code, ended.size, report | {"segments": self.log})
        if not self.is_scout:
            self.inbox.append(ended)
        else:
            self.inbox.append(Seen(error=ended.reason or "stopped"))
