"""The loop all stages share: going on, bad losses, short memory, a full disk, two processes."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from processes import launch
from torch import Tensor, nn

from engines.torch import is_full
from training import world
from training.gem import Geometry
from training.loop import Loop, OnStep, follow, frozen
from training.options import Basics
from training.world import TrainingError, World, half, join
from vidstyle.errors import Interrupted

ALONE = World(torch.device("cpu"))


@dataclass(frozen=True)
class Options(Basics):
    steps: int = 6
    batch: int = 4
    log_every: int = 1
    save_every: int = 2
    lr: float = 0.1
    geometry: Geometry = field(default_factory=Geometry)


class Stage:
    """The smallest of stages: a linear layer that learns to negate."""

    def __init__(self, run: Path, options: Options, on_step: OnStep | None = None, world: World = ALONE) -> None:
        torch.manual_seed(options.seed)
        self.net = nn.Linear(3, 3)
        self.optimiser = torch.optim.Adam(self.net.parameters(), options.lr)
        parts = {"net": self.net, "optimiser": self.optimiser}
        self.loop = Loop(run, options, parts, world, on_step)
        self.options, self.spoil = options, -1  # the step whose loss is not a number

    def train(self) -> Stage:
        for step in self.loop:
            x = torch.randn(self.options.batch, 3, generator=self.loop.rng(step))

            def loss(rows: slice, x: Tensor = x, step: int = step) -> dict[str, Tensor]:
                close = (self.net(x[rows]) + x[rows]).square().mean()
                spoiled = close * float("nan") if step == self.spoil else close
                return {"close": close, "far": 0.1 * spoiled}

            self.loop.descend(self.optimiser, self.options.batch, loss)
        return self

    def weights(self) -> list[Tensor]:
        return [value.detach().clone() for value in self.net.parameters()]


def equal(a: Stage, b: Stage) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.weights(), b.weights(), strict=True))


def steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "stats.jsonl").read_text().splitlines()]


def test_a_stopped_run_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    straight = Stage(tmp_path / "a", Options()).train()

    def stop(step: int, total: int, terms: dict[str, float]) -> None:
        assert total == 6 and {"close", "far"} <= set(terms)
        if step == 3:
            raise Interrupted(130)

    with pytest.raises(Interrupted):
        Stage(tmp_path / "b", Options(), stop).train()
    assert steps(tmp_path / "b") == [1, 2, 3]
    again = Stage(tmp_path / "b", Options())
    assert again.loop.step == 3
    assert equal(again.train(), straight)
    assert steps(tmp_path / "b") == steps(tmp_path / "a") == [1, 2, 3, 4, 5, 6]
    assert json.loads((tmp_path / "b" / "options.json").read_text())["lr"] == 0.1


def test_a_killed_run_writes_the_lost_steps_again_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Options(save_every=2))
    stage.spoil = 4  # ends step 5 without its being saved; lines up to 4 are there
    with pytest.raises(TrainingError):
        stage.train()
    with open(tmp_path / "stats.jsonl", "a") as stats:
        stats.write('{"step": 5, "seconds": 1}\n')
    Stage(tmp_path, Options(save_every=2)).train()
    assert steps(tmp_path) == [1, 2, 3, 4, 5, 6]


def test_a_loss_that_is_not_a_number_stops_with_its_name_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Options())
    stage.spoil = 4
    with pytest.raises(TrainingError, match=r"step 5: the loss far is nan; .*checkpoint\.pt is kept") as error:
        stage.train()
    assert "\n" not in str(error.value)
    assert all(value.isfinite().all() for value in stage.weights())
    assert Stage(tmp_path, Options()).loop.step == 4


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Options(steps=2)).train()
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with torch.no_grad():
        stage.net.weight[0, 0] = float("inf")
    with pytest.raises(TrainingError, match="weights of net are not finite"):
        stage.loop.save()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_other_options_are_refused_unless_they_do_not_matter(tmp_path: Path) -> None:
    Stage(tmp_path, Options(steps=2)).train()
    with pytest.raises(TrainingError, match=r"lr was 0.1, is 0.2"):
        Stage(tmp_path, Options(lr=0.2))
    with pytest.raises(TrainingError, match="geometry was"):
        Stage(tmp_path, Options(geometry=Geometry(turn=3.0)))
    assert Stage(tmp_path, Options(steps=9, save_every=5)).loop.step == 2


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    Stage(tmp_path, Options(steps=2)).train()
    (tmp_path / "checkpoint.pt").write_bytes(b"torn")
    with pytest.raises(TrainingError, match="delete it to begin anew"):
        Stage(tmp_path, Options())


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, order = Stage(tmp_path, Options(steps=2)), []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("fsync"), fsync(handle)))
    monkeypatch.setattr(Path, "replace", lambda self, to: (order.append(to.name), replace(self, to)))
    stage.loop.save()
    assert order == ["fsync", "checkpoint.pt"]


def test_what_a_killed_process_left_of_a_checkpoint_and_of_its_statistics_is_passed_over(tmp_path: Path) -> None:
    Stage(tmp_path, Options(steps=2)).train()
    (tmp_path / "vidstyle-1-2.part").write_bytes(b"half")
    with open(tmp_path / "stats.jsonl", "a") as file:
        file.write('{"step": 3, "sec')
    (tmp_path / "options.json").write_text("")
    Stage(tmp_path, Options()).train()
    assert steps(tmp_path) == [1, 2, 3, 4, 5, 6] and not list(tmp_path.glob("*.part"))


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path, Options(steps=2)).train()
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def full(_: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match=r"No space left on device.*is kept as it was"):
        stage.loop.save()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before and not list(tmp_path.glob("*.part"))


def test_out_of_memory_halves_the_batch_and_the_gradient_is_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, halved = (Stage(tmp_path / name, Options(steps=1)) for name in "ab")
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    sizes = []

    def loss(stage: Stage, rows: slice, most: int) -> dict[str, Tensor]:
        sizes.append(rows.stop - rows.start)
        if sizes[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return {"close": (stage.net(x[rows]) + x[rows]).square().mean()}

    whole.loop.descend(whole.optimiser, 4, lambda rows: loss(whole, rows, 4))
    halved.loop.descend(halved.optimiser, 4, lambda rows: loss(halved, rows, 1))
    assert sizes == [4, 4, 2, 1, 1, 1, 1] and halved.loop.pieces == 4
    for a, b in zip(whole.net.parameters(), halved.net.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    assert "computed in 2 pieces" in caplog.text and "computed in 4 pieces" in caplog.text
    with pytest.raises(TrainingError, match="one picture at a time"):
        halved.loop.descend(halved.optimiser, 4, lambda rows: loss(halved, rows, 0))


def test_other_errors_are_not_taken_for_short_memory(tmp_path: Path) -> None:
    stage = Stage(tmp_path, Options())

    def wrong(_: slice) -> dict[str, Tensor]:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        stage.loop.descend(stage.optimiser, 4, wrong)
    assert is_full(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"))
    assert not is_full(RuntimeError("CUDA error: an illegal memory access was encountered"))


@pytest.mark.parametrize(
    "said",
    ["cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "GET was unable to find an engine to execute this computation"],
)
def test_a_library_on_the_gpu_runs_out_of_memory_in_its_own_words(said: str) -> None:
    assert is_full(RuntimeError(said))


def test_averages_follow_and_frozen_networks_pass_gradients_on() -> None:
    torch.manual_seed(0)
    average, net = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    net.weight.data.fill_(3)
    net.running_mean.fill_(5)
    follow(average, net, 0.75)
    assert average.weight.tolist() == [1.5, 1.5] and average.running_mean.tolist() == [5, 5]
    x = torch.ones(3, 2, requires_grad=True)
    linear = nn.Linear(2, 1)
    with frozen(linear):
        linear(x).sum().backward()
    assert x.grad is not None and linear.weight.grad is None and linear.weight.requires_grad


TWO = """
import os, sys, torch, warnings
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_training_loop import Options, Stage
from training.world import join, leave
world = join("cpu")
stage = Stage(Path(sys.argv[1]), Options(steps=3), world=world).train()
assert world.size == 2 and world.rows(4) == slice(2 * world.rank, 2 * world.rank + 2)
torch.save(stage.weights(), f"{sys.argv[1]}/weights-{world.rank}.pt")
leave()
"""


COMMAND = """
import sys, torch
from pathlib import Path
from training.options import run_command
from training.world import join
def command():
    world = join("cpu")
    if world.rank:
        Path(sys.argv[1]).touch()
