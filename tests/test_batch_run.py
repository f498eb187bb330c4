"""What a batch hands out and when it ends, with a crew that answers as the test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from media import save_tiny

from vidstyle.batch.inputs import Item
from vidstyle.batch.journal import Journal, stamp
from vidstyle.batch.messages import Begun, Ended, Seen, Task
from vidstyle.batch.run import Batch, Event, Wishes
from vidstyle.batch.stop import Stop
from vidstyle.catalog import parse_recipe
from vidstyle.errors import INTERRUPTED, SourceError
from vidstyle.job import FileJob


class Hand:
    """A worker, or the scout."""

    number, pid, ready, why, is_scout = 1, 0, True, "", False

    def __init__(self) -> None:
        self.item: Item | None = None
        self.fingerprint: Any = None
        self.said: list[Any] = []

    def send(self, message: Any) -> None:
        self.said.append(message)

    def says(self, message: Any) -> list[Hand]:
        self.said = [message]
        return [self]

    def receive(self) -> Any:
        return self.said.pop()


Script = Iterator[list[Hand]]


class Crew:
    """Two workers and a scout. ``script`` gives those who speak at every turn."""

    patience = 0.0

    def __init__(self, script: Callable[[Crew], Script]) -> None:
        self.hands, self.eye, self.tasks = [Hand(), Hand()], Hand(), list[Task]()
        self._script = script(self)

    @property
    def busy(self) -> list[Hand]:
        return [hand for hand in self.hands if hand.item is not None]

    def idle(self) -> Hand | None:
        return next((hand for hand in self.hands if hand.item is None), None)

    def scout(self) -> Hand | None:
        return self.eye if self.eye.item is None else None

    def heard(self, _: float) -> list[Hand]:
        self.tasks += [hand.said.pop() for hand in self.hands if hand.said]
        self.eye.said.clear()
        return next(self._script)

    def dismiss(self, _: Hand) -> None: ...
    def stop(self) -> None: ...
    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *exc: object) -> None: ...


class Notes:
    """What is said to people."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.last: Event | None = None

    def show(self, event: Event) -> None:
        self.last = event
        self.texts += [event.data["text"]] if event.name == "note" else []

    def tick(self, totals: Any) -> None: ...


@pytest.fixture
def template(home: Path) -> FileJob:
    return FileJob(Path(), parse_recipe(str(save_tiny(home / "styles", "tiny"))))


def begun(batch: Batch, hand: Hand) -> Begun:
    assert hand.item is not None
    source, target = hand.item.source, hand.item.target
    return Begun(target.name, batch._fingerprints.of(source), stamp(source), stamp(target))


def seen(crew: Crew) -> Script:
    """The scout has looked at what arrived."""
    while crew.eye.item is None:
        yield []
    yield crew.eye.says(Seen(30, 100))


def test_a_watched_video_that_changes_while_it_is_styled_waits_for_its_end(template: FileJob, tmp_path: Path) -> None:
    item = Item(tmp_path / "a.mp4", tmp_path / "out/a.tiny.mp4")
    item.source.write_bytes(b"half")
    stop, arrivals = Stop(), [item]

    class Arrivals:
        def complete(self) -> list[Item]:
            return [arrivals.pop()] if arrivals else []

    def script(crew: Crew) -> Script:
        yield from seen(crew)
        first = crew.hands[0]
        while not crew.tasks:
            yield []
        yield first.says(begun(batch, first))
        item.source.write_bytes(b"half and half")
        arrivals.append(item)
        yield from seen(crew)
        yield []
        assert len(crew.tasks) == 1, "a second worker got it meanwhile"
        item.target.write_bytes(b"of half")
        yield first.says(Ended("done", size=7, report={"frames_in": 30}))
        yield []
        stop.asked, stop.code = 2, INTERRUPTED
        yield []

    with Journal(tmp_path / "out") as journal:
        crew = Crew(script)
        batch = Batch(template, [], journal, Wishes(2), Notes(), stop, Arrivals(), crew)  # type: ignore[arg-type]
        totals = batch.run()
    assert [task.source for task in crew.tasks] == [item.source] * 2, "it is made anew after that"
    assert crew.hands[0].why == "made anew: the source changed"
    assert (totals.found, totals.done, totals.left) == (2, 1, 1)


def test_a_watched_folder_that_is_away_for_a_moment_is_looked_at_again(template: FileJob, tmp_path: Path) -> None:
    stop, looks, view = Stop(), ["away", "away", "", "away", "", "end"], Notes()

    class Arrivals:
        def complete(self) -> list[Item]:
            if (look := looks.pop(0)) == "end":
                stop.asked, stop.code = 2, INTERRUPTED
            elif look:
                raise SourceError("cannot read in: Stale file handle")
            return []

    def script(_: Crew) -> Script:
        while True:
            yield []

    with Journal(tmp_path / "out") as journal:
        Batch(template, [], journal, Wishes(), view, stop, Arrivals(), Crew(script)).run()  # type: ignore[arg-type]
    assert looks == []
    assert view.texts == ["cannot read in: Stale file handle; looking again"] * 2, "once each time"


def test_a_result_has_the_names_that_were_given_and_its_own_ending(template: FileJob, tmp_path: Path) -> None:
    """A cluster's workers know absolute paths, and told those; programs were told of a file that was never there."""
    item, view = Item(Path("in/a.webm"), tmp_path / "out/a.tiny.webm", ("in/a.webm", "out/a.tiny.webm")), Notes()
    output = tmp_path / "out/a.tiny.mkv"

    def script(crew: Crew) -> Script:
        first = crew.hands[0]
        while not crew.tasks:
            yield []
        yield first.says(Begun(output.name, {"the source": "x"}, None, None))
        report = {"frames_in": 30, "source": "/far/in/a.webm", "output": str(output)}
        yield first.says(Ended("done", size=7, report=report))

    with Journal(tmp_path / "out") as journal:
        Batch(template, [item], journal, Wishes(), view, Stop(), None, Crew(script)).run()  # type: ignore[arg-type]
    assert view.last is not None and view.last.name == "done"
    assert view.last.data["output"] == "out/a.tiny.mkv"
    assert view.last.data["report"] == {"frames_in": 30, "source": "in/a.webm", "output": "out/a.tiny.mkv"}


def test_what_does_not_open_is_told_with_the_name_that_was_given(template: FileJob, tmp_path: Path) -> None:
    item, stop, view = Item(tmp_path / "a.mp4", tmp_path / "out/a.mp4", ("in/a.mp4", "out/a.mp4")), Stop(), Notes()
    item.source.write_bytes(b"half")
    arrivals, told = [item], []

    class Arrivals:
        def complete(self) -> list[Item]:
            return [arrivals.pop()] if arrivals else []

    def script(crew: Crew) -> Script:
        while crew.eye.item is None:
            yield []
        yield crew.eye.says(Seen(error=f"{item.source} is cut short"))
        told.append(view.last)
        stop.asked, stop.code = 2, INTERRUPTED
        yield []

    with Journal(tmp_path / "out") as journal:
        Batch(template, [], journal, Wishes(), view, stop, Arrivals(), Crew(script)).run()  # type: ignore[arg-type]
    for event, name in ((told[0], "waiting"), (view.last, "unopened")):
        assert event is not None and (event.name, event.data["reason"]) == (name, "in/a.mp4 is cut short")
