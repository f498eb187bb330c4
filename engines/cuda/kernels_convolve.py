"""The Triton kernel of a convolution that ends as `engines.cuda.kernels.combine` does: its sums never go to memory."""

# ruff: noqa: N803 - Triton's constants are capitals; and no postponed annotations: Triton reads them
import triton.language as tl

from engines.cuda.kernels import jit, leaky


@jit
def convolve(
    x, x_sn, x_sy, x_sx, x_height, x_width, weight, bias, value, value_sn, value_sy, value_sx,
    out, out_sn, out_sy, out_sx, height, width, pixels, slope,
    CHANNELS: tl.constexpr, RESULTS: tl.constexpr, KERNEL: tl.constexpr, STRIDE: tl.constexpr,
    TOP: tl.constexpr, LEFT: tl.constexpr, LEAKY: tl.constexpr, ADDED: tl.constexpr, LAST_LEAKY: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """``out`` = leaky(leaky(convolution + bias) + value), each where it is asked for.

    ``weight`` is [KERNEL * KERNEL * CHANNELS, RESULTS]: window row, window column, channel. Of ``out`` there are
    ``pixels`` = n * height * width. Grid: (pieces of BLOCK_P pixels, pieces of BLOCK_R results). BLOCK_C divides
    CHANNELS, and BLOCK_R divides RESULTS.
    """
    pixel = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    result = (tl.program_id(1) * BLOCK_R + tl.arange(0, BLOCK_R))[None, :]
    channel = tl.arange(0, BLOCK_C)
    column, row, n = pixel % width, pixel // width % height, (pixel // (width * height)).to(tl.int64)
    top, left = row * STRIDE - TOP, column * STRIDE - LEFT
    at = n * x_sn + top.to(tl.int64) * x_sy + left * x_sx
    sums = tl.full([BLOCK_P, BLOCK_R], 0.0, tl.float32)
    for step in range(KERNEL * KERNEL * (CHANNELS // BLOCK_C)):
        tap, first = step // (CHANNELS // BLOCK_C), step % (CHANNELS // BLOCK_C) * BLOCK_C
        y, x_at = top + tap // KERNEL, left + tap % KERNEL
        inside = (y >= 0) & (y < x_height) & (x_at >= 0) & (x_at < x_width) & (pixel < pixels)
        place = at + tap // KERNEL * x_sy + tap % KERNEL * x_sx + first
        taken = tl.load(x + place[:, None] + channel[None, :], mask=inside[:, None], other=0.0)
        factor = tl.load(weight + (step * BLOCK_C + channel)[:, None] * RESULTS + result)
        sums = tl.dot(taken, factor, sums)
    sums += tl.load(bias + result)
    if LEAKY:
        sums = leaky(sums, slope)
    mask = (pixel < pixels)[:, None] & (result < RESULTS)
    if ADDED:
        place = n * value_sn + row.to(tl.int64) * value_sy + column * value_sx
        sums += tl.load(value + place[:, None] + result, mask=mask, other=0.0).to(tl.float32)
    if LAST_LEAKY:
        sums = leaky(sums, slope)
    place = n * out_sn + row.to(tl.int64) * out_sy + column * out_sx
    tl.store(out + place[:, None] + result, sums.to(out.dtype.element_ty), mask=mask)
