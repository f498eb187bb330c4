"""The engine for NVIDIA GPUs, on the CPU: its results, its contract, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interpreted import by_torch, interpreter
from test_engines import ARCHITECTURES, pictures, plain, reference, style

from engines import cuda
from engines.cuda import CudaEngine
from vidstyle import choice
from vidstyle.engine import DeviceEngine, EngineSpec, Recipe
from vidstyle.errors import EngineError

__all__ = ["by_torch", "interpreter"]
CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[1]
quick = pytest.mark.usefixtures("by_torch")


def load(recipe: Recipe, height: int = 24, width: int = 40, precision: str = "f32", **options: Any) -> CudaEngine:
    return CudaEngine(recipe, EngineSpec(height, width, precision=precision, device="cpu", **options), CPU)


@pytest.mark.usefixtures("interpreter")
def test_the_kernels_serve_the_engine() -> None:
    batch = np.concatenate([pictures(1, 3, 5)] * 2)
    with load(plain("student"), 3, 5, "f16", max_batch=2) as engine:
        got = engine(batch)
    assert np.abs(got - reference("student", 3, 5)).max() < 0.75


@quick
@pytest.mark.parametrize("size", [(2, 3), (17, 31), (101, 67)], ids=str)
@pytest.mark.parametrize("precision", ["f32", "bf16", "f16"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_size_gives_what_the_definition_gives(precision: str, name: str, size: tuple[int, int]) -> None:
    with load(plain(name), *size, precision) as engine:
        error = np.abs(engine(pictures(1, *size)) - reference(name, *size))
    assert error.max() < {"f32": 0.501, "f16": 1, "bf16": 3}[precision]
    assert error.mean() < 0.4 or size == (2, 3)


@quick
def test_batches_in_any_number_and_layout() -> None:
    batch = pictures(3, 24, 40)
    with load(plain("ttn")) as single, load(plain("ttn"), max_batch=3) as engine:
        singles = np.concatenate([single(batch[i : i + 1]) for i in range(3)])
        for n in (3, 1, 2):
            assert np.abs(engine(batch[:n]).astype(int) - singles[:n]).max() <= 1
        scattered = np.ascontiguousarray(batch.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0)
        np.testing.assert_array_equal(engine(scattered), engine(batch))


@quick
def test_pictures_in_flight_and_on_the_device_give_the_same() -> None:
    batches = [pictures(1, 24, 40, seed) for seed in range(5)]
    with load(plain("student"), in_flight=0) as engine:
        assert engine.spec.in_flight == 3 and isinstance(engine, DeviceEngine)
        expected = [engine(batch) for batch in batches]
        waiting = [engine.submit(batch) for batch in batches]
        on_device = [engine.submit_on_device(torch.from_numpy(batch)) for batch in batches]
        for i in (4, 0, 2, 1, 3):
            np.testing.assert_array_equal(waiting[i](), expected[i])
            np.testing.assert_array_equal(on_device[i]().numpy(), expected[i])


@quick
def test_two_architectures_mix_by_their_shares() -> None:
    batch = pictures(1, 50, 62)
    looks = {name: reference(name, 50, 62, seed=1) for name in ARCHITECTURES}
    recipe = Recipe(((style("ttn", 1), 3.0), (style("student", 1), 1.0)), strength=0.8)
    assert (looks["ttn"] % 255 == 0).mean() > 0.3  # clipped before they are mixed
    with load(recipe, 50, 62) as engine:
        for ttn, student in ((0.6, 0.2), (0.1, 0.5)):
            engine.set_shares(np.array([ttn, student], np.float32))
            want = batch + ttn * (looks["ttn"] - batch) + student * (looks["student"] - batch)
            assert np.abs(engine(batch) - want).max() < 0.51
        engine.set_shares(np.array([0, 0], np.float32))
        np.testing.assert_array_equal(engine(batch), batch)
        assert engine.submit_on_device(torch.from_numpy(batch))().equal(torch.from_numpy(batch))


@quick
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_strength_0_gives_the_source_and_1_the_look(name: str) -> None:
    every_level = np.arange(24 * 40 * 3, dtype=np.uint32).astype(np.uint8).reshape(1, 24, 40, 3)
    with load(plain(name)) as full, load(Recipe(plain(name).parts, 0.0)) as engine:
        for share, want in ((0, every_level), (1e-9, every_level), (1, full(every_level))):
            engine.set_shares(np.array([share], np.float32))
            assert np.abs(engine(every_level).astype(int) - want).max() <= (share == 1)


@quick
def test_the_spec_and_what_is_refused() -> None:
    with load(plain("student"), precision="auto", max_batch=2) as engine:
        assert engine.spec == EngineSpec(24, 40, 2, "f16", "cpu", threads=1, in_flight=1)
        assert "Triton" in engine.description and "f16, 1 in flight" in engine.description
        for wrong in (pictures(3, 24, 40), pictures(1, 23, 40), pictures(1, 24, 40).astype(np.int8)):
            with pytest.raises(EngineError, match=r"the engine takes uint8 \[1\.\.2, 24, 40, 3\], got "):
                engine(wrong)
        with pytest.raises(EngineError, match="on cpu, got them on meta"):
            engine.submit_on_device(torch.empty(1, 24, 40, 3, dtype=torch.uint8, device="meta"))
        with pytest.raises(EngineError, match="build it again"):
            engine.set_shares(np.array([0.5], np.float32))
    for use in (engine, engine.submit, lambda batch: engine.submit_on_device(torch.from_numpy(batch))):
        with pytest.raises(EngineError, match="closed"):
            use(pictures(1, 24, 40))  # type: ignore[operator]


def refusal(device: str = "auto", precision: str = "auto") -> str:
    with pytest.raises(EngineError) as caught:
        cuda.load(plain("student"), EngineSpec(24, 40, precision=precision, device=device))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine with two cards of this compute capability, as far as its driver and torch say."""

    def give(major: int, minor: int) -> None:
        monkeypatch.setattr(choice, "this_machine", lambda: choice.Machine(2, 580, "2.11.0", "13.0", True, "none"))
        monkeypatch.setattr(torch.cuda, "init", lambda: None)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (major, minor))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA Test")

    return give


