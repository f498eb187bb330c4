"""Styled frames to packets: every segment of a video is encoded by the same settings."""

from __future__ import annotations

import errno
import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import count
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation

from vidstyle.captions import carrier, prefix_of, with_captions
from vidstyle.codecs import EncoderChoice, encoder_clock, encoder_rate
from vidstyle.detail import give_back, in_detail
from vidstyle.encoder_words import log_of
from vidstyle.errors import UsageError
from vidstyle.frame import MATRIX_RESERVED, MATRIX_RGB, RANGE_LIMITED, Frame, VideoInfo, working_size
from vidstyle.leaving import Leaving
from vidstyle.on_device import Device
from vidstyle.priority import kept_priority
from vidstyle.tags import levels
from vidstyle.widening import narrow, widened

SCALING = Interpolation.BICUBIC | Interpolation.ACCURATE_RND
_BT601 = (6, 5)  # its two numbers as a matrix, 525 and 625 lines


@dataclass(frozen=True)
class Encoding:
    """What decides how pictures are encoded.

    Attributes:
        info: of the source, but with the size and shape of the pixels that are written.
        choice: encoder, pixel format, options.
        compare: the source left and the result right of it.
        threads: of the encoder, 0 for as many as it likes.
        device: where frames' images are; None for the machine's memory.
        planes_there: the encoder's planes are made there too.
        luma_range: of `Frame.luma`, where it may not be that of what is written; 0 where it is.
    """

    info: VideoInfo
    choice: EncoderChoice
    compare: bool = False
    threads: int = 0
    device: Device | None = None
    planes_there: bool = False
    luma_range: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the encoded pictures."""
        return (2 if self.compare else 1) * self.info.width, self.info.height


class Encoder:
    """One encoder writing into one container: frames in, packets with their exact times out."""

    def __init__(self, container: Any, muxer: str, encoding: Encoding, metadata: dict[str, str]) -> None:
        self._container, self._muxer, self._encoding = container, muxer, encoding
        self._durations: dict[int, int] = {}
        self._captions: dict[int, bytes] = {}  # by pts
        self._carrier = carrier(encoding.choice.encoder)
        self._inverse: Any = None
        self._waiting: tuple[Callable[[], Any], Frame, int] | None = None  # its planes are on their way
        choice, info = encoding.choice, encoding.info
        device = encoding.device
        self._leaving = Leaving(device, choice, info) if device is not None and encoding.planes_there else None
        with hardware_of(device) as hardware:
            self.stream: Any = container.add_stream(
                choice.encoder, rate=encoder_rate(info, choice.encoder), options=_repeatable(choice), hwaccel=hardware
            )
        self.stream.width, self.stream.height = encoding.size
        self.stream.pix_fmt = choice.pix_fmt
        self.stream.metadata.update(metadata)
        if choice.tag and muxer in ("mp4", "mov"):
            self.stream.codec_context.codec_tag = choice.tag
        context, colour = self.stream.codec_context, info.colour
        # y4m has a rate in place of times, as some encoders have: their clock ticks once a picture.
        y4m = muxer == "yuv4mpegpipe"
        context.time_base = 1 / encoder_rate(info) if y4m else encoder_clock(info, choice.encoder)
        self._counted = count() if y4m or context.time_base != info.time_base else None
        self._times: dict[int, int] | None = None if y4m or self._counted is None else {}  # pts by number
        context.sample_aspect_ratio = info.aspect
        context.thread_count = encoding.threads
        # PyAV asks for slices, which cost bits and are not what an encoder does by itself.
        context.thread_type = "AUTO"
        none = (MATRIX_RESERVED,) if av.VideoFormat(choice.pix_fmt).is_rgb else (MATRIX_RGB, MATRIX_RESERVED)
        context.colorspace = colour.matrix if colour.matrix not in none else colour.matrix_used
        context.color_primaries, context.color_trc = colour.primaries, colour.transfer
        context.color_range = colour.range_used

    def start(self) -> None:
        """Open the encoder and write the container's header.

        Raises:
            UsageError: one of them refuses its settings.
        """
        os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 writes 25 lines to the terminal by itself: errors alone
        try:
            with kept_priority():
                self._container.start_encoding()
        except (ValueError, av.error.FFmpegError) as error:
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EACCES, errno.EIO):
                raise
            raise UsageError(self._refusal(error)) from error

    def _refusal(self, error: Exception) -> str:
        choice, (width, height) = self._encoding.choice, self._encoding.size
        said = _words_of(choice, self._encoding)
        what = choice.encoder if said else f"{choice.encoder} or {self._muxer}"
        settings = " ".join([choice.pix_fmt, f"{width}x{height}", *(f"{k}={v}" for k, v in choice.options.items())])
        return f"{what} refuses these settings: {settings}: {said or getattr(error, 'strerror', None) or error}"

    def encode(self, frame: Frame, pts: int) -> Iterator[Any]:
        """Packets that are ready once ``frame`` is in, ``pts`` being its time in the output."""
        if self._leaving is None:
            yield from self._encoded(self._picture(frame), frame, pts)
            return
        before, self._waiting = self._waiting, (self._leaving.start(frame), frame, pts)
        yield from self._arrived(before)

    def _arrived(self, waiting: tuple[Callable[[], Any], Frame, int] | None) -> Iterator[Any]:
        if waiting is not None:
            wait, frame, pts = waiting
            yield from self._encoded(wait(), frame, pts)

    def _encoded(self, picture: Any, frame: Frame, pts: int) -> Iterator[Any]:
        picture.pts, picture.time_base = pts, frame.time_base
        colour = self._encoding.info.colour  # ProRes takes what its pictures say
        picture.color_primaries, picture.color_trc = colour.primaries, colour.transfer
        if self.stream.codec_context.colorspace in _BT601:
            picture.colorspace = _BT601[0]  # ProRes has one number for the two
        if self._counted is not None:
            picture.pts, picture.time_base = next(self._counted), self.stream.codec_context.time_base
            if self._times is not None:
                self._times[picture.pts] = pts
        self._durations[pts] = frame.duration or self._usual_duration(frame.time_base)
        if frame.captions and self._carrier:
            self._captions[pts] = frame.captions
        yield from self._finished(self.stream.encode(picture))

    def flush(self) -> Iterator[Any]:
        """The packets that are left."""
        before, self._waiting = self._waiting, None
        yield from self._arrived(before)
        yield from self._finished(self.stream.encode(None))

    def _usual_duration(self, time_base: Fraction) -> int:
        """Of a picture whose source does not say: without one, an edit list would hide the last picture."""
        return max(1, round(1 / (encoder_rate(self._encoding.info) * time_base)))

    def _finished(self, packets: list[Any]) -> Iterator[Any]:
        for packet in packets:
            if self._times is not None:
                self._retime(packet, self._times)
            packet.duration = self._durations.pop(packet.pts, packet.duration)
            captions = self._captions.pop(packet.pts, b"")
            yield self._captioned(packet, captions) if captions else packet

    def _captioned(self, packet: Any, captions: bytes) -> Any:
        """The same packet with captions in it."""
        prefix = prefix_of(self._carrier, self.stream.codec_context.extradata)
        made = av.Packet(with_captions(bytes(packet), self._carrier, prefix, captions))
        made.stream, made.time_base = packet.stream, packet.time_base
        made.pts, made.dts, made.duration, made.is_keyframe = (
            packet.pts,
            packet.dts,
            packet.duration,
            packet.is_keyframe,
        )
        for data in packet.iter_sidedata():
            made.set_sidedata(data)
        return made

    def _retime(self, packet: Any, times: dict[int, int]) -> None:
        """Give a packet of an encoder that counts pictures their times."""
        number, base = packet.dts, self._encoding.info.time_base
        packet.pts = times[packet.pts]
        # What is decoded before the first picture is shown has no picture's time.
        packet.dts = times.pop(number) if number >= 0 else times[0] + number * self._usual_duration(base)
        packet.time_base = base

    def _picture(self, frame: Frame) -> Any:
        """The frame as the encoder wants it: the source's size, its matrix and its range."""
        encoding, colour = self._encoding, self._encoding.info.colour
        width, height = encoding.size
        if encoding.device is not None and frame.on_device:
            frame = replace(frame, image=encoding.device.memory.fetch(frame.image))
        image = _side_by_side(frame, encoding.info) if encoding.compare else frame.image
        picture = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format="rgb24")
        if colour.is_hdr:
            picture = self._to_hdr(picture, width, height)
        elif encoding.choice.alpha and frame.alpha is not None and not encoding.compare:
            picture = _with_alpha(picture, frame.alpha)
        luma = None if encoding.compare or colour.is_hdr else frame.luma  # that of HDR is not the same
        if luma is not None and RANGE_LIMITED == encoding.luma_range < colour.range_used:
            luma = levels(8, limited=True)[luma]
        is_rgb = av.VideoFormat(encoding.choice.pix_fmt).is_rgb
        if luma is not None and is_rgb and luma.shape == (height, width):
            scaled = picture.reformat(width=width, height=height, interpolation=SCALING, threads=1).to_ndarray()
            picture = av.VideoFrame.from_ndarray(in_detail(scaled, luma, frame.image.shape[:2]), format="rgb24")
        result = picture.reformat(
            width=width,
            height=height,
            format=encoding.choice.pix_fmt if colour.is_hdr else narrow(encoding.choice.pix_fmt),
            interpolation=SCALING,
            dst_colorspace=colour.matrix_used,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG if colour.range_used == RANGE_LIMITED else ColorRange.JPEG,
            threads=1,
        )
        if luma is not None and not is_rgb:
            give_back(result, luma, frame.image.shape[:2], colour.range_used == RANGE_LIMITED)
        return result if colour.is_hdr else widened(result, encoding.choice.pix_fmt)

    def _to_hdr(self, picture: Any, width: int, height: int) -> Any:
        if self._inverse is None:
            from vidstyle.hdr import InverseToneMap

            self._inverse = InverseToneMap(width, height, self._encoding.info.colour.transfer)
        planes = picture.reformat(width=width, height=height, format="gbrp", interpolation=SCALING, threads=1)
        return self._inverse(planes)


