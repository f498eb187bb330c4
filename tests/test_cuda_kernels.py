"""Every Triton kernel against float64, by Triton's interpreter: the cases of scripts/gpu_check at small sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from interpreted import interpreter, launches  # before the module that imports the kernels

import gpu_check_kernels  # isort: skip

from engines.cuda.convolutions import Filters
from engines.cuda.convolve import FusedConvolution, Tiles

__all__ = ["interpreter"]
pytestmark = pytest.mark.usefixtures("interpreter")
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("n", "size", "dtype"),
    [
        (1, (1, 1), torch.float32),
        (1, (2, 3), torch.float16),
        pytest.param(2, (5, 9), torch.float32, marks=pytest.mark.slow),
        pytest.param(2, (5, 9), torch.float16, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_every_kernel_gives_what_float64_gives(n: int, size: tuple[int, int], dtype: torch.dtype) -> None:
    results = list(gpu_check_kernels.Cases(n, size, dtype, CPU, seed=n).run())
    assert len(results) == (25 if dtype == torch.float32 else 37)
    assert not [result for result in results if not result.error <= result.limit]


def test_the_cases_find_a_kernel_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers slightly off, and one of two bilinear neighbours for the other, are beyond the limits."""
    monkeypatch.setattr(launches, "LEAKY_SLOPE", 0.2002)
    monkeypatch.setattr(launches, "GUIDED_EPS", 0.0102)
    results = list(gpu_check_kernels.Cases(1, (3, 5), torch.float32, CPU, seed=0).run())
    wrong = {result.name for result in results if result.error > result.limit}
    assert {"guided", "combine plain, leaky", "combine upsample + window"} <= wrong
    assert not wrong & {"from_pixels by 1", "finish", "combine window"}


def test_levels_between_two_are_rounded_to_the_even_one() -> None:
    levels = torch.arange(0, 256).float()[None, None, :, None].expand(1, 1, 256, 3)
    frames, out = torch.zeros(1, 1, 256, 3, dtype=torch.uint8), torch.zeros(1, 1, 256, 3, dtype=torch.uint8)
    for offset in (0.5, -0.5, 0.25, 300.0, -300.0):
        # Of these, (x + 1) * 127.5 gives the halves back exactly or not at all; the expression is the kernel's.
        x = ((levels + offset).double() / 127.5 - 1).float().contiguous()
        launches.finish_look(frames, out, launches.Term(x), None, 1, launches.Mixture())
        want = ((x + 1) * 127.5).clamp(0, 255).round().to(torch.uint8)
        assert out.equal(want)


def test_programs_never_hold_more_than_the_row_needs() -> None:
    assert launches._blocks(8, 1) == (1, 8)
    assert launches._blocks(96, 480) == (32, 128)
    assert launches._blocks(32, 1920) == (128, 32)


def test_rows_beyond_2_31_elements_are_found(tmp_path: Path) -> None:
    """Of a picture of more than 67 megapixels; the file has holes, and where 32 bits would lead there is memory too."""
    row, there = 1 << 30, 1 << 31
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(2 * (2 * there + 64))
    memory = torch.from_numpy(np.memmap(tmp_path / "sparse", np.float16, "r+"))
    (tmp_path / "sparse").unlink()

    far = memory.as_strided((1, 3, 4, 16), (3 * row, row, 16, 1), there)
    x = torch.arange(3 * 4 * 16).reshape(far.shape).half()
    far.copy_(x)
    for kind, channels, scale in ((launches.PLAIN, 16, 1), (launches.SHUFFLE, 4, 2), (launches.UPSAMPLE, 16, 2)):
        got, want = (torch.zeros(1, 3 * scale, 4 * scale, channels) for _ in range(2))
        launches.combine(got, [launches.Term(far, kind=kind, block=scale)])
        launches.combine(want, [launches.Term(x, kind=kind, block=scale)])
        assert got.equal(want) and got.any()
    launches.combine(far, [launches.Term(x + 1)])
    assert far.equal(x + 1)
    filters = Filters(np.eye(16)[..., None, None], np.zeros(16))
    same = FusedConvolution(filters, 1, (0, 0, 0, 0), (3, 4), Tiles(128, 4, 3))
    assert same.to(CPU, torch.float16)(far, far, False, False).equal(2 * (x + 1))
