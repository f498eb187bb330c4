"""OpenVINO: the default engine, on any CPU (and Intel GPUs and NPUs), without torch.

The model is built in memory from `vidstyle.network`, one operation of OpenVINO per operation of ours;
nothing is converted from another format. The compiled model is kept by `vidstyle.compiled`: OpenVINO's
own cache grows without limit and takes damaged weights for good ones (black pictures).
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engines.openvino import ops
from engines.openvino.core import (
    CORE,
    choose_precision,
    compile_options,
    device_name,
    failure,
    native_precisions,
    op,
    ov,
    reason,
)
from engines.openvino.ops import from_pixels, operations, to_pixels
from vidstyle import compiled, int8, network
from vidstyle.cores import usable_cores
from vidstyle.engine import EngineSpec, Recipe, check_batch, check_shares
from vidstyle.errors import EngineError
from vidstyle.network import run

log = logging.getLogger(__name__)

#: what a compiled model depends on besides its weights: how the graph is built
_SOURCES = (__file__, ops.__file__, network.__file__, int8.__file__)
_CODE = hashlib.sha256(b"".join(Path(source).read_bytes() for source in _SOURCES)).hexdigest()[:16]


def build_model(recipe: Recipe, height: int, width: int, batch: int, precision: str = "f32") -> ov.Model:
    """The graph for ``recipe``: uint8 [batch, height, width, 3] RGB in and out; all but "int8" are the same graph.

    A recipe that is not plain has a second input, float32 [styles]: the share of each style. The
    strength can so change from picture to picture without compiling again. Looks are clipped before they are
    mixed: a half of the strength is the middle between two pictures.
    """
    frames = op.parameter([batch, height, width, 3], np.uint8, name="frames")
    x = from_pixels(frames)
    styled = [run(operations(style, precision), style.card.architecture, x) for style, _ in recipe.parts]
    inputs = [frames]
    if recipe.is_plain:
        y = styled[0]
    else:
        shares = op.parameter([len(styled)], np.float32, name="shares")
        inputs.append(shares)
        y = x
        for i, look in enumerate(styled):
            share = op.gather(shares, op.constant(np.int64(i)), op.constant(np.int64(0)))
            change = op.subtract(op.clamp(look, -1.0, 1.0), x)
            y = op.add(y, op.multiply(change, share))
    return ov.Model([to_pixels(y)], inputs, "vidstyle")


class _Call:
    """A batch under way; calling it waits for the result, in any order and as often as wanted."""

    def __init__(self, request: Any, n: int, release: Callable[[_Call], None]) -> None:
        self.request = request
        self._n, self._release = n, release
        self._outcome: np.ndarray | EngineError | None = None

    def finish(self) -> np.ndarray | EngineError:
        """Wait, copy the result out of the request, and release the request for the next batch."""
        if self._outcome is None:
            try:
                self.request.wait()
                self._outcome = self.request.get_output_tensor(0).data[: self._n].copy()
            except (RuntimeError, MemoryError) as error:
                self._outcome = failure("OpenVINO failed on a picture", error)
            self._release(self)
            self.request = None  # it holds the network's memory, which may outlive the engine otherwise
        return self._outcome

    def __call__(self) -> np.ndarray:
        outcome = self.finish()
        if isinstance(outcome, EngineError):
            raise outcome
        return outcome


class OpenVINOEngine:
    """See `vidstyle.engine.Engine`. A batch is copied at `submit`: the caller may then reuse its memory."""

    def __init__(self, recipe: Recipe, spec: EngineSpec) -> None:
        device = device_name(spec.device)
        precision = choose_precision(spec.precision, device, native_precisions(device))
        lacking = [style.name for style, _ in recipe.parts if not style.ranges]
        if precision == "int8" and lacking:
            raise EngineError(f"the look {lacking[0]} has no ranges for int8: use --precision auto")
        threads = spec.threads or usable_cores()
        in_flight = spec.in_flight or threads + 1  # one waits while every thread works
        self.spec = replace(spec, device=device.lower(), precision=precision, threads=threads, in_flight=in_flight)
        self._shares = None if recipe.is_plain else recipe.shares
        try:
            model = _compile(recipe, self.spec, device)
            self._free = [model.create_infer_request() for _ in range(in_flight)]
            name = CORE.get_property(device, "FULL_DEVICE_NAME")
        except (RuntimeError, MemoryError) as error:
            raise failure(f"OpenVINO cannot build it for {device} at {precision}", error) from error
        self._running: deque[_Call] = deque()
        self._closed = False
        where = f"{name}, {precision}" + (f", {threads} threads" if device == "CPU" else "")
        self.description = f"OpenVINO {ov.__version__.split('-')[0]} on {where}"

    def submit(self, batch: np.ndarray) -> Callable[[], np.ndarray]:
        if self._closed:
            raise EngineError("the engine is closed: load it again")
        n = check_batch(batch, self.spec)
        if self._shares is not None and not self._shares.any():  # strength 0: the source, to the byte
            source = np.array(batch, order="C")
            return lambda: source
        if not self._free:  # wait for the oldest, whose result then waits in its call
            self._running[0].finish()
        request = self._free.pop()
        request.get_input_tensor(0).data[:n] = batch
        if self._shares is not None:
            request.get_input_tensor(1).data[:] = self._shares
        request.start_async()
        self._running.append(_Call(request, n, self._release))
        return self._running[-1]

    def _release(self, call: _Call) -> None:
        self._running.remove(call)
        self._free.append(call.request)

    def set_shares(self, shares: np.ndarray) -> None:
        """Change the share of each style, float32 [styles], from the next `submit` on (see `Recipe.shares`)."""
        self._shares = check_shares(shares, self._shares)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return self.submit(batch)()

    def close(self) -> None:
        """Stop what is under way and free the network; results not yet waited for may be lost."""
        self._closed = True
        for call in self._running:
            call.request.cancel()
        for call in list(self._running):
            call.finish()
        self._free.clear()

    def __enter__(self) -> OpenVINOEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def load(recipe: Recipe, spec: EngineSpec) -> OpenVINOEngine:
    return OpenVINOEngine(recipe, spec)


def _compile(recipe: Recipe, spec: EngineSpec, device: str) -> Any:
    """The compiled model, from the user's cache where the same was compiled before."""
    options = compile_options(spec)
    shape = spec.max_batch, spec.height, spec.width
    ranges = [style.ranges for style, _ in recipe.parts] if spec.precision == "int8" else None
    name = CORE.get_property(device, "FULL_DEVICE_NAME")
    key = repr((ov.__version__, name, options, shape, recipe.key(), ranges, _CODE))
    if (stored := compiled.fetch("openvino", key)) is not None:
        try:
            return CORE.import_model(io.BytesIO(stored), device, options)
        except RuntimeError as error:
            log.info("a stored network was refused, compiling again: %s", reason(error))
    model = CORE.compile_model(build_model(recipe, *shape[1:], spec.max_batch, spec.precision), device, options)
    try:
        compiled.store("openvino", key, model.export_model().getvalue())
    except RuntimeError as error:  # some devices cannot
        log.info("the compiled network cannot be kept: %s", reason(error))
    return model
