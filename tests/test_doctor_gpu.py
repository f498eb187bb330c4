"""`vidstyle doctor` on what an NVIDIA GPU needs: versions that fit each other, and what was built for it."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

from vidstyle import built, choice, health_optional
from vidstyle.health import INFO, OK, WARN


def versions(monkeypatch: pytest.MonkeyPatch, **found: str) -> None:
    """Pretend that only these packages are installed."""

    def version(name: str) -> str:
        if (key := name.replace("-", "_")) not in found:
            raise PackageNotFoundError(name)
        return found[key]

    monkeypatch.setattr(choice, "version", version)
    monkeypatch.setattr(choice, "find_spec", lambda name: SimpleNamespace() if name in found else None)
    monkeypatch.setattr(choice, "find_library", lambda _: None)


@pytest.mark.parametrize(
    ("found", "state", "says", "fix"),
    [
        (
            {"torch_tensorrt": "2.13.0"},
            WARN,
            "torch-tensorrt 2.13.0 does not match torch 2.11.0",
            "torch-tensorrt==2.11.*",
        ),
        ({"torch_tensorrt": "2.11.0"}, WARN, "tensorrt is not installed", "vidstyle[tensorrt]"),
        ({"torch_tensorrt": "2.11.0", "tensorrt": "10.15.1"}, WARN, "libraries are missing", "pypi.nvidia.com"),
        ({"torch_tensorrt": "2.11.0", "tensorrt": "10.15.1", "tensorrt_libs": ""}, OK, "tensorrt 10.15.1", ""),
        ({"tensorrt": "10.15.1"}, WARN, "torch-tensorrt is not installed", "vidstyle[tensorrt]"),
    ],
)
def test_tensorrt_is_compared_with_torch(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, str], state: str, says: str, fix: str
) -> None:
    versions(monkeypatch, torch="2.11.0+cu130", **found)
    monkeypatch.setattr(health_optional, "torch_build", lambda: ("2.11.0+cu130", "13.0"))
    finding = health_optional.CHECKS["tensorrt"]()
    assert finding.state == state and says in finding.found and fix in finding.fix


def test_triton_lacking_beside_torch_for_cuda_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, torch="2.11.0")
    monkeypatch.setattr(health_optional, "torch_build", lambda: ("2.11.0", "13.0"))
    finding = health_optional.CHECKS["triton"]()
    assert finding.state == WARN and finding.fix == "pip install triton"


def test_a_gpu_that_cannot_be_used_is_told_with_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    here = choice.Machine(gpus=1, driver=570, torch="2.11.0+cu130", cuda="13.0")
    monkeypatch.setattr(health_optional, "this_machine", lambda: here)
    finding = health_optional.CHECKS["engine"]()
    assert finding.state == WARN and "auto is openvino" in finding.found and "needs driver 580" in finding.found
    assert "update" in finding.fix


@pytest.mark.skipif(os.name == "nt", reason="POSIX's permissions")
def test_built_engines_are_counted_and_others_files_told(home: Path) -> None:
    assert health_optional.CHECKS["built engines"]().state == INFO
    key = built.Key("tensorrt", 720, 1280, 1, "f16", "GPU", "TensorRT 10", "2.11", "w", "c")
    built.store(built.Record(key, "anime", 4_000_000, 60.0, 50.0), b"engine")
    finding = health_optional.CHECKS["built engines"]()
    assert finding.state == OK and finding.found.startswith("1, 4.0 MB in")
    (path,) = built.folder().glob("*.engine")
    path.chmod(0o666)
    finding = health_optional.CHECKS["built engines"]()
    assert finding.state == WARN and "open to other users" in finding.found and path.stem in finding.fix
    path.chmod(0o600)
    (home / "state" / "keys" / "seal.key").chmod(0o644)
    finding = health_optional.CHECKS["built engines"]()
    assert finding.state == WARN and "readable by other users" in finding.found and finding.fix.startswith("rm ")
