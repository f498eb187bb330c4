"""The process of a training among those that train together (torchrun), and its device."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import torch
from torch import Tensor, distributed

from vidstyle.errors import VidstyleError


class TrainingError(VidstyleError):
    """A training cannot go on: bad options, bad data, a loss that is not finite, no memory, no disk."""


class DivergedError(TrainingError):
    """A loss is not finite."""


#: that a process works alone while the others wait, as for a teacher's results on a CPU; NCCL gives up after 10 minutes
LONGEST = timedelta(hours=12)


@dataclass(frozen=True)
class World:
    """This process among those that train together."""

    device: torch.device
    rank: int = 0
    size: int = 1

    def rows(self, batch: int) -> slice:
        """This process's rows of a batch.

        Raises:
            TrainingError: the batch cannot be shared out evenly.
        """
        if batch % self.size:
            raise TrainingError(f"a batch of {batch} cannot be shared by {self.size} processes: use a multiple")
        share = batch // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def wait(self) -> None:
        """Until every process is here: what the first wrote can then be read by all."""
        if self.size > 1:
            distributed.barrier()

    def mean(self, value: Tensor) -> Tensor:
        """The mean of ``value`` over all processes."""
        if self.size > 1:
            value = value.clone()
            distributed.all_reduce(value)
            value /= self.size
        return value

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Make every process's gradients the mean of all; one without a gradient counts as zero."""
        if self.size == 1:
            return
        values = list(parameters)
        for value in values:
            if value.grad is None:
                value.grad = torch.zeros_like(value)
        gradients = [value.grad for value in values if value.grad is not None]
        flat = self.mean(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        for gradient, mean in zip(gradients, flat.split([value.numel() for value in values]), strict=True):
            gradient.copy_(mean.view_as(gradient))


def join(device: str = "auto") -> World:
    """The world that torchrun started this process in, or one of its own."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if device == "cuda":
        torch.backends.cudnn.benchmark = True  # every step has the same sizes
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    where = torch.device(device)
    if size == 1:
        return World(where)
    if not distributed.is_initialized():
        if where.type == "cuda":  # told which: to wait for the others, each process would guess one
            distributed.init_process_group("nccl", timeout=LONGEST, device_id=where)
        else:
            distributed.init_process_group("gloo", timeout=LONGEST)
    return World(where, distributed.get_rank(), size)


def half(device: torch.device) -> torch.autocast:
    """Convolutions in bfloat16 where ``device`` has it, else in float32: emulated, it takes eleven times as long."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device.type))


@cache
def has_bf16(kind: str) -> bool:
    """Whether devices of this kind ("cpu", "cuda") have bfloat16 arithmetic of their own.

    Torch's own check passes every CPU with AVX-512, of which the older ones emulate it.
    """
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    passed = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return passed and (platform.machine().lower() not in ("x86_64", "amd64") or torch.cpu._is_avx512_bf16_supported())


def leave() -> None:
    """Out of the world that `join` entered, if any, once all processes are here to leave it.

    A process that ends inside of it may take the connection from others that still talk, who then abort.
    """
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()
