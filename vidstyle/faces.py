"""The size that the network is to work at for the faces of a picture or a video: `--size auto`.

The looks draw best where eyes are about 70 pixels apart: in close-ups at 720 lines, and where faces are small, they get
flat and their eyes hollow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from vidstyle.errors import SourceError
from vidstyle.face_map import FINE, SEEN, SIDE, faces_in
from vidstyle.frame import BEST, MOST, working_size
from vidstyle.source import VideoSource
from vidstyle.source_options import Shots

AT_MOST = 720  # pixels of the short side that is worked at, unless `vidstyle.frame.BEST` is asked for
LADDER = (MOST, 1216, 1024, 864, 720, 608, 512, 432, 368, 304, 256, 208)  # few: engines make themselves ready for each
FEW = 0.2  # faces a picture, on average: fewer may be errors
MOMENTS = 12  # of a video that are looked at
SHORT = 120  # seconds of video that are decoded to their middle where no key picture is there
#: eye distance worked at, and how far the looks are from their teachers there, in dB below the best (anime's sweep)
EYES = (12.0, 24.0, 34.0, 48.0, 64.0, 80.0, 96.0, 136.0, 200.0, 400.0)
LOSS = (9.0, 4.9, 3.1, 1.0, 0.0, 0.0, 0.7, 2.2, 3.8, 7.0)
FAINT = 14.0  # pixels between the eyes on the map of `SIDE`, below which that of `FINE` tells better
CLOSE_UP = 80.0  # pixels between the eyes on the map of `FINE`, from which on that of `SIDE` does
CLOSER = 4  # pictures that are looked at so, at most
SURELY = 50.0  # eye distance at `SIDE` from which on it is no small face's
LISTED = ("mov", "matroska")  # containers in whose middle a few reads are enough
SOFTER = 0.4  # dB that half of the size costs besides: what is no face gets softer
SLOWER = 1.0  # dB that twice the usual size costs besides, which takes four times as long
CLEARLY = 1.0  # dB by which a larger size has to be better all the same
LEAST = 128  # lines of a picture that may be enlarged: of fewer it takes longer to look than to style


@dataclass(frozen=True)
class Suited:
    """What `--size auto` comes to: short side in pixels, None for the usual one; and a note for people, if any.

    Attributes:
        shots: where shots ask for different sizes, of which ``size`` is the largest: see `SourceOptions.shots`.
    """

    size: int | None = None
    note: str = ""
    shots: Shots = ()


@dataclass(frozen=True)
class Look:
    """A picture of a video, uint8 [H, W, 3] RGB, with its `faces_in`: at a glance, and from closer."""

    image: np.ndarray
    pts: int = 0

    @cached_property
    def rough(self) -> np.ndarray:
        return faces_in(self.image)

    @cached_property
    def fine(self) -> np.ndarray:
        return faces_in(self.image, side=FINE)

    @property
    def apt(self) -> np.ndarray:
        """``fine`` where ``rough`` is too coarse for how small the faces are; elsewhere that tells better."""
        return self.rough if self._on_map(_middle([self.rough]), SIDE) >= FAINT else self.fine

    @property
    def closer(self) -> np.ndarray:
        """``fine`` where faces are no close-ups, since a body may seem one large face; it shows close-ups too small."""
        if not len(self.fine):
            return self.rough
        eyes = float(np.average(self.fine[:, 0], weights=self.fine[:, 1]))
        return self.fine if self._on_map(eyes, FINE) < CLOSE_UP else self.rough

    def _on_map(self, eyes: float, side: int) -> float:
        """An eye distance ÷ the short side in the pixels of a map."""
        return eyes * side * min(self.image.shape[:2]) / max(self.image.shape[:2])


def larger_size(found: Sequence[np.ndarray], own: int, larger: Iterable[int]) -> int:
    """``own``, or that of ``larger``, short sides, at which the looks draw these small faces best, and clearly better.

    Enlarged pictures show nothing new, but faces of a size that the looks know: where eyes are 24 pixels apart, anime
    comes 4.3 dB nearer to its teacher at 2.8 times the size, at 34 pixels 3.1 dB at twice the size.
    """
    if sum(rows[:, 1].sum() for rows in found) < SEEN * len(found):
        return own
    cost = {size: _lost_on(found, size) + SLOWER * math.log2(size / own) for size in (own, *larger)}
    best = min(cost, key=lambda size: cost[size])
    return best if cost[own] - cost[best] >= CLEARLY else own


def best_size(found: Iterable[np.ndarray], at_most: int = AT_MOST, less: Sequence[int] = LADDER) -> int:
    """The short side, ``at_most`` or one of ``less``, at which the looks lose least on the faces of these pictures.

    Args:
        found: `faces_in` of every picture.
    """
    pictures = list(found)
    if not pictures or sum(rows[:, 1].sum() for rows in pictures) < FEW * len(pictures):
        return at_most
    return min([at_most, *(size for size in less if size < at_most)], key=lambda size: lost(pictures, size, at_most))


def lost(found: Sequence[np.ndarray], size: int, at_most: int) -> float:
    """dB that the looks lose at this short side on the faces of these pictures, of which there are some."""
    return _lost_on(found, size) + SOFTER * math.log2(at_most / size)


def _lost_on(found: Sequence[np.ndarray], size: int) -> float:
    eyes, counts = np.concatenate(found).T
    weights = counts * eyes / (counts * eyes).sum()  # a close-up's face is more of the picture
    return float(weights @ np.interp(np.log(eyes * size), np.log(EYES), LOSS))


def size_of_picture(image: np.ndarray, most: int = MOST) -> int:
    """The short side to work at for uint8 [H, W, 3] RGB; up to ``most`` for small faces, which is soon done of one."""
    own = min(image.shape[:2])
    at_most = min(AT_MOST, own)
    return _suited([Look(image)], at_most, [size for size in LADDER if at_most < size <= most]).size or at_most


def suited(
    source: VideoSource, by_shot: bool = False, enlarge: bool = False, tell: Callable[[str], None] = lambda _: None
) -> Suited:
    """For an opened video whose frames are not taken yet; its working size is the most.

    What can be read only once, as standard input, is not looked at beforehand, and keeps its size.

    Args:
        by_shot: where shots of a file ask for clearly different sizes, each may have its own.
        enlarge: where faces are small in a small picture, work at more than its own size.
        tell: gets what is done, while it takes long.
    """
    info, at_most = source.info, min(source.info.working)
    if at_most < LEAST:
        return Suited()
    if not _may_be_looked_at(source):
        what = f"worked at {shown(info.working)}"
        return Suited(None, f"{what}: a stream cannot be searched for faces beforehand (--size)")
    looks, own = _pictures(source), min(working_size(info.width, info.height, info.aspect, None))
    asked = source.options.size or AT_MOST
    larger = [size for size in LADDER if at_most < size <= asked] if enlarge and at_most == own else []
    if by_shot:
        from vidstyle.shots import sizes_by_shot

        if shots := sizes_by_shot(source, looks, at_most, tell, larger[:1]):
            sizes = sorted({size for _, size in shots}, reverse=True)
            lines = ", ".join(map(str, sizes))
            return Suited(
                sizes[0],
                f"faces: {len(sizes)} sizes by shot ({lines} lines), each where they are drawn best (--size)",
                shots,
            )
    found = _suited(looks, at_most, larger, MOST if enlarge else min(MOST, own))
    if found.size is None:
        return found
    working = shown(working_size(info.width, info.height, info.aspect, found.size, enlarge=True))
    if found.size < own:
        return Suited(found.size, f"worked at {working}, where the looks draw faces as large as these best (--size)")
    times = f"--size native takes {100 * own**2 / found.size**2:.0f} % of the network's time"
    return Suited(found.size, f"worked at {working}, enlarged, as the looks draw small faces badly ({times})")


def shown(size: tuple[int, int]) -> str:
    """(height, width) as people write it: 1280x720."""
    return "{1}x{0}".format(*size)


def _may_be_looked_at(source: VideoSource) -> bool:
    """Of what is behind a URL, files whose pictures' places are listed, by a server that can begin at them."""
    if source.path is not None:
        return True
    listed = source.stream.container.format.name.startswith(LISTED)
    if not (listed and source.input.seekable and source.info.duration):
        return False
    from vidstyle.remote import gives_parts

    return gives_parts(source.input.text, source.options.timeout)


