"""Which pixel format an encoder gets, and what of a source's pictures that leaves out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import av

from vidstyle.errors import UsageError
from vidstyle.frame import MATRIX_601, MATRIX_RGB, RANGE_FULL, RANGE_LIMITED, Colour, VideoInfo
from vidstyle.picture_codecs import PICTURES, picture_format, shown_alike

_PREFERRED = ("yuv420p", "yuvj420p", "nv12", "yuv422p", "yuv444p", "rgb24", "bgr0")
_PREFERRED_DEEP = ("yuv420p10le", "p010le", "yuv422p10le", "yuv444p10le")
#: encoder -> the pixel format that holds alpha, and which FFmpeg's decoders give back
_ALPHA = {"ffv1": "yuva444p", "prores_ks": "yuva444p10le", "qtrle": "argb", "png": "rgba", "libvpx-vp9": "yuva420p"}
_ALPHA_IN = {"libvpx-vp9": ("webm", "matroska")}  # the others hold it in any container
#: encoders that share colours also where the last column or row is alone
_ANY_SIZE = ("libvpx", "libvpx-vp9", "libsvtav1", "libaom-av1")
#: codecs that can say that their numbers are of full range; of all others players expect limited range
_SAY_RANGE = ("h264", "hevc", "av1", "vp9", "ffv1", "rawvideo")
_ONE_MATRIX = ("mjpeg", "vp8")  # BT.601, whatever the container says
_GREY = (64, 64)
_NAMES = {_GREY: "grey", (1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (4, 1): "4:1:1", (1, 2): "4:4:0"}
HDR_BITS = 10
FEWER_BITS = "the source has {} bits a colour; styled pictures have 8"  # for reports


def formats_of(codec: Any) -> list[str]:
    """Names of an encoder's pixel formats in the machine's memory."""
    return [f.name for f in codec.video_formats or [] if f.components] or ["yuv420p"]


def bits(pix_fmt: str) -> int:
    """Of the deepest channel."""
    return max((component.bits for component in av.VideoFormat(pix_fmt).components), default=8)


def carries_hdr(codec: Any, pix_fmt: str) -> bool:
    """H.264 could, but no player expects it there."""
    return codec.canonical_name != "h264" and bits(pix_fmt) >= HDR_BITS


def _chroma(pix_fmt: str) -> tuple[int, int]:
    """How many pixels share a colour, across and down; `_GREY` where there is none."""
    pixels = av.VideoFormat(pix_fmt, 64, 64)
    if len(pixels.components) < 3:
        return _GREY
    return 64 // max(1, pixels.components[1].width), 64 // max(1, pixels.components[1].height)


def holds_alpha(encoder: str, muxer: str, pix_fmt: str) -> bool:
    """Whether transparency written so can be read back."""
    has = any(component.is_alpha for component in av.VideoFormat(pix_fmt).components)
    return has and muxer in _ALPHA_IN.get(encoder, (muxer,))


def keeps_alpha(codec: Any, muxer: str, wanted: str | None) -> bool:
    """Whether `choose_format` comes to a pixel format that keeps transparency."""
    name = wanted or _ALPHA.get(codec.name, "")
    return name in formats_of(codec) and holds_alpha(codec.name, muxer, name)


def _fits(codec: Any, pix_fmt: str, info: VideoInfo) -> bool:
    across, down = _chroma(pix_fmt)
    return codec.name in _ANY_SIZE or (across, down) == _GREY or (info.width % across == 0 and info.height % down == 0)


def choose_format(codec: Any, muxer: str, info: VideoInfo, wanted: str | None) -> str:
    """The pixel format that was asked for, or what keeps HDR and alpha, and otherwise every player shows.

    Raises:
        UsageError: the encoder lacks it, or none suits these pictures.
    """
    if muxer == PICTURES:
        return _of_pictures(codec, info, wanted)
    check_format(codec, wanted)
    if wanted is not None:
        return _checked(codec, wanted, info)
    formats = formats_of(codec)
    if info.colour.is_hdr:
        formats = [name for name in formats if carries_hdr(codec, name)]
        if not formats:
            raise UsageError(f"{codec.name} does not carry HDR here: use --codec hevc or av1, or make it SDR")
    alpha = _ALPHA.get(codec.name, "")
    if info.alpha and alpha in formats and holds_alpha(codec.name, muxer, alpha):
        return alpha
    order = (*_PREFERRED, *_PREFERRED_DEEP, *formats)
    return next((name for name in order if name in formats and _fits(codec, name, info)), formats[0])


def _of_pictures(codec: Any, info: VideoInfo, wanted: str | None) -> str:
    check_format(codec, wanted, shown_alike(codec.name, formats_of(codec)))
    if info.colour.is_hdr:
        raise UsageError("numbered pictures carry no HDR: leave --hdr keep out, or write a video (.mkv)")
    if wanted is not None:
        return _checked(codec, wanted, info)
    return picture_format(codec.name, info.bits, info.alpha)


def check_format(codec: Any, wanted: str | None, formats: list[str] | None = None) -> None:
    """
    Args:
        formats: that are to be had of the encoder's; None for all.

    Raises:
        UsageError: it is none of them.
    """
    formats = formats or formats_of(codec)
    if wanted is not None and wanted not in formats:
        raise UsageError(f"the encoder {codec.name} has no pixel format {wanted!r}: use one of {', '.join(formats)}")


def _checked(codec: Any, wanted: str, info: VideoInfo) -> str:
    if not _fits(codec, wanted, info):
        raise UsageError(f"{wanted} needs even sizes, and these pictures are {info.width}x{info.height}: use yuv444p")
    if info.colour.is_hdr and not carries_hdr(codec, wanted):
        raise UsageError(
            f"HDR needs {HDR_BITS} bits, and {codec.name} with {wanted} does not carry it: use hevc or av1"
        )
    return wanted


def written_colour(encoder: str, pix_fmt: str, colour: Colour, muxer: str = "") -> Colour:
    """How the numbers that are written mean colours: as the source's, unless the codec knows but one way.

    Those of numbered pictures are what a screen shows, as every program takes them that is told nothing else.
    """
    name, is_rgb = av.Codec(encoder, "w").canonical_name, av.VideoFormat(pix_fmt).is_rgb
    if muxer == PICTURES:
        return Colour(MATRIX_601 if name in _ONE_MATRIX else MATRIX_RGB, range=RANGE_FULL, height=colour.height)
    if is_rgb:
        return replace(colour, matrix=MATRIX_RGB, range=RANGE_FULL)
    if name in _ONE_MATRIX:
        colour = replace(colour, matrix=MATRIX_601)
    if name == "mjpeg":
        return replace(colour, range=RANGE_FULL)
    return colour if colour.range != RANGE_FULL or name in _SAY_RANGE else replace(colour, range=RANGE_LIMITED)


def unusual(codec: Any, info: VideoInfo, pix_fmt: str) -> Iterator[str]:
    """Why H.264 or HEVC has a pixel format that not every player shows, where no one asked for it."""
    if codec.canonical_name in ("h264", "hevc") and not _fits(codec, _PREFERRED[0], info):
        size = f"{info.width}x{info.height}"
        yield (
            f"written as {pix_fmt}, which many players refuse, since 4:2:0 of {codec.name} needs even sizes "
            f"and {size} is odd; --codec vp9 (in .webm, .mkv or .mp4) does not need them"
        )


def reductions(info: VideoInfo, pix_fmt: str, alpha: bool, muxer: str) -> Iterator[str]:
    """What of the source's pictures is lost, but for the look, in sentences for the report."""
    if info.bits > 8 and not info.colour.is_hdr:
        yield FEWER_BITS.format(info.bits)
    source, written = _chroma(info.pix_fmt or "yuv420p"), _chroma(pix_fmt)
    if source[0] < written[0] or source[1] < written[1]:
        full = "yuv444p10le" if bits(pix_fmt) > 8 else "yuv444p"
        words = f"{_NAMES.get(written, pix_fmt)} (the source is {_NAMES.get(source, info.pix_fmt)})"
        keeps = f"--pixel-format {full}" if muxer != PICTURES else "leaving --pixel-format out"
        yield f"written as {words}; {keeps} keeps full colour resolution"
    if info.alpha and not alpha:
        hint = "--codec vp9" if muxer in _ALPHA_IN["libvpx-vp9"] else "a .mov, .webm or .mkv output"
        hint = ".png, .tif, .dpx or .webp" if muxer == PICTURES else hint
        yield f"the source is transparent; its pictures were put on black ({hint} keeps transparency)"
