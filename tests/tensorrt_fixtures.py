"""TensorRT where there is none: see `fake_tensorrt`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_tensorrt import Behaviour, fake_tensorrt, fake_torch_tensorrt

from vidstyle import choice
from vidstyle.choice import Machine
from vidstyle.engine import EngineSpec
from vidstyle.style import Style

GPU = Machine(gpus=1, driver=580, torch="2.13.0+cu130", cuda="13.0", triton=True)


@pytest.fixture
def behaviour(home: Path, monkeypatch: pytest.MonkeyPatch) -> Behaviour:  # noqa: ARG001 - an empty cache
    """The fakes in place of the packages, and the CPU in place of a GPU; a home of this test alone."""
    from engines import tensorrt
    from engines.tensorrt import builder as tensorrt_build
    from engines.tensorrt import runtime as tensorrt_runtime

    behaviour = Behaviour()
    monkeypatch.setattr(choice, "this_machine", lambda: GPU)
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt(behaviour))
    monkeypatch.setitem(sys.modules, "torch_tensorrt", fake_torch_tensorrt(behaviour))
    monkeypatch.setattr(tensorrt, "cuda_device", lambda _: torch.device("cpu"))
    monkeypatch.setattr(tensorrt, "device_of", lambda _: nullcontext())
    monkeypatch.setattr(tensorrt, "gpu_name", lambda _: "Fake H200, 9.0")
    monkeypatch.setattr(tensorrt_runtime, "stream_of", lambda _: 7)
    monkeypatch.setattr(tensorrt_build, "no_tensorrt", lambda _: "")
    monkeypatch.setattr(tensorrt, "build", _quick(tensorrt_build.build, behaviour))
    return behaviour


def _quick(build: Callable[..., tuple[bytes, float]], behaviour: Behaviour) -> Callable[..., tuple[bytes, float]]:
    """The real build, but each once in this process: an export takes a second."""

    def quick(style: Style, spec: EngineSpec, *rest: Any) -> tuple[bytes, float]:
        key = (style.name, spec.height, spec.width, spec.max_batch, spec.precision, behaviour.off_by, rest)
        if behaviour.fails or key not in _BUILT:
            _BUILT[key] = build(style, spec, *rest)
        else:
            behaviour.builds.append({})
        return _BUILT[key]

    return quick


_BUILT: dict[Any, tuple[bytes, float]] = {}
