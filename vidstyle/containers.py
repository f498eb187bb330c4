"""Which containers can be written, what each can hold of a source, and which one its streams need."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import av

from vidstyle.errors import SourceError, UsageError
from vidstyle.inputs import Input
from vidstyle.picture_codecs import ENDINGS, PICTURES, numbered

#: file extension -> (FFmpeg's muxer, its usual codec)
CONTAINERS = {
    ".mp4": ("mp4", "h264"),
    ".m4v": ("mp4", "h264"),
    ".mov": ("mov", "h264"),
    ".mkv": ("matroska", "h264"),
    ".ts": ("mpegts", "h264"),
    ".mts": ("mpegts", "h264"),
    ".m2ts": ("mpegts", "h264"),
    ".webm": ("webm", "vp9"),
}
#: what standard output can be: a word for the command line -> FFmpeg's muxer; y4m is pictures alone at one fixed rate
PIPES = {"mkv": "matroska", "y4m": "yuv4mpegpipe"}
ROOMIEST = ".mkv"
DEFAULT = 1  # AV_DISPOSITION_DEFAULT: what a player shows or plays where nobody chooses
ATTACHED_PIC = 0x400  # AV_DISPOSITION_ATTACHED_PIC: cover art, not a video

#: its muxer has no list to ask for; others are written as data that no reader takes for what they are
_MPEGTS = (*("h264", "hevc", "mpeg2video", "aac", "ac3", "eac3", "mp2", "mp3", "opus", "dts", "s302m", "dvb_subtitle"),)
#: kinds of data tracks: "bin_data" is what cameras of GoPro write (gpmd)
_DATA = {"mp4": ("bin_data",), "mov": ("bin_data",), "mpegts": ("klv", "timed_id3")}
#: what muxers say they hold, and then refuse or write so that it cannot be read back
_NOT: dict[str, frozenset[str]] = {
    "mp4": frozenset(("truehd", "mpeg1video", "ttml")),
    "mov": frozenset(("flac", "opus", "truehd", "speex", "av1", "vp8", "vp9", "mpeg1video", "rawvideo")),
    "matroska": frozenset(("rawvideo",)),
}
#: encoders for sound that a container does not hold: (lossy, lossless)
_SOUND = {
    "mp4": ("aac", "alac"),
    "mov": ("aac", "alac"),
    "matroska": ("aac", "flac"),
    "webm": ("libopus", "libopus"),
    "mpegts": ("aac", "aac"),
}
#: of big-endian floats, which FLAC cannot hold
_FLOATS = {"pcm_f32be": "pcm_f32le", "pcm_f64be": "pcm_f64le"}
_TEXT = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
#: pictures that may be a cover: codec -> MIME type
COVERS = {"mjpeg": "image/jpeg", "png": "image/png", "bmp": "image/bmp", "gif": "image/gif", "webp": "image/webp"}
_COVERS = {"mp4": ("mjpeg", "png", "bmp"), "matroska": tuple(COVERS)}


@dataclass(frozen=True)
class Fate:
    """What becomes of a stream in a container.

    Attributes:
        action: copy, convert, keep (not as a stream, but in the file), drop.
        encoder: what it is converted with.
        reason: why it is not copied.
    """

    action: str
    encoder: str = ""
    reason: str = ""

    @property
    def cost(self) -> int:
        return ("copy", "keep", "convert", "drop").index(self.action)


def container_format(path: Path) -> str:
    """FFmpeg's muxer for an output name; `vidstyle.picture_codecs.PICTURES` for the pattern of numbered pictures.

    Raises:
        UsageError: the extension is none we can write.
    """
    if path.suffix.lower() in ENDINGS:
        if numbered(path) is not None:
            return PICTURES
        each = path.with_name(f"{path.stem}.%04d{path.suffix}")
        raise UsageError(f"{path} is the name of one picture: a video becomes numbered ones as {each}, or use .mp4")
    try:
        return CONTAINERS[path.suffix.lower()][0]
    except KeyError:
        known = " ".join(sorted(CONTAINERS))
        hint = f"use {ROOMIEST}, which holds nearly everything, or one of the extensions {known}"
        raise UsageError(f"cannot write {path.name!r}: {hint}") from None


def pipe_format(text: str) -> str:
    """FFmpeg's muxer for standard output; ``text`` is a key of `PIPES`.

    Raises:
        UsageError: it is none.
    """
    if text not in PIPES:
        raise UsageError(f"cannot write {text!r} to standard output: use one of {', '.join(PIPES)}")
    return PIPES[text]


def kind_of(stream: Any) -> str:
    """audio, subtitle, attachment, video; and cover, timecode, data, which PyAV does not tell apart."""
    if stream.type == "video" and stream.disposition & ATTACHED_PIC:
        return "cover"
    if stream.type == "data" and "timecode" in stream.metadata:
        return "timecode"
    return str(stream.type)


def codec_of(stream: Any) -> str:
    """FFmpeg's canonical name; empty where it is not known."""
    context = stream.codec_context
    if context is not None:
        return str(context.codec.canonical_name)
    return (getattr(stream, "name", None) or "") if stream.type == "data" else ""


