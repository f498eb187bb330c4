"""Which engine and device "auto" stands for, and why a GPU that was asked for cannot be used.

Found out without importing torch or starting CUDA, which take seconds: from the driver's own library and from what
is installed.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import sys
from ctypes.util import find_library
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

from vidstyle.errors import EngineError

#: CUDA's major version -> the first major version of the driver that runs it
DRIVERS = {11: 450, 12: 525, 13: 580}
MATCHING_TORCH = "uv pip install --reinstall torch --torch-backend=auto"
INSTALL_TORCH = "pip install 'vidstyle[torch]'"
INSTALL_TENSORRT = "pip install 'vidstyle[tensorrt]'"
TENSORRT_LIBRARIES = "pip install --extra-index-url https://pypi.nvidia.com 'vidstyle[tensorrt]'"
GPU_ENGINES = ("tensorrt", "cuda")
_NO_GPU = "install its driver; --engine openvino --device cpu needs none"


@dataclass(frozen=True)
class Machine:
    """What the choice depends on.

    Attributes:
        gpus: NVIDIA GPUs that this process may use.
        driver: major version of their driver; 0 where it is not known.
        torch: its version, "" where it is not installed.
        cuda: version that torch is built for, as "13.0"; "" for the CPU.
        triton: whether it is installed.
        no_tensorrt: why TensorRT cannot be used, with the line that mends it; "" where it can.
        hidden: NVIDIA GPUs that CUDA_VISIBLE_DEVICES keeps from this process.
    """

    gpus: int = 0
    driver: int = 0
    torch: str = ""
    cuda: str = ""
    triton: bool = False
    no_tensorrt: str = ""
    hidden: int = 0

    @property
    def trouble(self) -> str:
        """Why no engine can run on an NVIDIA GPU here, with the line that mends it; "" where one can."""
        if not self.gpus and self.hidden:
            numbers = "0" if self.hidden == 1 else f"numbers of 0 to {self.hidden - 1}"
            return f"CUDA_VISIBLE_DEVICES hides every NVIDIA GPU that is here: unset it, or set it to {numbers}"
        if not self.gpus:
            return f"no NVIDIA GPU is found here: {_NO_GPU}"
        if not self.torch:
            return f"torch, which a GPU needs, is not installed: {INSTALL_TORCH}"
        if not self.cuda:
            return f"torch {self.torch} is built for the CPU: {MATCHING_TORCH}"
        if self.driver and self.driver < (needed := needed_driver(self.cuda)):
            found = f"torch {self.torch} for CUDA {self.cuda} needs driver {needed}, here is {self.driver}"
            return f"{found}: update the driver, or {MATCHING_TORCH}"
        return ""

    def best(self, builds: bool = True) -> tuple[str, str]:
        """(engine for the GPU, why); ``builds``: one that is built for each size of picture will do."""
        if builds and not self.no_tensorrt:
            return "tensorrt", "TensorRT is installed"
        if self.triton:
            return "cuda", "no TensorRT"
        return "torch", "no TensorRT, no Triton"


@functools.cache
def this_machine() -> Machine:
    gpus, hidden, driver = _gpus()
    if not gpus:  # the rest matters to nobody
        return Machine(hidden=hidden)
    torch, cuda = torch_build() or ("", "")
    return Machine(gpus, driver, torch, cuda, find_spec("triton") is not None, no_tensorrt(torch), hidden)


def choose(engine: str, device: str, here: Machine | None = None, builds: bool = True) -> tuple[str, str]:
    """The engine and device that ``engine`` and ``device`` stand for, either of which may be "auto".

    A named engine, and a named device, are never replaced by another.

    Args:
        here: this machine where left out.
        builds: "auto" may be an engine that is first built, for minutes, for each size of picture.

    Raises:
        EngineError: an NVIDIA GPU was asked for, and cannot be used; the message has the line that mends it.
    """
    named = re.fullmatch(r"cuda(?::(\d+))?", device)
    wants_gpu = (named is not None and engine != "openvino") or (engine in GPU_ENGINES and device == "auto")
    if not wants_gpu and (engine, device) != ("auto", "auto"):
        return ("openvino" if engine == "auto" else engine), device
    here = here or this_machine()
    index = int(named[1] or 0) if named else 0
    if trouble := here.trouble or _missing(index, here):
        if wants_gpu:
            raise EngineError(f"{device if named else f'the {engine} engine'} cannot be used: {trouble}")
        return "openvino", "auto"
    return (here.best(builds)[0] if engine == "auto" else engine), f"cuda:{index}"


def explain(here: Machine | None = None) -> str:
    """What "auto" stands for on this machine, and why; for people."""
    here = here or this_machine()
    engine, device = choose("auto", "auto", here)
    reason = here.best()[1] if engine != "openvino" else here.trouble.partition(": ")[0]
    return f"auto is {engine} on {'the CPU' if device == 'auto' else device}: {reason}"


def _missing(index: int, here: Machine) -> str:
    have = "cuda:0" if here.gpus == 1 else f"cuda:0 to cuda:{here.gpus - 1}"
    hidden = f" (CUDA_VISIBLE_DEVICES hides {here.hidden})" if here.hidden else ""
    return "" if index < here.gpus else f"there is no cuda:{index} here{hidden}: use --device {have}"


def needed_driver(cuda: str) -> int:
    """Major version of the first driver that runs CUDA ``cuda``."""
    return DRIVERS.get(int(cuda.split(".")[0]), max(DRIVERS.values()))


def installed(package: str) -> str:
    """Its version, "" where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def torch_build() -> tuple[str, str] | None:
    """(version of torch, version of the CUDA it is built for or ""); None where it is not installed.

    Its version file is read, not imported: importing takes seconds and starts CUDA.
    """
    there, spec = installed("torch"), find_spec("torch")
    if not there or spec is None or spec.origin is None:
        return None
    text = Path(spec.origin).with_name("version.py").read_text("utf-8")
    match = re.search(r"^cuda\b[^=\n]*=\s*['\"](\d+\.\d+)", text, re.MULTILINE)
    return there, match[1] if match else ""


