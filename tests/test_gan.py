"""The losses and regularisers of the generators' training, against float64 and finite differences; augmentation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from training import ada, gan
from training.stylegan2 import Discriminator, Generator, Shape
from training.world import World

TINY = Shape(8, (4, 3), latent=5, mapping=2)
ALONE = World(torch.device("cpu"))


pytestmark = pytest.mark.usefixtures("one_thread")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lively(network: torch.nn.Module) -> torch.nn.Module:
    """The network in float64, with no weight at zero."""
    for value in network.parameters():
        value.data = torch.where(value == 0, torch.full_like(value, 0.3), value)
    return network.double()


def test_the_losses_are_logistic() -> None:
    real, fake = np.random.default_rng(0).normal(0, 3, (2, 7, 1))
    want = np.log1p(np.exp(-real)).mean() + np.log1p(np.exp(fake)).mean()
    got = gan.critic_loss(torch.from_numpy(real).float(), torch.from_numpy(fake).float())
    assert float(got) == pytest.approx(want, rel=1e-5)
    got = gan.generator_loss(torch.from_numpy(fake).float())
    assert float(got) == pytest.approx(np.log1p(np.exp(-fake)).mean(), rel=1e-5)


def r1_by_differences(critic: torch.nn.Module, x: Tensor) -> float:
    """The squared norm of the gradient, one pixel nudged at a time."""
    total, step = 0.0, 1e-5
    with torch.no_grad():
        for index in range(x[0].numel()):
            nudge = torch.zeros_like(x).flatten(1)
            nudge[:, index] = step
            nudge = nudge.view_as(x)
            # A picture's logit depends on the others through the minibatch's deviation, so the sum is differentiated.
            for n in range(len(x)):
                one = torch.zeros_like(x)
                one[n] = nudge[n]
                slope = float((critic(x + one).sum() - critic(x - one).sum()) / (2 * step))
                total += slope**2
    return total / len(x)


def test_r1_is_the_squared_gradient_and_its_own_gradient_is_right() -> None:
    torch.manual_seed(0)
    critic = lively(Discriminator(TINY))
    x = torch.randn(2, 3, 8, 8, generator=rng(), dtype=torch.float64)
    got = gan.r1_penalty(critic, x)  # type: ignore[arg-type]
    assert float(got.detach()) == pytest.approx(r1_by_differences(critic, x), rel=1e-5)
    got.backward()
    weight = critic.b8.conv1.weight
    slope, step = float(weight.grad[0, 0, 1, 1]), 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[0, 0, 1, 1] += sign * step
        values.append(float(gan.r1_penalty(critic, x).detach()))  # type: ignore[arg-type]
        with torch.no_grad():
            weight[0, 0, 1, 1] -= sign * step
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5, abs=1e-9)


def test_the_path_length_is_the_pictures_change_with_w() -> None:
    torch.manual_seed(1)
    generator = lively(Generator(TINY))
    noise = [part.double() for part in generator.noise(2, rng())]
    w = torch.randn(2, TINY.styles, 5, generator=rng(2), dtype=torch.float64, requires_grad=True)
    direction = torch.randn(2, 3, 8, 8, generator=rng(3), dtype=torch.float64)
    got = gan.path_lengths(generator.synthesis(w, noise), w, direction)
    step, base, squares = 1e-5, w.detach(), torch.zeros(2, TINY.styles, dtype=torch.float64)
    for layer in range(TINY.styles):
        for place in range(5):
            nudge = torch.zeros_like(base)
            nudge[:, layer, place] = step
            with torch.no_grad():
                ahead, behind = generator.synthesis(base + nudge, noise), generator.synthesis(base - nudge, noise)
            change = ((ahead - behind) / (2 * step) * direction).sum((1, 2, 3)) / math.sqrt(8 * 8)
            squares[:, layer] += change**2
    torch.testing.assert_close(got.detach(), squares.mean(1).sqrt(), rtol=1e-5, atol=1e-9)
    got.sum().backward()  # through the gradient: the regulariser trains the weights
    assert generator.synthesis.b8.conv1.weight.grad.abs().sum() > 0


def test_the_path_penalty_is_about_a_mean_that_moves() -> None:
    lengths = torch.tensor([1.0, 3.0, 8.0])
    mean = 2 + 0.01 * (4 - 2)
    want = np.mean([(value - mean) ** 2 for value in (1, 3, 8)])
    assert float(gan.path_penalty(lengths, torch.tensor(2.0))) == pytest.approx(want, rel=1e-5)


def test_adam_is_adjusted_for_the_lazy_regulariser() -> None:
    group = gan.lazy_adam(torch.nn.Linear(1, 1), 0.002, 16).param_groups[0]
    assert group["lr"] == pytest.approx(0.002 * 16 / 17)
    assert group["betas"] == (0.0, pytest.approx(0.99 ** (16 / 17)))


def test_styles_are_mixed_from_a_layer_on() -> None:
    torch.manual_seed(0)
    generator = Generator(TINY)
    drawn = gan.Drawn.of(generator, 64, 0.5, rng())
    w = drawn.latents(generator, slice(0, 64)).detach()
    first, second = (generator.mapping(z).detach() for z in drawn.z)
    mixed = 0
    for n in range(64):
        cross = int(drawn.cross[n])
        assert torch.equal(w[n, :cross], first[n].expand(cross, -1))
        assert torch.equal(w[n, cross:], second[n].expand(TINY.styles - cross, -1))
        mixed += cross < TINY.styles
    assert 20 < mixed < 44
    part = drawn.images(generator, slice(3, 5))
    torch.testing.assert_close(part, drawn.images(generator, slice(0, 64))[3:5], rtol=1e-4, atol=1e-5)


def test_the_average_forgets_half_in_so_many_pictures() -> None:
    options = gan.GanOptions(batch=5, average_pictures=10)
    torch.manual_seed(0)
    networks = gan.Gan(Generator(TINY), Generator(TINY), Discriminator(TINY), options)
    before = [value.clone() for value in networks.average.parameters()]
    networks.follow()
    networks.follow()
    for mean, was, now in zip(networks.average.parameters(), before, networks.generator.parameters(), strict=True):
        torch.testing.assert_close(mean, (was + now) / 2, rtol=1e-5, atol=1e-6)


def test_real_pictures_are_the_bytes_and_their_mirror() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3)).astype(np.uint8)
    x = gan.as_pictures(faces, torch.tensor([2, 0]), torch.tensor([False, True]), ALONE.device)
    np.testing.assert_allclose(x[0], faces[2].transpose(2, 0, 1) / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(x[1], faces[0, :, ::-1].transpose(2, 0, 1) / 127.5 - 1, atol=1e-6)


def test_without_chance_nothing_is_augmented() -> None:
    x = torch.rand(3, 3, 8, 8, generator=rng()) * 2 - 1
    torch.testing.assert_close(ada.augment(x, ada.draw(3, 8, 0.0, rng())), x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("p", [0.3, 1.0])
def test_augmentation_happens_as_often_as_asked(p: float) -> None:
    n = 4000
    place, paint = ada.draw(n, 64, p, rng())
    mirrored = (torch.linalg.det(place[:, :2, :2]) < 0).double().mean()
    assert float(mirrored) == pytest.approx(p / 2, abs=0.03)
    size = torch.linalg.det(place[:, :2, :2]).abs().sqrt().log2()
    assert float((size.abs() > 1e-9).double().mean()) == pytest.approx(p, abs=0.03)
    assert float(size[size.abs() > 1e-9].std()) == pytest.approx(0.2, abs=0.02)
    assert float((paint[:, :3, 3].abs().sum(1) > 1e-9).double().mean()) == pytest.approx(p, abs=0.03)
    still = torch.isclose(place[:, :2, :2].abs(), torch.eye(2, dtype=torch.float64), atol=1e-9).all(2).all(1)
    assert float(still.double().mean()) < 1.05 * (1 - p) ** 3 + 0.02  # size, aspect, and turns once counted


def test_colours_turn_about_grey_and_keep_it() -> None:
    grey = torch.tensor([0.4, 0.4, 0.4, 1.0], dtype=torch.float64)
    angle = torch.tensor([2 * math.pi / 3], dtype=torch.float64)
    turn = ada._about_grey(angle)[0]
    torch.testing.assert_close(turn @ grey, grey)
    red = torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(turn @ red, torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64))
    paint = ada.colour(200, 1.0, rng())
    out = (paint @ grey)[:, :3]
    torch.testing.assert_close(out, out[:, :1].expand(-1, 3))  # whatever is drawn, grey has no colour


def test_a_point_goes_where_the_matrix_says() -> None:
    place = ada.geometry(6, 32, 0.8, rng(4))
    x = torch.zeros(6, 3, 32, 32)
    x[:, :, 18, 12] = 1
    seen = ada.augment(x, (place, torch.eye(4, dtype=torch.float64).repeat(6, 1, 1)))
    point = torch.tensor([12 - 15.5, 18 - 15.5, 1], dtype=torch.float64)
    found = 0
    for matrix, image in zip(place, seen, strict=True):
        u, v = (torch.linalg.inv(matrix) @ point)[:2] + 15.5
        if 2 < u < 29 and 2 < v < 29:
            row, column = divmod(int(image[0].argmax()), 32)
            assert abs(row - float(v)) <= 1 and abs(column - float(u)) <= 1
            found += 1
    assert found >= 3


def test_gradients_pass_through_the_augmentation() -> None:
    x = torch.rand(2, 3, 8, 8, generator=rng(), dtype=torch.float64, requires_grad=True)
    drawn = ada.draw(2, 8, 0.9, rng(1))
    assert torch.autograd.gradcheck(lambda y: ada.augment(y, drawn), (x,), eps=1e-5, atol=1e-6)


def test_p_follows_how_sure_the_critic_is() -> None:
    adaptive = ada.Adaptive(target=0.6, pictures=1000, every=4)
    for _ in range(8):
        adaptive.seen(torch.ones(10), 10, ALONE)
    assert adaptive.p == pytest.approx(0.08)  # twice 4 steps of 10 pictures
    for _ in range(4):
        adaptive.seen(torch.tensor([1.0, -1.0]), 10, ALONE)
    assert adaptive.p == pytest.approx(0.04)
    again = ada.Adaptive(target=0.6, pictures=1000)
    adaptive.seen(torch.ones(3), 3, ALONE)
    again.load_state_dict(adaptive.state_dict())
    for _ in range(3):
        for one in (adaptive, again):
            one.seen(torch.ones(10), 10, ALONE)
    assert adaptive.p == again.p == pytest.approx(0.08)
    for _ in range(40):
        again.seen(-torch.ones(10), 100, ALONE)
    assert again.p == 0
