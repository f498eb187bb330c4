"""A worker's failure is believed when the worker is still fit: else another one gets its call."""

from __future__ import annotations

import sys
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import pytest

from vidstyle.batch.messages import Ended, Seen
from vidstyle.cluster.film import PREPARE, Call, Film
from vidstyle.cluster.messages import Broken, Hello, Made, Prepared, is_failure
from vidstyle.cluster.nodes import Size
from vidstyle.cluster.pool import RayPool, Worker

ray = pytest.importorskip("ray", reason="the extra cluster is not installed")
FAILED = Prepared(ended=Ended("failed", "cannot read /in/a.mp4: no such file", 4))
FIT = Hello("n", "node7", 1, version("vidstyle"), [])


class Pool(RayPool):
    """Whose workers' answers are there at once: they stand in for Ray's references."""

    def dismiss(self, worker: Worker) -> None:
        self.workers.remove(worker)


def failing(monkeypatch: pytest.MonkeyPatch, again: Any) -> tuple[Pool, Worker, Call, list[dict[str, Any]]]:
    """A worker that answered its call with a failure; ``again``: its answer when it is greeted once more."""
    monkeypatch.setattr(ray, "get", lambda answer: answer)
    told: list[dict[str, Any]] = []
    pool = Pool(object, (), Size(), lambda _, facts: told.append(facts))
    actor = SimpleNamespace(hello=SimpleNamespace(remote=lambda: again))
    film = Film(lambda *_: None)
    call = Call(film, PREPARE, None)
    worker = Worker(1, actor, FAILED, FIT, call)
    pool.workers = [worker]
    return pool, worker, call, told


def test_a_failure_is_believed_of_a_worker_that_is_still_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, worker, call, told = failing(monkeypatch, FIT)
    assert pool._take(worker) is None and pool.free == [], "it is asked first"
    answer = pool._take(worker)
    assert answer is not None and answer.call is call and answer.value is FAILED and not answer.lost
    assert pool.free == [worker] and told == []


def test_a_machine_that_lost_the_shared_folder_fails_no_video(monkeypatch: pytest.MonkeyPatch) -> None:
    blind = Hello("n", "node7", 1, version("vidstyle"), [sys.executable])
    pool, worker, call, told = failing(monkeypatch, blind)
    assert pool._take(worker) is None
    answer = pool._take(worker)
    assert answer is not None and answer.call is call and answer.value is None
    assert answer.lost.startswith(f"node7 does not see {sys.executable}") and answer.deaths is None
    assert pool.workers == [] and told == [{"worker": 1, "host": "node7", "reason": answer.lost}]
    call.film._alone = call
    call.film.lost(call, answer.lost, answer.deaths)
    assert call.film.next_alone(PREPARE) is call, "another worker gets it"


def test_a_machine_that_was_mended_and_started_anew_counts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = {name: {"NodeManagerHostname": name, "Resources": {"CPU": 2.0}} for name in ("bad", "good")}
    monkeypatch.setattr("vidstyle.cluster.pool.alive_nodes", lambda: nodes)
    pool = Pool(object, (), Size(), lambda *_: None)
    hired: list[int] = []
    monkeypatch.setattr(pool, "_hire", lambda: hired.append(1))
    pool.workers = [Worker(number, None, None) for number in range(4)]
    for worker in pool.workers[:2]:
        pool._welcome(worker, Hello("bad", "node7", 1, "0.0.9", []))
    pool.grow()
    assert (len(pool.workers), len(hired)) == (2, 0)
    nodes["mended"] = nodes.pop("bad")
    pool._looked = -10.0
    pool.grow()
    assert len(hired) == 2


@pytest.mark.parametrize(
    ("value", "doubted"),
    [
        (Made(error="no such file", code=4), True),
        (Broken([1], []), True),
        (Ended("failed", "the disk is full", 5), True),
        (Seen(error="no such file"), True),
        (Made(), False),
        (Prepared(), False),
        (Seen(30), False),
        (Ended("done"), False),
        (Ended("incomplete", "damaged"), False),
    ],
)
def test_what_another_worker_might_not_answer(value: Any, doubted: bool) -> None:
    assert is_failure(value) == doubted
