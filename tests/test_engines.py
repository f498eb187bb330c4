"""One contract for every engine; each result is measured against the definition run in float64.

Results are rounded to whole levels: half a level of error is none. f32 may round a value that lies on a
half to the other side, so that two engines differ by one level at most. bf16 keeps 8 bits of a factor
(errors of 4e-3, of either sign), which comes to a level or two at worst, and hardly shows in the mean.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from style_files import random_weights

from engines import openvino as openvino_engine
from engines.openvino.core import CORE, choose_precision  # through the engine: imported by itself it reports its use
from engines.torch import Network
from vidstyle.engine import Engine, EngineSpec, Recipe, load_engine
from vidstyle.errors import EngineError, OutOfMemoryError, UsageError
from vidstyle.network import Architecture
from vidstyle.style import Card, Style, weights_sha256

NATIVE_BF16 = "BF16" in CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
BF16 = pytest.param("openvino", "bf16", marks=pytest.mark.skipif(not NATIVE_BF16, reason="no bf16 on this CPU"))
F32 = [("openvino", "f32"), ("torch", "f32")]
ENGINES = pytest.mark.parametrize(("engine", "precision"), [*F32, BF16, ("torch", "bf16")])
EXACT_ENGINES = pytest.mark.parametrize(("engine", "precision"), F32)
ARCHITECTURES = {
    "ttn": Architecture("ttn"),
    "student": Architecture("student", (16, 24, 32), (1, 0, 1), (0, 1, 0), guided=False),
    "smooth": Architecture("student", (16, 24, 32), (1, 0, 1), (0, 1, 0), guided=False, smooth=True),
}
SIZES = [(1, 1), (2, 3), (17, 31), (64, 64), (50, 62), (101, 67)]


@cache
def style(name: str, seed: int = 0) -> Style:
    """A style of random weights; seed 0 mostly stays within the range of a picture, ttn's others go far beyond."""
    arch = ARCHITECTURES[name]
    weights = random_weights(arch, seed)
    if name == "ttn" and seed == 0:
        weights["conv9.weight"] *= 0.2
    card = Card(f"{name}{seed}", "A test's look", arch, "Apache-2.0", "made by a test", sha256=weights_sha256(weights))
    return Style(card, weights)


def plain(name: str) -> Recipe:
    return Recipe(((style(name), 1.0),))


