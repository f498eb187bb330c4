"""Triton's compiler takes every launch of both networks, on a machine without a card: its interpreter allows more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton.backends.nvidia")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]

#: kernels are compiled for a card as for their launch, and then not launched
CARD = """
import sys
import torch
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction


class Card:
    def get_current_target(self):
        return GPUTarget("cuda", int(sys.argv[1]), 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


def compiled(kernel, grid):
    def launch(*args, **options):
        built = kernel.warmup(*args, grid=grid, **options)
        assert built.asm["cubin"] and built.metadata.shared <= int(sys.argv[3]) << 10
        assert all(size > 0 for size in grid)
        assert built.asm["ptx"].count("ld.global") <= 200  # with many more the compiler takes many seconds
        found.add(kernel.fn.__name__)

    return launch


found = set()
driver.set_active(Card())
JITFunction.__getitem__ = compiled
dtype, cpu = getattr(torch, sys.argv[2]), torch.device("cpu")
"""
NETWORKS = """
from engines.cuda.fused import Plan
from engines.cuda.launches import Mixture
from engines.cuda.trials import First
from style_files import random_weights
from vidstyle.network import Architecture, prepare


class Way(First):
    def __init__(self, number):
        self.number = number

    def way(self, ways, inputs, same):
        return self.number


frames, shares = torch.zeros(2, 90, 130, 3, dtype=torch.uint8), torch.ones(2)
total = torch.zeros(frames.shape)
every = Mixture(), Mixture(shares[:1]), Mixture(shares, total, 0, 2), Mixture(shares, total, 1, 2)
student = Architecture("student", (32, 64, 96), (1, 1, 2), (0, 1, 0), guided=False)
with torch.inference_mode():
    for arch in (Architecture("ttn"), student):
        for number in range(3):
            plan = Plan(arch, prepare(arch, random_weights(arch)), 90, 130, dtype, cpu, Way(number))
            for mixture in every[: 1 if number else 4]:
                plan.run(frames, torch.empty_like(frames), mixture)
print(*sorted(found))
"""
#: the steepest that comes up (4K in 240 rows), and what is usual
PLANES = """
from engines.device.planes import FORMS, Colours, ToPlanes, ToRgb

for name, planes, picture in (
    ("yuv420p", (2160, 3840), (240, 426)),
    ("yuv420p", (480, 854), (720, 1280)),
    ("nv12", (1080, 1920), (720, 1280)),
    ("p010le", (1080, 1920), (1080, 1920)),
):
    form, colours = FORMS[name], Colours(1, False)
    given = [torch.zeros(shape, dtype=form.dtype) for shape in form.shapes(planes)]
    ToRgb(form, colours, planes, picture, cpu, fused=True)(given)
    ToPlanes(form, colours, picture, planes, cpu, fused=True)(torch.zeros((*picture, 3), dtype=torch.uint8))
print(*sorted(found))
"""


@pytest.mark.parametrize(("capability", "dtype", "shared"), [(80, "bfloat16", 163), (90, "float16", 227)])
def test_every_launch_of_a_network_compiles(capability: int, dtype: str, shared: int, tmp_path: Path) -> None:
    assert compiled(NETWORKS, tmp_path, capability, dtype, shared) == [
        "combine", "convolve", "finish", "from_pixels", "guided",
    ]  # fmt: skip


def test_every_launch_of_a_conversion_compiles_at_once(tmp_path: Path) -> None:
    assert compiled(PLANES, tmp_path, 90, "uint8", 227) == ["to_plane", "to_rgb"]


def compiled(launches: str, tmp_path: Path, capability: int, dtype: str, shared: int) -> list[str]:
    """Names of the kernels that ``launches`` has begun."""
    program = tmp_path / "program.py"
    program.write_text(CARD + launches, "utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "TRITON_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-W", "ignore", program, str(capability), dtype, str(shared)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split()
