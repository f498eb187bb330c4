"""What a run lost and did to its source, into the report."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction

from vidstyle.captions import ASTRAY, CAPTIONS, carrier
from vidstyle.hdr import TONE_MAPPED
from vidstyle.holes import holes_in_matroska
from vidstyle.report import Report, StreamNote
from vidstyle.source import VideoSource
from vidstyle.workfolder import WorkFolder


def cut_short(end: Fraction, declared: Fraction | None) -> bool:
    """Whether a file that should last to ``declared`` and ends at ``end`` (seconds) has lost its rest.

    Headers are off by a picture or by what an edit list hides; a missing rest is more than that.
    """
    missing = declared - end if declared else Fraction(0)
    return missing > max(Fraction(1), (declared or 0) * Fraction(1, 50)) or missing > (declared or 0) * Fraction(1, 4)


def describe_run(source: VideoSource, work: WorkFolder | None, sound_end: Fraction, report: Report) -> None:
    """Losses and notes of the reading, also of the interrupted run that this one went on from."""
    segments = work.segments if work is not None else []
    report.losses += dict.fromkeys([*(f for s in segments for f in s.faults), *source.faults])
    if source.colour.is_hdr and not source.info.colour.is_hdr:
        video = " in a video" if report.numbers else ""
        report.reductions.append(f"{TONE_MAPPED}; --hdr keep keeps it{video}")
    notes = dict.fromkeys([*(n for s in segments for n in s.notes), *source.notes])
    _describe_captions(notes, source.stream.index, report)
    report.notes += [note for note in notes if note not in (CAPTIONS, ASTRAY)]
    end, declared = max(source.reached, sound_end), source.declared_end
    # What was not copied may have been the longer one.
    whole = not any(note.kind in ("audio", "subtitle", "video") and note.action == "dropped" for note in report.streams)
    if whole and not source.faults and declared is not None and cut_short(end, declared):
        report.losses.append(f"the source ends at {float(end):.1f} s of {float(declared):.1f} s: it is cut short")
    if source.path is not None and source.stream.container.format.name.startswith("matroska"):
        report.losses += holes_in_matroska(source.path, source.span)
    if source.deinterlaced and not source.interlaced and source.options.deinterlace == "always":
        report.notes.append("deinterlaced, as --deinterlace always asks; the source does not say that it is interlaced")
    elif source.deinterlaced:
        report.reductions.append("the source is interlaced; it was deinterlaced")
    if source.info.orientation:
        report.notes.append("the source's rotation was applied to the pictures")


def _describe_captions(notes: Collection[str], index: int, report: Report) -> None:
    """Of the notes of the reading, those on closed captions."""
    if CAPTIONS in notes and not carrier(report.encoder_name):
        instead = "write a video" if report.numbers else "use --codec h264 or hevc"
        report.reductions.append(f"{CAPTIONS}, and {report.encoder_name} does not keep them: {instead}")
    elif CAPTIONS in notes:
        report.streams.append(StreamNote(index, "closed captions", "", "kept", "inside the pictures"))
        report.reductions += [note for note in notes if note == ASTRAY]
