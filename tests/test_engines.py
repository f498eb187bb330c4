"""One contract for every engine; each result is measured against the definition run in float64.

f32 may round a value that lies on a half to the other side, so engines differ by one level at most. bf16
keeps 8 bits of a factor (4e-3), so its errors are a few levels where a picture has strong edges, and
well below one on average.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch
from style_files import random_weights

from engines import openvino as openvino_engine
from engines.torch import Network
from vidstyle.engine import Engine, EngineSpec, Recipe, load_engine
from vidstyle.errors import EngineError, UsageError
from vidstyle.network import Architecture
from vidstyle.style import Card, Style, weights_sha256

NATIVE_BF16 = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
BF16 = pytest.param("openvino", "bf16", marks=pytest.mark.skipif(not NATIVE_BF16, reason="no bf16 on this CPU"))
F32 = [("openvino", "f32"), ("torch", "f32")]
ENGINES = pytest.mark.parametrize(("engine", "precision"), [*F32, BF16, ("torch", "bf16")])
EXACT_ENGINES = pytest.mark.parametrize(("engine", "precision"), F32)
ARCHITECTURES = {
    "ttn": Architecture("ttn"),
    "student": Architecture("student", (16, 24, 32), (1, 0, 1), (0, 1, 0), guided=False),
}
SIZES = [(1, 1), (2, 3), (17, 31), (64, 64), (50, 62), (101, 67)]


@cache
def style(name: str, seed: int = 0) -> Style:
    """A style of random weights whose results mostly stay within the range of a picture."""
    arch = ARCHITECTURES[name]
    weights = random_weights(arch, seed)
    if name == "ttn":
        weights["conv9.weight"] *= 0.2
    card = Card(f"{name}{seed}", "A test's look", arch, "Apache-2.0", "made by a test", sha256=weights_sha256(weights))
    return Style(card, weights)


def plain(name: str) -> Recipe:
    return Recipe(((style(name), 1.0),))


def pictures(n: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 [n, height, width, 3]: soft shapes with some noise, as pictures are."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width, None] if False else np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    phase = rng.uniform(0, 6, (n, 1, 1, 3))
    waves = np.sin(y[None, ..., None] / 7 + phase) * np.cos(x[None, ..., None] / 9 + phase) * 100 + 128
    return (waves + rng.normal(0, 8, waves.shape)).clip(0, 255).astype(np.uint8)


def reference(name: str, batch: np.ndarray) -> np.ndarray:
    """float64 [n, height, width, 3] in levels, clipped, not rounded."""
    x = torch.from_numpy(batch.astype(np.float64) / 127.5 - 1).permute(0, 3, 1, 2)
    with torch.no_grad():
        y = Network(style(name).card.architecture, style(name).weights).double()(x)
    return ((y.permute(0, 2, 3, 1).numpy() + 1) * 127.5).clip(0, 255)


def load(engine: str, precision: str, recipe: Recipe, height: int = 24, width: int = 40, **spec: int) -> Engine:
    return load_engine(recipe, EngineSpec(height, width, precision=precision, **spec), engine)


@ENGINES
@pytest.mark.parametrize("size", SIZES, ids=lambda size: "{}x{}".format(*size))
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_size_gives_what_the_definition_gives(engine: str, precision: str, name: str, size: tuple[int, int]) -> None:
    batch = pictures(1, *size)
    with load(engine, precision, plain(name), *size) as network:
        got = network(batch)
    assert got.dtype == np.uint8 and got.shape == batch.shape
    error = np.abs(got - reference(name, batch))
    if precision == "f32":
        assert error.max() < 0.51  # half a level is the rounding
    else:
        assert error.mean() < 1 and error.max() < 8
