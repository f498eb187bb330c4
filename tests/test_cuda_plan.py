"""A network as a list of launches: forms found, steps, and the same result as the definition; no GPU is needed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from interpreted import by_torch, fused, interpreter, launches
from style_files import random_weights
from test_engines import ARCHITECTURES, pictures
from triton.runtime.errors import OutOfResources

from engines.cuda import convolutions, trials
from engines.cuda.convolutions import Filters
from engines.cuda.fusing import LazyOps, Node, as_gated, as_guided, graph, in_order
from engines.cuda.steps import Step
from engines.cuda.trials import First
from engines.torch import Network
from vidstyle.importer import import_published
from vidstyle.network import Architecture, Weights, guided_filter, prepare
from vidstyle.paths import cache_dir

__all__ = ["by_torch", "interpreter"]
CPU = torch.device("cpu")
CONV2D = torch.nn.functional.conv2d
TTN, STUDENT = ARCHITECTURES["ttn"], ARCHITECTURES["student"]
TEACHERS = ["3d", "anime", "artstyle", "design", "handdrawn", "illustration", "sketch"]


def plan(arch: Architecture, height: int = 12, width: int = 20, dtype: torch.dtype = torch.float32) -> Any:
    return fused.Plan(arch, prepare(arch, random_weights(arch)), height, width, dtype, CPU)


def names(steps: list[Any]) -> list[str]:
    return [step.name.split(" to ")[0].rstrip("0123456789") for step in steps]


def levels(arch: Architecture, weights: Weights, batch: np.ndarray) -> np.ndarray:
    """float64, not rounded."""
    x = torch.from_numpy(batch.astype(np.float64) / 127.5 - 1).permute(0, 3, 1, 2)
    with torch.no_grad():
        y = Network(arch, weights).double()(x)
    return ((y.permute(0, 2, 3, 1).numpy() + 1) * 127.5).clip(0, 255)


def styled(
    arch: Architecture, weights: Weights, batch: np.ndarray, dtype: torch.dtype, trial: Any = None
) -> np.ndarray:
    made = fused.Plan(arch, prepare(arch, weights), *batch.shape[1:3], dtype, CPU, trial)
    out = torch.zeros(batch.shape, dtype=torch.uint8)
    with torch.inference_mode():
        made.run(torch.from_numpy(batch), out, launches.Mixture())
    return out.numpy()


def soft(arch: Architecture) -> Weights:
    """Random weights whose results mostly stay within a picture's range."""
    weights = random_weights(arch)
    if arch.name == "ttn":
        weights["conv9.weight"] *= 0.2
    return weights


def test_the_published_network_takes_37_launches_and_none_by_torch() -> None:
    found = names(plan(TTN).steps)
    assert found.count("conv") == 0 and [name.split()[0] for name in found].count("conv") == 18
    assert found[0] == "from pixels" and found[-1] == "guided filter, pixels"
    assert {name.split()[0] for name in found} == {"from", "conv", "combine", "guided"}
    assert len(found) == 37


def test_a_student_ends_in_one_convolution_and_one_kernel() -> None:
    steps = plan(STUDENT).steps
    assert steps[-2].name == "conv gate+head" and steps[-1].name == "gate, pixels"
    assert {name.split()[0] for name in names(steps)} == {"from", "conv", "combine", "gate,"}


@pytest.mark.parametrize("arch", [TTN, STUDENT], ids=lambda arch: arch.name)
def test_values_are_kept_as_long_as_they_are_read(arch: Architecture) -> None:
    steps = plan(arch).steps
    alive: set[int] = set()
    for step in steps:
        assert set(step.reads) <= alive
        alive |= {step.writes} - {None}
        alive -= set(step.last)
    assert not alive, "all memory is given back"


