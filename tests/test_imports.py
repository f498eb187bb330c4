"""Who may import whom: the tool without a runtime, an engine with one, the training above both."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "triton", "torchvision", "torch_tensorrt", "openvino", "tensorrt", "onnxruntime", "cv2", "tensorflow"}


#: what `vidstyle.engine.load_engine` imports
ENGINES = {"openvino", "torch", "cuda", "tensorrt"}
SHARED = {"device", "torch"}  # what GPU engines have in common, and the reference that they are checked against


def runtime_of(engine: str) -> set[str]:
    """What an engine's modules may import: OpenVINO, or torch with Triton. TensorRT is imported by its name."""
    return {"openvino"} if engine.startswith("openvino") else {"torch", "triton"}


def modules(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, f"no modules in {package}"
    return found


def imported(path: Path) -> Iterator[str]:
    """Full names of what a module imports anywhere in it, in functions and under TYPE_CHECKING too."""
    package = list(path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            base += node.module.split(".") if node.module else []
            yield from (".".join([*base, alias.name]) for alias in node.names)


def tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


def literals(path: Path) -> set[str]:
    """Every string in a module: among them what `importlib.import_module` could be given."""
    tree = ast.parse(path.read_text("utf-8"))
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", modules("vidstyle"), ids=name)
def test_the_tool_imports_no_runtime_and_neither_neighbour(path: Path) -> None:
    assert not tops(path) & (HEAVY | {"engines", "training"})
    if name(path) not in (
        "vidstyle/engine.py",
        "vidstyle/on_device.py",
        "vidstyle/cli/train.py",
    ):  # the places that name them
        assert not [text for text in literals(path) if text.startswith(("engines.", "training."))]


@pytest.mark.parametrize("path", modules("engines"), ids=name)
def test_an_engine_imports_its_one_runtime_and_no_other_engine(path: Path) -> None:
    engine = path.relative_to(ROOT).parts[1].removesuffix(".py")
    runtime = runtime_of(engine)
    assert tops(path) & HEAVY <= runtime
    others = tops(path) - set(sys.stdlib_module_names) - runtime - {"engines"}
    assert others <= {"vidstyle", "numpy"}, "an engine needs the tool and its runtime alone"
    neighbours = {full.split(".")[1] for full in imported(path) if full.startswith("engines.")}
    allowed = {engine} | (SHARED if runtime != {"openvino"} else set())
    assert neighbours <= allowed, "an engine can be deleted without another, but the reference"


@pytest.mark.parametrize("path", modules("training"), ids=name)
def test_training_uses_the_reference_engine_alone(path: Path) -> None:
    engines = {top for top in imported(path) if top.startswith("engines")}
    assert all(top.startswith("engines.torch") for top in engines)
    assert not tops(path) & (HEAVY - {"torch", "cv2"})


def run_python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter: what this one has imported does not count."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_tool_starts_where_no_runtime_is_installed() -> None:
    block = f"import sys; sys.modules.update(dict.fromkeys({sorted(HEAVY)}))"
    everything = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules("vidstyle")]
    done = run_python(f"{block}\nimport {', '.join(everything).replace('.__init__', '')}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("engine", "runtime"), [("openvino", "openvino"), ("torch", "torch")])
def test_a_missing_runtime_is_an_error_with_its_remedy(engine: str, runtime: str) -> None:
    code = f"""
import sys
sys.modules[{runtime!r}] = None
from vidstyle.engine import EngineSpec, load_engine
from vidstyle.errors import EngineError
try:
    load_engine(None, EngineSpec(8, 8), {engine!r})
except EngineError as error:
    print(error)
"""
    done = run_python(code)
    assert "pip install" in done.stdout and done.stdout.count("\n") == 1, done.stdout + done.stderr


def test_help_loads_nothing_heavy() -> None:
    """The modules below cost 0.1-2 s each, which --help has no use for."""
    slow = {"numpy", "av", "rich", "safetensors", "platformdirs", *HEAVY}
    done = run_python(f"import vidstyle.cli, sys; print(*sorted({slow!r} & set(sys.modules)))")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
    done = run_python("import vidstyle.cli; vidstyle.cli.main(['--version'])", "-X", "importtime")
    assert done.returncode == 0 and "| numpy" not in done.stderr and "| av" not in done.stderr, done.stdout


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_an_engine_loads_without_the_other_runtimes(engine: str) -> None:
    others = sorted(HEAVY - runtime_of(engine))
    done = run_python(f"import sys; sys.modules.update(dict.fromkeys({others})); import engines.{engine}")
    assert done.returncode == 0, done.stderr
