"""A working size for each shot of a film in which some ask for clearly different ones: part of `--size auto`.

Settled before the first frame is styled, as a list of times and sizes: so a picture's size depends on its time alone,
and every run, segment and machine takes the same. Sizes change at clear cuts only, where nobody sees it: within a
shot a size that is off is less wrong than a jump.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from vidstyle.errors import SourceError
from vidstyle.face_map import SEEN
from vidstyle.faces import Look, best_size, larger_size, looks_at, lost
from vidstyle.frame import SMALLEST
from vidstyle.source import VideoSource
from vidstyle.source_options import Shots

RUNGS = (720, 512, 368, 256)  # below the most: few, as each takes an engine; each about 1.4 times the next
APART = 1.3  # the most is at least so many times the next size
GAINS = (0.5, 1.0, 2.0, 4.0)  # dB by which another size is to be better: the first by which not too much is sought
EVERY = Fraction(2)  # seconds between two looks: about a hundredth of the time that the styling takes
MOST = 2000  # looks at one film
CLOSE = 0.2  # eye distance ÷ the short side that no body is taken for: no closer look is needed
FURTHEST = Fraction(20)  # seconds that are decoded for a cut, at most;
WHOLE = 1280 * 720  # pixels of a film all of which may be decoded for that, and of a larger one less of it;
LITTLE = Fraction(30)  # seconds that always may
SHORTEST = Fraction(1)  # seconds: what is shorter is of the size before it
JUMP = 8.0  # levels of 255 that a picture of 16 lines differs by from the one before, on average, behind a cut
TIMES = 3.0  # so many times as much as pictures around do, of which
AROUND = 3  # on each side are looked at


@dataclass
class _Part:
    """Of a film, in one size. ``first``: pts; ``found``: `vidstyle.faces.faces_in` of its pictures that show some."""

    first: int
    size: int
    found: list[np.ndarray] = field(default_factory=list)


def sizes_by_shot(
    source: VideoSource, looks: Sequence[Look], at_most: int, tell: Callable[[str], None], larger: Sequence[int] = ()
) -> Shots:
    """For an opened video whose frames are not taken yet; () where one size will do.

    Args:
        looks: at pictures from all over it: more are taken only where these differ.
        at_most: short side that is worked at, at most.
        tell: gets what is done: of a long film it takes minutes.
        larger: short sides that shots of small faces may have besides.
    """
    sizes = _Sizes(at_most, larger)
    if not source.exact or not sizes.differ(looks):
        return ()
    info, base = source.info, source.info.time_base

    def told(what: str, pts: int) -> None:
        tell(f"{what}, at {float(pts * base - source.origin):.0f} of {float(info.duration or 0):.0f} s")

    found = []
    for look in _each_once(_more(source, looks)):
        told("looking for faces", look.pts)
        if len(rows := sizes.seen(look)):
            found.append((look.pts, rows))
    most = max(LITTLE, (info.duration or 0) * min(Fraction(1), Fraction(WHOLE, info.width * info.height)))
    gain = next((gain for gain in GAINS if _sought(found, sizes, gain, base) <= most), None)
    if gain is None:
        return ()

    def cut_in(after: int, to: int) -> int | None:
        told("finding cuts", to)
        return last_cut(source, after, to)

    parts = _parts(found, sizes, gain, base, cut_in)
    shots = _without_short([(part.first, sizes.of_part(part.found)) for part in parts], int(SHORTEST / base))
    return tuple(shots) if len(shots) > 1 else ()


def _more(source: VideoSource, looks: Sequence[Look]) -> Iterator[Look]:
    """Looks at the whole of a long film, or at a short one's end besides."""
    length, begins = source.info.duration or Fraction(0), source.options.start or Fraction(0)
    count = min(MOST, int(length / EVERY))
    if count <= len(looks):
        yield from looks
        count = 1
    yield from looks_at(source, [begins + length * i / count for i in range(1, count + 1)])


