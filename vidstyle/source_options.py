"""What a person may ask of a source: settled before it is opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from vidstyle.deinterlace import MODES
from vidstyle.errors import UsageError
from vidstyle.frame import AUTO, BEST, MOST
from vidstyle.inputs import TIMEOUT
from vidstyle.limits import Limit

#: (first pts, short side in pixels) of parts of a video, increasing; the first one's size counts before it too
Shots = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class SourceOptions:
    """Which part of a source is read, how, and what its pictures become.

    Attributes:
        size: short side of the working picture in pixels, None for the source's own.
        start, end: seconds from the beginning of the stream; None for all.
        originals: carry every picture at its own size too (for comparing).
        threads: of the decoder, 0 for as many as it likes.
        deinterlace: "auto" where the stream is flagged, "always", "never".
        hdr: "sdr" for an SDR output; "keep" where the pictures will be made HDR again (`vidstyle.hdr.InverseToneMap`).
        limit: what is refused as too large; None for nothing.
        timeout: seconds without a byte before a URL is given up.
        shots: short sides by time, in place of ``size``, which is the largest of them (`vidstyle.shots`); () for one.
        by_faces: work at another size where faces are so large or small that the looks need it (`vidstyle.faces`).
        enlarge: ``size`` may be more than the source's own: what small faces in small pictures come to.

    Raises:
        UsageError: ``deinterlace`` or ``hdr`` is another word.
    """

    size: int | None = 720
    start: Fraction | None = None
    end: Fraction | None = None
    originals: bool = False
    threads: int = 0
    deinterlace: str = "auto"
    hdr: str = "sdr"
    limit: Limit | None = field(default_factory=Limit)
    timeout: float = TIMEOUT
    by_faces: bool = False
    enlarge: bool = False
    shots: Shots = ()

    def __post_init__(self) -> None:
        if self.deinterlace not in MODES:
            raise UsageError(f"--deinterlace is {self.deinterlace!r}: expected one of {', '.join(MODES)}")
        if self.hdr not in ("sdr", "keep"):
            raise UsageError(f"--hdr is {self.hdr!r}: expected one of sdr, keep")

    @classmethod
    def of_size(cls, size: int | str | None) -> SourceOptions:
        """``size`` as people give it: pixels, None for the own, `vidstyle.frame.AUTO` or `BEST` by its faces."""
        if size in (AUTO, BEST):
            return cls(MOST if size == BEST else cls.size, by_faces=True)
        return cls(None if size is None else int(size))
