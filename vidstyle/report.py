"""The fidelity report: what went in, what came out, what was kept, and what was not and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class StreamNote:
    """What became of one stream of the source. ``action``: styled, copied, kept, dropped."""

    index: int
    kind: str  # video, audio, subtitle, data, attachment, chapters
    codec: str
    action: str
    reason: str = ""
    packets: int = 0


@dataclass
class Report:
    """Filled by the sink and the job; ``losses`` is empty where nothing was lost."""

    source: str
    output: str
    frames_in: int = 0
    frames_out: int = 0
    reused: int = 0  # pictures equal to the one before, not computed again
    pts_equal: bool | None = None  # every output time equals its source's, read back from the file
    audio_equal: bool | None = None  # every copied packet's bytes equal, read back; None without audio
    first_time: float = 0.0  # seconds, of the first picture in the output
    time_shift: float = 0.0  # seconds the container moved all streams by, or --start did
    streams: list[StreamNote] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    fps: float = 0.0
    engine: str = ""
    encoder: str = ""
    working: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people: a handful of short lines."""
        kept = [n for n in self.streams if n.action in ("copied", "kept")]
        timing = {True: "every time exact", False: "TIMES DIFFER", None: "times not checked"}[self.pts_equal]
        if self.time_shift:
            timing += f", all streams moved by {self.time_shift:+.3f} s"
        audio = {True: "sound bit-exact", False: "SOUND DIFFERS", None: "no sound"}[self.audio_equal]
        lines = [
            f"{self.output}",
            f"  {self.frames_in} frames in, {self.frames_out} out, {timing}; {audio}",
            f"  {self.fps:.1f} fps at {self.working}; {self.engine}; {self.encoder}",
        ]
        if kept:
            lines.append("  kept: " + ", ".join(f"{n.kind} {n.codec}".strip() for n in kept))
        lines += [f"  not kept: {n.kind} {n.codec}: {n.reason}" for n in self.streams if n.action == "dropped"]
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  LOST: {loss}" for loss in self.losses]
        return lines