class _Sizes:
    def __init__(self, at_most: int, larger: Sequence[int]) -> None:
        self._most, self._larger = at_most, larger
        self._rungs = [size for size in RUNGS if size * APART <= at_most]

    def differ(self, looks: Iterable[Look]) -> bool:
        """Whether some of these pictures ask for another size than others; quick where they are all alike."""
        different = list({id(look): look for look in looks}.values())
        if all(best_size([look.rough], self._most, self._rungs) == self._most for look in different):
            return False
        found = [rows for look in different if len(rows := self.seen(look))]
        return any(self.instead(self.best([one]), [other], GAINS[0]) for one in found for other in found)

    def seen(self, look: Look) -> np.ndarray:
        """`vidstyle.faces.faces_in` of a picture; [0, 2] where none is there for sure."""
        rough = look.rough
        surely = rough[:, 1].sum() >= SEEN
        if not surely or (self.best([rough]) < self._most and rough[:, 0].mean() < CLOSE):
            rough = look.closer
        return rough if rough[:, 1].sum() >= SEEN else rough[:0]

    def best(self, found: Sequence[np.ndarray]) -> int:
        return best_size(found, self._most, self._rungs)

    def of_part(self, found: Sequence[np.ndarray]) -> int:
        best = self.best(found)
        return larger_size(found, best, self._larger) if best == self._most else best

    def instead(self, size: int, found: Sequence[np.ndarray], gain: float) -> int | None:
        """Another size than this one that draws these faces better by ``gain`` dB, if there is one."""
        best = self.best(found)
        better = lost(found, size, self._most) - lost(found, best, self._most)
        return best if best != size and better >= gain else None


def _parts(
    looks: Iterable[tuple[int, np.ndarray]],
    sizes: _Sizes,
    gain: float,
    base: Fraction,
    cut_in: Callable[[int, int], int | None],
) -> list[_Part]:
    """The film in parts, each beginning at a cut but the first.

    Args:
        looks: pts, in units of ``base``, and faces.
        cut_in: `last_cut`.
    """
    parts: list[_Part] = []
    furthest, since = int(FURTHEST / base), 0  # pts of the picture with faces before this one
    for pts, rows in looks:
        if not parts:
            parts.append(_Part(pts, sizes.best([rows])))
        elif (size := sizes.instead(parts[-1].size, [rows], gain)) is not None:
            cut = cut_in(max(since, pts - furthest), pts)
            if cut is not None:
                parts.append(_Part(cut, size))
        parts[-1].found.append(rows)
        since = pts
    return parts


def _sought(looks: Iterable[tuple[int, np.ndarray]], sizes: _Sizes, gain: float, base: Fraction) -> Fraction:
    """Seconds that are decoded to find the cuts, if each is found."""
    spans: list[int] = []

    def cut_in(after: int, to: int) -> int:
        spans.append(to - after)
        return to

    _parts(looks, sizes, gain, base, cut_in)
    return sum(spans) * base


def _each_once(looks: Iterable[Look]) -> Iterator[Look]:
    """A long shot has one key picture, which is looked at from many moments; those that lie behind the one before."""
    last: int | None = None
    for look in looks:
        if last is None or look.pts > last:
            yield look
            last = look.pts


def _without_short(parts: Sequence[tuple[int, int]], shortest: int) -> list[tuple[int, int]]:
    """Of (first pts, size): a part that is too short gets the size before it, at the beginning that behind it."""
    kept: list[tuple[int, int]] = []
    for first, size in parts:
        if kept and first - kept[-1][0] < shortest:
            begun, _ = kept.pop()
            first = first if kept else begun
        if not kept or kept[-1][1] != size:
            kept.append((first, size))
    return kept


def last_cut(source: VideoSource, after: int, to: int) -> int | None:
    """pts of the first picture of the shot that is on at ``to``, where it begins behind ``after``, both pts.

    None where no cut is clear, as in a dissolve, or where pictures there are damaged or had no times.
    """
    base = source.info.time_base
    start, end = after * base - source.origin, to * base - source.origin + Fraction(AROUND) / (source.info.rate or 25)
    reading = replace(
        source.options, size=SMALLEST, start=start, end=end + base, by_faces=False, originals=False, shots=()
    )
    times, differ = list[int](), list[float]()
    with suppress(SourceError), VideoSource(source.input, reading) as video:
        before = None
        for frame in video:
            image = frame.image.astype(np.int16)
            differ.append(0.0 if before is None else float(np.abs(image - before).mean()))
            times.append(frame.pts)
            before = image
        if video.faults or video.repaired:
            return None
    cuts = [time for i, time in enumerate(times) if after < time <= to and _is_cut(differ, i)]
    return cuts[-1] if cuts else None


def _is_cut(differ: Sequence[float], i: int) -> bool:
    """Whether picture ``i`` is the first of a shot, from how much each differs from the one before."""
    around = [*differ[max(0, i - AROUND) : i], *differ[i + 1 : i + 1 + AROUND]]
    return differ[i] >= JUMP and differ[i] >= TIMES * max(around, default=0.0)