def _words_of(choice: EncoderChoice, encoding: Encoding) -> str:
    """What an encoder says when it does not open, "" where it does: it is tried once more, and FFmpeg's log is read."""
    context: Any = av.CodecContext.create(choice.encoder, "w")
    context.width, context.height = encoding.size
    context.pix_fmt, context.options = choice.pix_fmt, _repeatable(choice)
    context.time_base = encoder_clock(encoding.info, choice.encoder)
    context.framerate = encoder_rate(encoding.info, choice.encoder)
    context.color_range = encoding.info.colour.range_used
    lines = log_of(context, av.logging.ERROR)  # others of this process may write to it too
    return next((line for who, line in lines if who == choice.encoder), "")


def hardware_of(device: Device | None) -> Any:
    """Around opening an encoder: PyAV's `HWAccel` of one that reads pictures in a GPU's memory; None for all others."""
    return device.hardware() if device is not None and device.encodes else nullcontext()


def _repeatable(choice: EncoderChoice) -> dict[str, str]:
    """The encoder's options, and what makes its output the same in every run.

    x264's macroblock tree reads memory that was never written where it uses AVX-512 and the width is no multiple of
    256 (seen with x264 165: 17 outputs in 60 runs), so it is held to AVX2.
    """
    options = dict(choice.options)
    if choice.encoder == "libx264" and _has_avx512():
        given = options.get("x264-params")
        if "asm=" not in (given or ""):
            options["x264-params"] = ":".join(filter(None, (given, "asm=avx2")))
    return options


