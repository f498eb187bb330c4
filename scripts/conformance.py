"""Style every file of a folder, and compare each result with its source: one table, exit code 1 if any file is wrong.

Sources and results are read here by PyAV alone, not by vidstyle's own readers: frames are decoded and counted, every
picture's time compared, every packet of the sound compared. A file is right when all of that is equal, or when
vidstyle refused it with one line; what it reports as lost is shown.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from vidstyle.catalog import parse_recipe
from vidstyle.engine import Recipe
from vidstyle.errors import VidstyleError
from vidstyle.job import FileJob, stylize_file
from vidstyle.report import Report
from vidstyle.source import SourceOptions

#: seconds that a container's own clock may round a time by
CLOCKS = {".mkv": Fraction(1, 1000), ".webm": Fraction(1, 1000), ".ts": Fraction(1, 90000)}
ADTS = 7  # bytes that MPEG-TS puts before each AAC packet


@dataclass
class Content:
    """What a player finds in a file. ``sound``: per track, its packets' bytes."""

    times: list[Fraction] = field(default_factory=list)
    sound: list[list[bytes]] = field(default_factory=list)
    streams: int = 0


@dataclass(frozen=True)
class Row:
    name: str
    source: str = ""
    output: str = ""
    times: str = ""
    sound: str = ""
    streams: str = ""
    remark: str = ""
    good: bool = True

    def cells(self) -> list[str]:
        return [self.name, self.source, self.output, self.times, self.sound, self.streams, self.remark]


def content(path: Path, video: int | None = None) -> Content:
    """Decode the best video stream, or the one at index ``video``."""
    found = Content()
    with av.open(f"file:{path}", metadata_errors="replace") as container:
        stream = container.streams.best("video") if video is None else container.streams[video]
        assert stream is not None
        found.streams = len(container.streams)
        stream.codec_context.thread_count = 1  # so that an error belongs to its picture
        for frame in _decoded(container, stream):
            time = None if frame.pts is None else frame.pts * Fraction(stream.time_base or 1)
            found.times.append(time if time is not None else Fraction(-1))
    with av.open(f"file:{path}", metadata_errors="replace") as container:
        tracks = {s.index: [] for s in container.streams.audio if s.codec_context is not None}
        chosen = [container.streams[i] for i in tracks]
        for packet in container.demux(chosen) if chosen else ():
            if packet.size:
                tracks[packet.stream_index].append(_payload(packet))
    found.sound = list(tracks.values())
    return found


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Every picture that can be decoded; the others are passed over."""
    try:
        for packet in container.demux(stream):
            with contextlib.suppress(av.error.FFmpegError, OSError):
                yield from packet.decode()
    except (av.error.FFmpegError, OSError):
        return  # the container itself is broken from here on


def _payload(packet: Any) -> bytes:
    data = bytes(packet)
    return data[ADTS:] if data[:1] == b"\xff" and data[1] & 0xF6 == 0xF0 and packet.stream.name == "aac" else data


def same_times(source: list[Fraction], output: list[Fraction], clock: Fraction, repaired: bool) -> str:
    """ "yes", with the shift of all where there is one; else what differs."""
    if len(source) != len(output):
        return f"NO: {len(source)} against {len(output)}"
    if repaired:
        return "repaired"
    shift = output[0] - source[0]
    worst = max(abs(b - a - shift) for a, b in zip(source, output, strict=True))
    if worst > clock:
        return f"NO: off by {float(worst):.4f} s"
    return "yes" if abs(shift) <= clock else f"yes, all {float(shift):+.3f} s"


def same_sound(source: Content, output: Content, report: Report) -> str:
    if not source.sound:
        return "none"
    changed = {n.action for n in report.streams if n.kind == "audio"} - {"copied"}
    equal = [track for track in source.sound if track] == [track for track in output.sound if track]
    return "yes" if equal else ", ".join(sorted(changed)) or "NO"


def check(path: Path, recipe: Recipe, size: int, folder: Path) -> Row:
    """Style one file and compare."""
    job = FileJob(path, recipe, reading=SourceOptions(size))
    job = FileJob(path, recipe, folder / job.target.name, reading=SourceOptions(size))
    try:
        report = stylize_file(job)
    except VidstyleError as error:
        message = str(error).replace(f"{path.parent}/", "")
        return Row(path.name, remark=f"refused ({error.exit_code}): {message}", good="\n" not in message)
    source, output = content(path), content(job.target)
    repaired = any("repaired" in note for note in report.notes)
    times = same_times(source.times, output.times, CLOCKS.get(job.target.suffix, Fraction(0)), repaired)
    sound = same_sound(source, output, report)
    kept = sum(note.action != "dropped" for note in report.streams if note.index >= 0)
    remarks = [f"{n.kind} {n.action}: {n.reason}" for n in report.streams if n.action in ("dropped", "converted")]
    remarks += [f"LOST: {loss}" for loss in report.losses] + report.notes
    good = not times.startswith("NO") and sound != "NO"
    job.target.unlink()
    counts = (str(len(source.times)), str(len(output.times)), times, sound, f"{kept} of {source.streams}")
    return Row(path.name, *counts, "; ".join(remarks), good)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/conformance", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--style", default="anime")
    parser.add_argument("--size", type=int, default=96, help="working size: small, since looks do not matter here")
    parser.add_argument("--json", action="store_true", help="one JSON object a file")
    args = parser.parse_args()
    recipe = parse_recipe(args.style)
    av.logging.set_level(None)
    if not args.json:
        print(
            "| file | frames | written | times equal | sound equal | streams | remarks |\n|---|---|---|---|---|---|---|"
        )
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(p for p in args.folder.iterdir() if p.is_file() and p.suffix != ".md"):
            rows.append(check(path, recipe, args.size, Path(folder)))
            row = rows[-1]
            print(json.dumps(vars(row)) if args.json else f"| {' | '.join(row.cells())} |", flush=True)
    wrong = [row.name for row in rows if not row.good]
    print(f"\n{len(rows)} files, {sum(bool(r.output) for r in rows)} styled, {len(wrong)} wrong {' '.join(wrong)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
