"""`engines.tensorrt` against fakes with TensorRT's own names and arguments: what it builds, keeps, refuses."""

from __future__ import annotations

import inspect
import os
import sys
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_tensorrt import REAL_PARAMETERS, Behaviour, DataType, plain, tiny

from vidstyle import built
from vidstyle.building import psnr, reference
from vidstyle.built import BUILD, Build
from vidstyle.engine import DeviceEngine, Engine, EngineSpec, Recipe, load_engine
from vidstyle.errors import EngineError, OutOfMemoryError
from vidstyle.frame import Frame
from vidstyle.stylizer import Stylizer

pytest_plugins = "tensorrt_fixtures"

H, W = 20, 26
SPEC = EngineSpec(H, W, max_batch=2, in_flight=2)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    token = BUILD.set(Build(tell=lines.append))
    monkeypatch.delenv(built.NO_BUILD, raising=False)
    yield lines
    BUILD.reset(token)


def load(recipe: Recipe | None = None, spec: EngineSpec = SPEC) -> Engine:
    return load_engine(recipe or plain(), spec, "tensorrt")


def pictures(n: int = 2) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, H, W, 3), np.uint8)


def by_reference(recipe: Recipe, image: np.ndarray) -> np.ndarray:
    return reference(recipe, EngineSpec(H, W, device="cpu"), image)


def test_it_gives_the_reference_s_pictures(behaviour: Behaviour, told: list[str]) -> None:
    batch = pictures()
    with load() as engine:
        assert isinstance(engine, DeviceEngine)
        results = [engine.submit(batch), engine.submit(batch[::-1]), engine.submit(batch[:1])]
        styled = [result() for result in results]
        on_device = engine.submit_on_device(torch.from_numpy(batch))().numpy()
        assert (engine.spec.precision, engine.spec.in_flight) == ("f16", 2)
        assert "TensorRT 10.15.1" in engine.description and "f16" in engine.description
    right = [by_reference(plain(), image) for image in batch]
    assert [len(some) for some in styled] == [2, 2, 1]
    assert min(psnr(styled[0][i], right[i]) for i in (0, 1)) > 50
    np.testing.assert_array_equal(styled[1], styled[0][::-1])
    np.testing.assert_array_equal(styled[2], styled[0][:1])
    np.testing.assert_array_equal(on_device, styled[0])
    assert set(behaviour.streams) == {7}
    assert any("building" in line for line in told) and any("dB" in line for line in told)


@pytest.mark.usefixtures("told")
def test_auto_is_tensorrt_where_it_is_installed(behaviour: Behaviour) -> None:
    with Stylizer(plain(), "auto", batch=2) as stylizer:
        frames = [Frame(image, i, Fraction(1, 25)) for i, image in enumerate(pictures(3))]
        styled = [frame.image for frame in stylizer.frames(frames)]
        assert "TensorRT" in stylizer.engine_for(H, W).description
    assert min(psnr(s, by_reference(plain(), f.image)) for s, f in zip(styled, frames, strict=True)) > 50
    assert len(behaviour.builds) == 1


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_the_build_is_asked_for_what_the_spec_says(behaviour: Behaviour, told: list[str], precision: str) -> None:
    token = BUILD.set(Build(tell=told.append, levels=(5, "fast")))
    try:
        engine = load(spec=EngineSpec(H, W, precision=precision))
    finally:
        BUILD.reset(token)
    engine.close()
    (options,) = behaviour.builds
    assert options["optimization_level"] == 5 and options["tiling_optimization_level"] == "fast"
    assert options["disable_tf32"] == (precision == "f32") and options["max_aux_streams"] == 0
    assert options["timing_cache_path"] == str(built.timing_cache())
    (x,) = options["arg_inputs"]
    assert x.shape == (1, 3, H, W) and x.dtype == (torch.float32 if precision == "f32" else torch.float16)
    (record,) = engine.records
    assert (record.key.precision, record.key.optimization_level, record.key.tiling) == (precision, 5, "fast")
    assert record.psnr > 45 and record.bytes > 0


def test_the_call_fits_the_real_function() -> None:
    torch_tensorrt = pytest.importorskip("torch_tensorrt")
    real = inspect.signature(torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine)
    assert set(real.parameters) >= REAL_PARAMETERS


