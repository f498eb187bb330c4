"""Every term of the translation's loss against float64 written here; feature networks against torch's own layers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from training import losses, ttn_losses
from training.features import Features, load_features
from training.texture import StyleCritic, surface
from training.ttn_losses import Pyramid, content_loss, perception_loss, tv_loss
from training.world import TrainingError

pytestmark = pytest.mark.usefixtures("one_thread")


def pictures(seed: int, *shape: int) -> tuple[torch.Tensor, np.ndarray]:
    x = np.random.default_rng(seed).uniform(-1, 1, shape or (2, 3, 16, 24)).astype(np.float32)
    return torch.from_numpy(x), x.astype(np.float64)


def slope(loss: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> tuple[float, float]:
    """The derivative of ``loss`` along a random direction: by autograd, and by differences; float64."""
    x = x.double().requires_grad_()
    direction = torch.from_numpy(np.random.default_rng(9).normal(0, 1, x.shape))
    (gradient,) = torch.autograd.grad(loss(x), x)
    step = 1e-6
    with torch.no_grad():
        there = (loss(x + step * direction) - loss(x - step * direction)) / (2 * step)
    return float((gradient * direction).sum()), float(there)


def vgg(kind: str, count: int) -> tuple[dict[str, torch.Tensor], nn.Sequential]:
    """A narrow VGG with random weights in the layout, and the same up to the layer compared, from torch's modules."""
    torch.manual_seed(count)
    stages = {13: (2, 2, 3, 3, 3), 16: (2, 2, 4, 4, 4)}[count]
    modules: list[nn.Module] = []
    state: dict[str, torch.Tensor] = {}
    index, inp = 0, 3
    for stage, convs in enumerate(stages, 1):
        for place in range(1, convs + 1):
            conv = nn.Conv2d(inp, 3 + stage, 3, padding=1)
            inp = 3 + stage
            name = f"features.{index}" if kind == "torchvision" else f"conv{stage}_{place}"
            state |= {f"{name}.weight": conv.weight.data, f"{name}.bias": conv.bias.data}
            index += 2
            if stage < 4 or (stage == 4 and place <= convs):
                modules += [conv, nn.ReLU()]
        index += 1
        if stage < 4:
            modules.append(nn.MaxPool2d(2))
    return state, nn.Sequential(*modules[:-1]).double()  # before the last ReLU


