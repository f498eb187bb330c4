"""The engine contract, and the one place that picks an engine."""

from __future__ import annotations

import hashlib
import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from vidstyle.choice import choose
from vidstyle.errors import EngineError, UsageError
from vidstyle.style import Style, weights_sha256

PRECISIONS = ("auto", "f32", "bf16", "f16", "int8")


@dataclass(frozen=True)
class EngineSpec:
    """What an engine is built for; fixed for its life.

    Attributes:
        height, width: of every picture, any values >= 1.
        max_batch: most pictures per call.
        precision: "f32", "bf16", "f16", "int8" (OpenVINO alone, see `vidstyle.int8`), or "auto": the fastest of the
            first three that is right on this device.
        device: "auto", or "cpu"; an engine may know more ("gpu", "npu" for OpenVINO, "cuda:0" for the others).
        threads: CPU threads, 0 for all cores.
        in_flight: calls that may run at one time; 1 gives the lowest latency, 0 the best throughput.
    """

    height: int
    width: int
    max_batch: int = 1
    precision: str = "auto"
    device: str = "auto"
    threads: int = 0
    in_flight: int = 1

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise UsageError(f"threads is {self.threads}: expected 0 for all cores, or how many")
        if min(self.height, self.width, self.max_batch) < 1 or self.in_flight < 0:
            raise UsageError(f"an engine needs positive sizes, got {self}")
        if self.precision not in PRECISIONS:
            raise UsageError(f"unknown precision {self.precision!r}: one of {', '.join(PRECISIONS)}")


@dataclass(frozen=True)
class Recipe:
    """The look to give: one or several styles with their shares, and how much of it.

    The result is source + sum of share * (style(source) - source); ``strength`` scales every share.
    """

    parts: tuple[tuple[Style, float], ...]
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not self.parts:
            raise UsageError("a look needs at least one style")
        if not 0 <= self.strength <= 1:
            raise UsageError(f"strength is {self.strength:g}; expected 0 (the source) to 1 (the full look)")
        if any(not share > 0 for _, share in self.parts):
            raise UsageError("the share of a style must be above 0, as in anime:0.6+3d:0.4")
        if not sum(share for _, share in self.parts) < math.inf:  # each would be nothing of it
            raise UsageError("the shares of the styles are too large to be added: give them as in anime:0.6+3d:0.4")

    @property
    def name(self) -> str:
        return "+".join(style.name for style, _ in self.parts)

    @property
    def shares(self) -> np.ndarray:
        """float32 [number of styles], summing to ``strength``."""
        shares = np.array([share for _, share in self.parts], np.float64)
        return (shares / shares.sum() * self.strength).astype(np.float32)

    @property
    def is_plain(self) -> bool:
        """One style at full strength: the network's own output."""
        return len(self.parts) == 1 and self.strength == 1

    def key(self) -> str:
        """Digest that names a compiled form: architectures and weights, not the shares."""
        parts = [
            f"{style.card.architecture}{style.card.sha256 or weights_sha256(style.weights)}" for style, _ in self.parts
        ]
        return hashlib.sha256(f"{self.is_plain}|{'|'.join(parts)}".encode()).hexdigest()[:24]


@runtime_checkable
class Engine(Protocol):
    """A recipe loaded in a runtime for a fixed spec. A context manager; not shared between threads.

    ``engine(batch)`` takes uint8 [n, height, width, 3] RGB with 1 <= n <= max_batch and gives as many.
    ``submit(batch)`` starts the same and returns a function that waits for the result; the batch's memory
    may be used again at once. With ``spec.in_flight`` under way it first waits for the oldest.
    ``set_shares`` changes a mix's shares (`Recipe.shares`) from the next `submit` on.
    """

    @property
    def spec(self) -> EngineSpec: ...  # every "auto" and 0 as it came out
    @property
    def description(self) -> str: ...  # for people: "OpenVINO 2026.4 on AMD EPYC, bf16, 2 threads"

    def __call__(self, batch: np.ndarray) -> np.ndarray: ...
    def submit(self, batch: np.ndarray) -> Callable[[], np.ndarray]: ...
    def set_shares(self, shares: np.ndarray) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Engine: ...
    def __exit__(self, *exc: object) -> None: ...


