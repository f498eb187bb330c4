"""Read a written file back: are all pictures in it, at their times, and is what was copied the same?"""

from __future__ import annotations

import hashlib
import math
from array import array
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from vidstyle.containers import ATTACHED_PIC
from vidstyle.copying import payload
from vidstyle.report import Report

#: containers with a clock of their own, in seconds; MP4 and MOV keep the source's time base
CLOCK = {"matroska": Fraction(1, 1000), "webm": Fraction(1, 1000), "mpegts": Fraction(1, 90000)}


def verify(
    path: Path, pts: array[int], time_base: Fraction, digests: dict[int, Any], muxer: str, report: Report
) -> None:
    """Read the written file's packets back: every picture's time, every copied byte.

    A container may move all streams alike (to start at 0); that is no difference but is reported.

    Args:
        pts: of every picture written, in ``time_base``, increasing.
        digests: output stream index -> sha256 of what was copied into it.
        report: gets the result.
    """
    found, base, copied, sound = _read(path, set(digests))
    _compare_times(found, base, pts, time_base, CLOCK.get(muxer, Fraction(0)), report)
    same = [copied[index].digest() == digest.digest() for index, digest in digests.items() if index in sound]
    report.audio_equal = all(same) if same else None
    if report.audio_equal is False:
        report.losses.append("the sound in the output is not the source's")


def _read(path: Path, copies: set[int]) -> tuple[list[int], Fraction, dict[int, Any], set[int]]:
    """(sorted pts of the styled video, its time base, digests of the copied streams, indices of sound)."""
    found, copied = array("q"), {index: hashlib.sha256() for index in copies}
    with av.open(f"file:{path}", metadata_errors="replace") as container:
        video = next(s for s in container.streams.video if s.index not in copies and not s.disposition & ATTACHED_PIC)
        for packet in container.demux():
            if packet.size == 0:
                continue
            if packet.stream_index == video.index:
                if packet.pts is not None and not packet.is_discard:  # what an edit list hides is lost to a viewer
                    found.append(packet.pts)
            elif packet.stream_index in copied:
                copied[packet.stream_index].update(payload(packet))
        sound = {s.index for s in container.streams.audio}
        return sorted(found), Fraction(video.time_base or 1), copied, sound


def _compare_times(
    found: list[int], base: Fraction, pts: array[int], time_base: Fraction, clock: Fraction, report: Report
) -> None:
    """Every time the same but for one shift of all, exact to the container's ``clock``; in whole numbers."""
    shift = found[0] * base - pts[0] * time_base if found and pts else Fraction(0)
    unit = math.lcm(base.denominator, time_base.denominator, shift.denominator, clock.denominator)
    ours, theirs, moved, off = (int(value * unit) for value in (time_base, base, shift, clock))
    exact = len(found) == len(pts) and all(
        abs(a * theirs - b * ours - moved) <= off for a, b in zip(found, pts, strict=True)
    )
    report.pts_equal = exact
    report.first_time = float(found[0] * base) if found else 0.0
    report.time_shift += float(shift) if abs(shift) > clock else 0.0
    if not exact:
        report.losses.append(f"{len(pts)} pictures were written, {len(found)} are in the file, or their times differ")
