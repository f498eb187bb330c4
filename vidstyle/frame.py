"""The datum of the pipeline: one picture with its time, and what is known of the stream it is from."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral
from typing import Any

import numpy as np

from vidstyle.errors import UsageError
from vidstyle.mastering import Mastering

MATRIX_709, MATRIX_601, MATRIX_2020 = 1, 5, 9
MATRIX_UNKNOWN = 2  # AVCOL_SPC_UNSPECIFIED
MATRIX_RGB, MATRIX_RESERVED, MATRIX_YCGCO, MATRIX_BY_PRIMARIES = 0, 3, 8, 12
PRIMARIES_709, PRIMARIES_2020 = 1, 9
RANGE_LIMITED, RANGE_FULL = 1, 2
TRC_PQ, TRC_HLG = 16, 18
SMALLEST = 16  # pixels of the short side that a network works at
AUTO, BEST = "auto", "best"  # the short side that suits the faces, see `vidstyle.faces`: up to 720, or up to `MOST`
MOST = 1440


@dataclass(frozen=True)
class Frame:
    """One picture. Its time in seconds is ``pts * time_base``, never an index over a rate.

    Attributes:
        image: uint8 [H, W, 3] RGB, upright, at the working size; an array, or a torch tensor in a GPU's memory.
        pts: in units of ``time_base``.
        duration: in units of ``time_base``; 0 where the source does not say.
        original: uint8 [H, W, 3] at the source's own size, only where it was asked for.
        check: checksum of the source's picture, only at the end of a segment (see `vidstyle.segment`).
        alpha: uint8 [H, W] at the source's own size, None where all is opaque.
        luma: uint8 [H, W] at the source's own size, where ``image`` is smaller: see `vidstyle.detail`.
        captions: closed captions of the source's coded picture, see `vidstyle.captions`; empty where it has none.
    """

    image: Any
    pts: int
    time_base: Fraction
    duration: int = 0
    original: np.ndarray | None = None
    check: int | None = None
    alpha: np.ndarray | None = None
    captions: bytes = b""
    luma: np.ndarray | None = None

    def __post_init__(self) -> None:
        image = self.image
        if str(image.dtype) not in ("uint8", "torch.uint8") or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"a frame's image is uint8 [H, W, 3], got {image.dtype} {tuple(image.shape)}")

    @property
    def time(self) -> Fraction:
        """Seconds."""
        return self.pts * self.time_base

    @property
    def on_device(self) -> bool:
        """Whether ``image`` is a torch tensor rather than an array."""
        return not isinstance(self.image, np.ndarray)


@dataclass(frozen=True)
class Colour:
    """How the stream's numbers mean colours: FFmpeg's enumerations; 2 is "not said" for the first three.

    ``matrix_used`` and ``range_used`` are never unknown: what an untagged stream is taken for.
    """

    matrix: int = MATRIX_UNKNOWN
    primaries: int = 2
    transfer: int = 2
    range: int = 0  # 0 not said, 1 limited, 2 full
    height: int = 0  # of the picture: untagged SD is BT.601, untagged HD is BT.709

    @property
    def matrix_used(self) -> int:
        if self.matrix == MATRIX_BY_PRIMARIES:
            return {PRIMARIES_709: MATRIX_709, PRIMARIES_2020: MATRIX_2020}.get(self.primaries, MATRIX_601)
        none = (MATRIX_UNKNOWN, MATRIX_RGB, MATRIX_RESERVED, MATRIX_YCGCO)
        if self.matrix in none or self.matrix > MATRIX_2020 + 1:
            if self.is_hdr:
                return MATRIX_2020
            return MATRIX_709 if self.height >= 720 else MATRIX_601
        return min(self.matrix, MATRIX_2020)

    @property
    def range_used(self) -> int:
        return self.range or RANGE_LIMITED

    @property
    def is_hdr(self) -> bool:
        return self.transfer in (TRC_PQ, TRC_HLG)


@dataclass(frozen=True)
class VideoInfo:
    """What a source says of its pictures before the first one; sizes are after the rotation.

    Attributes:
        width, height: pixels of the stream, upright.
        working: (height, width) of `Frame.image`.
        aspect: width of a pixel divided by its height, upright.
        rate: average frames a second, for display and for the encoder's rate control; None if unknown.
        start, duration: seconds; ``duration`` is None where the container does not say.
        frames: the container's or our estimate, for progress only.
        colour: of an output; the source's own, but SDR for an HDR source that is not kept as such.
        alpha: the frames have one.
        bits: of a channel of the source.
        mastering: static HDR metadata, where the pictures stay HDR.
    """

    width: int
    height: int
    working: tuple[int, int]
    time_base: Fraction
    rate: Fraction | None
    aspect: Fraction = Fraction(1)
    start: Fraction = Fraction(0)
    duration: Fraction | None = None
    frames: int | None = None
    colour: Colour = Colour()
    orientation: int = 0
    codec: str = ""
    pix_fmt: str = ""
    alpha: bool = False
    bits: int = 8
    mastering: Mastering | None = None


def check_size(size: int | str | None) -> None:
    """Refuse a short side that the network cannot work at; None is the picture's own, `AUTO` and `BEST` by its faces.

    Raises:
        UsageError: it is below `SMALLEST`, or no whole number.
    """
    if size is not None and size not in (AUTO, BEST) and not (isinstance(size, Integral) and size >= SMALLEST):
        raise UsageError(
            f"size is {size!r}; expected {SMALLEST} or more pixels, {AUTO!r}, or None for the picture's own"
        )


def working_size(
    width: int, height: int, aspect: Fraction, short_side: int | None, enlarge: bool = False
) -> tuple[int, int]:
    """(height, width) for the network: square pixels, short side ``short_side``, or less where it would be enlarged.

    None keeps the picture's own size (with square pixels).
    """
    square = (width * max(aspect, Fraction(1)), height * max(1 / aspect, Fraction(1)))
    short = min(square)
    scale = Fraction(short_side) / short if short_side else Fraction(1)
    scale = scale if enlarge else min(Fraction(1), scale)
    return max(1, round(square[1] * scale)), max(1, round(square[0] * scale))


def check_array(image: np.ndarray, size: int | str | None = None) -> np.ndarray:
    """uint8 [N, H, W, 3] of one RGB picture or of a batch; ``size`` is the working short side.

    Raises:
        UsageError: another type or shape, with what to do about it.
    """
    wanted = "expected uint8 [H, W, 3] or [N, H, W, 3] in RGB"
    if not isinstance(image, np.ndarray):
        raise UsageError(f"the picture is a {type(image).__name__}; {wanted}: use numpy.asarray(picture)")
    if image.dtype != np.uint8:
        how = "(picture * 255).round().astype('uint8') if its values are 0..1" if image.dtype.kind == "f" else "astype"
        raise UsageError(f"the picture is {image.dtype}; {wanted}: use {how}")
    if image.ndim not in (3, 4) or image.shape[-1] != 3 or 0 in image.shape:
        raise UsageError(f"the picture is {list(image.shape)}; {wanted}{_shape_remedy(image.shape)}")
    check_size(size)
    return image if image.ndim == 4 else image[None]


def _shape_remedy(shape: tuple[int, ...]) -> str:
    if len(shape) in (3, 4) and shape[-1] == 4:
        return ": drop the alpha with picture[..., :3], or with picture[..., 2::-1] where it is BGRA"
    if len(shape) in (3, 4) and shape[-3] == 3:
        return f": move the channels last with numpy.moveaxis(picture, {len(shape) - 3}, -1)"
    return ": use numpy.stack([picture] * 3, -1) for a grey one" if len(shape) == 2 else ""
