"""YUV planes to RGB pictures and back, with scaling, in torch: on whatever device the planes are on.

The colours follow ITU-T H.273; the scaling is FFmpeg's (swscale): the area of a pixel when shrinking, cubic
(B 0, C 0.6) when enlarging, so that a video looks alike whether it is converted here or by `vidstyle.convert` and
`vidstyle.encoder`. Luma and chroma go to the target's grid in one step each; the colours are computed there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from engines.device.grid import Grid, Size, in_pairs, taps


@dataclass(frozen=True)
class Form:
    """How a pixel format holds Y, Cb and Cr.

    Attributes:
        bits: of a value.
        across, down: luma samples to one of chroma.
        paired: Cb and Cr lie in one plane, [H, W, 2].
        shift: unused bits below the value.
    """

    bits: int = 8
    across: int = 2
    down: int = 2
    paired: bool = False
    shift: int = 0

    def chroma(self, size: Size) -> Size:
        return -(-size[0] // self.down), -(-size[1] // self.across)

    def shapes(self, size: Size) -> tuple[tuple[int, ...], ...]:
        """Of the planes of a picture."""
        chroma = self.chroma(size)
        return (size, (*chroma, 2)) if self.paired else (size, chroma, chroma)

    @property
    def dtype(self) -> torch.dtype:
        return torch.uint8 if self.bits == 8 else torch.uint16


#: FFmpeg's name -> what its planes hold
FORMS = {
    "nv12": Form(paired=True),
    "p010le": Form(10, paired=True, shift=6),
    "p016le": Form(16, paired=True),
    **{f"yuv{full}420p": Form() for full in ("", "j")},
    **{f"yuv{full}422p": Form(down=1) for full in ("", "j")},
    **{f"yuv{full}444p": Form(across=1, down=1) for full in ("", "j")},
    **{f"yuv420p{bits}le": Form(bits) for bits in (10, 12)},
    **{f"yuv422p{bits}le": Form(bits, down=1) for bits in (10, 12)},
    **{f"yuv444p{bits}le": Form(bits, across=1, down=1) for bits in (10, 12)},
}
#: H.273's MatrixCoefficients -> the shares of red and blue in luma
_SHARES = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}


def supported(pix_fmt: str, matrix: int) -> bool:
    """Whether planes of this format and H.273 matrix can be read and made here."""
    return pix_fmt in FORMS and matrix in _SHARES


@dataclass(frozen=True)
class Colours:
    """``matrix``: H.273's MatrixCoefficients. ``full``: values use the whole range, not 16..235 and 16..240."""

    matrix: int
    full: bool

    def rgb_of(self, bits: int) -> tuple[np.ndarray, np.ndarray]:
        """(float64 [3, 3], float64 [3]): R, G, B in 0..255 are the first by Y, Cb, Cr, plus the second."""
        red, blue = _SHARES[self.matrix]
        green = 1 - red - blue
        turn = np.array(
            [
                [1, 0, 2 * (1 - red)],
                [1, -2 * blue * (1 - blue) / green, -2 * red * (1 - red) / green],
                [1, 2 * (1 - blue), 0],
            ]
        )
        spans, zeros = self._levels(bits)
        factors = turn * 255 / spans
        return factors, -factors @ zeros

    def values_of(self, bits: int) -> tuple[np.ndarray, np.ndarray]:
        """The way back: from R, G, B in 0..255 to Y, Cb, Cr."""
        red, blue = _SHARES[self.matrix]
        luma = np.array([red, 1 - red - blue, blue])
        turn = np.stack([luma, (np.eye(3)[2] - luma) / (2 * (1 - blue)), (np.eye(3)[0] - luma) / (2 * (1 - red))])
        spans, zeros = self._levels(bits)
        return turn * spans[:, None] / 255, zeros

    def _levels(self, bits: int) -> tuple[np.ndarray, np.ndarray]:
        """(span of 0..1, value of 0) of each of Y, Cb, Cr."""
        unit, top, middle = 2.0 ** (bits - 8), 2.0**bits - 1, 2.0 ** (bits - 1)
        if self.full:
            return np.array([top, top, top]), np.array([0, middle, middle])
        return np.array([219 * unit, 224 * unit, 224 * unit]), np.array([16 * unit, middle, middle])


