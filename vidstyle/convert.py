"""Decoded pictures to frames: RGB, upright, at the working size, whatever their format, colours and size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation

from vidstyle import orientation
from vidstyle.detail import luma_of
from vidstyle.frame import RANGE_LIMITED, Colour, Frame, VideoInfo, working_size
from vidstyle.hdr import WHITE_16, ToneMap, luma_curve
from vidstyle.tags import bits_of, carries_alpha, colour_of, is_ycgco, is_yuv, levels, plane

#: full chroma resolution when planes become RGB, or saturated edges get stairs
INTERPOLATION = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
SHRINK = Interpolation.AREA | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
Size = tuple[int, int]  # width, height


@dataclass(frozen=True)
class _Way:
    """How pictures of one format and one set of tags become RGB.

    ``planes`` is the planar format in between. ``levels``: its values to 0..255, where swscale's own steps are
    not exact (it counts full range as 256 times the 8-bit value, and takes all gray and RGB for full range).
    """

    colour: Colour
    planes: str
    levels: np.ndarray | None = None
    white: int = 0  # of 16-bit HDR planes; 0 for SDR
    ycgco: bool = False
    alpha: bool = False


def _way(frame: Any, first: Colour) -> _Way:
    form, colour = frame.format, colour_of(frame, first)
    bits, limited, yuv = bits_of(form), colour.range_used == RANGE_LIMITED, is_yuv(form)
    alpha = carries_alpha(frame)
    deep = "gbrp" if bits == 8 else f"gbrp{bits}le"
    if colour.is_hdr:
        exact = bits == 8 or (yuv and limited)
        return _Way(colour, "gbrp16le", white=WHITE_16 if exact else (2**bits - 1) << (16 - bits), alpha=alpha)
    if is_ycgco(frame, colour):
        return _Way(colour, "yuv444p" if bits == 8 else f"yuv444p{bits}le", ycgco=True, alpha=alpha)
    if (bits > 8 and not (yuv and limited)) or (limited and not yuv):
        return _Way(colour, deep, levels=levels(bits, limited), alpha=alpha)
    return _Way(colour, "gbrp", alpha=alpha)


class Converter:
    """Turns the decoded pictures of one stream into frames.

    Args:
        info: of the stream; its sizes are upright.
        colour: of the first picture; it counts where a later one does not say.
        originals: give every picture at its own size too.
        note: gets what is worth knowing, once each.
    """

    def __init__(self, info: VideoInfo, colour: Colour, originals: bool, note: Callable[[str], None]) -> None:
        self._info, self._colour, self._originals, self._note = info, colour, originals, note
        self._turned = orientation.swaps_sides(info.orientation)
        self._working: Size = self._stored(info.working)
        self._own: Size = (info.height, info.width) if self._turned else (info.width, info.height)
        self._ways: dict[tuple[Any, ...], _Way] = {}
        self._tone_maps: dict[tuple[int, ...], ToneMap] = {}
        self._sizes = {self._own}
        self._told_of_glass = info.alpha

    def _stored(self, working: tuple[int, int]) -> Size:
        """(width, height) before the rotation, of an upright (height, width)."""
        return working if self._turned else (working[1], working[0])

    def work_at(self, working: tuple[int, int]) -> None:
        """Give pictures of another size from now on; (height, width), upright."""
        self._working = self._stored(working)

    def __call__(self, frame: Any) -> Frame:
        way = self._way_of(frame)
        alpha = original = luma = None
        if way.alpha:
            own, alpha = self._composite(frame, way)
            width, height = self._working
            image = resize(own, height, width)
            original = own if self._originals else None
        else:
            image = self._fitted(frame, way, *self._working)
            if self._originals:
                original = image if self._working == self._own else self._fitted(frame, way, *self._own)
            luma = self._luma(frame, way)
            if self._info.alpha:
                alpha = np.full(self._own[::-1], 255, np.uint8)
        return Frame(
            self._upright(image),
            frame.pts,
            self._info.time_base,
            frame.duration or 0,
            None if original is None else self._upright(original),
            alpha=None if alpha is None or not self._info.alpha else self._upright(alpha),
            luma=None if luma is None else self._upright(luma),
        )

    def _way_of(self, frame: Any) -> _Way:
        form = frame.format
        key = (form.name, frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range)
        if form.has_palette:  # which may be another for every picture
            return _way(frame, self._colour)
        if key not in self._ways:
            self._ways[key] = _way(frame, self._colour)
        return self._ways[key]

    def _luma(self, frame: Any, way: _Way) -> np.ndarray | None:
        """For `vidstyle.detail`, where the working picture lacks some; of HDR what the tone map makes of it."""
        smaller = self._working[0] * self._working[1] < self._own[0] * self._own[1]
        lacks = smaller and self._own == (frame.width, frame.height)
        if not lacks or way.ycgco or self._info.alpha:
            return None
        limited, wanted = way.colour.range_used == RANGE_LIMITED, self._info.colour
        if not (way.colour.is_hdr or limited) and wanted.range_used == RANGE_LIMITED:  # RGB, and JPEG's in a series
            return luma_of(_luma_planes(frame, way, wanted))
        tones = luma_curve(bits_of(frame.format), limited, way.colour.transfer) if way.colour.is_hdr else None
        return luma_of(frame, tones)

    def _upright(self, image: np.ndarray) -> np.ndarray:
        return orientation.apply(image, self._info.orientation)

    def _composite(self, frame: Any, way: _Way) -> tuple[np.ndarray, np.ndarray]:
        """(uint8 [H, W, 3] over black, uint8 [H, W] alpha) at the stream's own size; alpha is straight."""
        image = self._fitted(frame, way, *self._own)
        alpha = self._fit(frame, *self._own, 1, lambda width, height: alpha_of(frame, width, height)[..., None])[..., 0]
        if not self._told_of_glass and alpha.min() < 255:
            self._told_of_glass = True
            seconds = float(frame.pts * self._info.time_base)
            self._note(f"transparent pictures from {seconds:.2f} s on were put on black, since the first one is opaque")
        over = (image * alpha[..., None].astype(np.uint16) + 127) // 255
        return over.astype(np.uint8), alpha

    def _fitted(self, frame: Any, way: _Way, width: int, height: int) -> np.ndarray:
        return self._fit(frame, width, height, 3, lambda width, height: self._to_rgb(frame, way, width, height))

    def _fit(
        self, frame: Any, width: int, height: int, channels: int, read: Callable[[int, int], np.ndarray]
    ) -> np.ndarray:
        """What ``read`` gives; a picture of another size than the first with black bars, its shape kept."""
        size = (frame.width, frame.height)
        if size == self._own:
            return read(width, height)
        if size not in self._sizes:
            self._sizes.add(size)
            seconds = float(frame.pts * self._info.time_base)
            self._note(f"pictures of {size[0]}x{size[1]} from {seconds:.2f} s on were fitted into the first one's size")
        scale = min(self._own[0] / size[0], self._own[1] / size[1])
        inner_width = max(1, round(size[0] * scale / self._own[0] * width))
        inner_height = max(1, round(size[1] * scale / self._own[1] * height))
        canvas = np.zeros((height, width, channels), np.uint8)
        top, left = (height - inner_height) // 2, (width - inner_width) // 2
        canvas[top : top + inner_height, left : left + inner_width] = read(inner_width, inner_height)
        return canvas

    def _to_rgb(self, frame: Any, way: _Way, width: int, height: int) -> np.ndarray:
        """uint8 [height, width, 3], not turned yet."""
        planes = _planes(frame, way, width, height)
        if way.ycgco:
            return _from_ycgco(planes, way.colour)
        if way.levels is not None:
            return np.stack([way.levels[plane(planes, index)] for index in (2, 0, 1)], -1)
        if way.white:
            return self._tone_map(width, height, way)(planes)
        rgb: np.ndarray = planes.reformat(format="rgb24", threads=1).to_ndarray()
        return rgb

    def _tone_map(self, width: int, height: int, way: _Way) -> ToneMap:
        key = (width, height, way.colour.transfer, way.white)
        if key not in self._tone_maps:
            self._tone_maps[key] = ToneMap(*key)
        return self._tone_maps[key]


