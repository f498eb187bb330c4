"""The Triton kernel of the guided filter: both of its box means in one pass over the picture.

A program does ROWS rows of BLOCK places, from the top down. It keeps the sums of the two rows before, so that each
row is read once (but for the overlap with its neighbours); it works out the coefficients of the columns beside its
own again, so that programs need nothing of each other.
"""

# ruff: noqa: N803 - Triton's constants are capitals; and no postponed annotations: Triton reads them
import triton
import triton.language as tl

from engines.cuda.kernels import jit, term
from engines.cuda.kernels_pixels import emit, source_at


@triton.jit
def within(y, first, end, like):
    """Whether first <= y < end, for one y, as a mask of the shape of ``like``."""
    y = like * 0 + y  # Triton's interpreter joins masks of one shape only
    return (y >= first) & (y < end)


@triton.jit
def both_at(
    frames, a, a_bias, a_sn, a_sy, a_sx, a_height, a_width, n, y, x, colour, height, width, padded_h, padded_w, slope,
    A_KIND: tl.constexpr, A_BLOCK: tl.constexpr, A_BIASED: tl.constexpr, A_LEAKY: tl.constexpr,
):  # fmt: skip
    """(guide, filtered term) at row y and columns x, both 0 outside of the padded picture."""
    inside = within(y, 0, padded_h, x) & (x >= 0) & (x < padded_w)
    y, x = tl.maximum(y, 0), tl.maximum(x, 0)
    guide = source_at(frames, y, x, colour, height, width, inside)
    filtered = term(a, a_bias, a_sn, a_sy, a_sx, a_height, a_width, n, y, x, colour, 3, inside, slope,
                    A_KIND, A_BLOCK, A_BIASED, A_LEAKY)  # fmt: skip
    return guide, tl.where(inside, filtered, 0.0)


@triton.jit
def sums_of_3(g0, p0, g1, p1, g2, p2):
    """Sums over three neighbours of g, p, g * p and g * g."""
    return g0 + g1 + g2, p0 + p1 + p2, g0 * p0 + g1 * p1 + g2 * p2, g0 * g0 + g1 * g1 + g2 * g2


@triton.jit
def count_of_3(at, length):
    """How many of at - 1, at and at + 1 lie in 0 to length - 1, for ``at`` in it; never 0, so that it may divide."""
    return 1.0 + tl.where(at > 0, 1.0, 0.0) + tl.where(at < length - 1, 1.0, 0.0)


@triton.jit
def coefficients(g, p, gp, gg, count, eps, inside):
    """(a, b) of the filter from the sums over a box of ``count`` pixels; 0 where not inside of the picture."""
    g, p, gp, gg = g / count, p / count, gp / count, gg / count
    a = (gp - g * p) / (gg - g * g + eps)
    return tl.where(inside, a, 0.0), tl.where(inside, p - a * g, 0.0)


