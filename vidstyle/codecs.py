"""Which container and encoder an output gets, and the encoder's options."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av

from vidstyle.errors import UsageError
from vidstyle.frame import VideoInfo

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
#: names people use -> FFmpeg's encoder
ENCODERS = {"h264": "libx264", "hevc": "libx265", "h265": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9"}
#: constant quality and speed that suit drawn pictures; crf scales differ from codec to codec
_DEFAULTS: dict[str, dict[str, str]] = {
    "libx264": {"crf": "18", "preset": "veryfast"},
    "libx265": {"crf": "20", "preset": "fast", "x265-params": "log-level=none"},
    "libsvtav1": {"crf": "26", "preset": "9"},
    "libvpx-vp9": {"crf": "26", "b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"},
}
_PREFERRED = ("yuv420p", "yuvj420p", "yuv422p", "yuv444p", "rgb24", "bgr0")
NO_ODD_SIZES = ("yuv420p", "yuvj420p", "nv12", "yuv422p")


@dataclass(frozen=True)
class EncoderOptions:
    """``codec`` None: what suits the container. ``extra``: the encoder's own options, as ffmpeg names them."""

    codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    extra: tuple[tuple[str, str], ...] = ()
    threads: int = 0


@dataclass(frozen=True)
class EncoderChoice:
    encoder: str
    pix_fmt: str
    options: dict[str, str]
    alpha: bool = False


def container_format(path: Path) -> str:
    """FFmpeg's muxer for an output name.

    Raises:
        UsageError: the extension is none we can write.
    """
    try:
        return CONTAINERS[path.suffix.lower()][0]
    except KeyError:
        known = " ".join(sorted(CONTAINERS))
        raise UsageError(f"cannot write {path.name!r}: use one of the extensions {known}") from None


def default_output(source: Any, style: str) -> Path:
    """``{stem}.{style}{ext}`` beside the source; Matroska where the source's container cannot be written."""
    source = source.path
    extension = source.suffix if source.suffix.lower() in CONTAINERS else ".mkv"
    return source.with_name(f"{source.stem}.{style}{extension}")


def choose_encoder(path: Path, info: VideoInfo, wanted: EncoderOptions) -> EncoderChoice:
    """Settle encoder, pixel format and options once, at opening.

    Raises:
        UsageError: no such encoder, not for this container, or it lacks an option.
    """
    muxer, usual = CONTAINERS[path.suffix.lower()]
    name = wanted.codec or usual
    encoder = ENCODERS.get(name, name)
    try:
        codec = av.Codec(encoder, "w")
    except av.codec.codec.UnknownCodecError:
        known = ", ".join(ENCODERS)
        raise UsageError(f"no encoder {name!r} here: use one of {known}, or an FFmpeg encoder's name") from None
    if codec.type != "video":
        raise UsageError(f"{name!r} is an {codec.type} encoder: use one of {', '.join(ENCODERS)}")
    if not can_hold(muxer, codec.canonical_name, encoder):
        raise UsageError(f"{path.suffix} cannot hold {name} video: use .mkv, or another --codec")
    options = dict(_DEFAULTS.get(encoder, {}))
    if wanted.crf is not None:
        options["crf"] = f"{wanted.crf:g}"
    if wanted.preset is not None:
        options["preset"] = wanted.preset
    options |= dict(wanted.extra)
    _check_options(codec, options, encoder)
    return EncoderChoice(encoder, _pixel_format(codec, info), options)


@cache
def _supported(muxer: str) -> frozenset[str]:
    if muxer == "mpegts":  # its muxer has no table for FFmpeg to ask
        return frozenset(("h264", "hevc", "mpeg2video", "aac", "ac3", "eac3", "mp2", "mp3", "opus", "dca", "dvbsub"))
    probe = av.open(os.devnull, "w", format=muxer)
    try:
        return frozenset(probe.supported_codecs)
    finally:
        probe.close()


def can_hold(muxer: str, *codecs: str) -> bool:
    """Whether the container takes a stream of any of these codec names (canonical or implementation)."""
    return not _supported(muxer).isdisjoint(codecs)


def _check_options(codec: Any, options: dict[str, str], encoder: str) -> None:
    supported = av.CodecContext.create(codec, "w").supported_options
    known = {option.name for option in (*supported.generic, *supported.private)}
    if unknown := [name for name in options if name not in known]:
        raise UsageError(f"the encoder {encoder} has no option {unknown[0]!r}: see ffmpeg -h encoder={encoder}")


def _pixel_format(codec: Any, info: VideoInfo) -> str:
    formats = [f.name for f in codec.video_formats or []] or ["yuv420p"]
    odd = info.width % 2 or info.height % 2
    for name in _PREFERRED:
        if name in formats and not (odd and name in NO_ODD_SIZES):
            return name
    return formats[0]


def encoder_rate(info: VideoInfo) -> Fraction:
    """Frames a second for rate control only; times come from pts."""
    return info.rate or Fraction(30)
