"""HLS playlists that say of themselves that they are several recordings, each with a clock of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from urllib.parse import urljoin

from vidstyle.inputs import Input

HLS = "hls"  # FFmpeg's name of the format
_BREAK, _LISTS = "#EXT-X-DISCONTINUITY\n", "#EXT-X-STREAM-INF"
_SOUND = re.compile(r'^#EXT-X-MEDIA:.*URI="([^"]+)"', re.MULTILINE)
_MOST = 1 << 22  # bytes of a playlist
_LOOKS = 4  # playlists of a list of them: all of one film break alike
_TIMEOUT = 10.0  # seconds


@lru_cache(64)
def has_breaks(source: Input) -> bool:
    """Whether a playlist, or one that it lists, has a discontinuity; False also where it cannot be read."""
    if source.path is not None:
        return any(_BREAK in text for text in _texts(str(source.path), _of_file))
    from vidstyle.remote import heeding_signals

    return heeding_signals(lambda: any(_BREAK in text for text in _texts(source.text, _of_url)))


def _texts(place: str, read: Callable[[str], tuple[str, str]]) -> Iterator[str]:
    place, text = read(place)
    yield text
    if _LISTS in text:
        listed = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        for name in [*listed, *_SOUND.findall(text)][:_LOOKS]:
            yield read(urljoin(place, name) if read is _of_url else str(Path(place).parent / name))[1]


def _of_file(place: str) -> tuple[str, str]:
    """(where it is, its text); no text where it cannot be read."""
    try:
        with open(place, "rb") as file:
            return place, _text(file.read(_MOST))
    except (OSError, ValueError):
        return place, ""


def _of_url(place: str) -> tuple[str, str]:
    """As `_of_file`; where a server has moved it to."""
    from urllib.request import urlopen

    from vidstyle.remote import address_of

    if not place.lower().startswith(("http://", "https://")):
        return place, ""
    try:
        with urlopen(address_of(place), timeout=_TIMEOUT) as answer:
            return answer.geturl(), _text(answer.read(_MOST))
    except (OSError, ValueError):  # the first also of urllib's own; FFmpeg tells what is wrong with the address
        return place, ""


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\r\n", "\n")
