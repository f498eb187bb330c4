"""What a batch looks like: a table that moves on a terminal, lines elsewhere, JSON lines for programs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vidstyle.cli.console import event as emit
from vidstyle.cli.console import human, is_terminal, result

if TYPE_CHECKING:
    from vidstyle.batch.dry import Planned
    from vidstyle.batch.inputs import Found
    from vidstyle.batch.run import Event
    from vidstyle.batch.totals import Failure, Totals

PLAIN_SECONDS = 10.0  # without a line before one says how far it is
NAMES = 8  # listed of every kind of failure
LABELS = {"incomplete": "damaged", "start": "again"}  # for people, where the event's name is not


class BatchView(Protocol):
    """`vidstyle.batch.run.View` with a beginning and an end."""

    def begin(self, found: Found, every: float | None) -> None: ...
    def show(self, event: Event) -> None: ...
    def tick(self, totals: Totals) -> None: ...
    def end(self, totals: Totals, code: int, journal: Path) -> None: ...


@contextmanager
def open_view(json: bool) -> Iterator[BatchView]:
    if json:
        yield JsonView()
    elif is_terminal():
        from vidstyle.cli.batch_table import TableView

        with TableView() as view:
            yield view
    else:
        yield PlainView()


def plain(text: object) -> str:
    """A name or a reason on one line: what would move the cursor is spelt out."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))