def _planes(frame: Any, way: _Way, width: int, height: int) -> Any:
    """A picture in ``way.planes``, scaled."""
    shrinks = width * height < frame.width * frame.height
    source_range = ColorRange.MPEG if way.colour.range_used == RANGE_LIMITED else ColorRange.JPEG
    return frame.reformat(
        width=width,
        height=height,
        format=way.planes,  # a third of the time of going to packed RGB at once, and the same to the byte
        interpolation=SHRINK if shrinks else INTERPOLATION,
        src_colorspace=way.colour.matrix_used,
        dst_colorspace=way.colour.matrix_used if way.ycgco else None,
        src_color_range=source_range,
        dst_color_range=source_range if way.ycgco else ColorRange.JPEG,
        threads=1,
    )


def _luma_planes(frame: Any, way: _Way, wanted: Colour) -> Any:
    """A full range picture at its own size, with the luma of a limited range output in the colours ``wanted``."""
    return frame.reformat(
        format="yuv420p",
        interpolation=SHRINK,
        src_colorspace=way.colour.matrix_used,
        dst_colorspace=wanted.matrix_used,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        threads=1,
    )


def tone_mapped(frame: Any) -> np.ndarray:
    """uint8 [H, W, 3] RGB of one picture whose colours are HDR, at its own size; not turned, and without its alpha."""
    way, size = _way(frame, colour_of(frame)), (frame.width, frame.height)
    return ToneMap(*size, way.colour.transfer, way.white)(_planes(frame, way, *size))