def pictures(n: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 [n, height, width, 3]: soft shapes with some noise, as pictures are."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width][..., None]
    phase = rng.uniform(0, 6, (n, 1, 1, 3))
    waves = np.sin(y / 7 + phase) * np.cos(x / 9 + phase) * 100 + 128
    return (waves + rng.normal(0, 8, waves.shape)).clip(0, 255).astype(np.uint8)


@cache
def reference(name: str, height: int, width: int, seed: int = 0) -> np.ndarray:
    """The result for ``pictures(1, height, width)``: float64 in levels, clipped, not rounded."""
    batch = pictures(1, height, width)
    x = torch.from_numpy(batch.astype(np.float64) / 127.5 - 1).permute(0, 3, 1, 2)
    with torch.no_grad():
        y = Network(ARCHITECTURES[name], style(name, seed).weights).double()(x)
    return ((y.permute(0, 2, 3, 1).numpy() + 1) * 127.5).clip(0, 255)


def load(engine: str, precision: str, recipe: Recipe, height: int = 24, width: int = 40, **spec: int) -> Engine:
    return load_engine(recipe, EngineSpec(height, width, precision=precision, **({"threads": 1} | spec)), engine)


@ENGINES
@pytest.mark.parametrize("size", SIZES, ids=lambda size: "{}x{}".format(*size))
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_size_gives_what_the_definition_gives(engine: str, precision: str, name: str, size: tuple) -> None:
    batch = pictures(1, *size)
    with load(engine, precision, plain(name), *size) as network:
        got = network(batch)
    assert got.dtype == np.uint8 and got.shape == batch.shape
    error = np.abs(got - reference(name, *size))
    assert error.max() < (0.501 if precision == "f32" else 3)
    assert error.mean() < (0.501 if precision == "f32" or len(batch[0]) < 16 else 0.4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_engines_agree_to_a_level(name: str) -> None:
    batch = pictures(2, 50, 62, seed=1)
    with load(*F32[0], plain(name), 50, 62, max_batch=2) as one, load(*F32[1], plain(name), 50, 62, max_batch=2) as two:
        difference = one(batch).astype(int) - two(batch)
    assert np.abs(difference).max() <= 1 and np.count_nonzero(difference) < difference.size / 1000


@ENGINES
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_batch_gives_what_single_pictures_give(engine: str, precision: str, name: str) -> None:
    batch = pictures(3, 24, 40)
    with load(engine, precision, plain(name)) as single, load(engine, precision, plain(name), max_batch=4) as network:
        singles = np.concatenate([single(batch[i : i + 1]) for i in range(3)])
        for n in (3, 1, 2):  # fewer than four, and fewer than the time before
            difference = network(batch[:n]).astype(int) - singles[:n]
            assert np.abs(difference).max() <= 1  # a batch may be summed in another order


@EXACT_ENGINES
def test_any_layout_in_memory_is_taken(engine: str, precision: str) -> None:
    batch = pictures(2, 24, 40)
    read_only = batch.copy()
    read_only.flags.writeable = False
    scattered = np.ascontiguousarray(batch.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0)
    window = np.zeros((2, 30, 50, 4), np.uint8)[:, 3:27, 5:45, 2::-1]
    window[:] = batch
    with load(engine, precision, plain("student"), max_batch=2) as network:
        expected = network(batch)
        for layout in (read_only, scattered, window, batch[::-1][::-1]):
            np.testing.assert_array_equal(network(layout), expected)


@EXACT_ENGINES
def test_other_batches_are_refused(engine: str, precision: str) -> None:
    good = pictures(2, 24, 40)
    other_type = [good.astype(np.float32), good.astype(np.int8)]
    other_shape = [good[:, :23], good[..., :1], good[0], good[:0], np.concatenate([good, good]), np.array(0, np.uint8)]
    with load(engine, precision, plain("student"), max_batch=2) as network:
        for batch in other_type + other_shape:
            with pytest.raises(EngineError, match=r"the engine takes uint8 \[1\.\.2, 24, 40, 3\], got "):
                network(batch)
        network(good)  # and none of them did harm


@EXACT_ENGINES
def test_pictures_in_flight_give_the_same_in_any_order(engine: str, precision: str) -> None:
    batches = [pictures(1, 24, 40, seed) for seed in range(7)]
    with load(engine, precision, plain("student")) as single:
        expected = [single(batch) for batch in batches]
    with load(engine, precision, plain("student"), in_flight=3) as network:
        reused = np.empty_like(batches[0])
        waiting = []
        for batch in batches:  # more than three: the oldest are waited for on the way
            reused[:] = batch  # a batch is the caller's again once it is submitted
            waiting.append(network.submit(reused))
        for index in (6, 0, 3, 5, 1, 2, 4, 0, 6):  # and some are asked twice
            np.testing.assert_array_equal(waiting[index](), expected[index])


@EXACT_ENGINES
def test_results_are_the_callers_own(engine: str, precision: str) -> None:
    first, second = pictures(1, 24, 40, 1), pictures(1, 24, 40, 2)
    with load(engine, precision, plain("student")) as network:
        result = network(first)
        kept = result.copy()
        network(second)
        np.testing.assert_array_equal(result, kept)
        assert result.flags.writeable and result.flags.c_contiguous


@EXACT_ENGINES
def test_two_architectures_mix_by_their_shares(engine: str, precision: str) -> None:
    batch = pictures(1, 50, 62)
    looks = {name: reference(name, 50, 62, seed=1) for name in ARCHITECTURES}
    recipe = Recipe(((style("ttn", 1), 3.0), (style("student", 1), 1.0)), strength=0.8)
    assert (looks["ttn"] % 255 == 0).mean() > 0.3  # clipped before they are mixed

    def mixture(ttn: float, student: float) -> np.ndarray:
        return batch + ttn * (looks["ttn"] - batch) + student * (looks["student"] - batch)

    with load(engine, precision, recipe, 50, 62) as network:
        assert np.abs(network(batch) - mixture(0.6, 0.2)).max() < 0.51
        network.set_shares(np.array([0.1, 0.5], np.float32))  # type: ignore[attr-defined]
        assert np.abs(network(batch) - mixture(0.1, 0.5)).max() < 0.51
        network.set_shares(np.array([0, 0], np.float32))  # type: ignore[attr-defined]
        np.testing.assert_array_equal(network(batch), batch)


@ENGINES
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_strength_0_gives_the_source_and_1_the_look(engine: str, precision: str, name: str) -> None:
    every_level = np.arange(24 * 40 * 3, dtype=np.uint32).astype(np.uint8).reshape(1, 24, 40, 3)
    with (
        load(engine, precision, plain(name)) as full,
        load(engine, precision, Recipe(plain(name).parts, 0.0)) as network,
    ):
        np.testing.assert_array_equal(network(every_level), every_level)
        network.set_shares(np.array([1e-9], np.float32))  # type: ignore[attr-defined]
        np.testing.assert_array_equal(network(every_level), every_level)
        network.set_shares(np.array([1], np.float32))  # type: ignore[attr-defined]
        assert np.abs(network(every_level).astype(int) - full(every_level)).max() <= 1


@EXACT_ENGINES
def test_shares_are_checked(engine: str, precision: str) -> None:
    with load(engine, precision, Recipe(plain("student").parts, 0.5)) as network:
        for wrong in ([0.5, 0.5], [], [np.nan], [np.inf]):
            with pytest.raises(EngineError, match="finite shares"):
                network.set_shares(np.array(wrong, np.float32))  # type: ignore[attr-defined]
    with load(engine, precision, plain("student")) as network, pytest.raises(EngineError, match="build it again"):
        network.set_shares(np.array([0.5], np.float32))  # type: ignore[attr-defined]


@ENGINES
def test_the_spec_says_how_it_came_out(engine: str, precision: str) -> None:
    with load(engine, precision, plain("student"), max_batch=2, threads=1) as network:
        assert network.spec == EngineSpec(24, 40, 2, precision, "cpu", threads=1)
        assert isinstance(network, Engine)
        assert precision in network.description and "1 threads" in network.description
    with load_engine(plain("student"), EngineSpec(24, 40), engine) as network:
        assert network.spec.threads >= 1 and network.spec.precision in ("f32", "bf16")


@EXACT_ENGINES
def test_a_closed_engine_says_so(engine: str, precision: str) -> None:
    network = load(engine, precision, plain("ttn"), 200, 200, in_flight=2)
    waiting = [network.submit(pictures(1, 200, 200)) for _ in range(2)]
    network.close()
    network.close()
    for use in (network, network.submit):
        with pytest.raises(EngineError, match="closed"):
            use(pictures(1, 200, 200))
    for result in waiting:  # done in time, or a plain error; never stuck
        try:
            assert result().shape == (1, 200, 200, 3)
        except EngineError as error:
            assert "\n" not in str(error)


@EXACT_ENGINES
@pytest.mark.parametrize("device", ["cuda:99", "npu", "gpu", "nonsense", "meta"])
def test_a_device_that_is_not_there_is_an_error(engine: str, precision: str, device: str) -> None:
    with pytest.raises(EngineError, match=device) as caught:
        load_engine(plain("student"), EngineSpec(24, 40, precision=precision, device=device), engine)
    assert "\n" not in str(caught.value)


def test_bf16_is_chosen_only_where_it_is_native() -> None:
    without = ["FP32", "INT8"]
    assert choose_precision("auto", "CPU", without) == "f32"
    assert choose_precision("auto", "CPU", [*without, "BF16"]) == "bf16"
    with load_engine(plain("student"), EngineSpec(24, 40), "openvino") as engine:
        assert engine.spec.precision == ("bf16" if NATIVE_BF16 else "f32")
    with pytest.raises(EngineError, match="--precision f32"):
        choose_precision("bf16", "CPU", without)


def test_an_engine_is_named_and_its_runtime_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="openvino, torch"):
        load_engine(plain("student"), EngineSpec(24, 40), "onnx")
    monkeypatch.setitem(sys.modules, "engines.torch", None)
    with pytest.raises(EngineError, match=r"pip install 'vidstyle\[torch\]'"):
        load_engine(plain("student"), EngineSpec(24, 40), "torch")


def test_nothing_is_reported_and_only_the_cache_written(tmp_path: Path) -> None:
    code = (
        "import sys, test_engines as t\n"
        "with t.load('openvino', 'f32', t.plain('student')) as network: network(t.pictures(1, 24, 40))\n"
        "assert sys.modules['openvino_telemetry'] is None"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "TF_BUILD", "JENKINS_URL", "VIDSTYLE_HOME")}
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    environment |= {
        "HOME": str(tmp_path / "home"),
        "VIDSTYLE_HOME": str(tmp_path / "own"),
        "PYTHONPATH": paths,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=tmp_path, timeout=60)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 1 and written[0].is_relative_to(tmp_path / "own" / "cache" / "openvino")


