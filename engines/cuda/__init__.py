"""Our own engine for NVIDIA GPUs: cuDNN's convolutions and Triton kernels for all between them, with torch alone.

Nothing is built beforehand: kernels are compiled when first used (Triton keeps them), and every call replays a CUDA
graph. Convolutions take and give f16 (or bf16, f32) and sum in float32; what is between them is float32.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engines.device.errors import device_errors
from engines.device.lanes import IN_FLIGHT, Lanes
from engines.torch import DTYPES, reason
from vidstyle import network
from vidstyle.choice import MATCHING_TORCH, choose
from vidstyle.engine import EngineSpec, Recipe, check_batch, check_shares
from vidstyle.errors import EngineError
from vidstyle.network import Architecture, Weights, prepare

#: compute capability from which a card has the arithmetic
CAPABILITY = {"f32": (7, 0), "f16": (7, 0), "bf16": (8, 0)}


class CudaEngine:
    """See `vidstyle.engine.DeviceEngine`.

    Args:
        device: where it runs, from `usable_device`. On the CPU (for tests) kernels need Triton's interpreter.
    """

    def __init__(self, recipe: Recipe, spec: EngineSpec, device: torch.device) -> None:
        from engines.cuda.fused import Plan  # imports triton, whose absence `load` has named by now
        from engines.cuda.trials import Measured, Remembered

        precision = "f16" if spec.precision == "auto" else spec.precision
        in_flight = spec.in_flight or IN_FLIGHT
        self.spec = replace(spec, device=str(device), precision=precision, threads=1, in_flight=in_flight)
        self._device, self._shares = device, None if recipe.is_plain else recipe.shares
        cards = [(style.card.architecture, style.weights) for style, _ in recipe.parts]
        dtype = DTYPES[precision]
        trial = None
        if device.type == "cuda":
            trial = Remembered(self._key(cards), Measured(spec.max_batch, device, dtype))
        with device_errors(device), torch.inference_mode(), _convolving():
            self._plans = [
                Plan(arch, prepare(arch, weights), spec.height, spec.width, dtype, device, trial)
                for arch, weights in cards
            ]
        if trial is not None:
            trial.keep()
        styles = 0 if self._shares is None else len(self._plans)
        self._lanes = Lanes(device, self.spec, lambda _: self._translate, graph=True, styles=styles)
        self.description = f"{_versions()} on {_name(device)}, {precision}, {in_flight} in flight"

    def _key(self, cards: Sequence[tuple[Architecture, Weights]]) -> str:
        """What the quickest way of each convolution depends on."""
        spec = self.spec
        size = spec.height, spec.width, spec.max_batch, spec.precision
        code = [path.read_bytes() for path in (*sorted(Path(__file__).parent.glob("*.py")), Path(network.__file__))]
        card = torch.cuda.get_device_name(self._device), torch.version.cuda, torch.__version__, _versions()
        return repr(([arch for arch, _ in cards], size, card, hashlib.sha256(b"".join(code)).hexdigest()))

    @torch.inference_mode()
    def _translate(self, frames: Tensor, shares: Tensor | None) -> Tensor:
        """uint8 [n, height, width, 3] to the same, on the current stream."""
        from engines.cuda.launches import Mixture

        out, several = torch.empty_like(frames), len(self._plans) > 1
        total = torch.empty(frames.shape, dtype=torch.float32, device=frames.device) if several else None
        with _convolving():
            for i, plan in enumerate(self._plans):
                plan.run(frames, out, Mixture(shares, total, i, len(self._plans)))
        return out

    def submit(self, batch: np.ndarray) -> Callable[[], np.ndarray]:
        if self._returns_source(batch):
            source = np.array(batch, order="C")
            return lambda: source
        return self._lanes.submit(batch, self._shares)

    def submit_on_device(self, batch: Tensor) -> Callable[[], Tensor]:
        if batch.device != self._device:
            raise EngineError(f"the engine takes pictures on {self._device}, got them on {batch.device}")
        if self._returns_source(batch):
            source = batch.clone(memory_format=torch.contiguous_format)
            return lambda: source
        return self._lanes.submit_on_device(batch, self._shares)

    def _returns_source(self, batch: Any) -> bool:
        """Whether all shares are 0, where the result is the source to the byte; checks the batch."""
        if not self._plans:
            raise EngineError("the engine is closed: load it again")
        check_batch(batch, self.spec)
        return self._shares is not None and not self._shares.any()

    def set_shares(self, shares: np.ndarray) -> None:
        """Change the share of each style, float32 [styles], from the next `submit` on (see `Recipe.shares`)."""
        self._shares = check_shares(shares, self._shares)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return self.submit(batch)()

    def close(self) -> None:
        """Wait for what is under way, whose results are kept, and free the device's memory."""
        self._lanes.close()
        self._plans.clear()

    def __enter__(self) -> CudaEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _convolving() -> Any:
    """cuDNN tries its ways once for each shape; float32 stays float32."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)


def load(recipe: Recipe, spec: EngineSpec) -> CudaEngine:
    device = usable_device(spec.device, spec.precision)
    if find_spec("triton") is None:
        package = "triton-windows" if sys.platform == "win32" else "triton"
        raise EngineError(f"the cuda engine needs Triton, which is not installed: pip install {package}")
    with torch.cuda.device(device):
        return CudaEngine(recipe, spec, device)


def usable_device(name: str, precision: str) -> torch.device:
    """The CUDA device called ``name`` ("auto" and "cuda" are the first), which computes in ``precision``.

    Raises:
        EngineError: it is not to be had; says what would help.
    """
    _, name = choose("cuda", name)
    if not name.startswith("cuda"):
        raise EngineError(f"the cuda engine runs on NVIDIA GPUs alone, not on {name!r}: leave out --engine")
    try:
        torch.cuda.init()
        device = torch.device(name)
        capability = torch.cuda.get_device_capability(device)
    except (RuntimeError, AssertionError) as error:
        remedy = f"update NVIDIA's driver, or fit torch to it: {MATCHING_TORCH}"
        raise EngineError(f"torch has no device {name!r} here: {reason(error)}: {remedy}") from error
    _check_capability(device, capability, "f16" if precision == "auto" else precision)
    return device


def _check_capability(device: torch.device, have: tuple[int, int], precision: str) -> None:
    if have < (need := CAPABILITY[precision]):
        remedy = "use --precision f16" if have >= CAPABILITY["f16"] else "use --device cpu"
        version, needed = ("{}.{}".format(*pair) for pair in (have, need))
        card = f"{device} ({torch.cuda.get_device_name(device)})"
        raise EngineError(f"{card} has compute capability {version}, {precision} needs {needed}: {remedy}")


def _versions() -> str:
    import triton

    cudnn = torch.backends.cudnn.version() if torch.version.cuda else None  # 91002 is 9.10.2
    with_cudnn = f" + cuDNN {cudnn // 10000}.{cudnn // 100 % 100}" if cudnn else ""
    return f"Triton {triton.__version__}{with_cudnn}"


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
