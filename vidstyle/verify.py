"""Read a written file back: are all pictures in it, at their times, and is what was copied the same?"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from vidstyle.remux import payload
from vidstyle.report import Report

#: containers with a clock of their own, in seconds; MP4 and MOV keep the source's time base
CLOCK = {"matroska": Fraction(1, 1000), "webm": Fraction(1, 1000), "mpegts": Fraction(1, 90000)}


def verify(path: Path, times: list[Fraction], digests: dict[int, Any], muxer: str, report: Report) -> None:
    """Read the written file's packets back: every picture's time, every copied byte.

    A container may move all streams alike (to start at 0); that is no difference but is reported.
    ``report`` gets the result.
    """
    clock = CLOCK.get(muxer, Fraction(0))
    found: list[Fraction] = []
    copied = {index: hashlib.sha256() for index in digests}
    with av.open(f"file:{path}", metadata_errors="replace") as container:
        video = next(s.index for s in container.streams.video if s.index not in digests)
        for packet in container.demux():
            if packet.size == 0:
                continue
            if packet.stream_index == video:
                if packet.pts is not None and not packet.is_discard:  # what an edit list hides is lost to a viewer
                    found.append(packet.pts * Fraction(packet.time_base))
            elif packet.stream_index in copied:
                copied[packet.stream_index].update(payload(packet))
        sound = {s.index for s in container.streams.audio}
    found.sort()
    shift = found[0] - times[0] if found and times else Fraction(0)
    exact = len(found) == len(times) and all(abs(a - b - shift) <= clock for a, b in zip(found, times, strict=False))
    report.pts_equal = exact
    report.first_time = float(found[0]) if found else 0.0
    report.time_shift += float(shift) if abs(shift) > clock else 0.0
    same = [copied[index].digest() == digest.digest() for index, digest in digests.items() if index in sound]
    report.audio_equal = all(same) if same else None
    if not exact:
        report.losses.append(f"{len(times)} pictures were written, {len(found)} are in the file, or their times differ")
    if report.audio_equal is False:
        report.losses.append("the sound in the output is not the source's")
