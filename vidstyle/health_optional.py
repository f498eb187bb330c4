"""The checks of ``vidstyle doctor`` for what only some need: NVIDIA's driver, torch, TensorRT, live video."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from vidstyle.health import INFO, OK, WARN, Check, Finding

#: CUDA's major version -> the first major version of the driver that runs it
DRIVERS = {11: 450, 12: 525, 13: 580}
MATCHING_TORCH = "uv pip install --reinstall torch --torch-backend=auto"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


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
    installed, spec = _version("torch"), find_spec("torch")
    if installed is None or spec is None or spec.origin is None:
        return Finding(INFO, "not installed (only for --engine torch and training)", "pip install 'vidstyle[torch]'")
    # Its version file is read, not imported: importing takes seconds and starts CUDA.
    text = Path(spec.origin).with_name("version.py").read_text("utf-8")
    match = re.search(r"^cuda\b[^=\n]*=\s*['\"]((\d+)\.\d+)", text, re.MULTILINE)
    try:
        driver = read_driver()
    except (OSError, subprocess.TimeoutExpired):
        driver = None  # the check of the driver says so
    if match is None:
        found = f"torch {installed}, for the CPU"
        return Finding(WARN, f"{found}, beside an NVIDIA GPU", MATCHING_TORCH) if driver else Finding(OK, found)
    found, needed = f"torch {installed}, CUDA {match[1]}", DRIVERS.get(int(match[2]), max(DRIVERS.values()))
    if driver and driver[1] < needed:
        return Finding(WARN, f"{found} needs driver {needed}, here is {driver[1]}", MATCHING_TORCH)
    return Finding(OK, found)


def _tensorrt() -> Finding:
    for package in ("torch-tensorrt", "tensorrt"):
        if installed := _version(package):
            return Finding(OK, f"{package} {installed}")
    return Finding(INFO, "not installed (only for NVIDIA GPUs)", "pip install 'vidstyle[tensorrt]'")


CHECKS: dict[str, Callable[[], Finding]] = {"nvidia": _nvidia, "torch": _torch, "tensorrt": _tensorrt}


def check_live() -> Iterator[Check]:
    """What ``vidstyle live`` needs besides; a part that breaks is a warning, since files work without."""
    from vidstyle.live.health import CHECKS as LIVE

    for name, check in LIVE.items():
        try:
            finding = check()
        except Exception as error:  # whatever foreign code raises is what is found
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            finding = Finding(WARN, reason, "reinstall with pip install --force-reinstall 'vidstyle[live]'")
        yield Check(name, finding.state, finding.found, finding.fix)
