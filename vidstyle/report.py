"""The fidelity report: what went in, what came out, what was kept, and what was not and why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

#: what could move a terminal's cursor, or turn a line's direction
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class StreamNote:
    """What became of one stream of the source.

    Attributes:
        kind: video, cover, audio, subtitle, data, timecode, attachment, chapters, metadata.
        action: styled; copied, bit for bit; kept, as something other than a stream; converted; dropped.
        reason: why it is not copied, and what it is now.
        packets: of the source that were taken.
        harmless: nothing was lost by it, as of a stream that is empty, or packed in another way.
    """

    index: int
    kind: str
    codec: str
    action: str
    reason: str = ""
    packets: int = 0
    harmless: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.codec}".strip()


@dataclass
class Report:
    """Filled by the sink and the job; ``losses`` is empty where nothing of the pictures and the sound was lost."""

    source: str
    output: str
    frames_in: int = 0
    frames_out: int = 0
    numbers: str = ""  # of numbered pictures: "1 to 24"; empty for a video
    reused: int = 0  # pictures equal to the one before, not computed again
    pts_equal: bool | None = None  # every output time equals its source's, read back from the file
    audio_equal: bool | None = None  # every copied packet's bytes equal, read back; None where none was copied
    first_time: float = 0.0  # seconds, of the first picture in the output
    time_shift: float = 0.0  # seconds the container moved all streams by, or --start did
    streams: list[StreamNote] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    reductions: list[str] = field(default_factory=list)  # what makes the pictures less than the source, but the look
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    fps: float = 0.0
    engine: str = ""
    encoder: str = ""
    working: str = ""  # size that the look was computed at, as 1280x720; of several the largest first
    places: str = ""  # what was done on a GPU and what on the CPU, where pictures stayed on a device

    def strict_losses(self) -> list[str]:
        """Everything that makes the output less than the source, apart from the look itself."""
        less = [f"{note}: {note.reason}" for note in self.streams if _is_less(note)]
        return [*self.losses, *less, *self.reductions]

    @property
    def encoder_name(self) -> str:
        """The encoder's name, without its settings."""
        return self.encoder.partition(" ")[0]

    @property
    def kept_everything(self) -> bool:
        return not self.strict_losses()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"kept_everything": self.kept_everything}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Report:
        """A report of `as_dict`; what this version does not know is left out."""
        known = {key: data[key] for key in (f.name for f in fields(cls)) if key in data}
        names = {f.name for f in fields(StreamNote)}
        notes = [StreamNote(**{key: n[key] for key in n.keys() & names}) for n in known.get("streams", ())]
        return cls(**(known | {"streams": notes}))

    def lines(self) -> list[str]:
        """For people: a handful of short lines, without anything that could disturb a terminal."""
        by_action: dict[str, list[StreamNote]] = {}
        for note in self.streams:
            by_action.setdefault(note.action, []).append(note)
        timing = {True: "every time exact", False: "TIMES DIFFER", None: "times not checked"}[self.pts_equal]
        if self.numbers:
            timing = f"numbered {self.numbers}"
        elif self.time_shift:
            timing += f", all streams moved by {self.time_shift:+.3f} s"
        lines = [
            self.output,
            f"  {self.frames_in} frames in, {self.frames_out} out, {timing}; {self._sound()}",
            f"  {self.fps:.1f} fps at {self.working}; {self.engine}; {self.encoder}",
        ]
        if self.places:
            lines.append(f"  {self.places}")
        if kept := [*by_action.get("copied", ()), *by_action.get("kept", ())]:
            lines.append("  kept: " + ", ".join(map(str, kept)))
        lines += [f"  converted: {note}: {note.reason}" for note in by_action.get("converted", ())]
        lines += [f"  not kept: {note}: {note.reason}" for note in by_action.get("dropped", ())]
        lines += [f"  note: {note}" for note in (*self.reductions, *self.notes)]
        lines += [f"  LOST: {loss}" for loss in self.losses]
        return [printable(line) for line in lines]

    def _sound(self) -> str:
        if self.audio_equal is not None:
            return "sound bit-exact" if self.audio_equal else "SOUND DIFFERS"
        actions = {note.action for note in self.streams if note.kind == "audio"}
        known = {"copied": "sound not checked", "converted": "sound converted", "dropped": "no sound kept"}
        return next((words for action, words in known.items() if action in actions), "no sound")


def _is_less(note: StreamNote) -> bool:
    return note.action in ("converted", "dropped") and not note.harmless


def printable(text: str) -> str:
    """``text`` with control characters as escapes, and what was no text in a file's name as a question mark."""
    return _UNPRINTABLE.sub(lambda m: "?" if m[0] >= "\ud800" else m[0].encode("unicode_escape").decode(), text)