run_command(command)
assert Path(sys.argv[1]).exists(), "the first did not wait for the second"
assert not torch.distributed.is_initialized(), "its group is left behind"
"""


def test_processes_leave_a_command_together(tmp_path: Path) -> None:
    launch("by hand", COMMAND, [str(tmp_path / "second")])


@pytest.mark.parametrize("launcher", ["by hand", pytest.param("torchrun", marks=pytest.mark.slow)])
def test_two_processes_compute_what_one_would(tmp_path: Path, launcher: str) -> None:
    here = Path(__file__).resolve().parent
    run = tmp_path / "two"
    run.mkdir()
    launch(launcher, TWO, [str(run), str(here), str(here.parent)])
    alone = Stage(tmp_path / "one", Options(steps=3)).train()
    first, second = (torch.load(run / f"weights-{rank}.pt", weights_only=True) for rank in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    for ours, theirs in zip(alone.weights(), first, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    rows = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    wanted = [json.loads(line) for line in (tmp_path / "one" / "stats.jsonl").read_text().splitlines()]
    assert [row["close"] for row in rows] == pytest.approx([row["close"] for row in wanted], rel=1e-4)
    # What two processes began, one goes on with.
    assert Stage(run, Options(steps=4)).train().loop.step == 4


def test_a_batch_must_be_shared_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrainingError, match="use a multiple"):
        World(torch.device("cpu"), 0, 3).rows(4)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join("cpu") == ALONE


@pytest.mark.parametrize(
    ("machine", "passed", "avx512", "has"),
    [
        ("x86_64", True, True, True),
        ("AMD64", True, False, False),  # AVX-512 alone: torch would emulate it
        ("x86_64", False, False, False),
        ("aarch64", True, False, True),
        ("arm64", False, False, False),
    ],
)
def test_bf16_is_used_only_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, machine: str, passed: bool, avx512: bool, has: bool
) -> None:
    monkeypatch.setattr(world.platform, "machine", lambda: machine)
    monkeypatch.setattr(world.torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: passed)
    monkeypatch.setattr(world.torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    found = world.has_bf16.__wrapped__("cpu")
    assert found is has
    monkeypatch.setattr(world, "has_bf16", lambda kind: kind == "cpu" and found)
    layer = nn.Conv2d(2, 2, 1)
    with half(torch.device("cpu")):
        assert layer(torch.zeros(1, 2, 4, 4)).dtype == (torch.bfloat16 if has else torch.float32)