def _has_kernels(device: torch.device) -> bool:
    return device.type == "cuda" and find_spec("triton") is not None


BLOCK = 256  # columns of a kernel's program


class ToRgb:
    """Planes of one format and size to uint8 RGB [height, width, 3] of another size, turned upright.

    Args:
        form, colours: of the planes.
        source, target: sizes before turning.
        orientation: see `vidstyle.orientation`.
        siting: where in its pixel a chroma sample lies, across and down: (0.25, 0.5) is on every other luma column
            and between two rows, as in nearly all video; (0.5, 0.5) in the middle of four luma samples.
        fused: by one kernel of Triton; None where that is to be had. The result is the same, to a level.
    """

    def __init__(
        self,
        form: Form,
        colours: Colours,
        source: Size,
        target: Size,
        device: torch.device,
        orientation: int = 0,
        siting: tuple[float, float] = (0.25, 0.5),
        fused: bool | None = None,
    ) -> None:
        self._form, self._orientation = form, orientation
        self._target, self._shapes = target, form.shapes(source)
        self._fused = _has_kernels(device) if fused is None else fused
        area = target[0] * target[1] < source[0] * source[1]
        chroma = form.chroma(source)
        across, down = siting[0] if form.across == 2 else 0.5, siting[1] if form.down == 2 else 0.5
        rows, columns = taps(source[0], target[0], area), taps(source[1], target[1], area)
        self._luma = Grid(source, target, rows, columns, device)
        rows, columns = taps(chroma[0], target[0], area, down), taps(chroma[1], target[1], area, across)
        self._chroma = Grid(chroma, target, rows, columns, device)
        factors, offsets = colours.rgb_of(form.bits)
        self._factors, self._offsets = (factors / 2**form.shift).tolist(), offsets.tolist()

    def __call__(self, planes: Sequence[Tensor]) -> Tensor:
        """``planes`` as `Form.shapes` says, of `Form.dtype`, on the device."""
        if tuple(tuple(plane.shape) for plane in planes) != self._shapes:
            raise ValueError(f"expected planes {self._shapes}, got {[tuple(plane.shape) for plane in planes]}")
        cb, cr = planes[1].unbind(2) if self._form.paired else planes[1:]
        rgb = torch.empty((*self._target, 3), dtype=torch.uint8, device=planes[0].device)
        (self._by_kernel if self._fused else self._by_torch)(planes[0], cb, cr, rgb)
        return upright(rgb, self._orientation)

    def _by_torch(self, luma: Tensor, cb: Tensor, cr: Tensor, rgb: Tensor) -> None:
        luma = self._luma(luma)
        cb, cr = self._chroma(torch.stack((cb, cr))).unbind()
        for index, ((from_y, from_cb, from_cr), offset) in enumerate(zip(self._factors, self._offsets, strict=True)):
            value = luma.mul(from_y).add_(offset)
            if from_cb:
                value.add_(cb, alpha=from_cb)
            if from_cr:
                value.add_(cr, alpha=from_cr)
            rgb[..., index] = value.clamp_(0, 255).round_()

    def _by_kernel(self, luma: Tensor, cb: Tensor, cr: Tensor, rgb: Tensor) -> None:
        from engines.device.planes_kernels import to_rgb

        (luma_tables, luma_down, luma_across), (tables, down, across) = self._luma.tables, self._chroma.tables
        (y, _, red), (_, green_cb, green_cr), (_, blue, _) = self._factors
        height, width = self._target
        to_rgb[(height, -(-width // BLOCK))](
            luma, cb, cr, rgb, luma.stride(0), cb.stride(0), cb.stride(1), height, width, *luma_tables, *tables,
            y, red, green_cb, green_cr, blue, *self._offsets,
            LUMA_DOWN=luma_down, LUMA_ACROSS=luma_across, CHROMA_DOWN=down, CHROMA_ACROSS=across, BLOCK=BLOCK,
        )  # fmt: skip


def upright(image: Tensor, orientation: int) -> Tensor:
    """As `vidstyle.orientation.apply`."""
    if orientation & 1:
        image = image.flip(1)
    return torch.rot90(image, orientation >> 1).contiguous()


class ToPlanes:
    """uint8 RGB [height, width, 3] of one size to the planes of another, in one piece of memory.

    Chroma lies in the middle of the luma samples it is of, as swscale makes it.

    Args:
        form, colours: of the planes.
        source, target: sizes.
        fused: see `ToRgb`.
    """

    def __init__(
        self, form: Form, colours: Colours, source: Size, target: Size, device: torch.device, fused: bool | None = None
    ) -> None:
        self._form, self._target, self._source = form, target, source
        self._fused = _has_kernels(device) if fused is None else fused
        rows, columns = taps(source[0], target[0], False), taps(source[1], target[1], False)
        self._luma = Grid(source, target, rows, columns, device)
        chroma = form.chroma(target)
        rows, columns = taps(source[0], chroma[0], False), taps(source[1], chroma[1], False)
        if form.across == 2 and chroma[1] <= source[1] // 2:  # swscale takes the mean of every two columns there
            columns = in_pairs(taps(-(-source[1] // 2), chroma[1], False), source[1])
        self._chroma = Grid(source, chroma, rows, columns, device)
        factors, offsets = colours.values_of(form.bits)
        self._factors, self._offsets = factors.tolist(), offsets.tolist()
        self._top = 2**form.bits - 1
        self.sizes = [int(np.prod(shape)) for shape in form.shapes(target)]

    def __call__(self, image: Tensor) -> Tensor:
        """All planes one after the other, flat, of `Form.dtype`; `split` gives each."""
        if tuple(image.shape) != (*self._source, 3):
            raise ValueError(f"expected a picture of {self._source}, got {tuple(image.shape)}")
        out = torch.empty(sum(self.sizes), dtype=self._form.dtype, device=image.device)
        luma, *chroma = self.split(out)
        cb, cr = chroma[0].unbind(2) if self._form.paired else chroma
        (self._by_kernel if self._fused else self._by_torch)(image, luma, cb, cr)
        return out

    def split(self, flat: Tensor) -> tuple[Tensor, ...]:
        """Views of the planes."""
        shapes = self._form.shapes(self._target)
        return tuple(part.view(shape) for part, shape in zip(flat.split(self.sizes), shapes, strict=True))

    def _by_torch(self, image: Tensor, *places: Tensor) -> None:
        channels = image.permute(2, 0, 1).float()
        luma, cb, cr = (self._value(channels, index) for index in range(3))
        values = (self._luma(luma), *self._chroma(torch.stack((cb, cr))))
        for place, value, offset in zip(places, values, self._offsets, strict=True):
            value = value.add(offset).round_().clamp_(0, self._top)
            place.copy_(value.mul_(2**self._form.shift) if self._form.shift else value)

    def _value(self, channels: Tensor, index: int) -> Tensor:
        red, green, blue = self._factors[index]
        return channels[0].mul(red).add_(channels[1], alpha=green).add_(channels[2], alpha=blue)

    def _by_kernel(self, image: Tensor, *places: Tensor) -> None:
        from engines.device.planes_kernels import to_plane

        image = image.contiguous()
        grids = (self._luma, self._chroma, self._chroma)
        for place, grid, factors, offset in zip(places, grids, self._factors, self._offsets, strict=True):
            (tables, down, across), (height, width) = grid.tables, grid.target
            to_plane[(height, -(-width // BLOCK))](
                image, place, image.stride(0), height, width, place.stride(1), *tables, *factors, offset,
                float(self._top), float(2**self._form.shift), DOWN=down, ACROSS=across, BLOCK=BLOCK,
            )  # fmt: skip