def clock(seconds: float) -> str:
    """``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def preface(found: Found, every: float | None) -> Iterator[str]:
    """What is said before anything is done."""
    if every is not None:
        yield f"looking for videos every {every:g} s; Ctrl-C ends it"
    elif not found.items:
        yield f"no videos {'and no numbered pictures ' * found.numbered}found"
    if found.passed_over:
        yield f"passed over {found.passed_over} other file{'s'[: found.passed_over != 1]} (no videos by their names)"
    if found.pictures:
        yield f"pictures among those, for vidstyle image: {found.pictures}"
    if found.pictures > 1 and not (found.items or found.numbered) and every is None:
        yield "numbered pictures become videos with --fps 24, or their own rate"
    yield from (f"not there yet: {plain(text)}" for text in found.missing)
    yield from map(plain, found.unreadable)


def line(event: Event) -> str | None:
    """One event for people; None where a line would be too many."""
    if event.name == "note":
        return plain(event.data["text"])
    label, item, reason = LABELS.get(event.name, event.name), event.item, event.data.get("reason", "")
    if item is None or event.name in ("progress", "skipped") or (event.name == "start" and "why" not in event.data):
        return None
    if event.name == "done":
        report = event.data["report"]
        return f"{label:8} {plain(report['output'])}: {_made(report)}"
    if event.name == "stopped":
        return f"{label:8} {plain(item.names[0])}: it goes on in the next run"
    reason = reason or event.data.get("why", "")
    return f"{label:8} {plain(reason if item.names[0] in reason else f'{item.names[0]}: {reason}')}"


def _made(report: dict[str, Any]) -> str:
    """The report of one video in a few words."""
    dropped = [note["kind"] for note in report["streams"] if note["action"] == "dropped" and not note["harmless"]]
    unlike = [
        name for name, key in (("TIMES DIFFER", "pts_equal"), ("SOUND DIFFERS", "audio_equal")) if report[key] is False
    ]
    parts = [f"{report['frames_out']} frames, {report['fps']:.1f} fps", *unlike]
    return "; ".join([*parts, *([f"not kept: {', '.join(dropped)}"] if dropped else [])])


def how_far(totals: Totals) -> str:
    counts = {"done": totals.done, "failed": len(totals.failures), "skipped": totals.skipped, "left": totals.left}
    text = ", ".join(f"{count} {name}" for name, count in counts.items() if count or name in ("done", "left"))
    return text + (f", about {clock(totals.eta)} to go" if totals.eta is not None and totals.left else "")


def summary(totals: Totals, code: int, journal: Path) -> Iterator[str]:
    """The last lines: what became of everything, failures by reason."""
    speed = f", {totals.frames / totals.seconds:.1f} fps overall" if totals.frames and totals.seconds else ""
    frames = f" in {clock(totals.seconds)}: {totals.frames} frames{speed}" if totals.frames else ""
    counts = {"done": totals.done, "skipped": totals.skipped, "failed": len(totals.failures)}
    yield ", ".join(f"{count} {name}" for name, count in counts.items() if count or name == "done") + frames
    yield from _failures(totals.failures)
    if totals.left and code:
        yield f"stopped with {totals.left} left: the same command goes on from there"
    elif totals.left:
        yield f"{totals.left} left: the same command goes on from there"
    if totals.failures:
        yield f"everything is written down in {plain(journal)}"


def _failures(failures: list[Failure]) -> Iterator[str]:
    kinds: dict[str, list[Failure]] = {}
    for failure in failures:
        reason = failure.reason.removeprefix(f"{failure.source}: ")
        reason = reason.replace(f"vidstyle image {failure.source}", "vidstyle image")  # the names stand below
        reason = reason.replace(failure.source, "it").replace(failure.output, "the output")
        kinds.setdefault(reason, []).append(failure)
    for reason, alike in kinds.items():
        yield f"  failed: {plain(reason)}"
        yield from (f"    {plain(failure.source)}" for failure in alike[:NAMES])
        if len(alike) > NAMES:
            yield f"    and {len(alike) - NAMES} more"


class JsonView:
    """One object a line on stdout. ``more``: for the last of them."""

    more: dict[str, Any] = {}  # noqa: RUF012 - replaced, never changed

    def begin(self, found: Found, every: float | None) -> None:
        counts = {"found": len(found.items), "passed_over": found.passed_over, "pictures": found.pictures}
        emit({"event": "begin", **counts, "unreadable": found.unreadable, "missing": found.missing, "every": every})

    def show(self, event: Event) -> None:
        names: dict[str, Any] = {}
        if event.item is not None:
            names = dict(zip(("source", "output"), event.item.names, strict=True))
        worker = {"worker": event.worker} if event.worker else {}
        emit({"event": event.name, **names, **worker, **event.data})

    def tick(self, totals: Totals) -> None:
        pass

    def end(self, totals: Totals, code: int, journal: Path) -> None:
        failures = [failure.as_dict() for failure in totals.failures]
        emit(
            {
                "event": "end",
                **totals.as_dict(),
                "stopped": bool(code),
                "failures": failures,
                **self.more,
                "journal": str(journal),
            }
        )


class PlainView:
    """Lines on stderr: one for every end, and how far it is where nothing ends for a while."""

    seconds = PLAIN_SECONDS

    def __init__(self, say: Callable[[str], None] = human) -> None:
        self._say, self._last = say, time.monotonic()

    def _line(self, text: str) -> None:
        self._last = time.monotonic()
        self._say(text)

    def begin(self, found: Found, every: float | None) -> None:
        for text in preface(found, every):
            self._line(text)

    def show(self, event: Event) -> None:
        if text := line(event):
            self._line(text)

    def tick(self, totals: Totals) -> None:
        if time.monotonic() - self._last >= self.seconds and totals.left:
            self._line(how_far(totals))

    def end(self, totals: Totals, code: int, journal: Path) -> None:
        for text in summary(totals, code, journal):
            self._line(text)


def show_plan(planned: Iterable[Planned], found: Found, json: bool) -> None:
    """The table of a dry run, on stdout."""
    counts, frames = {"do": 0, "skip": 0, "fail": 0}, 0
    for entry in planned:
        counts[entry.decision.action] += 1
        frames += entry.frames or 0
        (_plan_event if json else _plan_line)(entry)
    if json:
        return emit({"event": "end", **counts, "frames": frames, "passed_over": found.passed_over})
    for text in preface(found, None):
        human(text)
    about = f" (about {frames} frames)" if frames else ""
    return result(f"{counts['do']} to do{about}, {counts['skip']} to skip, {counts['fail']} would fail")


def _plan_event(entry: Planned) -> None:
    item, decision = entry.item, entry.decision
    names = dict(zip(("source", "output"), item.names, strict=True))
    emit({"event": "plan", **names, "action": decision.action, "why": decision.why, "frames": entry.frames})


def _plan_line(entry: Planned) -> None:
    item, decision = entry.item, entry.decision
    if decision.action == "fail":
        why = item.told(decision.why)
        reason = why if item.names[0] in why else f"{item.names[0]}: {why}"
        return result(f"fail {'':>12}  {plain(reason)}")
    frames = f"{entry.frames} frames" if entry.frames else ("? frames" if decision.action == "do" else "")
    why = f"  ({plain(decision.why)})" if decision.why else ""
    return result(f"{decision.action:4} {frames:>12}  {plain(item.names[0])} -> {plain(item.names[1])}{why}")
