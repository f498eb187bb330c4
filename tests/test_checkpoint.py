"""A training's state in a file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from training import checkpoint


def test_adams_count_of_steps_stays_on_the_cpu(tmp_path: Path) -> None:
    """On a GPU each would be waited for in every step; "meta" stands for it."""
    network, elsewhere = nn.Linear(2, 2), nn.Linear(2, 2, device="meta")
    here, there = (torch.optim.Adam(net.parameters()) for net in (network, elsewhere))
    network(torch.ones(2)).sum().backward()
    here.step()
    checkpoint.save(tmp_path / "a.pt", 7, {"optimiser": here})
    assert checkpoint.load(tmp_path / "a.pt", {"optimiser": there}) == 7
    for state in there.state.values():
        assert (state["step"].device.type, state["exp_avg"].device.type) == ("cpu", "meta")