@cache
def _has_avx512() -> bool:
    core = "numpy._core" if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else "numpy.core"
    features: dict[str, bool] = getattr(importlib.import_module(f"{core}._multiarray_umath"), "__cpu_features__", {})
    return features.get("AVX512F", False)


def _scaled(image: np.ndarray, info: VideoInfo) -> np.ndarray:
    if image.shape[:2] == (info.height, info.width):
        return image
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    return frame.reformat(width=info.width, height=info.height, interpolation=Interpolation.BICUBIC).to_ndarray()


def _with_alpha(picture: Any, alpha: np.ndarray) -> Any:
    """RGBA at the size of ``alpha``, uint8 [H, W].

    The picture comes on black, as the network saw it; the file's colours are those before that (straight alpha).
    """
    height, width = alpha.shape
    colour = picture.reformat(width=width, height=height, interpolation=SCALING, threads=1).to_ndarray()
    share = np.maximum(alpha, 1)[..., None].astype(np.uint16)
    straight = np.minimum((colour * np.uint16(255) + share // 2) // share, 255).astype(np.uint8)
    return av.VideoFrame.from_ndarray(np.dstack([straight, alpha]), format="rgba")


def _side_by_side(frame: Frame, info: VideoInfo) -> np.ndarray:
    assert frame.original is not None, "comparing needs SourceOptions(originals=True)"
    return np.concatenate([_scaled(frame.original, info), _scaled(frame.image, info)], axis=1)


def doubled(info: VideoInfo) -> VideoInfo:
    """``info`` of pictures of two halves, for choosing an encoder."""
    return replace(info, width=2 * info.width, alpha=False)


def squared(info: VideoInfo) -> VideoInfo:
    """``info`` of pictures scaled to square pixels, never smaller; a side that is even stays so."""
    height, width = working_size(info.width, info.height, info.aspect, None)
    width, height = width + (width & ~info.width & 1), height + (height & ~info.height & 1)
    return replace(info, width=width, height=height, aspect=Fraction(1))