def tensorrt_module() -> str:
    """What TensorRT is imported as: its edition for RTX cards has a name of its own, and the same functions."""
    if installed("torch-tensorrt-rtx"):  # then this is what torch-tensorrt builds with
        return "tensorrt_rtx"
    return "tensorrt_rtx" if find_spec("tensorrt") is None and find_spec("tensorrt_rtx") else "tensorrt"


def no_tensorrt(torch: str) -> str:
    """Why engines cannot be built with TensorRT beside this version of torch, and what to type; "" where they can."""
    builder = installed("torch-tensorrt") or installed("torch-tensorrt-rtx")
    module = tensorrt_module()
    if not builder:
        return f"torch-tensorrt is not installed: {INSTALL_TENSORRT}"
    if minor(builder) != minor(torch):
        return f"torch-tensorrt {builder} does not match torch {torch}: pip install 'torch-tensorrt=={minor(torch)}.*'"
    if find_spec(module) is None:
        return f"{module} is not installed: {INSTALL_TENSORRT}"
    library = "nvinfer" if module == "tensorrt" else "tensorrt_rtx"
    if find_spec(f"{module}_libs") is None and find_library(library) is None:
        return f"TensorRT's libraries are missing: {TENSORRT_LIBRARIES}"
    return ""


def minor(text: str) -> str:
    """``"2.11"`` of ``"2.11.0+cu130"``."""
    return ".".join(text.split("+")[0].split(".")[:2])


def visible_gpus() -> tuple[int, int]:
    """(number of NVIDIA GPUs this process may use, major version of their driver or 0)."""
    gpus, _, driver = _gpus()
    return gpus, driver


def _gpus() -> tuple[int, int, int]:
    """(NVIDIA GPUs that this process may use, those that CUDA_VISIBLE_DEVICES hides, `visible_gpus`'s driver)."""
    allowed, (count, driver) = os.environ.get("CUDA_VISIBLE_DEVICES"), _asked_of_driver()
    if allowed is None:
        return count, 0, driver

    def there(name: str) -> bool:  # without NVML, how many there are is not known
        return name not in ("", "-1") and not (driver and name.isdecimal() and int(name) >= count)

    names = takewhile(there, map(str.strip, allowed.split(",")))  # CUDA reads no further than the first that is not
    gpus = min(count, len(list(names)))
    return gpus, count - gpus, driver if gpus else 0


def _asked_of_driver() -> tuple[int, int]:
    """From NVML, which starts no CUDA: a process that has may not be forked any more."""
    windows = sys.platform == "win32"
    try:
        nvml = ctypes.CDLL("nvml.dll" if windows else "libnvidia-ml.so.1")
    except OSError:
        try:  # some containers have the driver without it
            ctypes.CDLL("nvcuda.dll" if windows else "libcuda.so.1")
        except OSError:
            return 0, 0
        return 1, 0
    if nvml.nvmlInit_v2():
        return 0, 0
    count, text = ctypes.c_uint(0), ctypes.create_string_buffer(96)
    nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
    nvml.nvmlSystemGetDriverVersion(text, len(text))
    nvml.nvmlShutdown()
    match = re.match(rb"\d+", text.value)
    return count.value, int(match[0]) if match else 0
