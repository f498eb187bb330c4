"""What torch, cuDNN and Triton raise on a device, as this program's errors."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import CalledProcessError

import torch

from engines.torch import is_full, reason
from vidstyle.choice import MATCHING_TORCH
from vidstyle.errors import DeviceLostError, EngineError, OutOfMemoryError

_COMPILER = "Triton needs a C compiler and Python's headers: apt install gcc python3-dev (--device cpu needs neither)"
#: the card is older than torch's build, or the driver older than a kernel's compiler
_UNFIT = (
    "no kernel image",
    "unsupported toolchain",
    "driver version is insufficient",
    "driver on your system is too old",
)
_LOST = (
    "illegal memory access",
    "illegal address",
    "illegal instruction",
    "misaligned address",
    "launch failure",
    "launch failed",
    "launch timed out",
    "device-side assert",
    "uncorrectable",
    "devices are unavailable",
    "device is unavailable",
    "gpu is lost",
    "unknown error",
    "hardware stack error",
    "nvlink",
)


@contextmanager
def device_errors(device: torch.device) -> Iterator[None]:
    """Turn what torch, cuDNN and Triton raise into this program's errors.

    Raises:
        OutOfMemoryError: the device's memory is full; what the failed call had of it is free again.
        DeviceLostError: the device stopped answering, or its context is spoilt: no later call can succeed.
        EngineError: anything else.
    """
    try:
        yield
    except CalledProcessError as error:  # Triton has its launcher compiled, once; the compiler's words are on stderr
        raise EngineError(_COMPILER) from error
    except Exception as error:
        if not isinstance(error, RuntimeError) and type(error).__module__.partition(".")[0] != "triton":
            raise
        # The frames that failed hold tensors, and an error holds its frames: less would not fit beside them.
        traceback.clear_frames(error.__traceback__)
        inner = error.__context__
        if inner is not None and "during capture" in str(error):  # a graph's end says only that it failed before
            traceback.clear_frames(inner.__traceback__)
            raise _named(inner, device) from None
        raise _named(error, device) from None


def _named(error: BaseException, device: torch.device) -> EngineError:
    text, said = str(error).lower(), reason(error)
    if "failed to find c compiler" in text:
        return EngineError(_COMPILER)
    if is_full(error):
        return OutOfMemoryError(f"{device} has too little memory: {said}")
    if any(words in text for words in _UNFIT):
        return EngineError(f"torch is not built for {device} ({said}): update NVIDIA's driver, or {MATCHING_TORCH}")
    if any(words in text for words in _LOST):
        return DeviceLostError(f"{device} stopped answering ({said}): start again; if it recurs, restart the machine")
    return EngineError(f"{device} failed on a picture: {said}")
