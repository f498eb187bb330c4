"""Who a process is among those that train together."""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import Any

import pytest
import torch
from torch import distributed

from training.world import World, join


@pytest.mark.parametrize(("device", "expected"), [("cuda", ("nccl", torch.device("cuda:1"))), ("cpu", ("gloo", None))])
def test_each_process_has_a_gpu_of_its_own_to_wait_with(
    device: str, expected: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    told: dict[str, Any] = {}
    signature = inspect.signature(distributed.init_process_group)
    monkeypatch.setattr(
        distributed, "init_process_group", lambda *args, **more: told.update(signature.bind(*args, **more).arguments)
    )
    monkeypatch.setattr(distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    world = join(device)
    assert (told["backend"], told.get("device_id")) == expected
    assert told["timeout"] >= timedelta(hours=2), "the others wait while one asks the teacher"
    assert world == World(expected[1] or torch.device("cpu"), 1, 2)
