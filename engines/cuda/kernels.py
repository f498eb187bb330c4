"""Triton kernels between the convolutions: pictures to the network's numbers, and what follows a convolution.

Tensors in the network are [n, height, width, channels] with channels side by side, and may be windows of larger ones:
``sn``, ``sy`` and ``sx`` are the strides of a picture, a row and a pixel, in elements. Rows are found with 64 bits: of
32 channels, 67 megapixels have more than 2**31 elements. Arithmetic is float32; only what is stored has the network's
type. One program does a piece of one row.

A *term* is what a convolution left in memory, completed on the way in: plus bias, perhaps through a leaky ReLU, and
from its own grid to the output's: as it lies (PLAIN), upsampled by 2 on TensorFlow's legacy bilinear grid (UPSAMPLE),
or with groups of channels moved to pixels (SHUFFLE, whose channels lie as block row, block column, channel).
"""

# ruff: noqa: N803 - Triton's constants are capitals; and no postponed annotations: Triton reads them
import triton
import triton.language as tl

NONE = tl.constexpr(0)
PLAIN = tl.constexpr(1)
UPSAMPLE = tl.constexpr(2)
SHUFFLE = tl.constexpr(3)

#: sizes, for whose every property a kernel would be compiled again; strides are not among them: they tell how to load
SIZES = ["height", "width", "frame_height", "frame_width", "padded_h", "padded_w", "x_height", "x_width", "pixels"]
SIZES += [f"{term}_{size}" for term in ("a", "b", "gate") for size in ("height", "width")]


def jit(function):
    """`triton.jit` for a kernel that is launched."""
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    return triton.jit(function, do_not_specialize=[name for name in names if name in SIZES or name == "index"])


@triton.jit
def leaky(x, slope):
    return tl.where(x > 0, x, x * slope)


@triton.jit
def loaded(pointer, bias, at, channel, mask, slope, BIASED: tl.constexpr, LEAKY: tl.constexpr):
    """float32 values at the offsets ``at`` from ``pointer``, completed; ``channel`` is their place in ``bias``."""
    x = tl.load(pointer + at, mask=mask, other=0.0).to(tl.float32)
    if BIASED:
        x += tl.load(bias + channel, mask=mask, other=0.0)
    if LEAKY:
        x = leaky(x, slope)
    return x


@triton.jit
def term(
    pointer, bias, sn, sy, sx, height, width,
    n, y, x, channel, channels, mask, slope,
    KIND: tl.constexpr, BLOCK: tl.constexpr, BIASED: tl.constexpr, LEAKY: tl.constexpr,
):  # fmt: skip
    """A term's float32 values at row ``y`` (one), columns ``x`` and output channels ``channel`` of ``channels``.

    ``height`` and ``width`` are the term's own.
    """
    pointer += n.to(tl.int64) * sn
    if KIND == UPSAMPLE:
        top, left = y // 2, x // 2
        below = tl.minimum(top + y % 2, height - 1)
        right = tl.minimum(left + x % 2, width - 1)
        upper, lower = pointer + top.to(tl.int64) * sy, pointer + below.to(tl.int64) * sy
        a = loaded(upper, bias, left * sx + channel, channel, mask, slope, BIASED, LEAKY)
        b = loaded(upper, bias, right * sx + channel, channel, mask, slope, BIASED, LEAKY)
        c = loaded(lower, bias, left * sx + channel, channel, mask, slope, BIASED, LEAKY)
        d = loaded(lower, bias, right * sx + channel, channel, mask, slope, BIASED, LEAKY)
        return ((a + b) + (c + d)) * 0.25
    elif KIND == SHUFFLE:
        place = (y % BLOCK * BLOCK + x % BLOCK) * channels + channel
        pointer += (y // BLOCK).to(tl.int64) * sy
        return loaded(pointer, bias, x // BLOCK * sx + place, place, mask, slope, BIASED, LEAKY)
    else:
        pointer += y.to(tl.int64) * sy
        return loaded(pointer, bias, x * sx + channel, channel, mask, slope, BIASED, LEAKY)


@jit
def combine(
    out, out_sn, out_sy, out_sx, height, width, slope,
    a, a_bias, a_sn, a_sy, a_sx, a_height, a_width,
    b, b_bias, b_sn, b_sy, b_sx, b_height, b_width,
    C: tl.constexpr, BLOCK_X: tl.constexpr, BLOCK_C: tl.constexpr, LEAKY: tl.constexpr,
    A_KIND: tl.constexpr, A_BLOCK: tl.constexpr, A_BIASED: tl.constexpr, A_LEAKY: tl.constexpr,
    B_KIND: tl.constexpr, B_BLOCK: tl.constexpr, B_BIASED: tl.constexpr, B_LEAKY: tl.constexpr,
):  # fmt: skip
    """``out`` = a, or a + b, through a leaky ReLU where LEAKY. ``out`` may be where ``a`` or ``b`` lies, PLAIN.

    Grid: (n * height, pieces of BLOCK_X columns).
    """
    row = tl.program_id(0)
    n, y = row // height, row % height
    x = (tl.program_id(1) * BLOCK_X + tl.arange(0, BLOCK_X))[:, None]
    channel = tl.arange(0, BLOCK_C)[None, :]
    mask = (x < width) & (channel < C)
    value = term(a, a_bias, a_sn, a_sy, a_sx, a_height, a_width, n, y, x, channel, C, mask, slope,
                 A_KIND, A_BLOCK, A_BIASED, A_LEAKY)  # fmt: skip
    if B_KIND != NONE:
        value += term(b, b_bias, b_sn, b_sy, b_sx, b_height, b_width, n, y, x, channel, C, mask, slope,
                      B_KIND, B_BLOCK, B_BIASED, B_LEAKY)  # fmt: skip
    if LEAKY:
        value = leaky(value, slope)
    out += n.to(tl.int64) * out_sn + y.to(tl.int64) * out_sy
    tl.store(out + x * out_sx + channel, value.to(out.dtype.element_ty), mask=mask)


@jit
def from_pixels(
    frames, out, frame_height, frame_width, height, width,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr, BLOCK_X: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """uint8 RGB pictures to the network's -1..1, the last row and column repeated as far as ``out`` goes.

    ``out`` [n, height, width, CHANNELS] holds BLOCK x BLOCK pixels a place (block row, block column, colour); channels
    beyond them are 0. Grid: (n * height, pieces of BLOCK_X columns).
    """
    row = tl.program_id(0)
    n, y = row // height, row % height
    x = (tl.program_id(1) * BLOCK_X + tl.arange(0, BLOCK_X))[:, None]
    channel = tl.arange(0, BLOCK_C)[None, :]
    pixel_y = tl.minimum(y * BLOCK + channel // 3 // BLOCK, frame_height - 1)
    pixel_x = tl.minimum(x * BLOCK + channel // 3 % BLOCK, frame_width - 1)
    inside = (x < width) & (channel < 3 * BLOCK * BLOCK)
    frames += n.to(tl.int64) * frame_height * frame_width * 3
    value = tl.load(frames + (pixel_y * frame_width + pixel_x) * 3 + channel % 3, mask=inside, other=0)
    value = tl.where(inside, value.to(tl.float32) / 127.5 - 1, 0.0)
    out += (n.to(tl.int64) * height + y) * width * CHANNELS
    tl.store(out + x * CHANNELS + channel, value.to(out.dtype.element_ty), mask=(x < width) & (channel < CHANNELS))
