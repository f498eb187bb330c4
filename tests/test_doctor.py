"""`vidstyle doctor`: every check says what it found and how to mend it, and none can break the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from media import save_tiny

from vidstyle import choice, health, health_optional
from vidstyle.health import FAIL, INFO, OK, WARN, Check, Finding, check_all, exit_code
from vidstyle.network import Architecture, layers
from vidstyle.reference import style_exactly
from vidstyle.style import Card, Style


@pytest.fixture
def whole(home: Path) -> Path:
    """A home with one good style."""
    save_tiny(home / "styles", "tiny")
    return home


def by_name(checks: Iterator[Check] | list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def vidstyle(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vidstyle", *args]
    variables = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])} | environment
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)


def test_a_sound_machine_passes(whole: Path) -> None:
    checks = by_name(check_all())
    assert set(checks) == {*health.CHECKS, "config"}
    for name in ("python", "pyav", "encoders", "numpy", "openvino", "network", "styles", "config"):
        assert checks[name].state == OK, checks[name]
    assert "tiny" in checks["styles"].found and str(whole / "config.toml") in checks["config"].found
    assert all(check.fix for check in checks.values() if check.state in (WARN, FAIL))
    assert exit_code(list(checks.values())) == 0


@pytest.mark.usefixtures("whole")
def test_json_is_one_object_a_check_and_the_result() -> None:
    done = vidstyle("doctor", "--json")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1] == {"event": "done", "ok": True, "exit_code": 0}
    assert all(set(e) == {"event", "name", "state", "found", "fix"} for e in events[:-1])


def test_people_get_a_line_a_check_in_any_terminal(whole: Path) -> None:
    done = vidstyle("doctor", PYTHONIOENCODING="ascii", VIDSTYLE_HOME=str(whole.with_name("höme")))
    assert done.returncode == 0 and "h\\xf6me" in done.stdout, done.stderr
    styles = next(line for line in done.stdout.splitlines() if " whole: " in line)
    assert "anime" in styles.partition(" whole: ")[2].split(", ")  # the package's own
    assert [line.split()[0] for line in done.stdout.splitlines()].count("ok") >= 8


@pytest.mark.usefixtures("home")
def test_no_check_can_break_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Finding:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(health, "CHECKS", dict.fromkeys(health.CHECKS, broken))
    checks = list(check_all(broken))
    assert [check.state for check in checks] == [FAIL] * len(checks)
    assert all("RuntimeError: two lines" in check.found and check.fix for check in checks)
    assert exit_code(checks) == 6


@pytest.mark.parametrize(("name", "code"), [("openvino", 6), ("network", 6), ("styles", 1), ("config", 1)])
def test_the_exit_code_tells_the_engine_from_the_rest(name: str, code: int) -> None:
    assert exit_code([Check("numpy", OK, ""), Check("torch", WARN, "", "x"), Check(name, FAIL, "", "x")]) == code


@pytest.mark.usefixtures("home")
def test_a_wrong_result_of_the_engine_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidstyle.reference.style_exactly", lambda image, style: style_exactly(image, style)[::-1])
    check = by_name(check_all())["network"]
    assert check.state == FAIL and "wrong by" in check.found


@pytest.mark.usefixtures("whole")
def test_a_missing_part_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("engines.openvino", "av"):
        monkeypatch.setitem(sys.modules, package, None)
    checks = by_name(check_all())
    assert (checks["openvino"].state, checks["pyav"].state) == (FAIL, FAIL)
    assert "pip install" in checks["openvino"].fix and "av>=18.1" in checks["pyav"].fix


def test_bad_styles_are_named(whole: Path) -> None:
    bad = save_tiny(whole / "styles", "bad")
    bad.write_bytes(bad.read_bytes()[:-1] + b"\x01")
    check = by_name(check_all())["styles"]
    assert check.state == WARN and "altered" in check.found and check.fix == "vidstyle styles remove bad"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VIDSTYLE_HOME", str(tmp_path / "file"))
    checks = by_name(check_all())
    for name in ("cache folder", "styles folder"):
        assert checks[name].state == WARN and "VIDSTYLE_HOME" in checks[name].fix


@pytest.mark.usefixtures("whole")
def test_a_full_disk_and_an_odd_terminal_are_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1e8))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(encoding="cp437"))
    checks = by_name(check_all())
    assert checks["cache folder"].state == WARN and "free some space" in checks["cache folder"].fix
    assert checks["terminal"].state == WARN and "PYTHONUTF8" in checks["terminal"].fix


def test_a_broken_config_is_found_and_does_not_stop_it(whole: Path) -> None:
    (whole / "config.toml").write_text("[file]\nstile = '3d'")
    done = vidstyle("doctor", "--json")
    config = next(e for line in done.stdout.splitlines() if (e := json.loads(line)).get("name") == "config")
    assert done.returncode == 1 and config["state"] == FAIL
    assert "did you mean style?" in config["found"] and str(whole / "config.toml") in config["fix"]


# What only some machines have

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX's scripts and permissions")


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a program named nvidia-smi in the path, which does what it is given."""

    def make(script: str) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return make


