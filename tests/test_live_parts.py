"""The student cut into parts: the same network, and how far each of them sees."""

from __future__ import annotations

import pytest
import torch
from style_files import random_weights

from engines.torch import TorchOps
from vidstyle.catalog import parse_recipe
from vidstyle.live.parts import PICTURE, halo, margin, run_part, student_parts, work_share
from vidstyle.network import Architecture, prepare, run

BUNDLED = Architecture("student", (32, 64, 96), (1, 1, 2), (0, 1, 0), guided=False, smooth=True)
SMALL = Architecture("student", (8, 12, 16), (1, 0, 1), (0, 1, 0), guided=False)
TWO_LEVELS = Architecture("student", (8, 12), (1, 2), (1, 1), guided=False)
STUDENTS = pytest.mark.parametrize("arch", [BUNDLED, SMALL, TWO_LEVELS], ids=["bundled", "small", "two levels"])


def ops(arch: Architecture, dtype: torch.dtype = torch.float64) -> TorchOps:
    weights = prepare(arch, random_weights(arch))
    return TorchOps({name: torch.from_numpy(value).to(dtype) for name, value in weights.items()})


@pytest.mark.parametrize("arch", [BUNDLED, SMALL, TWO_LEVELS, Architecture("ttn"), Architecture("ttn", guided=False)])
def test_the_halo_is_as_far_as_one_pixel_is_felt(arch: Architecture) -> None:
    """By gradient: the input rows that outputs at every row of a block depend on. Columns behave alike."""
    block = arch.multiple
    middle = -(-halo(arch) // block) * block + block
    x = torch.rand(1, 3, 2 * middle + block, 2 * block, dtype=torch.float64, requires_grad=True)
    y, farthest = run(ops(arch), arch, x), 0
    for row in range(middle, middle + block):
        (gradient,) = torch.autograd.grad(y[0, :, row, block].sum(), x, retain_graph=True)
        felt = gradient[0].abs().sum(0).sum(1).nonzero()
        farthest = max(farthest, row - int(felt.min()), int(felt.max()) - row)
    # The published network's last layer is stored with a row of zeros, which counts.
    assert halo(arch) - (1 if arch.name == "ttn" else 0) == farthest


@STUDENTS
def test_the_parts_one_after_the_other_are_the_network(arch: Architecture) -> None:
    x = torch.rand(1, 3, 64, 96, dtype=torch.float64) * 2 - 1
    have = {PICTURE: x}
    for part in student_parts(arch):
        inputs = {t.name: have[t.name] for t in part.takes}
        for tensor, value in zip(part.gives, run_part(ops(arch), arch, part, inputs, x), strict=True):
            assert value.shape[1:] == (tensor.channels, 64 // tensor.stride, 96 // tensor.stride)
            have["look" if tensor.name == PICTURE else tensor.name] = value
    torch.testing.assert_close(have["look"], run(ops(arch), arch, x), rtol=0, atol=1e-12)


@STUDENTS
def test_a_part_depends_on_no_more_than_its_margin(arch: Architecture) -> None:
    """A window with the margin around a block gives the block as the whole does; with less it does not."""
    block, side = arch.multiple, 24
    shortest = []
    for part in student_parts(arch):
        inputs = {t.name: torch.rand(1, t.channels, *(side * block // t.stride,) * 2).double() for t in part.takes}
        picture = torch.zeros(1, 3, side * block, side * block).double()
        whole = run_part(ops(arch), arch, part, inputs, inputs.get(PICTURE, picture))

        def differs(around: int, part=part, inputs=inputs, whole=whole) -> bool:
            window = slice(12 - around, 13 + around)
            cut = {t.name: _blocks(inputs[t.name], window, block // t.stride) for t in part.takes}
            stand_in = torch.zeros(1, 3, *((1 + 2 * around) * block,) * 2).double()
            given = run_part(ops(arch), arch, part, cut, cut.get(PICTURE, stand_in))
            inside = slice(around, around + 1)
            return any(
                not torch.allclose(
                    _blocks(a, inside, block // t.stride), _blocks(b, slice(12, 13), block // t.stride), atol=1e-12
                )
                for t, a, b in zip(part.gives, given, whole, strict=True)
            )

        around = margin(arch, part) // block
        assert not differs(around)
        assert around == 0 or differs(around - 1)
        shortest.append(around)
    assert max(shortest) > 0


def _blocks(x: torch.Tensor, window: slice, cells: int) -> torch.Tensor:
    cut = slice(window.start * cells, window.stop * cells)
    return x[:, :, cut, cut]


@STUDENTS
def test_the_parts_share_all_of_the_work(arch: Architecture) -> None:
    assert sum(work_share(arch, part) for part in student_parts(arch)) == pytest.approx(1)


def test_the_shape_tested_here_is_the_bundled_looks() -> None:
    assert parse_recipe("anime").parts[0][0].card.architecture == BUNDLED
