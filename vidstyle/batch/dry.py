"""What a batch would do, without doing it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vidstyle.batch.crew import Crew
from vidstyle.batch.decide import Decision, Fingerprints, fate, place, refused
from vidstyle.batch.inputs import Item
from vidstyle.batch.journal import Journal
from vidstyle.batch.messages import Look, Ready, Seen
from vidstyle.batch.names import Names
from vidstyle.batch.run import Wishes
from vidstyle.job import FileJob


@dataclass(frozen=True)
class Planned:
    """``frames``: an estimate; None where nothing is known, or nothing would be done. ``pixels`` of a frame."""

    item: Item
    decision: Decision
    frames: int | None = None
    pixels: int = 0


def plan(items: Sequence[Item], journal: Journal, template: FileJob, wishes: Wishes) -> Iterator[Planned]:
    """The fate of every item; those that would be styled are opened, in a process of its own."""
    with Crew([template], Fingerprints(template)) as crew:
        entries = list(decided(items, journal, template, wishes))
        owners = {entry.item.target: entry.item for entry in entries if entry.decision.action != "fail"}
        for entry in entries:
            yield entry if entry.decision.action != "do" else _opened(entry, crew, owners)


def decided(items: Sequence[Item], journal: Journal, template: FileJob, wishes: Wishes) -> Iterator[Planned]:
    """The fate of every item, told without opening any."""
    fingerprints, names = Fingerprints(template), Names(watching=False)
    for item in items:
        decision = fate(item, journal, names, fingerprints, wishes.overwrite, wishes.retry)
        known = place(item, journal.entry(item.target)).name
        yield Planned(_become(item, known) if decision.action == "skip" else item, decision)


def _opened(planned: Planned, crew: Crew, owners: dict[Path, Item]) -> Planned:
    """``owners``: of every result, as far as is known; this one's is added."""
    item, seen = planned.item, _look(planned.item, crew)
    if seen.error:
        return Planned(item, Decision("fail", seen.error, seen.code))
    path = item.target.with_name(seen.file)
    if (other := owners.setdefault(path, item)) != item:
        return Planned(item, refused(item, path, other))
    return Planned(_become(item, seen.file), planned.decision, seen.frames, seen.pixels)


def _become(item: Item, file: str) -> Item:
    """``item`` with its result called ``file``, perhaps in another container than its source's."""
    urls = item.urls and (item.urls[0], item.named(file))
    return replace(item, target=item.target.with_name(file), urls=urls)


def _look(item: Item, crew: Crew) -> Seen:
    scout = crew.scout()
    assert scout is not None, "it looks at one video at a time"
    scout.send(Look(item.source, fully=True))
    while (message := scout.receive()) is not None:
        if isinstance(message, Seen):
            return message
        scout.ready = isinstance(message, Ready)
    return Seen(error=crew.bury(scout))
