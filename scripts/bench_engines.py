"""Measure engines alone: a published network against its own output, the looks against it; parts of `scripts/bench`."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidstyle.catalog import find_style
from vidstyle.engine import EngineSpec, Recipe, load_engine
from vidstyle.network import Architecture, Weights, layers
from vidstyle.style import Card, Style


@dataclass(frozen=True)
class Row:
    """One printed figure. ``good``: None where there is no target."""

    name: str
    value: str
    target: str = ""
    good: bool | None = None


def teacher(path: Path | None) -> Style:
    """The published network; without a file, one of its shape with random weights: as slow."""
    from vidstyle.importer import import_published

    if path is not None:
        return import_published(path, "teacher")
    arch, rng = Architecture("ttn"), np.random.default_rng(0)
    weights: Weights = {}
    for name, layer in layers(arch).items():
        shape = (layer.out, layer.inp, layer.k, layer.k)
        weights[f"{name}.weight"] = (rng.standard_normal(shape) * (layer.inp * layer.k**2) ** -0.5).astype(np.float32)
        weights[f"{name}.bias"] = np.zeros(layer.out, np.float32)
    return Style(Card("teacher", "", arch, "", "", sha256="random"), weights)


def bench_parity(args: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """The published network against its own output."""
    del folder
    if args.teacher is None or args.parity is None:
        yield Row("published network against its own output", "not measured: give --teacher and --parity")
        return
    with np.load(args.parity) as stored:
        image, expected = stored["input_bgr"][..., ::-1], stored["output_bgr"][..., ::-1]
    for engine in ("openvino", "torch"):
        spec = EngineSpec(*image.shape[:2], precision="f32")
        with load_engine(Recipe(((teacher(args.teacher), 1.0),)), spec, engine) as loaded:
            worst = int(np.abs(loaded(image[None])[0].astype(int) - expected).max())
        yield Row(f"published network, {engine} f32: worst difference of 255", str(worst), "<= 1", worst <= 1)


def bench_engines(args: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """The style, in the usual precision and in eight bits, against the published network; 720p, all cores."""
    del folder
    image = np.random.default_rng(0).integers(0, 255, (1, 720, 1280, 3), np.uint8)
    ours = find_style(args.style)
    peers = {"ours": (ours, "auto", 8), "int8": (ours, "int8", 8), "published": (teacher(args.teacher), "auto", 2)}
    times: dict[str, list[float]] = {name: [] for name in peers}
    precision = ""
    for _ in range(args.rounds):
        for name, (style, wanted, count) in peers.items():
            with load_engine(Recipe(((style, 1.0),)), EngineSpec(720, 1280, precision=wanted)) as engine:
                engine(image)
                started = time.perf_counter()
                for _ in range(count):
                    engine(image)
                times[name].append((time.perf_counter() - started) / count)
                precision = engine.spec.precision if name == "ours" else precision
    mine, eight, published = (statistics.median(times[name]) for name in ("ours", "int8", "published"))
    yield Row(f"network alone, 720p, {precision}, ms: ours, published", f"{mine * 1e3:.1f}, {published * 1e3:.0f}")
    yield Row("  ours is faster by", f"{published / mine:.1f} times", ">= 12", published / mine >= 12)
    yield Row(f"  ours in int8, ms; against {precision}", f"{eight * 1e3:.1f}; {mine / eight:.2f} times")
