"""The fidelity report in a person's words."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from vidstyle.report import Report, StreamNote, printable
from vidstyle.ui.texts import TEXTS

KINDS = {"audio": "kind_audio", "subtitle": "kind_subtitle", "cover": "kind_cover", "chapters": "kind_chapters"}


@dataclass(frozen=True)
class Line:
    """``tone``: good; note, worth knowing; bad, something is lost."""

    tone: str
    text: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def in_words(data: dict[str, Any]) -> list[Line]:
    """Of a report as `Report.as_dict` gives it, or `vidstyle.images.PictureReport.as_dict`; a handful of lines."""
    if "frames_in" not in data:
        lines = [Line("good", say("report_picture", **data))]
        return _printable([*lines, *(Line("note", sentence(note)) for note in data.get("notes", ()))])
    report = Report.from_dict(data)
    lines = [_pictures(report), _sound(report), *_streams(report)]
    lines += [Line("note", sentence(text)) for text in (*report.reductions, *report.notes)]
    lines += [Line("bad", sentence(text)) for text in report.losses]
    return _printable([*lines, _speed(report)])


def say(key: str, **values: Any) -> str:
    return TEXTS[key].format(**values)


def sentence(text: str) -> str:
    """With a capital and a full stop, and the page's name of a size."""
    text = re.sub(r" \(--size[^)]*\)", "", text).replace("--size best", f"“{TEXTS['best']}”")
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _printable(lines: list[Line]) -> list[Line]:
    return [Line(line.tone, printable(line.text)) for line in lines]


def _pictures(report: Report) -> Line:
    if report.frames_in != report.frames_out:
        return Line("bad", say("report_missing", out=report.frames_out, all=report.frames_in))
    if report.pts_equal is False:
        return Line("bad", say("report_times_differ", all=report.frames_in))
    if report.losses:  # perhaps of the source's pictures, which were never among those counted
        return Line("note", say("report_read_exact" if report.pts_equal else "report_read", all=report.frames_in))
    return Line("good", say("report_exact" if report.pts_equal else "report_all", all=report.frames_in))


def _sound(report: Report) -> Line:
    if report.audio_equal is not None:
        return Line("good", say("sound_exact")) if report.audio_equal else Line("bad", say("sound_differs"))
    actions = {note.action for note in report.streams if note.kind == "audio"}
    for action, tone in (("copied", "good"), ("converted", "note"), ("dropped", "bad")):
        if action in actions:
            return Line(tone, say(f"sound_{action}"))
    return Line("note", say("sound_none"))


def _streams(report: Report) -> list[Line]:
    kept = [note for note in report.streams if note.action in ("copied", "kept") and note.kind != "audio"]
    kept = [note for note in kept if note.kind != "video"]
    lines = [Line("good", say("report_kept", what=", ".join(dict.fromkeys(map(_named, kept)))))] if kept else []
    lines += [Line("note", _changed(note, "report_converted")) for note in report.streams if note.action == "converted"]
    dropped = [note for note in report.streams if note.action == "dropped"]
    return lines + [Line("note", _changed(note, "report_dropped")) for note in dropped if not note.harmless]


def _named(note: StreamNote) -> str:
    return TEXTS.get(KINDS.get(note.kind, ""), note.kind)


def _changed(note: StreamNote, key: str) -> str:
    return sentence(say(key, what=_named(note), why=note.reason))


def _speed(report: Report) -> Line:
    return Line("good", say("report_speed", seconds=f"{report.seconds:.0f}", fps=f"{report.fps:.1f}"))