def contents(streams: Iterable[Any], chapters: Iterable[Any] = ()) -> list[tuple[str, str]]:
    """(kind, codec) of every stream of a source, for `fitting_container`."""
    found = [(kind_of(stream), codec_of(stream)) for stream in streams]
    return [*found, *([("chapters", "")] if list(chapters) else [])]


def fitting_container(
    preferred: str, streams: Iterable[tuple[str, str]], video: str | None = None
) -> tuple[str, str | None]:
    """The extension to write: ``preferred``, or another's that holds the video, or Matroska's where it holds more.

    Args:
        preferred: with its dot; "" for none.
        streams: (kind, codec) of each, as `contents` gives them.
        video: codec (canonical name) that the styled pictures are to have; None for one that suits the container.

    Returns:
        the extension, and why it is not the preferred one.
    """
    if preferred.lower() not in CONTAINERS:
        return ROOMIEST, f"{preferred} cannot be written" if preferred else None
    muxer, roomiest, reason = CONTAINERS[preferred.lower()][0], CONTAINERS[ROOMIEST][0], None
    if video is not None and not can_hold(muxer, video) and (other := holding(video, muxer)):
        preferred, muxer, reason = other, CONTAINERS[other][0], f"{preferred} cannot hold {video} video"
    worse, total = [], 0
    for kind, codec in streams:
        gain = fate(muxer, kind, codec).cost - fate(roomiest, kind, codec).cost
        total += gain
        if gain > 0:
            worse.append(described(kind, codec))
    if total <= 0 or (video is not None and not can_hold(roomiest, video)):
        return preferred, reason
    less = f"{preferred} cannot hold {', '.join(dict.fromkeys(worse))}"
    return ROOMIEST, less if reason is None else f"{reason}, and {less}"


def holding(video: str, muxer: str) -> str | None:
    """The extension of the container nearest to ``muxer`` that holds the codec (canonical name); None where none does.

    From .mp4 that is .mov: editors, whose codecs those are that it cannot hold, read it.
    """
    nearest = (".mov", ROOMIEST) if muxer == "mp4" else (ROOMIEST, ".mov")
    return next((each for each in nearest if can_hold(CONTAINERS[each][0], video)), None)


def default_output(source: Input, style: str, streams: Iterable[tuple[str, str]] = ()) -> Path:
    """``{stem}.{style}{ext}`` beside the source, or in the current folder where that is no file."""
    extension, _ = fitting_container(usual_extension(source), streams)
    beside = source.path if source.series is None else source.series.named
    folder = beside.parent if beside is not None else Path()
    return folder / f"{source.stem}.{style}{extension}"


def usual_extension(source: Input) -> str:
    """Of a result without a name of its own: a file's, .mp4 for numbered pictures, else none."""
    return ".mp4" if source.series is not None else source.file.suffix if source.file is not None else ""


def described(kind: str, codec: str) -> str:
    """For a sentence: "pgs subtitles"."""
    name = codec.removeprefix("hdmv_").removesuffix("_subtitle")
    if kind in ("chapters", "cover", "timecode", "attachment", "data"):
        return {"cover": "a cover picture", "attachment": "attachments", "data": f"{name} data tracks".strip()}.get(
            kind, f"a {kind}" if kind == "timecode" else kind
        )
    return {"audio": f"{name} sound", "video": f"a second video in {name}", "subtitle": f"{name} subtitles"}[kind]


