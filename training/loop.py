"""What every stage's loop shares: where it stands, statistics, bad losses, short memory, several processes.

A stage is one straight loop::

    loop = Loop(run, options, {"network": network, "optimiser": optimiser}, world, on_step)
    for step in loop:
        rng = loop.rng(step)
        loop.descend(optimiser, options.batch, lambda rows: {"l1": ...})

Everything random in step n is drawn from a generator seeded by (seed, n), for the whole batch, and each process takes
its rows: so a run that is stopped and resumed equals a straight one to the bit, and several processes compute what one
would, up to rounding. Gradients are averaged over the processes by hand (`Loop.descend`) and not by
DistributedDataParallel, which does not carry the double backward of R1 and of the path length.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engines.torch import is_full
from training import checkpoint, curves
from training.chain import read_note
from training.checkpoint import Part
from training.options import Basics, check_unchanged
from training.world import TrainingError, World
from vidstyle.whole import write_whole

log = logging.getLogger(__name__)

OnStep = Callable[[int, int, dict[str, float]], None]  # steps done, steps in all, the step's terms


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Gradients pass through the modules' outputs, but none are computed for their weights."""
    for module in modules:
        module.requires_grad_(False)
    try:
        yield
    finally:
        for module in modules:
            module.requires_grad_(True)


@torch.no_grad()
def follow(average: nn.Module, module: nn.Module, decay: float) -> None:
    """Move an exponential moving average towards ``module``; buffers are copied."""
    for mean, value in zip(average.parameters(), module.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)
    for kept, buffer in zip(average.buffers(), module.buffers(), strict=True):
        kept.copy_(buffer)


