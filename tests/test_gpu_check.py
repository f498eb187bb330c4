"""The script for the day a GPU is there: that it finds what is wrong, and runs to its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interpreted import by_torch, launches
from media import make_clip
from test_engines import plain, style
from triton.runtime.errors import OutOfResources

import gpu_check_costs  # isort: skip
import gpu_check_engines  # isort: skip
import gpu_check_files  # isort: skip
from engines.cuda.fused import Plan
from vidstyle.network import prepare
from vidstyle.paths import bundled_dir

__all__ = ["by_torch"]
ROOT = Path(__file__).resolve().parents[1]
CPU = torch.device("cpu")


def test_levels_and_decibels() -> None:
    one, two = np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3), np.uint8)
    assert gpu_check_engines.compare(one, two) == (0, float("inf"))
    two[0, 0, 0, 0] = 255
    levels, psnr = gpu_check_engines.compare(one, two)
    assert levels == 255 and psnr == pytest.approx(10 * np.log10(192))


@pytest.mark.parametrize(
    ("precision", "levels", "psnr", "passed"),
    [
        ("f16", 2, 45.0, True),
        ("f16", 3, 60.0, False),
        ("f16", 2, 44.9, False),
        ("bf16", 4, 45.1, True),
        ("bf16", 4, 44.9, False),
        ("f32", 2, 30.0, True),
        ("f32", 3, 99.0, False),
    ],
)
def test_what_is_a_miss(precision: str, levels: int, psnr: float, passed: bool) -> None:
    assert gpu_check_engines.Result("cuda", precision, "anime", "1x8x8", levels, psnr).passed is passed


@pytest.mark.usefixtures("by_torch")
def test_every_way_into_an_engine_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = gpu_check_engines.Checks(CPU, seed=3)
    results = list(checks.engine("cuda", "f16", plain("student"), (9, 14), n=2, in_flight=2))
    assert [result.case.rpartition(", ")[2] for result in results] == ["host", "device", "one less"]
    assert all(result.passed for result in results)
    monkeypatch.setattr(launches, "finish_look", lambda frames, out, *_: out.copy_(frames))
    assert not any(r.passed for r in checks.engine("cuda", "f16", plain("student"), (9, 14), n=2))


def test_the_reference_mixes_as_engines_do() -> None:
    from engines.torch import TorchEngine
    from vidstyle.engine import EngineSpec, Recipe

    recipe = Recipe(((style("ttn", 1), 3.0), (style("student", 1), 1.0)), strength=0.8)
    batch = gpu_check_engines.pictures(2, 12, 17, np.random.default_rng(0))
    with TorchEngine(recipe, EngineSpec(12, 17, 2, device="cpu")) as engine:
        want = gpu_check_engines.reference(recipe, batch, CPU)
        assert np.abs(engine(batch).astype(int) - want).max() <= 1


def test_the_table_counts_bytes_and_work_against_the_limits() -> None:
    found = gpu_check_costs.costs(
        gpu_check_costs.plan_of(style("ttn"), "f16", (1080, 1920), CPU), (1080, 1920), CPU, 790e12, 4.3e12
    )
    assert sum(cost.flops for cost in found) == pytest.approx(516.8e9, rel=0.02)
    one = next(cost for cost in found if cost.name == "conv block0.conv1")
    assert one.limit == pytest.approx(2 * 128 * 128 * 9 * 1080 * 1920 / 16 / 790e12)
    text = gpu_check_costs.table("TTN", found)
    assert len(text.splitlines()) == len(found) + 3 and text.splitlines()[-1].split()[0] == "all"


def test_the_costs_on_a_gpu_are_of_the_engines_own_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is quickest was measured when the engine was checked: that takes seconds."""
    loaded: list[Any] = []

    class Engine:
        def __init__(self, recipe: Any, spec: Any, engine: str) -> None:
            loaded.append((recipe.is_plain, spec.height, spec.width, spec.max_batch, spec.precision, engine))
            self._plans = ["the engine's plan"]

        def __enter__(self) -> Engine:
            return self

        def __exit__(self, *_: object) -> None:
            self._plans.clear()

    monkeypatch.setattr(gpu_check_costs, "load_engine", Engine)
    made: Any = gpu_check_costs.plan_of(style("ttn"), "f16", (1080, 1920), torch.device("cuda:0"))
    assert made == "the engine's plan" and loaded == [(True, 1080, 1920, 1, "f16", "cuda")]


