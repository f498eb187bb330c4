"""The checks of ``vidstyle doctor`` for what only some need: NVIDIA's driver, torch, TensorRT, live video."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator

from vidstyle.choice import (
    INSTALL_TENSORRT,
    INSTALL_TORCH,
    MATCHING_TORCH,
    explain,
    installed,
    needed_driver,
    no_tensorrt,
    this_machine,
    torch_build,
)
from vidstyle.health import INFO, OK, WARN, Check, Finding, found_by


def read_driver() -> tuple[str, int] | None:
    """(GPU, driver and memory as text, major version of the driver); None where there is no driver.

    Raises:
        OSError, subprocess.TimeoutExpired: it is there and does not answer.
    """
    if (program := shutil.which("nvidia-smi")) is None:
        return None
    query = [program, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if done.returncode or not lines:
        words = " ".join((done.stderr or done.stdout).split())[:200]
        raise OSError(f"nvidia-smi ends with code {done.returncode}: {words}")
    match = re.search(r", (\d+)\.", lines[0])
    return "; ".join(lines), int(match[1]) if match else 0


def _nvidia() -> Finding:
    try:
        driver = read_driver()
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(WARN, str(error), "install the NVIDIA driver again; the CPU engine works without")
    return Finding(OK, driver[0]) if driver else Finding(INFO, "no driver found (only for CUDA and TensorRT)")


def _torch() -> Finding:
    if (build := torch_build()) is None:
        return Finding(INFO, "not installed (only for NVIDIA GPUs, --engine torch and training)", INSTALL_TORCH)
    torch, cuda = build
    try:
        driver = read_driver()
    except (OSError, subprocess.TimeoutExpired):
        driver = None  # the check of the driver says so
    if not cuda:
        found = f"torch {torch}, for the CPU"
        return Finding(WARN, f"{found}, beside an NVIDIA GPU", MATCHING_TORCH) if driver else Finding(OK, found)
    found, needed = f"torch {torch}, CUDA {cuda}", needed_driver(cuda)
    if driver and driver[1] < needed:
        return Finding(WARN, f"{found} needs driver {needed}, here is {driver[1]}", MATCHING_TORCH)
    return Finding(OK, found)


def _triton() -> Finding:
    if there := installed("triton") or installed("triton-windows"):
        return Finding(OK, f"Triton {there}")
    build = torch_build()
    if build and build[1]:  # it comes with torch for CUDA on Linux
        return Finding(WARN, "not installed: --engine cuda cannot run", "pip install triton")
    return Finding(INFO, "not installed (only for --engine cuda; torch for CUDA brings it)")


def _tensorrt() -> Finding:
    packages = ("torch-tensorrt", "torch-tensorrt-rtx", "tensorrt", "tensorrt-rtx")
    found = ", ".join(f"{name} {there}" for name in packages if (there := installed(name)))
    if not found:
        return Finding(INFO, "not installed (only for NVIDIA GPUs)", INSTALL_TENSORRT)
    torch = torch_build()
    trouble, _, fix = no_tensorrt(torch[0] if torch else "none").partition(": ")
    return Finding(WARN, f"{found}; {trouble}", fix) if trouble else Finding(OK, found)


def _engine() -> Finding:
    here = this_machine()
    if here.gpus and here.trouble:
        return Finding(WARN, explain(here), here.trouble.partition(": ")[2])
    return Finding(OK, explain(here))


def _built() -> Finding:
    from vidstyle.built import entries, folder
    from vidstyle.sealed import secret_file, secret_problem

    if problem := secret_problem():
        return Finding(WARN, f"their key {secret_file()} is {problem}", f"rm {secret_file()}")
    found = entries()
    if bad := [entry for entry in found if entry.record is None]:
        told = f"{len(bad)} of {len(found)} not used: {bad[0].path} is {bad[0].problem}"
        return Finding(WARN, told, f"vidstyle build-engine --remove {bad[0].digest}")
    size = sum(entry.record.bytes for entry in found if entry.record) / 1e6
    return Finding(OK, f"{len(found)}, {size:.1f} MB in {folder()}") if found else Finding(INFO, "none")


CHECKS: dict[str, Callable[[], Finding]] = {
    "nvidia": _nvidia,
    "torch": _torch,
    "triton": _triton,
    "tensorrt": _tensorrt,
    "engine": _engine,
    "built engines": _built,
}


def check_live() -> Iterator[Check]:
    """What ``vidstyle live`` needs besides; a part that breaks is a warning, since files work without."""
    from vidstyle.live.health import CHECKS as LIVE

    for name, check in LIVE.items():
        fix = "reinstall with pip install --force-reinstall 'vidstyle[live]'"
        yield Check.of(name, found_by(check, WARN, fix))