def test_a_compiled_network_is_used_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = pictures(1, 24, 40)
    with load("openvino", "f32", plain("student")) as network:
        first = network(frames)
    (stored,) = (home / "cache" / "openvino").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(openvino_engine, "build_model", lambda *_: pytest.fail("built again"))
        with load("openvino", "f32", plain("student")) as network:
            np.testing.assert_array_equal(network(frames), first)
    stored.write_bytes(stored.read_bytes()[:-1] + b"x")  # damaged: compiled again
    with load("openvino", "f32", plain("student")) as network:
        np.testing.assert_array_equal(network(frames), first)


@pytest.mark.parametrize("stored", [b"", b"no model at all", b"\0" * 4096])
def test_a_stored_network_that_openvino_refuses_is_compiled_again(
    home: Path, monkeypatch: pytest.MonkeyPatch, stored: bytes
) -> None:
    assert not home.exists()
    monkeypatch.setattr(openvino_engine.compiled, "fetch", lambda *_: stored)
    with load("openvino", "f32", plain("student")) as network:
        assert network(pictures(1, 24, 40)).shape == (1, 24, 40, 3)


@pytest.mark.parametrize(
    "raised",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"),
    ],
)
def test_memory_that_runs_out_has_many_words_in_torch(raised: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked goes on with less of the picture at a time."""

    def fail(_: object) -> None:
        raise raised

    with load_engine(plain("student"), EngineSpec(8, 8), "torch") as engine:
        monkeypatch.setattr(engine, "_translate", fail)
        with pytest.raises(OutOfMemoryError, match="too little memory"):
            engine(pictures(1, 8, 8))


@pytest.mark.parametrize("raised", [MemoryError(), RuntimeError("graph.cpp:1\nFailed to allocate 529408000 bytes")])
def test_memory_that_runs_out_is_told_by_openvino(raised: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise raised

    call = openvino_engine._Call(SimpleNamespace(wait=fails), 1, lambda _: None)
    with pytest.raises(OutOfMemoryError, match="too little memory: OpenVINO failed on a picture: "):
        call()
    monkeypatch.setattr(openvino_engine, "_compile", fails)
    with pytest.raises(OutOfMemoryError, match="memory: OpenVINO cannot build it for CPU at f32: "):
        load_engine(plain("student"), EngineSpec(16, 16, precision="f32"), "openvino")


@pytest.mark.usefixtures("home")
def test_styles_without_a_digest_are_told_apart_by_their_weights() -> None:
    """As a style made in Python has none: the compiled network of another was taken for it."""
    styles = [replace(style("student", seed), card=replace(style("student").card, sha256="")) for seed in (0, 1)]
    batch = pictures(1, 24, 40)
    for one, right in zip(styles, (style("student", 0), style("student", 1)), strict=True):
        with (
            load("openvino", "f32", Recipe(((one, 1.0),))) as network,
            load("torch", "f32", Recipe(((right, 1.0),))) as t,
        ):
            assert np.abs(network(batch).astype(int) - t(batch)).max() <= 1
