"""OpenVINO in this process: its one core, and what an `vidstyle.engine.EngineSpec` means to it."""
# ruff: noqa: E402 - see the comment on telemetry

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Any

# Importing openvino reports the import to Google Analytics, in a process of its own that may hold up our exit for
# seconds where there is no network. Without this package OpenVINO does without; all other modules import it from here.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov
from openvino import opset13 as op  # noqa: F401 - the operations, for the modules beside

from vidstyle.engine import EngineSpec
from vidstyle.errors import EngineError, OutOfMemoryError

#: The one of this process. OpenVINO gives the thread that asks a core first a stack for signals, and frees it with the
#: core: where cores went in another order than they came, or on another thread, the thread kept a stack that was gone,
#: and the next signal, as Ctrl-C, ended the process with a segmentation fault.
CORE = ov.Core()

#: OpenVINO's own words for a full memory, oneDNN's, and C++'s
_FULL = ("failed to allocate", "out of memory", "out_of_memory", "bad_alloc", "bad alloc")


def device_name(wanted: str) -> str:
    """OpenVINO's name of the device; "GPU" stands for the first of "GPU.0", "GPU.1".

    Raises:
        EngineError: there is none of that name.
    """
    device = "CPU" if wanted == "auto" else wanted.upper()
    have = CORE.available_devices
    if device not in {*have, *(name.split(".")[0] for name in have)}:
        raise EngineError(f"no device {wanted!r} for OpenVINO here: it has {', '.join(have).lower() or 'none'}")
    return device


def native_precisions(device: str) -> list[str]:
    """In OpenVINO's names, as "BF16": those that a device of `device_name` computes in by itself."""
    return list(CORE.get_property(device, "OPTIMIZATION_CAPABILITIES"))


def choose_precision(wanted: str, device: str, native: Collection[str]) -> str:
    """bf16 where it is native, else f32; a named precision is never replaced.

    int8 has to be named: it is the fastest, but what it is off by differs from picture to picture.

    Args:
        native: `native_precisions` of ``device``.

    Raises:
        EngineError: the named one is not native.
    """
    if wanted == "auto":
        return "bf16" if "BF16" in native else "f32"
    if wanted != "f32" and {"bf16": "BF16", "f16": "FP16", "int8": "INT8"}[wanted] not in native:
        raise EngineError(f"{device} has no {wanted} arithmetic: use --precision f32")
    return wanted


def compile_options(spec: EngineSpec) -> dict[str, Any]:
    """OpenVINO's options for a spec whose every "auto" and 0 is settled."""
    options: dict[str, Any] = {
        # Explicit: OpenVINO's own choice differs by machine. What is not in eight bits is then exact.
        "INFERENCE_PRECISION_HINT": "f32" if spec.precision == "int8" else spec.precision,
        "PERFORMANCE_HINT": "THROUGHPUT" if spec.in_flight > 1 else "LATENCY",
    }
    if spec.device == "cpu":
        options |= {
            "INFERENCE_NUM_THREADS": spec.threads,
            "NUM_STREAMS": min(spec.in_flight, spec.threads),
            "ENABLE_CPU_PINNING": False,  # decoder and encoder threads share these cores
        }
    return options


def failure(what: str, error: Exception) -> EngineError:
    """The error to raise for OpenVINO's; a full memory as such, for whoever can do with less at a time."""
    said = str(error).lower()
    if isinstance(error, MemoryError) or any(words in said for words in _FULL):
        return OutOfMemoryError(f"too little memory: {what}: {reason(error)}")
    return EngineError(f"{what}: {reason(error)}")


def reason(error: Exception) -> str:
    """The last line of OpenVINO's report: the ones above are places in its own sources."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
