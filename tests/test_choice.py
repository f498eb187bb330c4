"""`vidstyle.choice`: what "auto" stands for on every kind of machine, and why a GPU cannot be used."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from vidstyle import choice
from vidstyle.choice import Machine, choose, explain, visible_gpus
from vidstyle.errors import EngineError

FULL = Machine(gpus=2, driver=580, torch="2.11.0+cu130", cuda="13.0", triton=True, no_tensorrt="")
TRITON = Machine(2, 580, "2.11.0+cu130", "13.0", True, "torch-tensorrt is not installed: pip")
BARE = Machine(1, 580, "2.11.0+cu130", "13.0", False, "torch-tensorrt is not installed: pip")
NO_GPU = Machine()
NO_TORCH = Machine(1, 580)
CPU_TORCH = Machine(1, 580, "2.11.0+cpu")
OLD = Machine(1, 570, "2.11.0+cu130", "13.0", True)
UNKNOWN_DRIVER = Machine(1, 0, "2.11.0+cu130", "13.0", True)


@pytest.mark.parametrize(
    ("machine", "engine", "device", "chosen"),
    [
        (FULL, "auto", "auto", ("tensorrt", "cuda:0")),
        (TRITON, "auto", "auto", ("cuda", "cuda:0")),
        (BARE, "auto", "auto", ("torch", "cuda:0")),
        (UNKNOWN_DRIVER, "auto", "auto", ("tensorrt", "cuda:0")),
        (NO_GPU, "auto", "auto", ("openvino", "auto")),
        (NO_TORCH, "auto", "auto", ("openvino", "auto")),
        (CPU_TORCH, "auto", "auto", ("openvino", "auto")),
        (OLD, "auto", "auto", ("openvino", "auto")),
        (FULL, "auto", "cuda", ("tensorrt", "cuda:0")),
        (TRITON, "auto", "cuda:1", ("cuda", "cuda:1")),
        (FULL, "auto", "cpu", ("openvino", "cpu")),
        (FULL, "auto", "gpu", ("openvino", "gpu")),
        (FULL, "auto", "npu", ("openvino", "npu")),
        (FULL, "openvino", "auto", ("openvino", "auto")),
        (FULL, "openvino", "cuda:0", ("openvino", "cuda:0")),
        (FULL, "torch", "auto", ("torch", "auto")),
        (FULL, "torch", "cuda:1", ("torch", "cuda:1")),
        (FULL, "cuda", "auto", ("cuda", "cuda:0")),
        (BARE, "tensorrt", "auto", ("tensorrt", "cuda:0")),
        (NO_GPU, "cuda", "cpu", ("cuda", "cpu")),
        (NO_GPU, "onnx", "auto", ("onnx", "auto")),
    ],
)
def test_the_choice(machine: Machine, engine: str, device: str, chosen: tuple[str, str]) -> None:
    assert choose(engine, device, machine) == chosen


@pytest.mark.parametrize(
    ("machine", "says", "mends"),
    [
        (NO_GPU, "no NVIDIA GPU", "driver"),
        (NO_TORCH, "torch, which a GPU needs, is not installed", "pip install 'vidstyle[torch]'"),
        (CPU_TORCH, "torch 2.11.0+cpu is built for the CPU", "--torch-backend=auto"),
        (OLD, "needs driver 580, here is 570", "update the driver"),
    ],
)
@pytest.mark.parametrize(("engine", "device"), [("auto", "cuda"), ("torch", "cuda:0"), ("cuda", "auto")])
def test_a_gpu_that_was_asked_for_is_never_replaced(
    machine: Machine, says: str, mends: str, engine: str, device: str
) -> None:
    with pytest.raises(EngineError, match=r"(?s)^[^\n]+$") as error:
        choose(engine, device, machine)
    assert says in str(error.value) and mends in str(error.value)


def test_a_gpu_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(EngineError, match="no cuda:2 here: use --device cuda:0 to cuda:1"):
        choose("auto", "cuda:2", FULL)


def test_stills_of_many_sizes_wait_for_no_build() -> None:
    assert choose("auto", "auto", FULL, builds=False) == ("cuda", "cuda:0")
    assert choose("tensorrt", "auto", FULL, builds=False) == ("tensorrt", "cuda:0")


def test_the_choice_is_explained() -> None:
    assert explain(FULL) == "auto is tensorrt on cuda:0: TensorRT is installed"
    assert explain(TRITON) == "auto is cuda on cuda:0: no TensorRT"
    assert explain(OLD).startswith("auto is openvino on the CPU: torch 2.11.0+cu130 for CUDA 13.0 needs driver 580")


class Nvml:
    """The driver's own library, of a machine with 3 GPUs."""

    def nvmlInit_v2(self) -> int:  # noqa: N802 - NVML's names
        return 0

    def nvmlDeviceGetCount_v2(self, count: object) -> int:  # noqa: N802
        count._obj.value = 3  # type: ignore[attr-defined]
        return 0

    def nvmlSystemGetDriverVersion(self, text: object, length: int) -> int:  # noqa: N802
        text.value = b"580.65.06"[:length]  # type: ignore[attr-defined]
        return 0

    def nvmlShutdown(self) -> int:  # noqa: N802
        return 0