@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:0"])
def test_a_machine_without_a_gpu_is_never_replaced_by_its_cpu(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr(choice, "this_machine", lambda: choice.Machine())
    assert "no NVIDIA GPU" in refusal(device)


@pytest.mark.parametrize(
    "error", [RuntimeError("driver is too old (found 11040)\nand more"), AssertionError("Torch not compiled")]
)
def test_what_torch_says_against_a_device_is_told(card: Any, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail() -> None:
        raise error

    card(9, 0)
    monkeypatch.setattr(torch.cuda, "init", fail)
    message = refusal("cuda:1")
    assert str(error).splitlines()[0] in message and "'cuda:1'" in message and "update NVIDIA's driver" in message


@pytest.mark.parametrize("device", ["cuda:2", "cpu", "gpu", "nonsense", "cuda:-3"])
def test_a_device_that_is_not_there(card: Any, device: str) -> None:
    card(9, 0)
    assert device in refusal(device)


def test_a_card_without_the_arithmetic(card: Any) -> None:
    card(6, 1)
    assert "cuda:1 (NVIDIA Test) has compute capability 6.1, f16 needs 7.0: use --device cpu" in refusal("cuda:1")
    card(7, 5)
    assert "7.5, bf16 needs 8.0: use --precision f16" in refusal("cuda", "bf16")
    assert cuda.usable_device("cuda:1", "f16") == torch.device("cuda:1")
    assert cuda.usable_device("auto", "auto") == cuda.usable_device("cuda", "f32") == torch.device("cuda:0")


def test_triton_that_is_missing(card: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    card(9, 0)
    monkeypatch.setattr(cuda, "find_spec", lambda _: None)
    assert "needs Triton, which is not installed: pip install triton" in refusal()
    monkeypatch.setattr(sys, "platform", "win32")
    assert refusal().endswith("pip install triton-windows")


def test_the_refusals_need_no_triton() -> None:
    code = "import sys; sys.modules['triton'] = None; import engines.cuda, engines.device.lanes"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
