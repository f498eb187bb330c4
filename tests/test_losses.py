"""The losses of distillation against references written here, in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from distilling import CPU, pair
from style_files import random_weights
from torch.nn import functional as F

from engines.torch import Network
from training import losses
from vidstyle.network import Architecture

TTN = Architecture("ttn")

pytestmark = pytest.mark.usefixtures("one_thread")


def test_l1_counts_faces_more() -> None:
    x, y, a, b = pair()
    weight = np.random.default_rng(3).uniform(1, 4, (2, 1, 9, 11)).astype(np.float32)
    got = losses.weighted_l1(x, y, torch.from_numpy(weight))
    assert float(got) == pytest.approx((np.abs(a - b) * weight).mean(), rel=1e-6)


def test_gradient_loss_compares_slopes_and_the_laplacian_inside_the_border() -> None:
    x, y, a, b = pair()
    weight = np.random.default_rng(3).uniform(1, 4, (2, 1, 9, 11)).astype(np.float32)
    want = 0.0
    for n, c, i, j in np.ndindex(2, 3, 7, 9):
        d = (a - b)[n, c, i : i + 3, j : j + 3]
        slopes = abs(d[1, 2] - d[1, 1]) + abs(d[2, 1] - d[1, 1])
        laplacian = abs(d[0, 1] + d[2, 1] + d[1, 0] + d[1, 2] - 4 * d[1, 1])
        want += float(weight[n, 0, i + 1, j + 1]) * (slopes + 0.5 * laplacian)
    assert float(losses.gradient_l1(x, y, torch.from_numpy(weight))) == pytest.approx(want / (2 * 3 * 7 * 9), rel=1e-5)
    assert float(losses.gradient_l1(x, x + 0.5, torch.from_numpy(weight))) < 1e-6  # brightness is L1's


def contrasts(image: np.ndarray) -> list[np.ndarray]:
    """By the definition, of float64 [3, H, W]: windows [rows, columns] for each direction at each width, by plane."""
    luma = np.tensordot([0.299, 0.587, 0.114], image, 1)
    return [part for plane in (luma, image[0] - luma, image[2] - luma) for part in plane_contrasts(plane)]


def plane_contrasts(plane: np.ndarray) -> list[np.ndarray]:
    found = []
    for width, step in ((1, 1), (2, 1), (4, 2)):
        if width > 1:
            for axis in (0, 1):
                plane = (np.roll(plane, step, axis) + 2 * plane + np.roll(plane, -step, axis)) / 4
        for dy, dx in ((0, step), (step, 0), (step, step), (step, -step)):
            there, back = np.roll(plane, (dy, dx), (0, 1)), np.roll(plane, (-dy, -dx), (0, 1))
            lines = (plane - (there + back) / 2)[6:-6, 6:-6] ** 2
            rows, columns = (range(0, side - 7, 4) for side in lines.shape)
            found.append(np.sqrt([[lines[i : i + 8, j : j + 8].mean() + 1e-4 for j in columns] for i in rows]))
    return found


def test_lines_are_compared_by_the_rms_of_second_differences_in_windows() -> None:
    x, y, a, b = pair(0, 2, 3, 28, 32)
    weight = np.random.default_rng(3).uniform(1, 4, (2, 1, 28, 32)).astype(np.float32)
    w = [
        [[weight[n, 0, 6 + i : 14 + i, 6 + j : 14 + j].mean() for j in (0, 4, 8, 12)] for i in (0, 4, 8)]
        for n in (0, 1)
    ]
    want = []
    for n in (0, 1):
        each = [c - d for c, d in zip(contrasts(a[n]), contrasts(b[n]), strict=True)]
        luma, colour = each[:12], each[12:]
        want += [np.abs(d) * w[n] for d in luma] + [np.maximum(d, 0) * w[n] for d in colour]
    assert any((d < 0).any() for d in colour)  # there was some that does not count
    assert float(losses.line_contrast(x, y, torch.from_numpy(weight))) == pytest.approx(3 * np.mean(want), rel=1e-5)


def test_a_line_beside_costs_less_than_a_soft_one_a_mesh_or_a_rim() -> None:
    line = torch.zeros(1, 3, 42, 42)
    line[..., 19] = 1
    even, soft = torch.ones(1, 1, 42, 42), F.avg_pool2d(line, (1, 5), 1, (0, 2))
    moved = line.roll(1, -1)
    assert losses.weighted_l1(moved, line, even) >= losses.weighted_l1(soft, line, even)  # a soft line pays off
    cost = float(losses.line_contrast(moved, line, even))
    assert cost < 0.6 * float(losses.line_contrast(soft, line, even))
    mesh = torch.ones(1, 3, 42, 42)
    mesh[..., ::2] *= -1
    mesh[..., ::2, :] *= -1
    where = F.max_pool2d(line, (1, 5), 1, (0, 2))
    for size in (0.1, 0.2, 0.4):  # a soft line is not mended by any mesh
        assert float(losses.line_contrast(soft + size * mesh * where, line, even)) > 1.5 * cost
    rim = line - 0.4 * (line.roll(2, -1) + line.roll(-2, -1))
    assert float(losses.line_contrast(rim, line, even)) > cost
    speck = torch.tensor([1.0, -0.5094, 0.0]).view(1, 3, 1, 1) * line  # which luminance does not show
    assert float(losses.line_contrast(line + speck, line, even)) > 2 * cost
    assert float(losses.line_contrast(line, line + speck, even)) < 1e-6  # and is not asked for


def test_broad_tones_count_where_lines_do_not() -> None:
    x, y, a, b = pair(0, 2, 3, 24, 40)
    windows = [(i, j) for i in (0, 8) for j in (0, 8, 16, 24)]
    want = np.mean([np.abs((a - b)[..., i : i + 16, j : j + 16].mean((2, 3))) for i, j in windows])
    assert float(losses.broad_l1(x, y)) == pytest.approx(want, rel=1e-5)
    stripes = torch.ones(1, 3, 32, 32)
    stripes[..., ::2] = -1
    assert float(losses.broad_l1(stripes, torch.zeros_like(stripes))) < 1e-6
    assert float(losses.broad_l1(stripes + 0.1, stripes)) == pytest.approx(0.1, rel=1e-5)


def test_of_one_colour_only_what_is_far_from_the_edges_has_to_be_even() -> None:
    plates = losses.draw_plates(torch.Generator().manual_seed(0), CPU)
    assert plates.shape == (2, 3, losses.PLATE, losses.PLATE) and len(plates[:, :, 0, 0].unique()) == 6
    assert float(plates.abs().max()) <= 1 and float(losses.unevenness(plates)) < 1e-7
    inner = losses.PLATE // 3
    edges = plates.clone()
    edges[..., :inner, :] = 1
    assert float(losses.unevenness(edges)) < 1e-7
    mesh = plates.clone()
    mesh[..., ::2] += 0.25
    assert float(losses.unevenness(mesh)) == pytest.approx(0.125, rel=1e-5)


def test_shift_consistency_is_the_weighted_rms_of_what_both_crops_show() -> None:
    x, _, a, _ = pair(0, 2, 3, 20, 20)
    rng = np.random.default_rng(1)
    noise, weight = rng.normal(0, 0.1, (2, 3, 16, 16)), rng.uniform(1, 4, (2, 1, 16, 16))
    moved, here = torch.from_numpy(a[..., 4:, 2:18] + noise).float(), x[..., :16, :16]
    seen = weight[..., 4:, 2:]  # what of a is in b too
    want = np.sqrt((noise[..., :12, :14] ** 2 * seen).sum((1, 2, 3)) / (3 * seen.sum((1, 2, 3))) + 1e-6).mean()
    for scale in (1.0, 5.0):
        found = losses.shift_consistency(here, moved, scale * torch.from_numpy(weight).float(), (4, 2))
        assert float(found) == pytest.approx(want, rel=1e-4)
    even = torch.ones(2, 1, 16, 16)
    assert float(losses.shift_consistency(here, x[..., 4:, 2:18], even, (4, 2))) == pytest.approx(1e-3, rel=1e-2)


def test_features_are_the_published_encoder() -> None:
    weights = random_weights(TTN)
    x, y, a, b = pair(0, 2, 3, 16, 20)

    def layer(h: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        w, bias = (torch.from_numpy(weights[f"{name}.{part}"]).double() for part in ("weight", "bias"))
        h = F.pad(h, (0, 1, 0, 1)) if stride == 2 else h
        return F.leaky_relu(F.conv2d(h, w, bias, stride, 0 if stride == 2 else w.shape[-1] // 2), 0.2)

    def encoder(picture: np.ndarray) -> list[torch.Tensor]:
        half = layer(layer(layer(torch.from_numpy(picture), "conv0"), "conv1", 2), "conv2")
        return [half, layer(layer(half, "conv3", 2), "conv4")]

    want = sum(float((p - q).abs().mean() / q.abs().mean()) for p, q in zip(encoder(a), encoder(b), strict=True))
    network = Network(TTN, weights)
    features = losses.TeacherFeatures(network)
    loss = features(x.requires_grad_(), y)
    assert loss.item() == pytest.approx(want, rel=1e-4)
    loss.backward()
    assert x.grad is not None and all(value.grad is None for value in network.parameters())
    assert not list(features.parameters())
    assert features(y, y).item() == 0


def test_the_critic_is_the_published_one() -> None:
    critic = losses.PatchGAN()
    assert sum(value.numel() for value in critic.parameters()) == 286_561
    assert critic(torch.zeros(1, 1, 64, 64)).shape == (1, 1, 8, 8)
    real, fake, r, f = pair()
    assert losses.discriminator_loss(real, fake).item() == pytest.approx(0.5 * (((r - 1) ** 2).mean() + (f**2).mean()))
    assert losses.generator_loss(fake).item() == pytest.approx(((f - 1) ** 2).mean())


def test_texture_is_a_random_grey_of_the_published_range() -> None:
    x, _, a, _ = pair()
    mixes = torch.stack([losses.draw_mix(torch.Generator().manual_seed(seed), CPU) for seed in range(300)])
    torch.testing.assert_close(mixes.sum(1), torch.ones(300))
    red_to_green = mixes[:, 0] / mixes[:, 1]
    assert 0.199 / 0.687 <= red_to_green.min() < 0.35 and 0.7 < red_to_green.max() <= 0.399 / 0.487
    want = np.einsum("nchw,c->nhw", a, mixes[0].double().numpy())
    np.testing.assert_allclose(losses.texture(x, mixes[0])[:, 0], want, atol=1e-6)


def test_psnr_is_of_pictures() -> None:
    x, y, a, b = pair()
    levels = np.sqrt(((a - b) ** 2).mean()) * 127.5
    assert losses.psnr(x * 1.0, y).item() == pytest.approx(20 * math.log10(255 / levels), rel=1e-5)
