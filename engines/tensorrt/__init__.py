"""TensorRT: an engine built once for one size of picture on one GPU, kept by `vidstyle.built` (extra ``tensorrt``).

    frames, uint8 ─▶ levels less 127.5, NCHW ─▶ one TensorRT engine a style ─▶ levels ─▶ mixed, uint8 NHWC

One `ICudaEngine` a style serves every lane of `engines.device.lanes`, with an execution context in each. A mix is made
outside of TensorRT from whole looks: so changed shares, and other mixes of the same styles, need no build.

The names used of TensorRT are the same from 10.1 to 11.x, and in TensorRT for RTX cards:
https://docs.nvidia.com/deeplearning/tensorrt/latest/_static/python-api/infer/Core/ExecutionContext.html
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engines.device.errors import device_errors
from engines.device.lanes import IN_FLIGHT, Lanes
from engines.tensorrt.builder import CODE, build
from engines.tensorrt.runtime import (
    Plan,
    RefusedError,
    Run,
    cuda_device,
    device_of,
    empty_cache,
    gpu_name,
    import_tensorrt,
    runtime_name,
)
from vidstyle import built
from vidstyle.building import LEAST_PSNR, picture, psnr, reference
from vidstyle.built import BUILD, Key, Record
from vidstyle.engine import EngineSpec, Recipe, check_batch, check_shares
from vidstyle.errors import EngineError
from vidstyle.style import Style

LEVELS = (3, "none")  # TensorRT's own
PULSE = 30.0  # seconds


class TensorRTEngine:
    """See `vidstyle.engine.DeviceEngine`. ``records`` tell what is known of the built engines it runs."""

    def __init__(self, recipe: Recipe, spec: EngineSpec) -> None:
        trt = import_tensorrt()
        device = cuda_device(spec.device)
        precision = "f16" if spec.precision == "auto" else spec.precision
        in_flight = spec.in_flight or IN_FLIGHT
        self.spec = replace(spec, device=str(device), precision=precision, threads=1, in_flight=in_flight)
        self._shares = None if recipe.is_plain else recipe.shares
        with device_errors(device), device_of(device):
            self._plans = [obtain(trt, style, self.spec, device) for style, _ in recipe.parts]
        self.records = [plan.record for plan in self._plans]
        styles = 0 if self._shares is None else len(self._plans)
        self._lanes = Lanes(device, self.spec, lambda _: self._lane(device), graph=True, styles=styles)
        self.description = f"{runtime_name(trt)} on {gpu_name(device).split(',')[0]}, {precision}"

    def _lane(self, device: torch.device) -> Callable[[Tensor, Tensor | None], Tensor]:
        with device_of(device):  # TensorRT makes contexts on the current one
            runs = [Run(plan, self.spec, device) for plan in self._plans]
        out = torch.empty((self.spec.max_batch, self.spec.height, self.spec.width, 3), dtype=torch.uint8, device=device)

        def function(frames: Tensor, shares: Tensor | None) -> Tensor:
            looks = [run(frames) for run in runs]
            return out.copy_(looks[0] if shares is None else _mixed(frames, looks, shares))

        return function

    def submit(self, batch: np.ndarray) -> Callable[[], np.ndarray]:
        if self._returns_source(batch):
            source = np.array(batch, order="C")
            return lambda: source
        return self._lanes.submit(batch, self._shares)

    def submit_on_device(self, batch: Tensor) -> Callable[[], Tensor]:
        if str(batch.device) != self.spec.device:
            raise EngineError(f"the engine takes pictures on {self.spec.device}, got them on {batch.device}")
        if self._returns_source(batch):
            copy = batch.clone()
            return lambda: copy
        return self._lanes.submit_on_device(batch, self._shares)

    def _returns_source(self, batch: Any) -> bool:
        """Whether all shares are 0, where the result is the source to the byte; checks the batch."""
        if not self._plans:
            raise EngineError("the engine is closed: load it again")
        check_batch(batch, self.spec)
        return self._shares is not None and not self._shares.any()

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return self.submit(batch)()

    def set_shares(self, shares: np.ndarray) -> None:
        """Change the share of each style, float32 [styles], from the next `submit` on (see `Recipe.shares`)."""
        self._shares = check_shares(shares, self._shares)

    def close(self) -> None:
        self._lanes.close()
        self._plans.clear()

    def __enter__(self) -> TensorRTEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def load(recipe: Recipe, spec: EngineSpec) -> TensorRTEngine:
    return TensorRTEngine(recipe, spec)


def _mixed(frames: Tensor, looks: list[Tensor], shares: Tensor) -> Tensor:
    source = frames.float()
    mixed = source + sum(share * (look.float() - source) for share, look in zip(shares, looks, strict=True))
    return mixed.round().clamp(0, 255)


def obtain(trt: Any, style: Style, spec: EngineSpec, device: torch.device) -> Plan:
    """The verified engine of one style: the one in the store, else a new one, which is then stored.

    Raises:
        EngineError: there is none and none may be built, or it cannot be built, or a new one is wrong, too.
        OutOfMemoryError.
    """
    settings = BUILD.get()
    key = _key(trt, style, spec, device, settings.levels or LEVELS)
    if not settings.force and (plan := _stored(trt, key, style, spec, device)):
        return plan
    if not built.may_build():
        line = f"vidstyle build-engine --style {style.name} --size {spec.height}x{spec.width} --batch {spec.max_batch}"
        raise EngineError(f"no TensorRT engine is built for {_words(key, style)}, and none may be now: {line}")
    with built.building(key):
        if not settings.force and (plan := _stored(trt, key, style, spec, device)):  # another process built it
            return plan
        return _new(trt, key, style, spec, device)


def _stored(trt: Any, key: Key, style: Style, spec: EngineSpec, device: torch.device) -> Plan | None:
    settings = BUILD.get()
    found = built.fetch(key, any_level=settings.levels is None)
    if found is None:
        return None
    try:
        plan = Plan(trt, found[1], found[0])
        _checked(plan, style, spec, device)
    except RefusedError as error:
        settings.tell(f"the built engine of {_words(key, style)} is refused: {error}; building again")
        built.remove(found[0].key.digest)
        return None
    return plan


def _new(trt: Any, key: Key, style: Style, spec: EngineSpec, device: torch.device) -> Plan:
    tell = BUILD.get().tell
    tell(f"building a TensorRT engine of {_words(key, style)}: once, it may take some minutes")
    with _pulse(tell):
        data, seconds = build(style, spec, device, key.optimization_level, key.tiling)
    record = Record(key, style.name, len(data), round(seconds, 1), 0.0)
    try:
        plan = Plan(trt, data, record)
        plan.record = replace(record, psnr=round(_checked(plan, style, spec, device), 2))
    except RefusedError as error:
        wrong = f"the new TensorRT engine of {_words(key, style)} is of no use: {error}"
        raise EngineError(f"{wrong}; use --precision f32, or --engine cuda") from error
    built.store(plan.record, data)
    tell(f"built in {seconds:.0f} s, {len(data) / 1e6:.1f} MB, {plan.record.psnr:.1f} dB against the reference")
    return plan


@contextmanager
def _pulse(tell: Callable[[str], None]) -> Iterator[None]:
    """Say every half a minute that it goes on: TensorRT's own progress cannot be had through torch-tensorrt."""
    done, start = threading.Event(), time.monotonic()

    def pulse() -> None:
        while not done.wait(PULSE):
            tell(f"still building, {time.monotonic() - start:.0f} s so far")

    thread = threading.Thread(target=pulse, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _checked(plan: Plan, style: Style, spec: EngineSpec, device: torch.device) -> float:
    """dB against the reference on a picture of the engine's size, the first and the last of a full batch.

    Raises:
        RefusedError: less than `LEAST_PSNR`.
    """
    image = picture(spec.height, spec.width)
    frames = torch.from_numpy(image).to(device).expand(spec.max_batch, *image.shape)
    styled = Run(plan, spec, device)(frames)[:: max(1, spec.max_batch - 1)].to(torch.uint8).cpu().numpy()
    right = reference(Recipe(((style, 1.0),)), spec, image)
    empty_cache(device)
    found = min(psnr(one, right) for one in styled)
    if found < LEAST_PSNR:
        raise RefusedError(f"it differs from the reference, {found:.1f} dB of at least {LEAST_PSNR:.0f}")
    return found


def _key(trt: Any, style: Style, spec: EngineSpec, device: torch.device, levels: tuple[int, str]) -> Key:
    return Key(
        "tensorrt",
        spec.height,
        spec.width,
        spec.max_batch,
        spec.precision,
        gpu_name(device),
        runtime_name(trt),
        str(torch.__version__),
        Recipe(((style, 1.0),)).key(),
        CODE,
        *levels,
    )


def _words(key: Key, style: Style) -> str:
    return f"{style.name} at {key.width}x{key.height}, batch {key.batch}, {key.precision}, on {key.gpu.split(',')[0]}"