def _from_ycgco(planes: Any, colour: Colour) -> np.ndarray:
    """uint8 RGB from planes Y, Cg, Co, by H.273's equations 42 to 44."""
    bits = bits_of(planes.format)
    unit, top = 2 ** (bits - 8), 2**bits - 1
    limited = colour.range_used == RANGE_LIMITED
    luma, chroma = (219 * unit, 224 * unit) if limited else (top, top)
    y, green, orange = (plane(planes, index).astype(np.float32) for index in range(3))
    y = (y - (16 * unit if limited else 0)) / luma
    green, orange = (green - 128 * unit) / chroma, (orange - 128 * unit) / chroma
    rgb = np.stack([y - green + orange, y + green, y - green - orange], -1)
    return np.round(np.clip(rgb, 0, 1) * 255).astype(np.uint8)


def alpha_of(frame: Any, width: int, height: int) -> np.ndarray:
    """uint8 [height, width] of a picture with alpha."""
    bits = 8 if frame.format.has_palette else min(16, max(8, frame.format.components[-1].bits))
    form = "gbrap" if bits == 8 else f"gbrap{bits}le"
    planes = frame.reformat(width=width, height=height, format=form, interpolation=INTERPOLATION, threads=1)
    alpha = plane(planes, 3)
    return alpha if bits == 8 else levels(bits, False)[alpha]


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale uint8 [H, W, 3] RGB to [height, width, 3]; the array itself where the size is right."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = height * width < image.shape[0] * image.shape[1]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    scaled = frame.reformat(width=width, height=height, interpolation=SHRINK if shrinks else INTERPOLATION, threads=1)
    rgb: np.ndarray = scaled.to_ndarray()
    return rgb


def at_short_side(image: np.ndarray, short_side: int | None, enlarge: bool = False) -> np.ndarray:
    """uint8 [H, W, 3] RGB at the size that `vidstyle.frame.working_size` says; None: as it is."""
    height, width = image.shape[:2]
    return resize(image, *working_size(width, height, Fraction(1), short_side, enlarge))