@pytest.mark.parametrize(
    ("allowed", "found"),
    [
        (None, (3, 580)),
        ("", (0, 0)),
        ("-1", (0, 0)),
        ("1", (1, 580)),
        ("0,2", (2, 580)),
        ("0,1,2,3", (3, 580)),
        ("0,-1,1", (1, 580)),
        ("3", (0, 0)),
        ("2,7,1", (1, 580)),
        ("GPU-8f6b1c2d", (1, 580)),
    ],
)
def test_gpus_are_those_that_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch, allowed: str | None, found: tuple[int, int]
) -> None:
    monkeypatch.setattr(choice.ctypes, "CDLL", lambda _: Nvml())
    if allowed is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    assert visible_gpus() == found


@pytest.mark.parametrize(
    ("allowed", "device", "says"),
    [
        ("7", "cuda", r"^cuda cannot be used: CUDA_VISIBLE_DEVICES hides every NVIDIA GPU .* numbers of 0 to 2$"),
        ("", "cuda:0", "CUDA_VISIBLE_DEVICES hides every NVIDIA GPU that is here: unset it"),
        ("1", "cuda:1", r"no cuda:1 here \(CUDA_VISIBLE_DEVICES hides 2\): use --device cuda:0$"),
    ],
)
def test_gpus_that_are_hidden_are_not_told_as_missing(
    monkeypatch: pytest.MonkeyPatch, allowed: str, device: str, says: str
) -> None:
    monkeypatch.setattr(choice.ctypes, "CDLL", lambda _: Nvml())
    monkeypatch.setattr(choice, "torch_build", lambda: ("2.11.0+cu130", "13.0"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    with pytest.raises(EngineError, match=says):
        choose("auto", device, choice.this_machine.__wrapped__())


def test_a_driver_that_does_not_answer_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(choice.ctypes, "CDLL", lambda _: SimpleNamespace(nvmlInit_v2=lambda: 9))
    assert visible_gpus() == (0, 0)

    def only_cuda(name: str) -> object:
        if "nvml" in name or "nvidia-ml" in name:
            raise OSError("no such library")
        return object()

    monkeypatch.setattr(choice.ctypes, "CDLL", only_cuda)
    assert visible_gpus() == (1, 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")  # how many there are is not known
    assert visible_gpus() == (1, 0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")

    def nothing(_: str) -> object:
        raise OSError("no such library")

    monkeypatch.setattr(choice.ctypes, "CDLL", nothing)
    assert visible_gpus() == (0, 0)


def test_the_choice_imports_no_torch() -> None:
    code = "import sys; from vidstyle.choice import choose; choose('auto', 'auto'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
