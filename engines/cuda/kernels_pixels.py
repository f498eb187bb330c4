"""Triton kernels that end a network: the last term, the guided filter or the gate, mixing, and pixels again.

Along a row a program has colours side by side, as pictures lie: place ``i`` is column i // 3, colour i % 3.
"""

# ruff: noqa: N803 - Triton's constants are capitals; and no postponed annotations: Triton reads them
import triton
import triton.language as tl

from engines.cuda.kernels import NONE, jit, term

ROUND = tl.constexpr(12582912.0)  # 1.5 * 2**23: added to a small float32 and taken off again, it rounds half to even


@triton.jit
def source_at(frames, y, x, colour, height, width, mask):
    """The padded source in -1..1 at row y (one) and columns x, float32; 0 where the mask is not set."""
    at = (tl.minimum(y, height - 1) * width + tl.minimum(x, width - 1)) * 3 + colour
    value = tl.load(frames + at, mask=mask, other=0).to(tl.float32)
    return tl.where(mask, value / 127.5 - 1, 0.0)


@triton.jit
def emit(look, source, at, mask, total, out, shares, index, MIXED: tl.constexpr, FIRST: tl.constexpr,
         LAST: tl.constexpr):  # fmt: skip
    """Write a look's values at the offsets ``at``, as pixels or into a mixture's running total.

    MIXED adds share * (clipped look - source); FIRST of a mixture's looks begins the total, float32, and LAST turns
    it into pixels. Otherwise the look itself is written.
    """
    if MIXED:
        change = (tl.minimum(tl.maximum(look, -1.0), 1.0) - source) * tl.load(shares + index)
        if not FIRST:
            change += tl.load(total + at, mask=mask, other=0.0)
        look = source + change
        if not LAST:
            tl.store(total + at, change, mask=mask)
    if LAST:
        level = tl.minimum(tl.maximum((look + 1) * 127.5, 0.0), 255.0)
        level = (level + ROUND) - ROUND
        tl.store(out + at, level.to(tl.int32).to(tl.uint8), mask=mask)


@jit
def finish(
    frames, total, out, shares, index, height, width, slope,
    gate, gate_bias, gate_sn, gate_sy, gate_sx, gate_height, gate_width,
    a, a_bias, a_sn, a_sy, a_sx, a_height, a_width,
    GATE_KIND: tl.constexpr, GATE_BLOCK: tl.constexpr, GATE_BIASED: tl.constexpr, GATE_LEAKY: tl.constexpr,
    GATE_CHANNELS: tl.constexpr,
    A_KIND: tl.constexpr, A_BLOCK: tl.constexpr, A_BIASED: tl.constexpr, A_LEAKY: tl.constexpr,
    MIXED: tl.constexpr, FIRST: tl.constexpr, LAST: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The look is term a, plus gate * source where there is a gate; cropped to the picture and written by `emit`.

    Grid: (n * height, pieces of BLOCK places of a row).
    """
    row = tl.program_id(0)
    n, y = row // height, row % height
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    x, colour = place // 3, place % 3
    mask = x < width
    picture = n.to(tl.int64) * height * width * 3
    source = source_at(frames + picture, y, x, colour, height, width, mask)
    look = term(a, a_bias, a_sn, a_sy, a_sx, a_height, a_width, n, y, x, colour, 3, mask, slope,
                A_KIND, A_BLOCK, A_BIASED, A_LEAKY)  # fmt: skip
    if GATE_KIND != NONE:
        look += source * term(gate, gate_bias, gate_sn, gate_sy, gate_sx, gate_height, gate_width, n, y, x,
                              colour % GATE_CHANNELS, GATE_CHANNELS, mask, slope,
                              GATE_KIND, GATE_BLOCK, GATE_BIASED, GATE_LEAKY)  # fmt: skip
    emit(look, source, picture + y * width * 3 + place, mask, total, out, shares, index, MIXED, FIRST, LAST)