def _pictures(source: VideoSource) -> list[Look]:
    """From all over it, as far as key pictures are, which alone are quick to reach; a long shot's several times."""
    length, begins = source.info.duration or Fraction(0), source.options.start or Fraction(0)
    found = list(looks_at(source, [begins + length * i / MOMENTS for i in range(1, MOMENTS)]))
    if source.path is None or length > SHORT or any(look is not found[0] for look in found):
        return found
    return [*found[:1], *_at(source, begins + length / 2)]


def looks_at(source: VideoSource, moments: Iterable[Fraction]) -> Iterator[Look]:
    """At the first picture, and at `VideoSource.glances` of ``moments``; one object where those are one."""
    before = look = None
    with suppress(SourceError):  # told when the video itself is read
        for frame in source.glances(moments, FINE):
            if look is None or frame is not before:
                before, look = frame, Look(frame.image, frame.pts)
            yield look


def _at(source: VideoSource, start: Fraction) -> Iterator[Look]:
    """The first picture from ``start`` on, if there is one."""
    reading = replace(source.options, size=FINE, start=start, by_faces=False, originals=False, deinterlace="never")
    with suppress(SourceError), VideoSource(source.input, reading) as video:
        frame = next(iter(video))
        yield Look(frame.image, frame.pts)


def _suited(looks: Sequence[Look], at_most: int, larger: Sequence[int], most: int = 0) -> Suited:
    """
    Args:
        at_most: short side that is worked at, at most, unless small faces ask for one of ``larger``.
        most: short side up to which a person is told that faces would be drawn better.
    """
    if at_most < LEAST:
        return Suited()
    found = [look.rough for look in looks]
    size = best_size(found, at_most)
    if size < at_most:
        found = [look.closer if len(look.rough) else look.rough for look in looks]
        size = best_size(found, at_most)
    if size < at_most:
        return Suited(size)
    beyond = [size for size in LADDER if at_most < size <= most]
    if not (larger or beyond) or _middle(found) * at_most >= SURELY:
        return Suited()
    found = [look.apt for look in looks[:: math.ceil(len(looks) / CLOSER) or 1]]
    if (size := larger_size(found, at_most, larger)) > at_most:
        return Suited(size)
    return Suited(None, _hint(found, at_most, beyond))


def _hint(found: Sequence[np.ndarray], at_most: int, beyond: Sequence[int]) -> str:
    """That a size of ``beyond`` draws the faces better, where that is so; "" elsewhere."""
    if (size := larger_size(found, at_most, beyond)) == at_most:
        return ""
    what = f"faces are small (eyes about {_middle(found) * at_most:.0f} pixels apart at {at_most} lines)"
    times = math.ceil(10 * (size / at_most) ** 2) / 10
    return f"{what}: --size {BEST} draws them better, in up to {times} times the time"


def _middle(found: Sequence[np.ndarray]) -> float:
    """Eye distance ÷ the short side of the middle one of all faces; 0 where there is none."""
    eyes, counts = np.concatenate([np.zeros((0, 2)), *found]).T
    if not counts.sum():
        return 0.0
    order = np.argsort(eyes)
    place = int(np.searchsorted(np.cumsum(counts[order]), counts.sum() / 2))
    return float(eyes[order][min(place, len(eyes) - 1)])