@pytest.mark.parametrize("count", [13, 16])
@pytest.mark.parametrize("kind", ["torchvision", "caffe"])
def test_vgg_is_computed_to_conv4_before_its_relu(tmp_path: Path, kind: str, count: int) -> None:
    state, reference = vgg(kind, count)
    torch.save(state, tmp_path / "vgg.pth")
    net = load_features(tmp_path / "vgg.pth")
    x, exact = pictures(1)
    if kind == "torchvision":
        shifted = (exact / 2 + 0.5 - np.array([0.485, 0.456, 0.406])[:, None, None]) / np.array([0.229, 0.224, 0.225])[
            :, None, None
        ]
    else:
        shifted = (exact[:, ::-1] + 1) * 127.5 - np.array([103.939, 116.779, 123.68])[:, None, None]
    want = reference(torch.from_numpy(shifted.copy())).detach().numpy()
    assert net.name == f"vgg{16 if count == 13 else 19}" and want.min() < 0
    np.testing.assert_allclose(net(x).numpy(), want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


def test_a_vgg_cut_after_the_layer_is_enough(tmp_path: Path) -> None:
    state, _ = vgg("torchvision", 16)
    kept = {name: value for name, value in state.items() if int(name.split(".")[1]) <= 25}
    torch.save(state, tmp_path / "whole.pth")
    torch.save(kept, tmp_path / "cut.pth")
    x, _ = pictures(1)
    torch.testing.assert_close(load_features(tmp_path / "cut.pth")(x), load_features(tmp_path / "whole.pth")(x))


def test_other_networks_are_refused(tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(TrainingError, match="no feature network this version knows"):
        load_features(tmp_path / "a.pth")
    state, _ = vgg("caffe", 13)
    for name in ("conv1_2", "conv2_2"):
        state = {key: value for key, value in state.items() if not key.startswith(name)}
    torch.save(state, tmp_path / "b.pth")
    with pytest.raises(TrainingError, match="11 convolutions"):
        load_features(tmp_path / "b.pth")
    with pytest.raises(TrainingError, match="no weights"):
        load_features(tmp_path / "missing.pth")


def test_the_small_encoder_sees_edges_not_brightness(shared: Callable[[str], Path]) -> None:
    net = load_features(shared("weights/vgg19_16x_relu4_1.pth"))
    x, _ = pictures(2, 1, 3, 64, 64)
    x = nn.functional.avg_pool2d(x, 5, 1, 2)
    features = net(x)
    assert features.shape == (1, 128, 8, 8) and net.unit is None
    same, other = (float((net(y) - features).abs().mean()) for y in (x + 0.05, x.flip(3)))
    assert same < 0.1 * other
    assert not list(net.parameters())  # nothing of it is trained


class Known(Features):
    """Features that are known: the picture, halved."""

    def __init__(self, unit: float | None) -> None:
        nn.Module.__init__(self)
        self.name, self.unit = "known", unit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(x, 2)


@pytest.mark.parametrize("unit", [1.0, 255.0, None])
def test_content_is_l1_in_both_normalisations(unit: float | None) -> None:
    (x, a), (y, b) = pictures(0), pictures(1)
    halves = [z.reshape(2, 3, 8, 2, 12, 2).mean((3, 5)) for z in (a, b)]
    scale = unit if unit is not None else 255 / np.abs(halves[1]).mean((1, 2, 3))
    want = (np.abs(halves[0] - halves[1]).mean((1, 2, 3)) * scale).mean()
    assert float(content_loss(Known(unit), x, y, "paper")) == pytest.approx(want, rel=1e-5)
    got = float(content_loss(Known(unit), x, y, "released"))
    assert got == pytest.approx(want / 524_288, rel=1e-5)  # 200 times this is 3.8e-4 a unit
    ours, differences = slope(lambda z: content_loss(Known(unit), z, y.double(), "paper"), x)
    assert ours == pytest.approx(differences, rel=1e-5)


def test_total_variation_in_both_normalisations() -> None:
    x, a = pictures(3)
    across, down = np.diff(a, axis=3), np.diff(a, axis=2)
    want = ((across**2).mean() + (down**2).mean()) / (3 * 65_536)
    assert float(tv_loss(x, "released")) == pytest.approx(want, rel=1e-5)
    both = across[:, :, :-1] + down[..., :-1]
    want = np.mean([np.linalg.norm(picture) for picture in both.reshape(2, -1)]) / (3 * 16 * 24)
    assert float(tv_loss(x, "paper")) == pytest.approx(want, rel=1e-5)
    for kind in ttn_losses.NORMALISATIONS:
        ours, differences = slope(lambda z, kind=kind: tv_loss(z, kind), x)
        assert ours == pytest.approx(differences, rel=1e-5)
    with pytest.raises(TrainingError, match="released or paper"):
        ttn_losses.check_normalisation("mine")


def test_facial_perception_is_the_distance_of_expressions() -> None:
    (x, a), (y, b) = pictures(4, 5, 3), pictures(5, 5, 3)
    want = np.sqrt(((a - b) ** 2).sum(1)).mean()
    assert float(perception_loss(x, y)) == pytest.approx(want, rel=1e-5)
    ours, differences = slope(lambda z: perception_loss(z, y.double()), x)
    assert ours == pytest.approx(differences, rel=1e-5)
    equal = x.clone().requires_grad_()
    perception_loss(equal, x).backward()
    assert equal.grad is not None and equal.grad.isfinite().all()  # no square root of zero


def test_the_surface_is_the_guided_filter_of_the_paper() -> None:
    x, a = pictures(6, 1, 2, 14, 17)

    def window_mean(z: np.ndarray) -> np.ndarray:
        out = np.empty_like(z)
        for i, j in np.ndindex(z.shape):
            out[i, j] = z[max(0, i - 5) : i + 6, max(0, j - 5) : j + 6].mean()
        return out

    for channel in range(2):
        z = a[0, channel]
        mean = window_mean(z)
        variance = window_mean(z * z) - mean**2
        slope_ = variance / (variance + 0.2)
        want = window_mean(slope_) * z + window_mean(mean - slope_ * mean)
        np.testing.assert_allclose(surface(x)[0, channel], want, atol=1e-5)
    noise = 0.1 * torch.randn(1, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    step = torch.where(torch.arange(48) < 24, -0.9, 0.9) + noise
    soft = surface(step)
    assert soft[..., 4:12].std() < 0.2 * step[..., 4:12].std()  # texture goes, the edge stays
    assert soft[..., 24].mean() - soft[..., 23].mean() > 0.7 * 1.8


def test_the_released_critics_are_two_with_least_squares() -> None:
    torch.manual_seed(0)
    critic = StyleCritic("released")
    counts = [sum(value.numel() for value in part.parameters()) for part in critic.critics]
    assert counts == [286_561, 287_137]
    x, _ = pictures(7, 2, 3, 32, 32)
    mix = losses.draw_mix(torch.Generator().manual_seed(0), torch.device("cpu"))
    critic.eval()
    grey, soft = critic(x, mix)
    assert grey.shape == soft.shape == (2, 1, 4, 4)
    torch.testing.assert_close(grey, critic.critics[0](losses.texture(x, mix)))
    torch.testing.assert_close(soft, critic.critics[1](surface(x)))
    (real, r), (made, m) = pictures(8, 2, 1, 4, 4), pictures(9, 2, 1, 4, 4)
    want = 2 * 0.5 * (((r - 1) ** 2).mean() + (m**2).mean())
    assert float(critic.critic_loss([real, real], [made, made])) == pytest.approx(want, rel=1e-5)
    want = 0.1 * 2 * ((m - 1) ** 2).mean()
    assert float(critic.generator_loss([made, made])) == pytest.approx(want, rel=1e-5)


def test_the_papers_critic_is_one_with_logarithms() -> None:
    critic = StyleCritic("paper")
    x, _ = pictures(7, 2, 3, 32, 32)
    mix = losses.draw_mix(torch.Generator().manual_seed(0), torch.device("cpu"))
    assert [part.shape for part in critic(x, mix)] == [(2, 1, 4, 4)]
    (real, r), (made, m) = pictures(8, 2, 1, 4, 4), pictures(9, 2, 1, 4, 4)

    def sigmoid(z: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-z))

    want = -(np.log(sigmoid(r)).mean() + np.log(1 - sigmoid(m)).mean())  # what D of equation 1 maximises
    assert float(critic.critic_loss([real], [made])) == pytest.approx(want, rel=1e-5)
    assert float(critic.generator_loss([made])) == pytest.approx(-np.log(sigmoid(m)).mean(), rel=1e-5)
    with pytest.raises(TrainingError, match="paper or released"):
        StyleCritic("hinge")


def test_luminance_bands_stand_in_for_features() -> None:
    x, _ = pictures(2, 2, 3, 32, 32)
    net = Pyramid()
    assert float(content_loss(net, x, x, "paper")) == 0
    grey = x * 0 + (x * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    assert float(content_loss(net, grey, x, "paper")) < 1e-3  # colours are the style's
    assert float(content_loss(net, x.flip(3), x, "paper")) > 50


def test_squeezenet_comes_from_keras(shared: Callable[[str], Path]) -> None:
    pytest.importorskip("h5py")
    net = load_features(shared("weights/squeezenet1.1_imagenet_notop.h5"))
    x, _ = pictures(2, 1, 3, 64, 64)
    assert net(x).shape == (1, 256, 8, 8) and net.name == "squeezenet" and net(x).min() == 0


def test_a_keras_file_without_h5py_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(TrainingError, match="pip install h5py"):
        load_features(tmp_path / "squeezenet.h5")