def test_the_work_counted_is_the_works_own() -> None:
    height, width = 32, 48
    steps = plan(TTN, height, width, torch.float16).steps
    # The last convolution's 8x8 window holds 7x7 taps of each of four pixels: the rest are zeros, which are computed.
    zeros = 2 * 3 * 32 * (64 - 49) * height * width
    assert sum(step.flops for step in steps) == 249_216 * height * width + zeros
    by_name = {step.name: step for step in steps}
    weights = 32 * 32 * 3 * 3 * 2
    assert by_name["conv conv8"].bytes == 2 * 2 * 32 * height * width + weights
    assert by_name["guided filter, pixels"].bytes == (2 * 16 // 4 + 6) * height * width


def test_forms_are_found_by_their_structure() -> None:
    ops, source, x = LazyOps({}), Node("source", (), (3, 8, 8)), Node("pad_edge", (), (3, 8, 8))
    assert as_guided(guided_filter(ops, source, x)) is x
    assert as_guided(guided_filter(ops, x, source)) is None, "only the source is a guide"
    assert as_guided(ops.add(x, source)) is None
    changed = guided_filter(ops, source, x)
    assert as_guided(replace(changed, op="sub")) is None
    gate = Node("shuffle", (), (1, 8, 8))
    assert as_gated(ops.add(ops.mul(source, gate), x)) == (gate, x)
    assert as_gated(ops.add(ops.mul(x, gate), source)) is None
    assert as_gated(ops.add(ops.mul(source, 2.0), x)) is None


def test_nothing_is_computed_twice() -> None:
    nodes = list(in_order(graph(TTN, prepare(TTN, random_weights(TTN)), 8, 8)))
    assert len(nodes) == len(set(nodes))
    assert sum(node.op == "conv" for node in nodes) == 18


@pytest.mark.usefixtures("interpreter")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize(("arch", "size"), [(TTN, (5, 6)), (STUDENT, (1, 1)), (STUDENT, (7, 9))], ids=str)
def test_the_kernels_together_give_what_the_definition_gives(
    arch: Architecture, size: tuple[int, int], dtype: torch.dtype
) -> None:
    batch = pictures(2, *size)
    weights = soft(arch)
    error = np.abs(styled(arch, weights, batch, dtype) - levels(arch, weights, batch))
    assert error.max() < (0.501 if dtype == torch.float32 else 0.75)


@pytest.mark.usefixtures("by_torch")
@pytest.mark.parametrize("arch", [TTN, STUDENT], ids=lambda arch: arch.name)
@pytest.mark.parametrize("place", [1, -1])
def test_every_form_of_a_convolution_gives_the_same(arch: Architecture, place: int) -> None:
    batch, weights, used = pictures(2, 30, 46), soft(arch), []

    class Other(First):
        def form(self, found: Any, shape: Any) -> Any:  # noqa: ARG002
            used.append(found[min(place, len(found) - 1)])
            return used[-1]

    got = styled(arch, weights, batch, torch.float32, Other())
    assert {one.fold for one in used} >= ({1, 2} if place == 1 else {1, 4})
    assert np.abs(got - levels(arch, weights, batch)).max() < 0.501


def test_forms_are_tried_where_they_fit() -> None:
    def folds(out: int, k: int, size: tuple[int, int], may_fold: bool = True) -> list[int]:
        filters = [Filters(np.zeros((out, 8, k, k), np.float32), np.zeros(out, np.float32))]
        return [one.fold for one in convolutions.forms(filters, 1, (1, 1, 1, 1), size, may_fold)]

    assert folds(12, 3, (16, 20)) == [1, 2, 4] and folds(32, 3, (16, 20)) == [1, 2]
    assert folds(12, 3, (18, 20)) == [1, 2] and folds(12, 3, (17, 20)) == [1]
    assert folds(128, 3, (16, 20)) == folds(12, 1, (16, 20)) == folds(12, 3, (16, 20), False) == [1]


def test_the_quickest_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forms and ways are called with pictures of the batch; ways alike are measured once."""
    filters = [Filters(np.zeros((12, 8, 3, 3), np.float32), np.zeros(12, np.float32))]
    found = convolutions.forms(filters, 1, (1, 1, 1, 1), (16, 20), True)
    measured: list[Any] = []

    def milliseconds(function: Any) -> float:
        measured.append(function())
        return {1: 3.0, 2: 1.0, 3: 2.0}[len(measured)]

    def step(value: float) -> Any:
        def run(call: Any) -> None:
            if value == 0:
                raise OutOfResources(300, 200, "shared memory")
            assert call.values[4].shape == (3, 16, 20, 8)
            call.values[5] = value

        return Step("a step", run, (4,), 5, 0)

    monkeypatch.setattr(trials, "milliseconds", milliseconds)
    trial = trials.Measured(3, CPU, torch.float32)
    assert trial.form(found, (8, 16, 20)).fold == 2 and [len(y) for y in measured] == [3, 3, 3]
    measured.clear()
    for _ in range(2):
        assert trial.way([[step(7.0)], [step(0)], [step(8.0)]], {4: (8, 16, 20)}, "alike") == 2
    assert len(measured) == 2


def test_what_a_card_cannot_run_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuDNN has no way for some windows: that is no full memory, as long as another form does."""

    def calling(*outcomes: float | Exception) -> Any:
        left = list(outcomes)

        def milliseconds(function: Any) -> float:  # noqa: ARG001
            if isinstance(one := left.pop(0), Exception):
                raise one
            return one

        monkeypatch.setattr(trials, "milliseconds", milliseconds)
        return trials.Measured(1, CPU, torch.float32).form(found, (8, 16, 20))

    filters = [Filters(np.zeros((12, 8, 3, 3), np.float32), np.zeros(12, np.float32))]
    found = convolutions.forms(filters, 1, (1, 1, 1, 1), (16, 20), True)
    none = RuntimeError("GET was unable to find an engine to execute this computation")
    assert calling(2.0, none, 3.0) is found[0] and calling(none, 2.0, 1.0) is found[2]
    with pytest.raises(RuntimeError, match="the first"):
        calling(RuntimeError("the first"), none, none)


class OneLaunch(First):
    """Triton's convolution wherever it can be had."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.asked: list[Any] = []

    def way(self, ways: Any, inputs: Any, same: Any) -> int:  # noqa: ARG002
        assert len(ways) == 3 and len(ways[0]) == 2 and len(ways[1]) == len(ways[2]) == 1
        assert ways[1][0].bytes < sum(step.bytes for step in ways[0])
        self.asked.append(same)
        return self._number


def test_convolutions_in_one_launch_take_the_place_of_two() -> None:
    trial = OneLaunch(2)
    steps = fused.Plan(TTN, prepare(TTN, random_weights(TTN)), 12, 20, torch.float16, CPU, trial).steps
    assert len(trial.asked) == 14 and len(set(trial.asked)) == 8
    assert len(steps) == 37 - 14 and sum(step.name.endswith(" fused") for step in steps) == 14
    alive: set[int] = set()
    for step in steps:
        assert set(step.reads) <= alive
        alive = (alive | {step.writes}) - set(step.last)


@pytest.mark.usefixtures("interpreter")
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("arch", [Architecture("student", (16, 48), (1, 0), (0, 0), guided=False), TTN], ids=str)
def test_convolutions_in_one_launch_give_what_the_definition_gives(arch: Architecture, number: int) -> None:
    if arch is TTN and number == 2:
        pytest.skip("the same kernel with other tiles")
    batch, weights, trial = pictures(2, 5, 6), soft(arch), OneLaunch(number)
    error = np.abs(styled(arch, weights, batch, torch.float16, trial) - levels(arch, weights, batch))
    assert trial.asked and error.max() < 0.75


#: forms of the definition that no kernel is made for, and others in other places
OTHERS = {
    "guided student": Architecture("student", (8, 12), (1, 1), (1, 0), guided=True),
    "ttn without its filter": Architecture("ttn", guided=False),
    "smooth student": Architecture("student", (8, 12, 16), (1, 0, 1), (0, 1, 0), guided=False, smooth=True),
    "deep student": Architecture("student", (8, 16, 8, 16), (0, 1, 2, 1), (1, 0, 0, 2), guided=False),
}


@pytest.mark.usefixtures("by_torch")
@pytest.mark.parametrize("arch", [*OTHERS.values(), TTN, STUDENT], ids=[*OTHERS, "ttn", "student"])
@pytest.mark.parametrize("size", [(1, 1), (33, 50)], ids=str)
def test_any_network_of_the_definition_runs(arch: Architecture, size: tuple[int, int]) -> None:
    batch, weights = pictures(2, *size), soft(arch)
    assert np.abs(styled(arch, weights, batch, torch.float32) - levels(arch, weights, batch)).max() < 0.501


def unknown(ops: Any, _: Architecture, x: Any) -> Any:
    """Operations in an order that no network here has."""
    h = ops.leaky_relu(ops.add(ops.conv(x, "conv0", pad=(3, 3, 3, 3)), 0.5))
    h = ops.leaky_relu(ops.add(h, ops.conv(h, "conv2", pad=(2, 0, 0, 2))))
    twice = ops.conv(h, "conv2")
    h = ops.add(ops.mul(twice, 0.5), ops.leaky_relu(twice))
    h = ops.sub(ops.upsample2(ops.leaky_relu(ops.conv(h, "conv1", stride=2, pad=(1, 0, 0, 1)))), ops.box3(h))
    h = ops.upsample2(ops.unshuffle(ops.div(h, 2.0), 2))
    return ops.add(ops.shuffle(ops.conv(h, "last", pad=(0, 0, 0, 0)), 1), ops.pad_edge(ops.crop(x, 3, 4), 5, 8))


@pytest.mark.usefixtures("by_torch")
def test_a_network_of_unknown_form_is_right_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    shapes = {"conv0": (4, 3, 7, 7), "conv1": (4, 4, 3, 3), "conv2": (4, 4, 3, 3), "last": (3, 16, 1, 1)}
    weights: Weights = {}
    for name, shape in shapes.items():
        weights[f"{name}.weight"] = rng.normal(0, 0.1, shape).astype(np.float32)
        weights[f"{name}.bias"] = rng.normal(0, 0.1, shape[0]).astype(np.float32)
    from engines.torch import TorchOps
    from vidstyle import network

    monkeypatch.setitem(network.NETWORKS, "ttn", (unknown, network.NETWORKS["ttn"][1]))
    arch = Architecture("ttn", guided=False)
    batch = pictures(1, 8, 12)
    x = torch.from_numpy(batch.astype(np.float64) / 127.5 - 1).permute(0, 3, 1, 2)
    doubles = {name: torch.from_numpy(value.astype(np.float64)) for name, value in weights.items()}
    want = ((unknown(TorchOps(doubles), arch, x).permute(0, 2, 3, 1).numpy() + 1) * 127.5).clip(0, 255)
    made, out = fused.Plan(arch, weights, 8, 12, torch.float32, CPU), torch.zeros(batch.shape, dtype=torch.uint8)
    made.run(torch.from_numpy(batch), out, launches.Mixture())
    assert np.abs(out.numpy() - want).max() < 0.501


def summed_exactly(x: torch.Tensor, weight: torch.Tensor, *more: Any, **options: Any) -> torch.Tensor:
    """A convolution that rounds its results alone: in f16 the CPU decides where its sums are rounded too."""
    return CONV2D(x.double(), weight.double(), *more, **options).to(x.dtype)


@pytest.mark.usefixtures("by_torch")
@pytest.mark.parametrize("name", TEACHERS)
def test_the_published_networks_hold_in_half_precision(shared: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing overflows, and pixels are within 2 levels and 45 dB: rounded to f16 at every step, as on a GPU."""
    monkeypatch.setattr(torch.nn.functional, "conv2d", summed_exactly)
    style = import_published(shared(f"teachers/{name}.tflite"), name)
    batch = pictures(1, 96, 128)
    batch[:, :32] = np.random.default_rng(1).integers(0, 256, batch[:, :32].shape)
    batch[:, 32:40], batch[:, 40:48] = 0, 255
    got = styled(TTN, style.weights, batch, torch.float16)
    difference = got.astype(int) - levels(TTN, style.weights, batch).round()
    assert np.abs(difference).max() <= 2
    assert 10 * np.log10(255**2 / np.square(difference).mean()) >= 45


class Counting(OneLaunch):
    """Takes the last form and a launch of one; counts how often it is asked."""

    forms = 0

    def form(self, found: Any, shape: Any) -> Any:  # noqa: ARG002
        self.forms += 1
        return found[-1]


@pytest.mark.usefixtures("home")
def test_choices_are_kept_for_the_next_engine_of_the_kind() -> None:
    weights = soft(TTN)

    def steps_of(trial: Any) -> list[str]:
        return [s.name for s in fused.Plan(TTN, prepare(TTN, weights), 12, 20, torch.float16, CPU, trial).steps]

    first = Counting(2)
    kept = trials.Remembered("a card and a size", first)
    made = steps_of(kept)
    kept.keep()
    assert first.asked and first.forms and made != steps_of(None)
    again = Counting(1)
    assert steps_of(trials.Remembered("a card and a size", again)) == made
    assert not again.asked and not again.forms
    other = Counting(2)
    assert steps_of(trials.Remembered("another card", other)) == made and other.asked
    # A file that was damaged is measured again.
    for path in (cache_dir() / "cuda").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    steps_of(trials.Remembered("a card and a size", again))
    assert again.asked
