"""Triton kernels of `engines.device.planes`: a whole conversion in one or two launches, each value read once.

A grid's tables are [k, samples]: target sample i is the sum over k of weight[k, i] times source sample place[k, i].
One program does a piece of one row; arithmetic is float32.
"""

# ruff: noqa: N803 - Triton's constants are capitals; and no postponed annotations: Triton reads them
import triton
import triton.language as tl


@triton.jit
def sampled(
    plane, row_stride, column_stride, y, x, mask, height, width,
    down_places, down_weights, across_places, across_weights, DOWN: tl.constexpr, ACROSS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """float32 values of a plane at row ``y`` and columns ``x`` of a grid of ``height`` x ``width``."""
    total = tl.full((BLOCK,), 0.0, tl.float32)
    for j in range(DOWN):
        row = tl.load(down_places + j * height + y) * row_stride
        part = tl.full((BLOCK,), 0.0, tl.float32)
        for i in tl.static_range(ACROSS):
            column = tl.load(across_places + i * width + x, mask=mask, other=0) * column_stride
            weight = tl.load(across_weights + i * width + x, mask=mask, other=0.0)
            part += weight * tl.load(plane + row + column, mask=mask, other=0).to(tl.float32)
        total += part * tl.load(down_weights + j * height + y)
    return total


@triton.jit
def level(value, top):
    """The nearest whole number in 0..top."""
    return tl.minimum(tl.maximum(tl.floor(value + 0.5), 0.0), top)


@triton.jit
def to_rgb(
    luma, blue, red, out, luma_stride, chroma_stride, chroma_step, height, width,
    luma_down, luma_down_weights, luma_across, luma_across_weights,
    chroma_down, chroma_down_weights, chroma_across, chroma_across_weights,
    from_luma, red_from_red, green_from_blue, green_from_red, blue_from_blue, red_zero, green_zero, blue_zero,
    LUMA_DOWN: tl.constexpr, LUMA_ACROSS: tl.constexpr, CHROMA_DOWN: tl.constexpr, CHROMA_ACROSS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """uint8 [height, width, 3] ``out`` from planes of any size; ``chroma_step`` is 2 where Cb and Cr alternate."""
    y, x = tl.program_id(0), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = x < width
    value = from_luma * sampled(
        luma, luma_stride, 1, y, x, mask, height, width,
        luma_down, luma_down_weights, luma_across, luma_across_weights, LUMA_DOWN, LUMA_ACROSS, BLOCK,
    )  # fmt: skip
    cb = sampled(
        blue, chroma_stride, chroma_step, y, x, mask, height, width,
        chroma_down, chroma_down_weights, chroma_across, chroma_across_weights, CHROMA_DOWN, CHROMA_ACROSS, BLOCK,
    )  # fmt: skip
    cr = sampled(
        red, chroma_stride, chroma_step, y, x, mask, height, width,
        chroma_down, chroma_down_weights, chroma_across, chroma_across_weights, CHROMA_DOWN, CHROMA_ACROSS, BLOCK,
    )  # fmt: skip
    at = out + (y * width + x) * 3
    tl.store(at, level(value + red_from_red * cr + red_zero, 255.0).to(tl.uint8), mask=mask)
    green = value + green_from_blue * cb + green_from_red * cr + green_zero
    tl.store(at + 1, level(green, 255.0).to(tl.uint8), mask=mask)
    tl.store(at + 2, level(value + blue_from_blue * cb + blue_zero, 255.0).to(tl.uint8), mask=mask)


@triton.jit
def to_plane(
    image, out, row_stride, height, width, step,
    down_places, down_weights, across_places, across_weights, red, green, blue, zero, top, unit,
    DOWN: tl.constexpr, ACROSS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One component of every pixel of a grid of ``height`` x ``width`` from uint8 RGB, ``step`` values apart.

    ``unit``: that is 1 in what is stored.
    """
    y, x = tl.program_id(0), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = x < width
    value = tl.full((BLOCK,), 0.0, tl.float32) + zero
    value += red * sampled(
        image, row_stride, 3, y, x, mask, height, width,
        down_places, down_weights, across_places, across_weights, DOWN, ACROSS, BLOCK,
    )  # fmt: skip
    value += green * sampled(
        image + 1, row_stride, 3, y, x, mask, height, width,
        down_places, down_weights, across_places, across_weights, DOWN, ACROSS, BLOCK,
    )  # fmt: skip
    value += blue * sampled(
        image + 2, row_stride, 3, y, x, mask, height, width,
        down_places, down_weights, across_places, across_weights, DOWN, ACROSS, BLOCK,
    )  # fmt: skip
    value = level(value, top) * unit
    tl.store(out + (y * width + x) * step, value.to(out.dtype.element_ty), mask=mask)
