"""Which encoder an output gets, its pixel format and its options."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from vidstyle.containers import CONTAINERS, can_hold, container_format, holding
from vidstyle.encoder_words import LISTS, PRESETS, check_words
from vidstyle.errors import EngineError, UsageError
from vidstyle.frame import TRC_PQ, VideoInfo
from vidstyle.picture_codecs import ENDINGS, OPTIONS, PICTURES, check_codec
from vidstyle.pixel_formats import (
    carries_hdr,
    check_format,
    choose_format,
    formats_of,
    holds_alpha,
    keeps_alpha,
    reductions,
    unusual,
)

#: names people use -> FFmpeg's encoder
ENCODERS = {"h264": "libx264", "hevc": "libx265", "h265": "libx265", "av1": "libsvtav1", "vp9": "libvpx-vp9"}
#: constant quality and speed that suit drawn pictures; crf scales differ from codec to codec
_DEFAULTS: dict[str, dict[str, str]] = {
    "libx264": {"crf": "18", "preset": "veryfast"},
    "libx265": {"crf": "20", "preset": "fast", "x265-params": "log-level=none"},
    "libsvtav1": {"crf": "26", "preset": "9"},
    "libvpx-vp9": {"crf": "26", "b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"},
}
#: those that know no constant quality get one quantiser: by themselves they write 200 kbit/s, whatever the size
_OLD = ("mpeg1video", "mpeg2video", "mpeg4", "mjpeg")
_DEFAULTS |= {"libvpx": {"crf": "10", "b": "100M"}} | {name: {"qmin": "2", "qmax": "2"} for name in _OLD}
_RATES = {"b", "qmin", "qmax"}  # who gives one of these for such an encoder gives all
_MOST_CRF = {"libx264": 51, "libx265": 51}  # of those that do not say
_TAKE_MASTERING = ("libx265", "libsvtav1")  # see `_hdr_options`
#: encoders on a device, by the end of their name: (what they need, their quality option, its default)
_DEVICES = {
    "nvenc": ("an NVIDIA GPU that can encode, and its driver", "cq", "19"),
    "qsv": ("an Intel GPU and its driver", "global_quality", "20"),
    "amf": ("an AMD GPU and its driver", "qvbr_quality_level", "20"),
    "videotoolbox": ("a Mac", "q", "65"),
    "vaapi": ("a GPU with VA-API", "global_quality", "20"),
    "v4l2m2m": ("a board with a video encoder", "", ""),
    "mf": ("Windows with Media Foundation", "", ""),
    "vulkan": ("a GPU with Vulkan video", "", ""),
}
RAW = ("yuv420p", "yuv422p", "yuv444p", "yuv411p", "gray")
#: what a container gets by itself where H.264 would lose something
_DEEP_CODECS, _ALPHA_CODECS = ("hevc", "av1", "vp9"), {"mov": "prores_ks", "matroska": "ffv1", "webm": "vp9"}


@dataclass(frozen=True)
class EncoderOptions:
    """What a person asked for.

    Attributes:
        codec: None for what suits the container and the source.
        extra: the encoder's own options, as ffmpeg names them.
        threads: 0 for as many as it likes.
        pix_fmt: None for what every player shows.
    """

    codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    extra: tuple[tuple[str, str], ...] = ()
    threads: int = 0
    pix_fmt: str | None = None


@dataclass(frozen=True)
class EncoderChoice:
    """Settled at opening.

    Attributes:
        alpha: the pixel format holds the source's transparency.
        tag: the codec's name inside the container, "" for the usual one.
        reductions: what of the source's pictures is lost by it, for the report.
        notes: what else there is to say of it.
    """

    encoder: str
    pix_fmt: str
    options: dict[str, str]
    alpha: bool = False
    tag: str = ""
    reductions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def choose_encoder(path: Path, info: VideoInfo, wanted: EncoderOptions) -> EncoderChoice:
    """Settle encoder, pixel format and options once, at opening. ``path`` may also be "pipe.y4m".

    Raises:
        UsageError: no such encoder, not for this container or these pictures, or it lacks an option.
        EngineError: the device that it needs is not here.
    """
    suffix = path.suffix.lower()
    if suffix == ".y4m":
        return _raw(info, wanted)
    muxer = container_format(path)
    name = wanted.codec or (ENDINGS[suffix] if muxer == PICTURES else _usual(muxer, CONTAINERS[suffix][1], info))
    codec = _codec(name)
    if muxer == PICTURES:
        check_codec(path, name, codec.name)
    elif not can_hold(muxer, codec.canonical_name):
        other = holding(codec.canonical_name, muxer)
        raise UsageError(f"{path.suffix} cannot hold {name} video: use {f'{other}, or ' * bool(other)}another --codec")
    _check_size(codec.name, info)
    pix_fmt = choose_format(codec, muxer, info, wanted.pix_fmt)
    alpha = info.alpha and holds_alpha(codec.name, muxer, pix_fmt)
    tag = "hvc1" if codec.canonical_name == "hevc" and muxer in ("mp4", "mov") else ""  # what Apple's players show
    less = (*reductions(info, pix_fmt, alpha, muxer), *_hdr_left_out(codec.name, info))
    notes = () if wanted.pix_fmt else tuple(unusual(codec, info, pix_fmt))
    ours = OPTIONS.get(codec.name, {}).items() if muxer == PICTURES else _hdr_options(codec.name, info)
    options = _options(codec, wanted, ours)
    choice = EncoderChoice(codec.name, pix_fmt, options, alpha, tag, less, notes)
    _check_device(codec, choice, info)
    return choice


def named_codec(wanted: EncoderOptions) -> str | None:
    """Canonical name of the codec that was asked for, as containers know it; None where none was.

    Raises:
        UsageError: there is no such encoder.
    """
    return None if wanted.codec is None else str(_codec(wanted.codec).canonical_name)


def glass_extension(wanted: EncoderOptions) -> str | None:
    """Of a container that keeps transparency with what was asked for; None where that has none.

    Raises:
        UsageError: there is no such encoder.
    """
    if wanted.codec is None:
        return ".mov"
    codec = _codec(wanted.codec)
    holders = {each: CONTAINERS[each][0] for each in (".mov", ".mkv")}
    able = [each for each, muxer in holders.items() if can_hold(muxer, codec.canonical_name)]
    return next((each for each in able if keeps_alpha(codec, holders[each], wanted.pix_fmt)), None)


def check_named(wanted: EncoderOptions, pictures: str = "") -> None:
    """Refuse what an encoder that was named takes of no video, before any is opened.

    Args:
        pictures: ending of numbered pictures, whose encoder is known without being named; "" for videos.

    Raises:
        UsageError: there is no such encoder, or it lacks an option or the pixel format.
    """
    name = wanted.codec or ENDINGS.get(pictures)
    if name is None:  # it depends on the video
        return
    codec = _codec(name)
    if pictures:
        check_codec(Path(f"all{pictures}"), name, codec.name)
    _options(codec, wanted)
    check_format(codec, wanted.pix_fmt)


def _check_size(encoder: str, info: VideoInfo) -> None:
    """SVT-AV1 waits for itself for ever where a narrow picture is longer than one of its blocks."""
    if encoder == "libsvtav1" and min(info.width, info.height) < 32 and max(info.width, info.height) > 64:
        size = f"{info.width}x{info.height}"
        raise UsageError(f"libsvtav1 cannot encode pictures as narrow as {size}: use --codec h264 or vp9")


def _raw(info: VideoInfo, wanted: EncoderOptions) -> EncoderChoice:
    if info.colour.is_hdr:
        raise UsageError("y4m carries no HDR: use mkv, or make it SDR")
    even = info.width % 2 == info.height % 2 == 0
    pix_fmt = wanted.pix_fmt or ("yuv420p" if even else "yuv444p")
    if pix_fmt not in RAW:
        raise UsageError(f"y4m has no pixel format {pix_fmt!r}: use one of {', '.join(RAW)}")
    return EncoderChoice("rawvideo", pix_fmt, {}, reductions=tuple(reductions(info, pix_fmt, False, "yuv4mpegpipe")))


def _codec(name: str) -> Any:
    encoder = ENCODERS.get(name, name)
    try:
        codec: Any = av.Codec(encoder, "w")
    except av.codec.codec.UnknownCodecError:
        known = ", ".join(ENCODERS)
        device = _DEVICES.get(encoder.rpartition("_")[2])
        needs = f" (it needs {device[0]})" if device else ""
        raise UsageError(f"no encoder {name!r} here{needs}: use one of {known}, or an FFmpeg encoder's name") from None
    if codec.type != "video":
        raise UsageError(f"{name!r} is an {codec.type} encoder: use one of {', '.join(ENCODERS)}")
    return codec


def _usual(muxer: str, usual: str, info: VideoInfo) -> str:
    """The codec of a container that loses the least of this source."""
    if info.alpha and muxer in _ALPHA_CODECS:
        return _ALPHA_CODECS[muxer]
    if info.colour.is_hdr:
        for name in _DEEP_CODECS:
            codec = _codec(name)
            if can_hold(muxer, codec.canonical_name) and any(carries_hdr(codec, f) for f in formats_of(codec)):
                return name
    return usual


def _options(codec: Any, wanted: EncoderOptions, ours: Iterable[tuple[str, str]] = ()) -> dict[str, str]:
    device = _DEVICES.get(codec.name.rpartition("_")[2])
    quality = device[1] if device else "crf"
    own = codec.name in _OLD and any(name in _RATES for name, _ in wanted.extra)
    options = {} if own else dict(_DEFAULTS.get(codec.name, {}))
    if device and quality:
        options[quality] = device[2]
    if wanted.crf is not None:
        options[quality or "crf"] = _crf(codec, quality, wanted.crf)
    if wanted.preset is not None:
        options["preset"] = _preset(codec, wanted.preset)
    for name, value in (*ours, *wanted.extra):
        options[name] = f"{options[name]}:{value}" if name in LISTS and options.get(name) else value
    _check_options(codec, options)
    check_words(codec.name, dict(wanted.extra))
    return options


def _option(codec: Any, name: str) -> Any:
    """What the encoder says of an option; None where it has none of that name."""
    supported = av.CodecContext.create(codec, "w").supported_options
    return next((option for option in (*supported.private, *supported.generic) if option.name == name), None)


def _crf(codec: Any, quality: str, wanted: float) -> str:
    option = _option(codec, quality)
    most = _MOST_CRF.get(codec.name, option.max if option is not None else math.inf)
    if not 0 <= wanted <= most:
        raise UsageError(f"--crf is {wanted:g}: {codec.name} takes 0 to {most:g}; lower is better and larger")
    return f"{wanted:g}"


def _preset(codec: Any, wanted: str) -> str:
    if codec.name in _MOST_CRF and wanted not in PRESETS.split(", "):
        raise UsageError(f"--preset is {wanted!r}: {codec.name} takes {PRESETS}")
    option = _option(codec, "preset")
    if codec.name == "libsvtav1" and wanted not in map(str, range(int(option.min), int(option.max) + 1)):
        raise UsageError(f"--preset is {wanted!r}: {codec.name} takes {option.min:g} to {option.max:g}")
    return wanted


def _hdr_options(encoder: str, info: VideoInfo) -> Iterator[tuple[str, str]]:
    """What players need to show PQ as it was mastered; the colours themselves are told by the stream."""
    if not info.colour.is_hdr:
        return
    if encoder == "libx265":
        given = info.mastering.x265() if info.mastering else {}
        ours = {"hdr10": "1", "hdr10-opt": "1"} if info.colour.transfer == TRC_PQ else {}
        if ours or given:
            yield "x265-params", ":".join(f"{key}={value}" for key, value in (ours | given).items())
    elif encoder == "libsvtav1" and info.mastering:
        yield "svtav1-params", ":".join(f"{key}={value}" for key, value in info.mastering.svtav1().items())


def _hdr_left_out(encoder: str, info: VideoInfo) -> Iterator[str]:
    if info.mastering and encoder not in _TAKE_MASTERING:
        yield f"the HDR10 metadata (mastering screen, light level) is not kept by {encoder}: use --codec hevc or av1"


def _check_options(codec: Any, options: dict[str, str]) -> None:
    supported = av.CodecContext.create(codec, "w").supported_options
    known = {option.name for option in (*supported.generic, *supported.private)}
    if unknown := [name for name in options if name not in known]:
        raise UsageError(f"the encoder {codec.name} has no option {unknown[0]!r}: see ffmpeg -h encoder={codec.name}")


def _check_device(codec: Any, choice: EncoderChoice, info: VideoInfo) -> None:
    """Open an encoder that needs a device, so that its absence is told before any work."""
    device = _DEVICES.get(codec.name.rpartition("_")[2])
    if device is None:
        return
    context: Any = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = info.width, info.height, choice.pix_fmt
    context.time_base, context.framerate = info.time_base, encoder_rate(info)
    context.options = dict(choice.options)
    try:
        context.open()
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EngineError(
            f"the encoder {codec.name} does not start ({reason}): it needs {device[0]}; use --codec "
            f"{codec.canonical_name} without it"
        ) from error


def encoder_rate(info: VideoInfo, encoder: str = "") -> Fraction:
    """Frames a second for rate control only; times come from pts. Of an encoder of fixed rates: the one meant."""
    rate = info.rate or Fraction(30)
    nearest = min(_rates_of(encoder), key=lambda known: abs(known - rate), default=rate)
    return nearest if abs(nearest - rate) < rate / 100 else rate  # an average may be off by its clock's rounding


def encoder_clock(info: VideoInfo, encoder: str) -> Fraction:
    """Seconds a tick: the source's, or a picture's where the encoder takes its clock for a rate, or none so fine."""
    too_fine = encoder == "mpeg4" and info.time_base.denominator > 0xFFFF
    if too_fine or _rates_of(encoder):
        return 1 / encoder_rate(info, encoder)
    return info.time_base


def _rates_of(encoder: str) -> list[Fraction]:
    codec: Any = av.Codec(encoder, "w") if encoder else None
    return list(codec.frame_rates or ()) if codec else []