class Loop:
    """Iterating gives the number of every step still to do; leaving a step's body ends it."""

    def __init__(
        self, run: Path, options: Basics, parts: dict[str, Any], world: World, on_step: OnStep | None = None
    ) -> None:
        self.run, self.options, self.world = run, options, world
        self.step = 0
        self.pieces = 1  # a batch is computed in so many, after memory ran out
        self._parts: dict[str, Part] = parts
        self._on_step = on_step
        self._row: dict[str, float] = {}
        self._begin()

    @property
    def checkpoint(self) -> Path:
        return self.run / "checkpoint.pt"

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.world.rank == 0

    def _begin(self) -> None:
        """Take up the run where it stands, or note the options of a new one."""
        file = self.run / "options.json"
        if self.checkpoint.exists():
            check_unchanged(self.run, read_note(file), self.options)
            self.load()
            log.info("%s goes on at step %d", self.run.name, self.step)
        if self.leads:
            self._write(file, json.dumps(asdict(self.options), indent=1).encode())
            self._forget_later_lines()

    def _write(self, path: Path, data: bytes) -> None:
        try:
            write_whole(path, data)
        except OSError as error:
            raise TrainingError(f"cannot write {path}: {error.strerror or error}") from error

    def _forget_later_lines(self) -> None:
        """Statistics of steps after the checkpoint will be written again."""
        stats = self.run / "stats.jsonl"
        if stats.exists():
            lines = [line for line in stats.read_text().splitlines() if _step(line) <= self.step]
            self._write(stats, "".join(f"{line}\n" for line in lines).encode())

    def load(self) -> None:
        """See `training.checkpoint.load`."""
        self.step = checkpoint.load(self.checkpoint, self._parts)

    def save(self) -> None:
        """See `training.checkpoint.save`.

        Raises:
            TrainingError: a weight is not finite (the file that is there is kept), or the disk is full.
        """
        if not self.leads:
            return
        self._check_weights()
        checkpoint.save(self.checkpoint, self.step, self._parts)
        curves.draw(self.run / "stats.jsonl", self.run / "curves.png")

    def _check_weights(self) -> None:
        for name, part in self._parts.items():
            values = part.parameters() if isinstance(part, nn.Module) else ()
            if not all(bool(value.isfinite().all()) for value in values):
                raise TrainingError(f"after step {self.step} weights of {name} are not finite: {self._kept()}")

    def _kept(self) -> str:
        return checkpoint.kept(self.checkpoint)

    def __iter__(self) -> Iterator[int]:
        started = time.monotonic()
        while self.step < self.options.steps:
            self._row = {}
            yield self.step
            self.step += 1
            if self.leads and self.due(self.options.log_every, 0):
                self._log(time.monotonic() - started)
            if self.due(self.options.save_every, 0):
                self.save()
            self._tell()

    def _log(self, seconds: float) -> None:
        row = {"step": self.step, "seconds": round(seconds, 3)}
        row |= {name: float(f"{value:.6g}") for name, value in self._row.items()}
        stats = self.run / "stats.jsonl"
        try:
            with open(stats, "a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise TrainingError(f"cannot write {stats} ({error.strerror or error}): {self._kept()}") from error

    def _tell(self) -> None:
        if self._on_step is None:
            return
        try:
            self._on_step(self.step, self.options.steps, dict(self._row))
        except BaseException:  # someone wants to stop: nothing of what was learned is lost
            self.save()
            raise

    def due(self, every: int, ahead: int = 1) -> bool:
        """Whether the step under way is one in ``every``, or the last."""
        return (self.step + ahead) % every == 0 or self.step + ahead == self.options.steps

    def rng(self, step: int) -> torch.Generator:
        """The source of everything random in a step; on the CPU, so that all devices agree."""
        return torch.Generator().manual_seed((self.options.seed << 32) + step)

    def note(self, name: str, value: Tensor | float) -> None:
        """Add a figure, the mean over processes, to the step's statistics."""
        value = torch.as_tensor(value, dtype=torch.float32, device=self.world.device).detach()
        self._row[name] = float(self.world.mean(value))

    def descend(
        self, optimiser: torch.optim.Optimizer, batch: int, loss: Callable[[slice], dict[str, Tensor]], prefix: str = ""
    ) -> None:
        """One step of ``optimiser`` down the sum of ``loss``'s terms.

        ``loss(rows)`` computes the terms, means over those rows of the step's batch. It is called once, or for
        several pieces of this process's rows after memory ran out; the gradients add up to those of the whole.

        Raises:
            TrainingError: a term is not finite (the optimiser is not stepped), or one picture is too much.
        """
        rows = self.world.rows(batch)
        while True:
            try:
                terms = self._gradients(optimiser, rows, loss)
                break
            except (RuntimeError, MemoryError) as error:
                if not is_full(error):
                    raise
                self._halve(rows.stop - rows.start)
        self.world.average_gradients(value for group in optimiser.param_groups for value in group["params"])
        values = {f"{prefix}{name}": float(self.world.mean(value)) for name, value in terms.items()}
        if bad := [f"{name} is {value}" for name, value in values.items() if not abs(value) < float("inf")]:
            raise TrainingError(f"step {self.step + 1}: the loss {', '.join(bad)}; {self._kept()}")
        self._row |= values
        optimiser.step()

    def _gradients(
        self, optimiser: torch.optim.Optimizer, rows: slice, loss: Callable[[slice], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        optimiser.zero_grad(set_to_none=True)
        totals: dict[str, Tensor] = {}
        whole = rows.stop - rows.start
        each = -(-whole // self.pieces)
        for start in range(rows.start, rows.stop, each):
            piece = slice(start, min(start + each, rows.stop))
            share = (piece.stop - piece.start) / whole
            terms = loss(piece)
            (sum(terms.values(), start=torch.zeros((), device=self.world.device)) * share).backward()
            for name, value in terms.items():
                totals[name] = totals.get(name, 0) + value.detach().float() * share
        return totals

    def _halve(self, rows: int) -> None:
        if self.pieces >= rows:
            raise TrainingError("out of memory with one picture at a time: use smaller pictures or a smaller network")
        self.pieces *= 2
        if self.world.device.type == "cuda":
            torch.cuda.empty_cache()
        log.warning("out of memory: from now on each batch is computed in %d pieces, gradients added", self.pieces)


def _step(line: str) -> float:
    """Of a line of statistics; never, where a machine that went down left half of it."""
    try:
        return float(json.loads(line)["step"])
    except ValueError:
        return float("inf")
