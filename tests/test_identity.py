"""Identity vectors: the published face network's size and layout, stand-ins, and a loss whose gradient is not cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from training.identity import IrSe50, face, identity_loss, layout, load_identity
from training.world import TrainingError

CPU = torch.device("cpu")


def test_the_loss_is_one_minus_cosine_and_trains_what_is_made() -> None:
    a, b = np.random.default_rng(0).normal(0, 1, (2, 4, 3, 2, 2))
    made, source = (torch.from_numpy(x).requires_grad_() for x in (a, b))
    got = identity_loss(lambda x: x.flatten(1), made, source)
    p, q = a.reshape(4, -1), b.reshape(4, -1)
    want = (1 - (p * q).sum(1) / np.linalg.norm(p, axis=1) / np.linalg.norm(q, axis=1)).mean()
    assert float(got.detach()) == pytest.approx(want, rel=1e-5)
    got.backward()
    assert made.grad is not None and made.grad.abs().sum() > 0  # the released code's has none
    assert source.grad is None
    step = torch.zeros_like(made)
    step[1, 2, 0, 1] = 1e-6
    ahead, behind = (identity_loss(lambda x: x.flatten(1), made.detach() + s * step, source) for s in (1, -1))
    assert float(made.grad[1, 2, 0, 1]) == pytest.approx(float((ahead - behind).detach()) / 2e-6, rel=1e-5)


def test_the_face_is_the_window_arcface_is_shown() -> None:
    x = torch.arange(256.0).view(1, 1, 256, 1).expand(1, 1, 256, 256)
    assert face(x).shape == (1, 1, 188, 188) and face(x)[0, 0, 0, 0] == 35
    assert face(torch.zeros(1, 3, 64, 64)).shape == (1, 3, 47, 47)


def test_layout_knows_structure_and_not_light() -> None:
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) - 0.5
    x = torch.nn.functional.avg_pool2d(x, 9, 1, 4)
    assert float(identity_loss(layout, x * 0.5 + 0.2, x)) < 1e-4
    assert float(identity_loss(layout, x.flip(3), x)) > 0.5
    assert load_identity("", CPU) == ("layout", layout)


def test_the_face_network_has_the_published_layout(tmp_path: Path) -> None:
    with torch.device("meta"):
        net = IrSe50()
    assert round(sum(value.numel() for value in net.parameters()) / 1e6, 1) == 43.8
    state = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert "body.0.shortcut_layer.0.weight" not in state  # equal widths: a plain subsampling
    assert state["body.3.shortcut_layer.0.weight"] == (128, 64, 1, 1)
    assert state["body.23.res_layer.5.fc1.weight"] == (32, 512, 1, 1) and "body.24.res_layer.0.weight" not in state
    assert state["output_layer.3.weight"] == (512, 512 * 49) and state["output_layer.4.running_mean"] == (512,)
    torch.save({"input_layer.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "part.pth")
    with pytest.raises(TrainingError, match="not IR-SE50"):
        load_identity(str(tmp_path / "part.pth"), CPU)


@pytest.mark.slow
def test_the_face_network_comes_from_its_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = IrSe50().eval()
    torch.save(net.state_dict(), tmp_path / "model_ir_se50.pth")
    kind, loaded = load_identity(str(tmp_path / "model_ir_se50.pth"), CPU)
    x = torch.rand(1, 3, 128, 128) * 2 - 1
    with torch.no_grad():
        assert kind == "arcface"
        torch.testing.assert_close(loaded(x), net(x))
        assert float(loaded(x).norm()) == pytest.approx(1, rel=1e-5)
