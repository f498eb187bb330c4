"""What every launch of a network moves and computes, the least time that takes, and the time it takes on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from engines.cuda.fused import Plan
from engines.cuda.launches import Mixture
from engines.cuda.steps import Call
from engines.torch import DTYPES
from vidstyle.engine import EngineSpec, Recipe, load_engine
from vidstyle.network import prepare
from vidstyle.style import Style

REPEATS = 20  # of a launch in one CUDA graph: what the caches hold is read from them


@dataclass(frozen=True)
class Cost:
    """One launch for one picture; seconds. ``limit`` is the larger of its bytes and its FLOPs over the card's rates."""

    name: str
    bytes: int
    flops: int
    limit: float
    measured: float | None = None


def plan_of(style: Style, precision: str, size: tuple[int, int], device: torch.device) -> Plan:
    """On a GPU the engine's own, with each convolution in its quickest way, which is measured once."""
    if device.type == "cuda":
        spec = EngineSpec(*size, precision=precision, device=str(device))
        engine: Any = load_engine(Recipe(((style, 1.0),)), spec, "cuda")
        with engine:
            plan: Plan = engine._plans[0]
        return plan
    arch = style.card.architecture
    with torch.inference_mode():
        return Plan(arch, prepare(arch, style.weights), *size, DTYPES[precision], device)


def costs(plan: Plan, size: tuple[int, int], device: torch.device, flops: float, rate: float) -> list[Cost]:
    """Every step of ``plan``; ``flops`` and ``rate`` are the card's operations and bytes a second."""
    times = iter(_measured(plan, size, device)) if device.type == "cuda" else None
    return [
        Cost(step.name, step.bytes, step.flops, max(step.bytes / rate, step.flops / flops), times and next(times))
        for step in plan.steps
    ]


@torch.inference_mode()
def _measured(plan: Plan, size: tuple[int, int], device: torch.device) -> Iterator[float]:
    """Seconds of each step, in order."""
    frames = torch.randint(0, 256, (1, *size, 3), dtype=torch.uint8, device=device)
    call = Call(frames, torch.empty_like(frames), Mixture())
    with torch.cuda.device(device), torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
        for step in plan.steps:
            step.run(call)  # compiles, and picks the convolution
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                for _ in range(REPEATS):
                    step.run(call)
            yield _seconds(graph) / REPEATS


def _seconds(graph: torch.cuda.CUDAGraph) -> float:
    """Median of five replays."""
    times = []
    for _ in range(6):  # the first warms up
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return sorted(times[1:])[2]


def table(title: str, found: list[Cost]) -> str:
    """For people: megabytes, gigaflops and microseconds."""
    lines = [title, f"  {'launch':34} {'MB':>8} {'GFLOP':>8} {'limit us':>9} {'us':>9}"]
    total = Cost("all", sum(c.bytes for c in found), sum(c.flops for c in found), sum(c.limit for c in found))
    if all(c.measured is not None for c in found):
        total = Cost(*list(vars(total).values())[:4], sum(c.measured or 0 for c in found))
    for cost in [*found, total]:
        measured = "-" if cost.measured is None else f"{cost.measured * 1e6:.1f}"
        numbers = f"{cost.bytes / 1e6:8.1f} {cost.flops / 1e9:8.2f} {cost.limit * 1e6:9.1f} {measured:>9}"
        lines.append(f"  {cost.name:34} {numbers}")
    return "\n".join(lines)