@runtime_checkable
class DeviceEngine(Engine, Protocol):
    """An engine that also takes pictures which are in its device's memory, and leaves the results there.

    ``submit_on_device(batch)`` is `Engine.submit` for a torch uint8 tensor [n, height, width, 3] on ``spec.device``.
    What the current stream has under way for the batch is waited for on the device. The function it returns gives
    a tensor of the caller's own, complete for what the current stream does after; it does not block the host.
    """

    def submit_on_device(self, batch: Any) -> Callable[[], Any]: ...


def check_batch(batch: Any, spec: EngineSpec) -> int:
    """The number of pictures in ``batch``, an array or a torch tensor.

    Raises:
        EngineError: it is not what an engine of ``spec`` takes.
    """
    want = (spec.height, spec.width, 3)
    is_uint8 = str(batch.dtype) in ("uint8", "torch.uint8")
    if batch.ndim != 4 or tuple(batch.shape[1:]) != want or not is_uint8 or not 1 <= len(batch) <= spec.max_batch:
        shape = f"uint8 [1..{spec.max_batch}, {spec.height}, {spec.width}, 3]"
        raise EngineError(f"the engine takes {shape}, got {batch.dtype} {list(batch.shape)}")
    return len(batch)


def check_shares(shares: np.ndarray, present: np.ndarray | None) -> np.ndarray:
    """``shares`` as float32, to take the place of ``present``.

    Raises:
        EngineError: the engine mixes nothing, or another number of styles.
    """
    if present is None:
        raise EngineError("this engine was built for one style at full strength: build it again to mix")
    checked = np.array(shares, np.float32)
    if checked.shape != present.shape or not np.isfinite(checked).all():
        raise EngineError(f"the engine takes {len(present)} finite shares, got {checked.tolist()}")
    return checked


#: engine by name -> the module that has `load(recipe, spec) -> Engine`
ENGINES = {
    "openvino": "engines.openvino",
    "torch": "engines.torch",
    "cuda": "engines.cuda",
    "tensorrt": "engines.tensorrt",
}
#: of those that compute parts of a picture, the module that has `load_part` (see `vidstyle.live.partial`)
PARTS = {"openvino": "engines.openvino.parts"}
REMEDY = {
    "openvino": "pip install openvino",
    "torch": "pip install 'vidstyle[torch]'",
    "cuda": "pip install 'vidstyle[torch]'",
    "tensorrt": "pip install 'vidstyle[tensorrt]'",
}


def load_engine(recipe: Recipe, spec: EngineSpec, engine: str = "auto") -> Engine:
    """Load ``recipe`` for ``spec`` in the runtime named ``engine``; "auto": see `vidstyle.choice.choose`.

    Raises:
        EngineError: the runtime is missing, or the device or precision is not to be had. There is no
            silent fallback from a named choice.
        OutOfMemoryError: the device has too little memory for this size and batch.
    """
    if engine not in ("auto", *ENGINES):
        raise UsageError(f"unknown engine {engine!r}: auto, or one of {', '.join(ENGINES)}")
    engine, device = choose(engine, spec.device)
    spec = replace(spec, device=device)
    if spec.precision == "int8" and engine != "openvino":
        raise EngineError(f"the {engine} engine has no int8: use --precision auto, or --engine openvino --device cpu")
    try:
        module = importlib.import_module(ENGINES[engine])
    except ImportError as error:
        raise EngineError(f"the {engine} engine cannot be loaded ({error}): {REMEDY[engine]}") from error
    return module.load(recipe, spec)
