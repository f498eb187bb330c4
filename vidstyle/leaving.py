"""Styled pictures in a device's memory to what an encoder takes: planes made there, copied down once, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import av
import numpy as np

from vidstyle.codecs import EncoderChoice, encoder_rate
from vidstyle.frame import RANGE_FULL, Frame, VideoInfo
from vidstyle.on_device import Device, planes

FRAME_THREADS = 1 << 12  # AV_CODEC_CAP_FRAME_THREADS
from_dlpack = av.VideoFrame.from_dlpack
#: an encoder's pixel format -> the one that it gets in the GPU's memory (PyAV 18.1 hands over these)
KEPT = {"yuv420p": "nv12", "nv12": "nv12", "yuv420p10le": "p010le", "p010le": "p010le"}


def planes_on(device: Device, choice: EncoderChoice, info: VideoInfo) -> EncoderChoice | None:
    """``choice`` as it is when the device makes the encoder's planes; None where the CPU has to.

    Also writes down in the device's `Route` what is done where.
    """
    if not planes().supported(choice.pix_fmt, info.colour.matrix_used):
        device.route.planes = f"{choice.pix_fmt} made on the CPU"
        return None
    if _encodes(device, choice, info):
        device.encodes, device.route.encoded = True, "on the GPU"
        return replace(choice, pix_fmt=KEPT[choice.pix_fmt])
    return choice


def _encodes(device: Device, choice: EncoderChoice, info: VideoInfo) -> bool:
    """Whether the encoder takes pictures that are in this GPU's memory."""
    if not device.is_gpu or not choice.encoder.endswith("_nvenc") or choice.pix_fmt not in KEPT:
        return False
    if info.width % 4 or info.height % 2:  # NVENC reads rows of whole fours of bytes
        return False
    try:
        with device.hardware() as hardware:
            context: Any = av.CodecContext.create(choice.encoder, "w", hwaccel=hardware)
        context.width, context.height, context.pix_fmt = info.width, info.height, KEPT[choice.pix_fmt]
        context.time_base, context.framerate = info.time_base, encoder_rate(info)
        context.options = dict(choice.options)
        context.open()
    except (av.error.FFmpegError, OSError, ValueError, NotImplementedError):
        return False
    return True


class Leaving:
    """The pictures of one stream on their way to one encoder.

    ``choice``: as `planes_on` gave it.
    """

    def __init__(self, device: Device, choice: EncoderChoice, info: VideoInfo) -> None:
        self._device, self._pix_fmt = device, choice.pix_fmt
        colour = info.colour
        full = colour.range_used == RANGE_FULL or choice.pix_fmt.startswith("yuvj")
        self._colours = planes().Colours(colour.matrix_used, full)
        self._tags = colour.matrix_used, colour.range_used
        self._size = info.height, info.width
        self._context = device.cuda_context() if device.encodes else None
        # Its threads would let go of a picture's memory, which is Python's, while whoever closes it waits for them.
        self._frees = bool(av.Codec(choice.encoder, "w").capabilities & FRAME_THREADS)

    def start(self, frame: Frame) -> Callable[[], Any]:
        """Begin with a styled frame; the function waits for it, as `av.VideoFrame`."""
        wanted = frame.image, self._pix_fmt, self._colours, self._size
        if self._context is not None:
            memory = self._device.memory
            with memory.current():
                picture = self._tagged(memory.kept_planes(*wanted), cuda_context=self._context)
            return lambda: picture
        wait = self._device.memory.planes(*wanted)
        return lambda: _owned(self._tagged(wait())) if self._frees else self._tagged(wait())

    def _tagged(self, made: list[Any], **context: Any) -> Any:
        picture = from_dlpack(made, format=self._pix_fmt, **context)
        picture.colorspace, picture.color_range = self._tags
        return picture


def _owned(picture: Any) -> Any:
    """A copy in memory of FFmpeg's own."""
    copy: Any = av.VideoFrame(picture.width, picture.height, picture.format.name)
    for mine, theirs in zip(copy.planes, picture.planes, strict=True):
        source = np.frombuffer(theirs, np.uint8).reshape(theirs.height, -1)
        target = np.frombuffer(mine, np.uint8).reshape(mine.height, -1)
        width = min(source.shape[1], target.shape[1])
        target[:, :width] = source[:, :width]
    copy.colorspace, copy.color_range = picture.colorspace, picture.color_range
    return copy
