"""The optimiser: a kernel's step against the polar factor of its gradient, a bias's against AdamW's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.muon import MuonAdam
from training.world import TrainingError


def layer(seed: int = 0) -> nn.Conv2d:
    torch.manual_seed(seed)
    return nn.Conv2d(6, 10, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def test_a_kernels_first_step_is_the_polar_factor_of_its_gradient() -> None:
    """U V^T of the gradient [out, k*k*in], up to the five Newton-Schulz steps, with AdamW's RMS."""
    conv, lr = layer(), 0.01
    optimiser, before = MuonAdam(conv.parameters(), lr), conv.weight.detach().clone()
    gradient = torch.randn(10, 6, 3, 3)
    conv.weight.grad = gradient.clone()
    optimiser.step()
    step = ((before * (1 - lr * 1e-4) - conv.weight.detach()) / lr).double().permute(0, 2, 3, 1).flatten(1)
    u, _, v = torch.linalg.svd(gradient.double().permute(0, 2, 3, 1).flatten(1), full_matrices=False)
    wanted = u @ v * 0.2 * 54**0.5
    cosine = (step * wanted).sum() / (step.norm() * wanted.norm())
    assert cosine > 0.97
    assert 0.6 < step.norm() / wanted.norm() < 1.2
    assert torch.linalg.cond(step) < 3 < torch.linalg.cond(gradient.flatten(1).double()) * 3


def test_kernels_step_as_torchs_own_muon() -> None:
    """Which rounds to bf16, to about a hundredth."""
    conv = layer()
    optimiser, before = MuonAdam(conv.parameters(), 0.01), conv.weight.detach().permute(0, 2, 3, 1).flatten(1)
    reference = nn.Parameter(before.clone())
    torchs = torch.optim.Muon([reference], lr=0.01, weight_decay=1e-4, adjust_lr_fn="match_rms_adamw")
    before = before.clone()
    for seed in range(4):
        torch.manual_seed(seed)
        conv.weight.grad = torch.randn(10, 6, 3, 3)
        reference.grad = conv.weight.grad.permute(0, 2, 3, 1).flatten(1)
        optimiser.step()
        torchs.step()
    ours, theirs = conv.weight.detach().permute(0, 2, 3, 1).flatten(1) - before, reference.detach() - before
    assert (ours - theirs).norm() < 0.02 * theirs.norm()


def test_a_bias_steps_as_adamw() -> None:
    conv, other = layer(), layer()
    optimiser, reference = MuonAdam(conv.parameters(), 0.01), torch.optim.AdamW([other.bias], 0.01, (0.9, 0.99))
    reference.param_groups[0]["weight_decay"] = 0.0
    for seed in range(3):
        torch.manual_seed(seed)
        conv.bias.grad = torch.randn(10)
        other.bias.grad = conv.bias.grad.clone()
        optimiser.step()
        reference.step()
    assert torch.equal(conv.bias, other.bias)


def test_its_state_goes_on_where_it_was() -> None:
    def steps(conv: nn.Conv2d, optimiser: MuonAdam, seeds: range) -> None:
        for seed in seeds:
            torch.manual_seed(seed)
            for value in conv.parameters():
                value.grad = torch.randn_like(value)
            optimiser.step()

    straight, halfway = layer(), layer()
    one, two = MuonAdam(straight.parameters(), 0.01), MuonAdam(halfway.parameters(), 0.01)
    steps(straight, one, range(6))
    steps(halfway, two, range(3))
    resumed = layer(1)
    resumed.load_state_dict(halfway.state_dict())
    three = MuonAdam(resumed.parameters(), 0.01)
    three.load_state_dict(two.state_dict())
    steps(resumed, three, range(3, 6))
    assert torch.equal(straight.weight, resumed.weight) and torch.equal(straight.bias, resumed.bias)


def test_a_run_of_another_optimiser_is_refused() -> None:
    conv = layer()
    state = torch.optim.AdamW(conv.parameters()).state_dict()
    with pytest.raises(TrainingError, match="begin it anew"):
        MuonAdam(conv.parameters(), 0.01).load_state_dict(state)


def test_a_kernel_of_another_layout_is_refused() -> None:
    with pytest.raises(AssertionError, match="channels_last"):
        MuonAdam(nn.Conv2d(6, 10, 3).parameters(), 0.01)
