"""Names of the pictures that a training reads: shared by the training, and the page that takes them for it."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

#: also of kinds that are read now and then, as an AVIF that does not move: one that is not read is refused by its name
ENDINGS: tuple[str, ...] = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff")
ENDINGS += (".gif", ".avif", ".heic", ".heif", ".jxl")


def is_named_so(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def told_by(place: PurePosixPath) -> str:
    """What a drawing and its photo have in common: their place without endings, however capitals and é are written.

    a.jpg.png is what tools call what they made of a.jpg.
    """
    while place.suffix.lower() in ENDINGS:
        place = place.with_suffix("")
    return unicodedata.normalize("NFC", place.as_posix()).casefold()
