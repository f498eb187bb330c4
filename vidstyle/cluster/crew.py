"""A cluster as the crew of a batch: the batch hands out videos, and the crew cuts them up for its workers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from vidstyle.batch.decide import Fingerprints
from vidstyle.batch.inputs import Item
from vidstyle.batch.messages import Look, Task
from vidstyle.batch.run import Event, View
from vidstyle.cluster.connect import Cluster
from vidstyle.cluster.film import STYLE, WHOLE, Film
from vidstyle.cluster.messages import Made
from vidstyle.cluster.pool import Answer, RayPool, Worker
from vidstyle.cluster.schedule import Schedule
from vidstyle.cluster.standins import StandIns
from vidstyle.errors import SinkError

PROBE = ".vidstyle-cluster"  # a file in the results' folder: whoever can read it sees the same folder
AHEAD = 2  # videos are taken on while fewer calls than this times the workers wait


class ClusterCrew:
    """`vidstyle.batch.crew.Crew` over machines: what it calls workers are videos here. A context manager.

    Args:
        folder: of the results: every worker has to see it.
        sample: a source that every worker has to see.
        pool: makes the workers; gets the files they should see with their texts ("" for any), and whom to tell.
        view: is told of segments, workers and nodes.
        stand_ins: of videos behind URLs, with what decides their results; ``folder`` is then this machine's alone.
    """

    def __init__(
        self,
        cluster: Cluster,
        folder: Path,
        sample: Path | None,
        pool: Callable[[dict[str, str], Callable[[str, dict[str, Any]], None]], RayPool],
        view: View,
        stand_ins: tuple[StandIns, Fingerprints] | None = None,
    ) -> None:
        self.cluster = cluster
        self.patience = 0.0
        self.schedule = Schedule()
        self.retries = 0
        self._folder, self._sample, self._view = folder, sample, view
        self._probe, self._token = folder / PROBE, secrets.token_hex(16)
        self._stand_ins = stand_ins
        visible = {} if stand_ins else {str(self._probe.absolute()): self._token}
        if sample is not None and not stand_ins:
            visible[str(sample.absolute())] = ""
        self.pool = pool(visible, self._tell)
        self._scouting: Film | None = None
        self.machines: dict[str, dict[str, float]] = {}  # what each has done, also those that are gone

    @property
    def busy(self) -> list[Film]:
        return [film for film in self.schedule.films if film.item is not None and not film.is_scout]

    def idle(self) -> Film | None:
        """A place for a video; None while there is work enough."""
        if self.schedule.backlog >= AHEAD * max(1, len(self.pool.workers)):
            return None
        return self._film()

    def scout(self) -> Film | None:
        if self._scouting is None:
            self._scouting = self._film(is_scout=True)
        return self._scouting if self._scouting.item is None else None

    def _film(self, is_scout: bool = False) -> Film:
        film: Film
        film = Film(lambda name, facts: self._tell(name, facts, film.item), is_scout)
        self.schedule.films.append(film)
        return film

    def _tell(self, name: str, facts: dict[str, Any], item: Item | None = None) -> None:
        self.retries += name == "retry"
        self._view.show(Event(name, item, data=facts))

    def heard(self, seconds: float) -> list[Any]:
        """The videos that have something to say, waiting up to ``seconds`` for the first."""
        self.pool.grow()
        self._hand_out()
        if not any(film.inbox for film in self.schedule.films):
            for answer in self.pool.heard(seconds):
                self._take(answer)
            self._hand_out()
        talking = [film for film in self.schedule.films if film.inbox]
        self.schedule.films = [film for film in self.schedule.films if not (film.over and len(film.inbox) <= 1)]
        if self._scouting is not None and self._scouting.over:
            self._scouting = None
        return talking

    def _hand_out(self) -> None:
        now = time.monotonic()
        for worker in self.pool.free:
            call = self.schedule.next_for(worker.film, self.pool.calls, now)
            if call is None:
                return
            if isinstance(call.argument, (Task, Look)):
                call.argument = self._sent(call.argument)
                call.film.task = call.argument
            self.pool.give(worker, call)

    def _take(self, answer: Answer) -> None:
        call, worker = answer.call, answer.worker
        if answer.lost:
            return call.film.lost(call, answer.lost, answer.deaths)
        if call.kind == STYLE and isinstance(answer.value, Made) and not answer.value.error:
            made = answer.value
            frames = sum(done.frames for done in made.done)
            self.schedule.measured(frames, made.seconds)
            self._count(worker, len(made.done), frames, made.seconds)
        if call.kind == WHOLE and (report := answer.value.report):
            self._count(worker, 1, report["frames_in"], report["seconds"])
        value = answer.value
        if self._stand_ins is not None and call.film.item is not None:
            value = self._stand_ins[0].came(call.film.item, value, self._stand_ins[1])
        return call.film.answer(call, value, f"{worker.machine}:{worker.number}")

    def _sent(self, message: Task | Look) -> Task | Look:
        if self._stand_ins is not None:
            return self._stand_ins[0].sent(message)
        return _absolute(message)

    def _count(self, worker: Worker, segments: int, frames: int, seconds: float) -> None:
        worker.segments, worker.frames = worker.segments + segments, worker.frames + frames
        worker.fps = frames / seconds if seconds else 0.0
        machine = self.machines.setdefault(worker.machine, {"segments": 0, "frames": 0, "seconds": 0.0})
        machine["segments"] += segments
        machine["frames"] += frames
        machine["seconds"] += seconds

    def bury(self, worker: Any) -> str:  # a video does not die
        raise AssertionError(worker)

    def dismiss(self, worker: Film) -> None:
        worker.over = True

    def stop(self) -> None:
        """At once: finished segments are there for the next run."""
        for film in self.busy:
            film.stop()
        self.pool.end()

    def __enter__(self) -> ClusterCrew:
        try:
            self._probe.write_text(self._token)
        except OSError as error:
            raise SinkError(f"cannot write to {self._folder}: {error.strerror or error}") from error
        try:
            self.pool.start()
        except BaseException:
            self._forget_probe()
            raise
        return self

    def _forget_probe(self) -> None:
        with suppress(OSError):
            self._probe.unlink()

    def __exit__(self, *exc: object) -> None:
        try:
            self.pool.end()
        finally:
            self._forget_probe()


def _absolute(message: Task | Look) -> Task | Look:
    """A worker's own folder is another."""
    if isinstance(message, Look):
        return Look(message.source.absolute())
    paths = {name: getattr(message, name).absolute() for name in ("source", "target", "known")}
    return replace(message, **paths)