def test_what_is_cheap_is_checked_before_what_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no part is taken for another, which is done: a teacher has the name of a look."""
    import gpu_check

    from vidstyle.style import save_style

    look, card = gpu_check_engines.find_styles(bundled_dir())[0].name, style("ttn").card
    save_style(tmp_path / "t.safetensors", replace(card, name=look), style("ttn").weights)
    parts: list[str] = []
    monkeypatch.setattr(gpu_check.Run, "_each", lambda _, what, __: parts.append(what))
    args = gpu_check.argparse.Namespace(cpu=True, seed=7, teachers=tmp_path, json=None, compile=False)
    gpu_check.Run(args).everything()
    assert {f"cuda {look} (ttn)", f"cuda {look} (student)"} <= set(parts)
    name = next(part for part in parts if part.startswith("cuda ")).removeprefix("cuda ")
    order = ["kernels", f"cuda {name}", "planes", "files", f"costs {name}", f"cuda {name}, other precisions"]
    assert [part for part in parts if part in order] == order and len(set(parts)) == len(parts)


def test_the_pictures_are_new_for_each_seed() -> None:
    one, two = (gpu_check_engines.pictures(2, 8, 8, np.random.default_rng(seed)) for seed in (0, 1))
    assert (one != two).mean() > 0.9


def test_a_machine_without_a_gpu_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    import gpu_check

    monkeypatch.setattr(sys, "argv", ["gpu_check"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_check.main() == 2
    assert "--cpu" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [RuntimeError("no such kernel"), OutOfResources(300_000, 232_448, "shared memory")], ids=str
)
def test_a_step_that_fails_is_a_miss_and_the_next_is_run(capsys: Any, error: Exception) -> None:
    import gpu_check

    def fail() -> None:
        raise error

    ran: list[int] = []
    run = gpu_check.Run(gpu_check.argparse.Namespace(cpu=True, seed=0, teachers=None, json=None))
    run._each("kernels", iter([fail, lambda: ran.append(1)]))
    assert ran == [1] and run.report.misses == [f"kernels: {type(error).__name__}: {error}"]
    assert "MISS" in capsys.readouterr().out


def test_a_lost_device_costs_one_part_of_the_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose kernel went astray can run nothing more: another one goes on with the next part."""
    import gpu_check

    class AnewError(Exception):
        pass

    def anew(*_: Any) -> None:
        raise AnewError

    ran: list[str] = []
    path = tmp_path / "found.json"
    args = gpu_check.argparse.Namespace(cpu=True, seed=7, teachers=None, json=path)
    run = gpu_check.Run(args)
    run._each("kernels", iter([lambda: ran.append("kernels")]))
    monkeypatch.setattr(gpu_check.Run, "_is_lost", lambda _: True)
    monkeypatch.setattr(gpu_check.os, "execv", anew)
    with pytest.raises(AnewError):
        run._each("planes", iter([lambda: 1 / 0, lambda: ran.append("planes")]))
    run = gpu_check.Run(args)
    run.report.go_on_from(path)
    for part in ("kernels", "planes", "mixtures"):
        run._each(part, iter([lambda part=part: ran.append(part)]))
    assert ran == ["kernels", "mixtures"] and run.report.misses == ["planes: ZeroDivisionError: division by zero"]


def test_results_are_whole_whenever_a_run_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gpu_check

    def ended(path: Path, *_: Any) -> int:
        with path.open("w", encoding="utf-8") as file:
            file.write("{")
        raise SystemExit(143)

    path = tmp_path / "found.json"
    run = gpu_check.Run(gpu_check.argparse.Namespace(cpu=True, seed=7, teachers=None, json=path))
    run.save()
    monkeypatch.setattr(Path, "write_text", ended)
    with pytest.raises(SystemExit):
        run.save()
    assert json.loads(path.read_text("utf-8"))["seed"] == 7


def test_pictures_of_a_file_are_compared_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(tmp_path / "c.mp4", 5, audio=0).path
    pictures = gpu_check_files._pictures
    [same] = gpu_check_files.check("cpu", [clip])
    assert same.error == 0 and same.case == "c.mp4, decoded on the CPU"
    changes = {"later": lambda pts, image: (pts + 1, image), "lighter": lambda pts, image: (pts, image + 2)}
    for change in changes.values():
        sides = iter([change, lambda *one: one])

        def changed(*args: Any, sides: Any = sides) -> Any:
            found, where = pictures(*args)
            side = next(sides)
            return [side(*one) for one in found], where

        monkeypatch.setattr(gpu_check_files, "_pictures", changed)
        [other] = gpu_check_files.check("cpu", [clip])
        assert other.error > other.limit
    crash = "import os; os.kill(os.getpid(), 11)"
    (tmp_path / "crash.py").write_text(crash)
    monkeypatch.setattr(gpu_check_files, "__file__", str(tmp_path / "crash.py"))
    with pytest.raises(RuntimeError, match="exit code -11"):
        list(gpu_check_files.in_a_process(["cpu"]))


def test_any_style_of_a_folder_is_found(tmp_path: Path) -> None:
    from test_engines import ARCHITECTURES

    from vidstyle.style import save_style

    for name in ("ttn", "student"):
        half = {key: value.astype(np.float16) for key, value in style(name).weights.items()}
        save_style(tmp_path / f"{name}.safetensors", style(name).card, half)
    found = gpu_check_engines.find_styles(tmp_path)
    assert [one.card.architecture for one in found] == [ARCHITECTURES["student"], ARCHITECTURES["ttn"]]
    for one in found:  # as the script does
        Plan(one.card.architecture, prepare(one.card.architecture, one.weights), 8, 8, torch.float16, CPU)


@pytest.mark.slow
def test_the_whole_script_by_the_interpreter(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    command = [ROOT / "scripts" / "gpu_check", "--cpu", "--seed", "7", "--json", tmp_path / "found.json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads((tmp_path / "found.json").read_text("utf-8"))
    assert found["seed"] == 7 and found["misses"] == [] and len(found["kernels"]) > 124
    assert {"engines", "costs", "torch", "triton", "device"} <= set(found)
