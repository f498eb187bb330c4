"""The machine itself: what every other figure is a share of."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from gpu_figures import Book, Figure
from gpu_setup import Setup
from gpu_timing import interleaved, repeated

from vidstyle.cores import usable_cores

COPY_BYTES, PCIE_BYTES = 1 << 31, 1 << 28


def machine(setup: Setup, book: Book) -> None:
    book.know(**facts(setup))
    name = f"bf16 matrix product of {setup.side} x {setup.side}"
    with book.attempt("machine.peak", name):
        seconds = interleaved({"matmul": repeated(multiply(setup))}, setup.device, setup.seconds)["matmul"]
        book.add(Figure("machine.peak", name, setup.product / seconds / 1e12, "TFLOP/s"))
    with book.attempt("machine.copies", "copies"):
        seconds_of = interleaved(_copies(setup), setup.device, setup.seconds)
        for name, moved in _moved(setup).items():
            book.add(
                Figure(f"machine.{name}", f"copy, {name.replace('_', ' ')}", moved / seconds_of[name] / 1e9, "GB/s")
            )


def facts(setup: Setup) -> dict[str, str]:
    known = {"torch": f"torch {torch.__version__}", "processor": f"{platform.processor() or platform.machine()}"}
    known["cores"] = str(usable_cores())
    try:
        known["Triton"] = f"Triton {version('triton')}"
    except PackageNotFoundError:
        known["Triton"] = "no Triton"
    if setup.on_gpu:
        properties = torch.cuda.get_device_properties(setup.device)
        known["GPU"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
        known["driver"] = f"driver {_driver()}"
        known["cuDNN"] = f"cuDNN {torch.backends.cudnn.version()}"
    return known


def _driver() -> str:
    """Asked only, of the driver's own tool."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"


def multiply(setup: Setup) -> Callable[[], Any]:
    """One product of bf16 matrices of random numbers: zeros would draw less power, and run faster."""
    a, b = (torch.randn(setup.side, setup.side, device=setup.device, dtype=torch.bfloat16) for _ in range(2))
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out)


def _copies(setup: Setup) -> dict[str, Any]:
    size, pcie = (COPY_BYTES, PCIE_BYTES) if setup.on_gpu else (1 << 12, 1 << 12)
    there, other = (torch.empty(size // 2, dtype=torch.uint8, device=setup.device) for _ in range(2))
    near = torch.empty(pcie, dtype=torch.uint8, device=setup.device)
    plain = torch.zeros(pcie, dtype=torch.uint8)
    pinned = torch.zeros(pcie, dtype=torch.uint8, pin_memory=setup.on_gpu)
    return {
        "on_the_device": repeated(lambda: other.copy_(there)),
        "up_pinned": repeated(lambda: near.copy_(pinned, non_blocking=True)),
        "up_pageable": repeated(lambda: near.copy_(plain)),
        "down_pinned": repeated(lambda: pinned.copy_(near, non_blocking=True)),
        "down_pageable": repeated(lambda: plain.copy_(near)),
    }


def _moved(setup: Setup) -> dict[str, int]:
    """Bytes of each copy; on the device they are read and written."""
    size, pcie = (COPY_BYTES, PCIE_BYTES) if setup.on_gpu else (1 << 12, 1 << 12)
    return {"on_the_device": size} | dict.fromkeys(("up_pinned", "up_pageable", "down_pinned", "down_pageable"), pcie)