def fate(muxer: str, kind: str, codec: str) -> Fate:
    """What becomes of a stream of ``kind`` (see `kind_of`) and ``codec`` (see `codec_of`) in a container."""
    if muxer == PIPES["y4m"]:
        return Fate("drop", reason="y4m holds pictures alone (use mkv)")
    if muxer == PICTURES:
        return Fate("drop", reason=f"numbered pictures hold no {described(kind, codec).removeprefix('a ').strip()}")
    if kind in ("chapters", "timecode"):
        held = muxer != "mpegts" and (kind, muxer) != ("timecode", "webm")
        return Fate("keep") if held else _drop(muxer, kind, codec)
    if kind == "attachment":
        return Fate("keep") if muxer == "matroska" else _drop(muxer, kind, codec)
    if kind == "cover":
        return Fate("keep") if codec in _COVERS.get(muxer, ()) else _drop(muxer, kind, codec)
    if not codec:
        return Fate("drop", reason="of a kind that cannot be written" if kind == "data" else "its codec is unknown")
    if kind == "data":
        return Fate("copy") if codec in _DATA.get(muxer, ()) else _drop(muxer, kind, codec)
    if can_hold(muxer, codec):
        return Fate("copy")
    return converted(muxer, kind, codec, f"{muxer} cannot hold {described(kind, codec)}")


def converted(muxer: str, kind: str, codec: str, reason: str) -> Fate:
    """What becomes of a stream that cannot be copied for ``reason``."""
    if kind == "audio":
        same = _FLOATS.get(codec, "")
        return Fate("convert", same if can_hold(muxer, same) else _SOUND[muxer][_is_lossless(codec)], reason)
    if kind == "subtitle" and muxer in _TEXT and _decoder(codec, "text_sub"):
        return Fate("convert", _TEXT[muxer], reason)
    return _drop(muxer, kind, codec, reason)


def next_best(muxer: str, kind: str, way: Fate) -> Fate | None:
    """For sound whose encoder refuses it, as ALAC does 7.1: the lossy one of the container; None where it was that."""
    lossy = _SOUND[muxer][0] if kind == "audio" else way.encoder
    return None if way.encoder == lossy else replace(way, encoder=lossy)


def _drop(muxer: str, kind: str, codec: str, reason: str = "") -> Fate:
    hint = f" (use {ROOMIEST})" if muxer != "matroska" and fate("matroska", kind, codec).action != "drop" else ""
    return Fate("drop", reason=(reason or f"{muxer} cannot hold {described(kind, codec)}") + hint)


def _is_lossless(codec: str) -> bool:
    return codec.startswith("pcm_") or (_decoder(codec, "lossless") and codec != "dts")  # few of which are lossless


def _decoder(codec: str, property_name: str) -> bool:
    try:
        return bool(getattr(av.Codec(codec, "r"), property_name))
    except av.codec.codec.UnknownCodecError:
        return False


@cache
def _supported(muxer: str) -> frozenset[str]:
    if muxer == "mpegts":
        return frozenset(_MPEGTS)
    probe = av.open(os.devnull, "w", format=muxer)
    try:
        names = probe.supported_codecs
    finally:
        probe.close()
    return frozenset(_canonical(name) for name in names) - _NOT.get(muxer, frozenset())


def _canonical(name: str) -> str:
    for mode in ("r", "w"):
        try:
            return str(av.Codec(name, mode).canonical_name)
        except av.codec.codec.UnknownCodecError:
            continue
    return name


def can_hold(muxer: str, codec: str) -> bool:
    """Whether the container takes a stream of this codec (canonical name), so that it can be read back."""
    return codec in _supported(muxer)


def best_video(container: Any, name: str) -> Any:
    """The stream a player would show: not cover art, not an empty track.

    Raises:
        SourceError: there is none.
    """
    videos = [s for s in container.streams.video if not s.disposition & ATTACHED_PIC and s.codec_context is not None]
    if not videos:
        kinds = ", ".join(sorted({kind_of(s) for s in container.streams})) or "nothing"
        cover = ", its only picture is a cover" if container.streams.video else ""
        raise SourceError(f"{name} has no video stream{cover} (found: {kinds}): nothing to style")
    best = container.streams.best("video")
    return best if best in videos else max(videos, key=lambda s: (s.width * s.height, s.frames))
