"""Refuse a video that claims to be larger than any real one before memory or days of work go into it."""

from __future__ import annotations

from dataclasses import dataclass

from vidstyle.errors import SourceError

MAX_RATE = 480  # pictures a second; some headers say 1000 or 90000: the clock, not the rate


class TooLargeError(SourceError):
    """Beyond the limit; a person may allow it, by ``SourceOptions(limit=None)``."""


@dataclass(frozen=True)
class Limit:
    """``picture``: pixels of one; ``total``: pixels of all pictures together, about 90 hours of 1080p."""

    picture: int = 8192 * 4320
    total: int = 20_000_000_000_000


def check_picture(name: str, width: int, height: int, limit: Limit | None) -> None:
    """Refuse a size, as the header has it or as the network would get it.

    Raises:
        TooLargeError: it is beyond the limit.
    """
    if limit is not None and width * height > limit.picture:
        most = f"{limit.picture / 1e6:.0f} megapixels"
        raise TooLargeError(f"{name} has pictures of {width}x{height}, more than {most}: allow it with --no-limit")


def check_total(name: str, width: int, height: int, frames: int | None, limit: Limit | None) -> None:
    """Refuse a number of pictures, as far as it is known.

    Raises:
        TooLargeError: all of them together are beyond the limit.
    """
    if limit is not None and frames and width * height * frames > limit.total:
        what = f"{frames} pictures of {width}x{height}"
        raise TooLargeError(f"{name} says it has {what}, which would take days: allow it with --no-limit")