@jit
def guided(
    frames, total, out, shares, index, height, width, padded_h, padded_w, slope, eps,
    a, a_bias, a_sn, a_sy, a_sx, a_height, a_width,
    A_KIND: tl.constexpr, A_BLOCK: tl.constexpr, A_BIASED: tl.constexpr, A_LEAKY: tl.constexpr,
    MIXED: tl.constexpr, FIRST: tl.constexpr, LAST: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The look is term a, filtered along the edges of the padded source; cropped and written by `emit`.

    Grid: (n * pieces of ROWS rows, pieces of BLOCK places of a row).
    """
    pieces = (height + ROWS - 1) // ROWS
    n, first = tl.program_id(0) // pieces, tl.program_id(0) % pieces * ROWS
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    x, colour = place // 3, place % 3
    picture = n.to(tl.int64) * height * width * 3
    frames += picture
    count_l, count_m, count_r = count_of_3(x - 1, padded_w), count_of_3(x, padded_w), count_of_3(x + 1, padded_w)
    zero = tl.full([BLOCK], 0.0, tl.float32)
    # Of the columns left, own and right: the sums of one row and two rows above, and of a and b likewise.
    lg1, lp1, lgp1, lgg1, lg2, lp2, lgp2, lgg2 = zero, zero, zero, zero, zero, zero, zero, zero
    mg1, mp1, mgp1, mgg1, mg2, mp2, mgp2, mgg2 = zero, zero, zero, zero, zero, zero, zero, zero
    rg1, rp1, rgp1, rgg1, rg2, rp2, rgp2, rgg2 = zero, zero, zero, zero, zero, zero, zero, zero
    a1, b1, a2, b2 = zero, zero, zero, zero
    for step in range(ROWS + 4):
        y = first - 2 + step
        g0, p0 = both_at(frames, a, a_bias, a_sn, a_sy, a_sx, a_height, a_width, n, y, x - 2, colour, height, width,
                         padded_h, padded_w, slope, A_KIND, A_BLOCK, A_BIASED, A_LEAKY)  # fmt: skip
        g1, p1 = both_at(frames, a, a_bias, a_sn, a_sy, a_sx, a_height, a_width, n, y, x - 1, colour, height, width,
                         padded_h, padded_w, slope, A_KIND, A_BLOCK, A_BIASED, A_LEAKY)  # fmt: skip
        g2, p2 = both_at(frames, a, a_bias, a_sn, a_sy, a_sx, a_height, a_width, n, y, x, colour, height, width,
                         padded_h, padded_w, slope, A_KIND, A_BLOCK, A_BIASED, A_LEAKY)  # fmt: skip
        g3, p3 = both_at(frames, a, a_bias, a_sn, a_sy, a_sx, a_height, a_width, n, y, x + 1, colour, height, width,
                         padded_h, padded_w, slope, A_KIND, A_BLOCK, A_BIASED, A_LEAKY)  # fmt: skip
        g4, p4 = both_at(frames, a, a_bias, a_sn, a_sy, a_sx, a_height, a_width, n, y, x + 2, colour, height, width,
                         padded_h, padded_w, slope, A_KIND, A_BLOCK, A_BIASED, A_LEAKY)  # fmt: skip
        lg, lp, lgp, lgg = sums_of_3(g0, p0, g1, p1, g2, p2)
        mg, mp, mgp, mgg = sums_of_3(g1, p1, g2, p2, g3, p3)
        rg, rp, rgp, rgg = sums_of_3(g2, p2, g3, p3, g4, p4)
        # The row above has both of its neighbours now: its coefficients, summed over the three columns.
        above = y - 1
        count_y = count_of_3(above, padded_h)
        inside = within(above, 0, padded_h, x)
        la, lb = coefficients(lg + lg1 + lg2, lp + lp1 + lp2, lgp + lgp1 + lgp2, lgg + lgg1 + lgg2, count_l * count_y,
                              eps, inside & (x >= 1))  # fmt: skip
        ma, mb = coefficients(mg + mg1 + mg2, mp + mp1 + mp2, mgp + mgp1 + mgp2, mgg + mgg1 + mgg2, count_m * count_y,
                              eps, inside)  # fmt: skip
        ra, rb = coefficients(rg + rg1 + rg2, rp + rp1 + rp2, rgp + rgp1 + rgp2, rgg + rgg1 + rgg2, count_r * count_y,
                              eps, inside & (x + 1 < padded_w))  # fmt: skip
        row_a, row_b = la + ma + ra, lb + mb + rb
        # And two rows above, the filtered value: the mean of a times the guide, plus the mean of b.
        done = y - 2
        mask = within(done, first, tl.minimum(first + ROWS, height), x) & (x < width)
        source = source_at(frames, tl.maximum(done, 0), x, colour, height, width, mask)
        count = count_m * count_of_3(done, padded_h)
        look = (row_a + a1 + a2) / count * source + (row_b + b1 + b2) / count
        emit(look, source, picture + done * width * 3 + place, mask, total, out, shares, index, MIXED, FIRST, LAST)
        lg2, lp2, lgp2, lgg2, lg1, lp1, lgp1, lgg1 = lg1, lp1, lgp1, lgg1, lg, lp, lgp, lgg
        mg2, mp2, mgp2, mgg2, mg1, mp1, mgp1, mgg1 = mg1, mp1, mgp1, mgg1, mg, mp, mgp, mgg
        rg2, rp2, rgp2, rgg2, rg1, rp1, rgp1, rgg1 = rg1, rp1, rgp1, rgg1, rg, rp, rgp, rgg
        a2, b2, a1, b1 = a1, b1, row_a, row_b