@pytest.mark.usefixtures("told")
def test_an_engine_is_built_once_and_for_one_key_alone(behaviour: Behaviour) -> None:
    for _ in range(2):
        load().close()
    assert len(behaviour.builds) == 1
    load(spec=EngineSpec(H, W, max_batch=1)).close()
    load(spec=EngineSpec(H, W, max_batch=2, precision="f32")).close()
    load(plain(1)).close()
    assert len(behaviour.builds) == 4


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("changed", ["gpu", "runtime", "torch", "code"])
def test_what_an_engine_depends_on_makes_it_anew(
    behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    load().close()
    if changed == "gpu":
        monkeypatch.setattr("engines.tensorrt.gpu_name", lambda _: "Fake H100, 9.0")
    elif changed == "runtime":
        monkeypatch.setattr(sys.modules["tensorrt"], "__version__", "11.0.0")
    elif changed == "torch":
        monkeypatch.setattr(torch, "__version__", "2.14.0")
    else:
        monkeypatch.setattr("engines.tensorrt.CODE", "another")
    load().close()
    assert len(behaviour.builds) == 2


@pytest.mark.usefixtures("told")
def test_an_engine_of_another_level_serves(behaviour: Behaviour) -> None:
    token = BUILD.set(Build(tell=lambda _: None, levels=(5, "full")))
    load().close()
    BUILD.reset(token)
    load().close()
    assert len(behaviour.builds) == 1


def test_a_mix_needs_no_build_of_its_own(behaviour: Behaviour, told: list[str]) -> None:
    load(plain(0)).close()
    mix = Recipe(((tiny(0), 3.0), (tiny(1), 1.0)), strength=0.5)
    batch = pictures()
    with load(mix) as engine:
        assert len(behaviour.builds) == 2  # of the other style
        off = np.abs(engine(batch)[0].astype(int) - by_reference(mix, batch[0])).max()
        assert off <= 2
        engine.set_shares(np.array([0.0, 1.0], np.float32))
        assert psnr(engine(batch)[1], by_reference(plain(1), batch[1])) > 50
        engine.set_shares(np.zeros(2, np.float32))
        np.testing.assert_array_equal(engine(batch), batch)
        np.testing.assert_array_equal(engine.submit_on_device(torch.from_numpy(batch))().numpy(), batch)
    assert not any("refused" in line for line in told)


def engine_file() -> Path:
    (path,) = built.folder().glob("*.engine")
    return path


def test_a_tampered_file_is_never_deserialised(behaviour: Behaviour, caplog: pytest.LogCaptureFixture) -> None:
    load().close()
    data = bytearray(engine_file().read_bytes())
    data[-100] ^= 1
    engine_file().write_bytes(data)
    load().close()
    assert len(behaviour.builds) == 2
    assert "damaged or not built by you: building again" in caplog.text
    load().close()
    assert len(behaviour.builds) == 2


def test_an_engine_that_is_wrong_is_built_again_once(behaviour: Behaviour, told: list[str]) -> None:
    behaviour.off_by = 0.0
    load().close()
    record, data = built.fetch(built.entries()[0].record.key)
    swapped = data.replace(b"0.0", b"9.0")  # the fake's own mark of how far it is off
    assert swapped != data
    built.store(record, swapped)
    load().close()
    assert len(behaviour.builds) == 2
    assert any("refused: it differs from the reference" in line and "building again" in line for line in told)

    built.store(record, swapped)
    behaviour.off_by = 9.0
    with pytest.raises(EngineError, match=r"of no use: it differs from the reference, 2\d\.\d dB"):
        load()
    assert len(behaviour.builds) == 3  # once, not for ever
    assert not built.entries()


def test_an_engine_tensorrt_refuses_is_built_again(behaviour: Behaviour, told: list[str]) -> None:
    load().close()
    behaviour.refuses = True
    with pytest.raises(EngineError, match="of no use: Error Code 1: Serialization"):
        load()
    assert len(behaviour.builds) == 2 and any("refused: Error Code 1" in line for line in told)


@pytest.mark.parametrize(("precision", "gives"), [("f16", DataType.FLOAT), ("f32", DataType.HALF)])
def test_an_engine_of_other_numbers_is_never_run(
    behaviour: Behaviour, told: list[str], precision: str, gives: DataType
) -> None:
    """It would write beyond the memory of its result."""
    load(spec=EngineSpec(H, W, precision=precision)).close()
    behaviour.gives = gives
    behaviour.streams.clear()
    with pytest.raises(EngineError, match=rf"of no use: it takes or gives numbers of .*{gives.name}.*, expected"):
        load(spec=EngineSpec(H, W, precision=precision))
    assert any("refused: it takes or gives numbers" in line for line in told) and not behaviour.streams


def test_no_build_is_an_error_with_the_command(behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(built.NO_BUILD, "1")
    with pytest.raises(EngineError, match=rf"vidstyle build-engine --style tiny0 --size {H}x{W} --batch 2") as error:
        load()
    assert "\n" not in str(error.value) and not behaviour.builds


@pytest.mark.usefixtures("told")
def test_full_memory_is_told_as_such(behaviour: Behaviour) -> None:
    load().close()
    behaviour.contexts_left = 2  # one to verify, one lane of two
    with pytest.raises(OutOfMemoryError, match="too little memory"):
        load()
    behaviour.contexts_left, behaviour.fails = 9, RuntimeError("While interpreting the module got an error: ")
    behaviour.says = "Error Code 2: OutOfMemory (no further information)"
    with pytest.raises(OutOfMemoryError, match="too little memory to build"):
        load(spec=EngineSpec(H, W))


def test_full_memory_costs_no_built_engine(behaviour: Behaviour, told: list[str]) -> None:
    load().close()
    behaviour.full = True
    with pytest.raises(OutOfMemoryError, match="too little memory"):
        load()
    behaviour.full = False
    load().close()
    assert len(behaviour.builds) == 1 and not any("refused" in line for line in told)


@pytest.mark.usefixtures("told")
def test_a_failed_build_leaves_no_timing_cache(behaviour: Behaviour) -> None:
    """It may be what failed: torch-tensorrt writes it in place, and one that is cut short would fail for ever."""
    built.timing_cache().parent.mkdir(parents=True)
    built.timing_cache().write_bytes(b"cut short")
    behaviour.fails = TypeError("set_timing_cache(): incompatible function arguments")
    with pytest.raises(EngineError, match="TensorRT cannot build"):
        load()
    assert not built.timing_cache().exists()


@pytest.mark.usefixtures("behaviour", "told")
def test_a_closed_engine_and_pictures_elsewhere_are_refused() -> None:
    engine = load(replace(plain(), strength=0.0))
    with pytest.raises(EngineError, match=r"takes pictures on cpu, got them on meta"):
        engine.submit_on_device(torch.empty((1, H, W, 3), dtype=torch.uint8, device="meta"))
    engine.close()
    for submit in (engine.submit, lambda batch: engine.submit_on_device(torch.from_numpy(batch))):
        with pytest.raises(EngineError, match="is closed"):
            submit(pictures())


@pytest.mark.usefixtures("told")
def test_a_failed_build_says_tensorrt_s_reason(behaviour: Behaviour) -> None:
    behaviour.fails = UnboundLocalError("cannot access local variable 'interpreter_result'")  # as 2.11 has it
    behaviour.says = "Error Code 10: Internal Error (Could not find any implementation for node conv)"
    with pytest.raises(EngineError, match=r"Could not find any implementation .*--engine cuda needs no") as error:
        load()
    assert "\n" not in str(error.value) and not built.entries()


@pytest.mark.usefixtures("behaviour")
def test_tensorrt_without_its_libraries_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise ImportError("libnvinfer.so.10: cannot open shared object file: No such file or directory")

    monkeypatch.setattr("engines.tensorrt.runtime.import_module", missing)
    with pytest.raises(EngineError, match=r"libraries are missing .*pypi\.nvidia\.com"):
        load()


@pytest.mark.usefixtures("behaviour")
def test_a_long_build_says_that_it_goes_on(
    behaviour: Behaviour, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines import tensorrt

    waited = threading.Event()
    build = tensorrt.build

    def slow(*args: Any) -> tuple[bytes, float]:
        assert waited.wait(30)
        return build(*args)

    monkeypatch.setattr(tensorrt, "PULSE", 0.01)
    monkeypatch.setattr(tensorrt, "build", slow)
    token = BUILD.set(Build(tell=lambda line: (told.append(line), "still" in line and waited.set())))
    load().close()
    BUILD.reset(token)
    assert any(line.startswith("still building") for line in told) and behaviour.builds
    assert not [thread for thread in threading.enumerate() if "pulse" in thread.name]


def test_nothing_of_torch_tensorrt_reaches_standard_output(
    behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It may be a video."""
    from engines.tensorrt import builder as tensorrt_build

    found = sys.modules["torch_tensorrt"]

    def talkative(name: str) -> Any:
        os.write(1, b"native code talks; ")
        sys.stdout.write("Python talks")
        assert name == "torch_tensorrt"
        return found

    monkeypatch.setattr(tensorrt_build.importlib, "import_module", talkative)
    spec = replace(SPEC, device="cpu", precision="f16", in_flight=1)
    data, seconds = tensorrt_build.build(tiny(7), spec, torch.device("cpu"), 3, "none")
    out, err = capfd.readouterr()
    assert out == "" and "native code talks" in err and "Python talks" in err
    assert data and seconds > 0 and len(behaviour.builds) == 1


@pytest.mark.usefixtures("behaviour")
def test_a_machine_without_a_gpu_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from engines import tensorrt
    from engines.tensorrt import runtime as tensorrt_runtime
    from vidstyle.choice import Machine

    monkeypatch.setattr("vidstyle.choice.this_machine", lambda: Machine())
    for device in ("auto", "cuda:0"):
        with pytest.raises(EngineError, match="no NVIDIA GPU"):
            tensorrt_runtime.cuda_device(device)
    with pytest.raises(EngineError, match="not on 'cpu'"):
        tensorrt_runtime.cuda_device("cpu")
    assert tensorrt.LEVELS == (3, "none")
