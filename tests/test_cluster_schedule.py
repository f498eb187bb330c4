"""What a cluster's driver decides, without a cluster: retries, quarantine, copies, the order of work, the estimate."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from vidstyle.batch.inputs import Item
from vidstyle.batch.messages import Begun, Ended, Step, Task
from vidstyle.cluster.estimate import Length, advice, seconds_alone, seconds_on
from vidstyle.cluster.film import ASSEMBLE, DEATHS, MOST_DEATHS, PREPARE, STYLE, TRIES, WHOLE, Call, Film
from vidstyle.cluster.messages import Broken, Done, Made, Prepared
from vidstyle.cluster.nodes import Size
from vidstyle.cluster.schedule import Schedule
from vidstyle.planning import Plan

OUTPUT = Path("/out/a.mp4")
DONE = Ended("done", size=1, report={"notes": [], "frames_in": 30, "seconds": 1.5})


class Desk:
    """A schedule with workers that answer as the test says."""

    def __init__(self) -> None:
        self.schedule, self.told, self.now = Schedule(), list[tuple[str, dict[str, Any]]](), 100.0
        self.under_way: list[Call] = []

    def film(self, segments: int = 3, done: tuple[int, ...] = (), prepare: bool = True) -> Film:
        film = Film(lambda name, facts: self.told.append((name, facts)))
        film.item = Item(Path("/in/a.mp4"), OUTPUT)
        film.send(Task(Path("/in/a.mp4"), OUTPUT, OUTPUT, False))
        self.schedule.films.append(film)
        if prepare:
            plan = Plan([number * 10 for number in range(segments)], 10, True) if segments else None
            known = [Done(number, 10) for number in done]
            begun = Begun("a.mp4", {}, None, None)
            call = film.next_alone(PREPARE)
            assert call is not None
            film.answer(call, Prepared(begun, None, OUTPUT, plan, known, 10 * segments, 100), "host:1")
        return film

    def take(self, kind: str, film: Film | None = None) -> Call:
        call = self.schedule.next_for(film, self.under_way, self.now)
        assert call is not None and call.kind == kind, call
        call.began = self.now
        self.under_way.append(call)
        return call

    def answer(self, call: Call, value: Any) -> None:
        self.under_way.remove(call)
        call.film.answer(call, value, "host:1")

    def make(self, call: Call, seconds: float = 1.0) -> None:
        unit = call.argument.unit
        numbers = range(unit.first, unit.first + 1)
        self.schedule.measured(10 * len(numbers), seconds)
        self.answer(call, Made([Done(number, 10) for number in numbers], seconds, "engine"))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_video_from_beginning_to_end(desk: Desk) -> None:
    film = desk.film(3)
    for number in range(3):
        call = desk.take(STYLE)
        assert (call.first, call.argument.unit.last) == (number, number if number < 2 else None)
        desk.make(call)
    join = desk.take(ASSEMBLE)
    assert join.argument.numbers == [0, 1, 2]
    desk.answer(join, DONE)
    heard = [film.receive() for _ in range(len(film.inbox))]
    assert [type(message) for message in heard] == [Begun, Step, Step, Step, Ended]
    assert [step.frames for step in heard[1:4]] == [10, 20, 30]
    assert [each["machine"] for each in heard[-1].report["segments"]] == ["host:1"] * 3
    assert film.over and not film.backlog


def test_what_an_earlier_run_has_done_is_not_done_again(desk: Desk) -> None:
    film = desk.film(4, done=(0, 2))
    calls = [desk.take(STYLE), desk.take(STYLE)]
    assert [call.first for call in calls] == [1, 3]
    for call in calls:
        desk.make(call)
    assert desk.take(ASSEMBLE).argument.numbers == [0, 1, 2, 3]
    assert film.inbox[1].before == 20


def test_one_piece_for_what_has_no_plan(desk: Desk) -> None:
    film = desk.film(0)
    desk.answer(desk.take(WHOLE), DONE)
    assert film.over and isinstance(film.inbox[-1], Ended)
    made = {"segment": 0, "frames": 30, "machine": "host:1", "seconds": 1.5, "tries": 1}
    assert film.inbox[-1].report["segments"] == [made]
    assert desk.told == [("segment", {**made, "done": 1, "of": 1})]


def test_a_lost_worker_and_then_one_too_many(desk: Desk) -> None:
    film = desk.film(2)
    for count in range(1, DEATHS):
        call = desk.take(STYLE)
        assert call.first == 0, "the oldest first"
        desk.under_way.remove(call)
        film.lost(call, "worker 1 on host died", deaths=count)
    for _ in range(3 * DEATHS):  # a machine that is gone says nothing about the segment
        call = desk.take(STYLE)
        desk.under_way.remove(call)
        film.lost(call, "the machine host is gone", deaths=None)
    call = desk.take(STYLE)
    film.lost(call, "worker 1 on host died", deaths=DEATHS)
    assert film.over and f"{DEATHS} workers died of segment 0" in film.inbox[-1].reason


def test_where_workers_die_of_anything_a_segment_is_not_to_blame(desk: Desk) -> None:
    film = desk.film(2)
    for count in range(2, 2 * MOST_DEATHS, 2):  # as many die with other work
        film.lost(desk.take(STYLE), "worker 1 on host died", deaths=count)
    assert not film.over
    film.lost(desk.take(STYLE), "worker 1 on host died", deaths=2 * MOST_DEATHS)
    assert film.over


def test_a_failing_segment_is_tried_three_times_and_others_go_on(desk: Desk) -> None:
    bad, good = desk.film(1), desk.film(1)
    for _ in range(TRIES):
        desk.answer(desk.take(STYLE, bad), Made(error="it cannot be read", code=4))
    assert bad.over and bad.inbox[-1] == Ended("failed", "it cannot be read", 4)
    desk.make(desk.take(STYLE))
    desk.answer(desk.take(ASSEMBLE), DONE)
    assert good.over and good.inbox[-1].status == "done"


def test_a_full_disk_is_not_tried_again(desk: Desk) -> None:
    film = desk.film(2)
    desk.answer(desk.take(STYLE), Made(error="the disk is full", code=5))
    assert film.inbox[-1] == Ended("failed", "the disk is full", 5)


def test_a_damaged_segment_is_made_again_and_quarantined_after_three(desk: Desk) -> None:
    film = desk.film(2)
    for _ in range(2):
        desk.make(desk.take(STYLE))
    for _ in range(TRIES - 1):
        desk.answer(desk.take(ASSEMBLE), Broken([1], []))
        call = desk.take(STYLE)
        assert (call.first, call.argument.unit.whole) == (1, False)
        desk.make(call)
    desk.answer(desk.take(ASSEMBLE), Broken([1], []))
    assert film.over and "segment 1 came out damaged 3 times" in film.inbox[-1].reason


def test_a_joint_that_does_not_fit_is_decoded_from_the_beginning_on_both_sides_then_accepted(desk: Desk) -> None:
    film = desk.film(3)
    for _ in range(3):
        desk.make(desk.take(STYLE))
    for unsure in (2, 1):
        desk.answer(desk.take(ASSEMBLE), Broken([], [2]))
        call = desk.take(STYLE)
        assert (call.first, call.argument.unit.whole) == (unsure, True)
        desk.make(call)
    desk.answer(desk.take(ASSEMBLE), Broken([], [2]))
    join = desk.take(ASSEMBLE)
    assert join.argument.accepted == {2} and not film.over


def test_a_slow_workers_last_segment_is_given_to_another(desk: Desk) -> None:
    film = desk.film(3)
    for _ in range(2):
        desk.make(desk.take(STYLE), seconds=5)
    slow = desk.take(STYLE)
    desk.now += 9
    assert desk.schedule.next_for(None, desk.under_way, desk.now) is None, "not slow yet"
    desk.now += 9
    copy = desk.take(STYLE)
    assert (copy.first, desk.schedule.copies) == (slow.first, 1)
    desk.now += 99
    assert desk.schedule.next_for(None, desk.under_way, desk.now) is None, "two are enough"
    desk.make(copy)
    join = desk.take(ASSEMBLE)
    desk.make(slow)  # comes late: nothing is doubled
    assert film.done == {0: 10, 1: 10, 2: 10} and len(film.log) == 3
    desk.answer(join, DONE)
    assert [name for name, _ in desk.told if name == "copied"] == ["copied"]


def test_a_slow_worker_that_dies_leaves_it_to_the_other(desk: Desk) -> None:
    film = desk.film(2)
    desk.make(desk.take(STYLE), seconds=1)
    slow = desk.take(STYLE)
    desk.now += 60
    copy = desk.take(STYLE)
    film.lost(slow, "died", deaths=1)
    assert not film.todo
    desk.make(copy)
    assert desk.take(ASSEMBLE)


def test_a_worker_stays_with_its_video_and_ends_come_first(desk: Desk) -> None:
    first, second = desk.film(3), desk.film(3)
    assert desk.take(STYLE, second).film is second
    assert desk.take(STYLE, first).film is first
    small = desk.film(1, prepare=False)
    assert desk.take(STYLE).film is first, "what is open comes before what is new"
    for call in [call for call in desk.under_way if call.film is first]:
        desk.make(call)
    desk.make(desk.take(STYLE, first))
    assert desk.take(ASSEMBLE, second).film is first
    for _ in range(2):
        desk.take(STYLE)
    assert desk.take(PREPARE).film is small


def test_how_many_workers_fit() -> None:
    assert Size(0, 2).fit({"CPU": 7}) == 3
    assert Size(0, 4, 0.5).fit({"CPU": 64, "GPU": 2}) == 4
    assert Size(0, 1, 0.1).fit({"CPU": 64, "GPU": 1}) == 10
    assert Size(0, 1, 1).fit({"CPU": 8}) == 0


def test_the_estimate_knows_when_one_machine_is_better() -> None:
    film, clips = [Length(90_000)], [Length(250)] * 400
    for lengths in (film, clips):
        times = [seconds_on(lengths, workers, 10) for workers in (1, 2, 4, 8)]
        assert all(after < 0.6 * before for before, after in pairwise(times))
    assert "one machine is better" in advice(seconds_on([Length(50)], 4, 10), seconds_alone([Length(50)], 10))
    assert "times as fast" in advice(seconds_on(film, 4, 10), seconds_alone(film, 10))
