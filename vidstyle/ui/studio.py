"""Single pictures in a look, at once: engines stay loaded, and one thread works for every visitor in turn."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidstyle.catalog import list_styles, load_found
from vidstyle.engine import Recipe
from vidstyle.engine_options import EngineOptions
from vidstyle.errors import StyleError, UsageError
from vidstyle.face_map import largest_face
from vidstyle.style import Style
from vidstyle.stylizer import Stylizer
from vidstyle.ui.media import jpeg, unjpeg

THUMB = 320  # sides of the square that a thumbnail is styled in: one engine a look, whatever the picture's shape
THUMB_EYES = 50.0  # eye distance in it, in pixels
ZOOM = 5.0  # at most: a face that is smaller is one of many
PREVIEW = (360, 640)  # of a camera's picture, and of most previews
ENGINES = 24  # loaded at a time


@dataclass(frozen=True)
class Choice:
    """A look, perhaps mixed with a second one of which ``share`` (0..1) is taken, and how much of it."""

    look: str
    second: str = ""
    share: float = 0.0
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.share <= 1 and 0 <= self.strength <= 1):
            raise UsageError(f"share {self.share:g} and strength {self.strength:g}: each goes from 0 to 1")

    @property
    def parts(self) -> list[tuple[str, float]]:
        """(name, share) of every look that has one."""
        if not self.second or self.second == self.look:
            return [(self.look, 1.0)]
        return [(name, share) for name, share in ((self.look, 1 - self.share), (self.second, self.share)) if share]


class Studio:
    """Gives pictures looks on a thread of its own. `close` ends it."""

    def __init__(self, options: EngineOptions = EngineOptions()) -> None:
        self.options = options
        self._pool = ThreadPoolExecutor(1, "vidstyle-studio")
        self._styles: dict[str, Style] = {}
        self._engines: OrderedDict[tuple[str, int, int], Stylizer] = OrderedDict()
        self._framed: tuple[np.ndarray, np.ndarray] | None = None  # the last picture of thumbnails, and what they show

    def do(self, work: Any, *args: Any) -> Future[Any]:
        """Run a method of this studio on its thread."""
        return self._pool.submit(work, *args)

    def style(self, name: str) -> Style:
        """
        Raises:
            StyleError: there is none of that name, or its file is bad.
        """
        if name not in self._styles:
            found = next((one for one in list_styles() if one.name == name and not one.shadowed), None)
            if found is None:
                raise StyleError(f"there is no look {name!r} any more: choose another")
            self._styles[name] = load_found(found)
        return self._styles[name]

    def forget(self) -> None:
        """Read every style again when it is next needed: looks were added or removed."""
        self._styles.clear()

    def recipe(self, choice: Choice) -> Recipe:
        """For a whole file."""
        return Recipe(tuple((self.style(name), share) for name, share in choice.parts), choice.strength)

    def styled(self, image: np.ndarray, choice: Choice) -> np.ndarray:
        """Give uint8 [H, W, 3] a look; the same as `recipe` gives, to a level or two."""
        result: np.ndarray | None = None
        for name, share in choice.parts:
            one = self._engine(name, *image.shape[:2])(image)
            result = one if result is None else _blend(result, one, share)
        assert result is not None
        return result if choice.strength == 1 else _blend(image, result, choice.strength)

    def preview(self, data: bytes, choice: Choice) -> bytes:
        """JPEG in, JPEG out."""
        return jpeg(self.styled(unjpeg(data), choice), 85)

    def thumb(self, image: np.ndarray, name: str) -> bytes:
        """A JPEG of a picture, or of the person in it, in one look, at most `THUMB` wide and high."""
        if self._framed is None or self._framed[0] is not image:
            self._framed = image, framed(image)
        small = self._framed[1]
        height, width = small.shape[:2]
        square = np.pad(small, ((0, THUMB - height), (0, THUMB - width), (0, 0)), "edge")
        return jpeg(self.styled(square, Choice(name))[:height, :width])

    def warm(self) -> None:
        """Load what the first visitor will want; a look that cannot be loaded is told when it is asked for."""
        self.do(largest_face, np.zeros((THUMB, THUMB, 3), np.uint8))
        for found in list_styles():
            if found.card is not None and not found.shadowed:
                for size in ((THUMB, THUMB), PREVIEW):
                    self.do(self._warm, found.name, size)

    def _warm(self, name: str, size: tuple[int, int]) -> None:
        self.styled(np.zeros((*size, 3), np.uint8), Choice(name))

    def _engine(self, name: str, height: int, width: int) -> Stylizer:
        style = self.style(name)
        key = style.card.sha256, height, width
        if key not in self._engines:
            while len(self._engines) >= ENGINES:
                self._engines.popitem(last=False)[1].close()
            runtime = (self.options.engine, self.options.device, self.options.precision, self.options.threads)
            self._engines[key] = Stylizer(Recipe(((style, 1.0),)), *runtime)
        self._engines.move_to_end(key)
        return self._engines[key]

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for engine in self._engines.values():
            engine.close()


def _blend(one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.blend(Image.fromarray(one), Image.fromarray(other), share))


def framed(image: np.ndarray) -> np.ndarray:
    """What thumbnails show of uint8 [H, W, 3]: in a picture's shape its largest face, if that is small, or all of it.

    Eyes 20 pixels apart, as in a thumbnail of most videos, look hollow in every look.
    """
    whole = _within(image, THUMB)
    face = largest_face(image)
    zoom = 1.0 if face is None else min(THUMB_EYES / face[2] * len(image) / len(whole), ZOOM)
    if face is None or zoom <= 1:
        return whole
    height, width = (max(1, round(side / zoom)) for side in image.shape[:2])
    x, y, _ = face
    left, top = (
        int(min(max(0, at - length / 2), most - length))
        for at, length, most in ((x, width, image.shape[1]), (y, height, len(image)))
    )
    return _scaled(image[top : top + height, left : left + width], len(whole) / height)


def _within(image: np.ndarray, side: int) -> np.ndarray:
    """At most ``side`` pixels wide and high."""
    return _scaled(image, min(1.0, side / max(image.shape[:2])))


def _scaled(image: np.ndarray, scale: float) -> np.ndarray:
    from vidstyle.convert import resize

    height, width = image.shape[:2]
    return resize(image, max(1, round(height * scale)), max(1, round(width * scale)))
