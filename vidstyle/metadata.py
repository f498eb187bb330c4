"""Titles, languages, times of day: what of a source's metadata goes into an output, and what its container drops."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction

from av.stream import Disposition

from vidstyle.picture_codecs import PICTURES

#: every muxer writes its own
_OWN = {"major_brand", "minor_version", "compatible_brands", "encoder"}
#: measured by mkvmerge of the source's packets
_STATISTICS = re.compile(r"(BPS|DURATION|NUMBER_OF_FRAMES|NUMBER_OF_BYTES|_STATISTICS_\w+)(-\w+)?", re.IGNORECASE)
#: what MP4 holds in the form that all players read; for the rest there is one that few do
_ITUNES = frozenset(
    (
        *("album", "album_artist", "artist", "comment", "compilation", "composer", "copyright", "creation_time"),
        *("date", "description", "disc", "episode_id", "episode_sort", "gapless_playback", "genre", "grouping"),
        *("hd_video", "keywords", "location", "location-eng", "lyrics", "media_type", "network", "season_number"),
        *("show", "synopsis", "timecode", "title", "track"),
    )
)
_QUICKTIME = frozenset(("album", "artist", "comment", "copyright", "creation_time", "date", "genre", "title"))
_PLAIN = {"mp4": _ITUNES, "mov": _QUICKTIME | {"location", "location-eng", "timecode"}}
#: of one stream: what the containers hold that do not hold everything
_OF_STREAM = {
    "mp4": frozenset(("creation_time", "handler_name", "language", "timecode", "title", "vendor_id")),
    "mpegts": frozenset(("language",)),
}
_OF_STREAM["mov"] = _OF_STREAM["mp4"]
_USES = ("dub", "original", "comment", "forced", "hearing_impaired", "visual_impaired")
#: of those, what containers hold that do not hold all
_HELD_USES: dict[str, tuple[str, ...]] = {
    "mov": (),
    "mpegts": ("hearing_impaired", "visual_impaired"),
    "webm": ("forced",),
}
#: ISO 639-2 as QuickTime's older list of languages has it
_AS_LISTED = (
    "deu:ger nld:dut swe:sve ell:gre isl:ice zho:chi sqi:alb fre:fra "
    "rum:ron cze:ces slo:slk mkd:mac hye:arm kat:geo mya:bur msa:may"
)
_QUICKTIME_LANGUAGES: dict[str, str] = dict(pair.split(":") for pair in _AS_LISTED.split())


def of_file(metadata: dict[str, str], start: Fraction = Fraction(0), rate: Fraction = Fraction(0)) -> dict[str, str]:
    """For the whole output, which begins ``start`` seconds after the source, at ``rate`` pictures a second."""
    return _moved({key: value for key, value in metadata.items() if key.lower() not in _OWN}, start, rate)


def of_styled(
    metadata: dict[str, str], muxer: str, start: Fraction = Fraction(0), rate: Fraction = Fraction(0)
) -> dict[str, str]:
    """For the styled stream; see `of_file`."""
    return _moved(of_stream(metadata, muxer, changed=True), start, rate)


def of_stream(metadata: dict[str, str], muxer: str, changed: bool = False) -> dict[str, str]:
    """For a stream of the output; ``changed``: its packets are not the source's, and what was measured is void."""
    kept = {key: value for key, value in metadata.items() if not _STATISTICS.fullmatch(key) and key != "rotate"}
    if "name" in kept:  # how FFmpeg reads a track's title from MP4; its writer wants it as "title"
        kept.setdefault("title", kept.pop("name"))
    if changed:
        kept = {key: value for key, value in kept.items() if key.lower() != "encoder"}
    if muxer == "mov" and "language" in kept:
        kept["language"] = _QUICKTIME_LANGUAGES.get(kept["language"], kept["language"])
    return kept


def _moved(metadata: dict[str, str], start: Fraction, rate: Fraction) -> dict[str, str]:
    return {key: later(value, start, rate) if key.lower() == "timecode" else value for key, value in metadata.items()}


def is_plain(muxer: str, metadata: dict[str, str]) -> bool:
    """Whether MP4 or MOV holds all of this in the form that all players read."""
    return {key.lower() for key in of_file(metadata)} <= _PLAIN[muxer]


def muxer_options(muxer: str, time_base: Fraction, metadata: dict[str, str], cover: bool) -> dict[str, str]:
    """Options of FFmpeg's muxer.

    Args:
        time_base: of the styled stream.
        metadata: of the whole source.
        cover: there is cover art; MP4 holds it in the plain form of metadata alone.
    """
    if muxer not in ("mp4", "mov"):
        return {}
    flags = "+faststart" if is_plain(muxer, metadata) or (cover and muxer == "mp4") else "+faststart+use_metadata_tags"
    # A late start is an edit list in the movie's clock: at its usual 1000 Hz it would be rounded.
    clock = time_base.denominator
    return {"movflags": flags} | ({"movie_timescale": str(clock)} if 1000 <= clock <= 1_000_000 else {})


def unkept(muxer: str, metadata: dict[str, str], cover: bool) -> list[str]:
    """Keys of the whole file's metadata that the output will not have."""
    keys = of_file(metadata)
    if muxer == "mpegts":
        return sorted(key for key in keys if key not in ("service_name", "service_provider"))
    if muxer == "mp4" and cover:
        return sorted(key for key in keys if key.lower() not in _ITUNES)
    return sorted(keys) if muxer in ("yuv4mpegpipe", PICTURES) else []


def unkept_of_stream(muxer: str, metadata: dict[str, str]) -> list[str]:
    """Keys of a stream's metadata that the output will not have."""
    if muxer not in _OF_STREAM:
        return []
    given = of_stream(metadata, muxer, changed=True)
    return sorted(key for key in given if key.lower() not in _OF_STREAM[muxer] and given[key])


def unkept_uses(muxer: str, disposition: Disposition) -> list[str]:
    """What a stream is for, as "comment" or "forced", where the output will not say so."""
    return [use for use in _USES if Disposition[use] & disposition and use not in _HELD_USES.get(muxer, _USES)]


def listed(keys: Iterable[str], most: int = 4) -> str:
    """For a sentence."""
    names = list(keys)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def later(timecode: str, seconds: Fraction, rate: Fraction) -> str:
    """The timecode of a picture ``seconds`` after the one that has ``timecode``; as it is where it is none.

    Args:
        timecode: "01:02:03:04", with ";" before the frames where numbers are dropped (SMPTE ST 12-1: the first
            two, or four at 59.94, of each minute but every tenth).
        rate: pictures a second.
    """
    match = re.fullmatch(r"(\d\d):(\d\d):(\d\d)([:;.])(\d+)", timecode)
    if match is None or not rate:
        return timecode
    base, dropping = round(rate), match[4] != ":"
    dropped = round(base / 15) if dropping else 0
    hours, minutes, secs, frames = (int(match[i]) for i in (1, 2, 3, 5))
    whole = 60 * hours + minutes
    count = (60 * whole + secs) * base + frames - dropped * (whole - whole // 10) + round(seconds * rate)
    tens, rest = divmod(count, 600 * base - 9 * dropped)
    count += 9 * dropped * tens + dropped * max(0, (rest - dropped) // (60 * base - dropped)) if dropped else 0
    secs, frames = divmod(count, base)
    return f"{secs // 3600 % 24:02}:{secs // 60 % 60:02}:{secs % 60:02}{match[4]}{frames:02}"