@pytest.fixture
def torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Pretend that a build of torch is installed: its version file only."""

    def make(cuda: str) -> None:
        (tmp_path / "torch").mkdir(exist_ok=True)
        text = f"__version__ = '2.11.0'\ncuda: Optional[str] = {cuda}\nhip: Optional[str] = None\n"
        (tmp_path / "torch" / "version.py").write_text(text)
        spec = SimpleNamespace(origin=str(tmp_path / "torch" / "__init__.py"))
        monkeypatch.setattr(choice, "find_spec", lambda _: spec)
        monkeypatch.setattr(choice, "version", lambda _: "2.11.0")

    return make


@pytest.mark.usefixtures("home")
def test_optional_parts_that_are_absent_are_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda _: None)
    monkeypatch.setattr(choice, "version", absent)
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(health_optional, "this_machine", lambda: choice.Machine())
    findings = {name: check() for name, check in health_optional.CHECKS.items()}
    states = {name: finding.state for name, finding in findings.items()}
    assert states == dict.fromkeys(health_optional.CHECKS, INFO) | {"engine": OK}
    assert findings["torch"].fix == "pip install 'vidstyle[torch]'"
    assert "auto is openvino on the CPU: no NVIDIA GPU" in findings["engine"].found


def absent(name: str) -> str:
    raise PackageNotFoundError(name)


@posix
def test_a_driver_is_described(smi: Callable[[str], None]) -> None:
    smi("echo 'NVIDIA H200, 580.65.06, 143771 MiB'")
    assert health_optional.read_driver() == ("NVIDIA H200, 580.65.06, 143771 MiB", 580)
    assert health_optional.CHECKS["nvidia"]().state == OK


@posix
@pytest.mark.parametrize("script", ["echo broken driver >&2; exit 9", "true"])
def test_a_broken_driver_is_a_warning(smi: Callable[[str], None], script: str) -> None:
    smi(script)
    finding = health_optional.CHECKS["nvidia"]()
    assert finding.state == WARN and "nvidia-smi" in finding.found and "\n" not in finding.found


@posix
@pytest.mark.parametrize(
    ("cuda", "driver", "state"),
    [("None", "580", WARN), ("'13.0'", "570", WARN), ("'13.0'", "580", OK), ("'12.8'", "570", OK)],
)
def test_torch_is_compared_with_the_driver(
    smi: Callable[[str], None], torch: Callable[[str], None], cuda: str, driver: str, state: str
) -> None:
    smi(f"echo 'NVIDIA T4, {driver}.1.2, 15360 MiB'")
    torch(cuda)
    finding = health_optional.CHECKS["torch"]()
    assert finding.state == state and "2.11.0" in finding.found
    assert ("--torch-backend=auto" in finding.fix) == (state == WARN)


@pytest.mark.usefixtures("whole")
def test_torch_is_not_imported_to_tell_its_version() -> None:
    code = "import sys; from vidstyle.health import check_all; list(check_all()); print('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# The reference that the engine is compared with


@pytest.mark.skipif(find_spec("torch") is None, reason="compares with torch, the other reference")
@pytest.mark.parametrize(
    "arch", [Architecture("student", (4, 8), (1, 1), (1, 0)), Architecture("ttn")], ids=lambda arch: arch.name
)
def test_plain_numpy_computes_what_torch_does(arch: Architecture) -> None:
    from vidstyle.engine import Recipe
    from vidstyle.stylizer import Stylizer

    random = np.random.default_rng(0)
    weights = {}
    for name, layer in layers(arch).items():
        shape = (layer.out, layer.inp, layer.k, layer.k)
        weights[f"{name}.weight"] = (random.standard_normal(shape) / (layer.inp * layer.k**2) ** 0.5).astype("f4")
        weights[f"{name}.bias"] = random.normal(0, 0.05, layer.out).astype("f4")
    style = Style(Card("test", "", arch, "", ""), weights)
    image = random.integers(0, 256, (23, 34, 3), np.uint8)
    with Stylizer(Recipe(((style, 1.0),)), "torch", precision="f32") as stylizer:
        assert np.abs(stylizer(image).astype(int) - style_exactly(image, style)).max() <= 1
