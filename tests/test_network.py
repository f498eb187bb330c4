"""The definition of the networks and each runtime's operations, against plain numpy and float64 references.

References are written out here from the published graph's description, not from the code under test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from style_files import random_weights
from torch.nn import functional as F

from engines.openvino.core import CORE, op, ov
from engines.openvino.ops import OpenVINOOps
from engines.torch import Network, TorchOps
from vidstyle.errors import StyleError
from vidstyle.network import (
    GUIDED_EPS,
    Architecture,
    Weights,
    flops_per_pixel,
    fold_last_conv,
    guided_filter,
    layers,
    prepare,
    run,
)

TTN = Architecture("ttn")
STUDENT = Architecture("student", (8, 12, 16), (1, 0, 1), (0, 1, 0), guided=False)
SMOOTH = replace(STUDENT, smooth=True)
#: float32 against float64 on values of about 1: a few roundings of 6e-8 each, summed
F32 = {"rtol": 1e-5, "atol": 1e-5}

Function = Callable[[Any, Any], Any]  # (ops, x) -> y


def by_torch(function: Function, x: np.ndarray, weights: Weights) -> np.ndarray:
    ops = TorchOps({name: torch.from_numpy(value) for name, value in weights.items()})
    return function(ops, torch.from_numpy(x)).numpy()


def by_openvino(function: Function, x: np.ndarray, weights: Weights) -> np.ndarray:
    parameter = op.parameter(list(x.shape), np.float32)
    model = ov.Model([function(OpenVINOOps(weights), parameter)], [parameter])
    compiled = CORE.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled([x])[0]


RUNTIMES = pytest.mark.parametrize("runtime", [by_torch, by_openvino])
SIZES = pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (4, 3), (7, 8), (16, 12)])


def picture(*shape: int, seed: int = 0) -> np.ndarray:
    """float32 in -1..1."""
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def legacy_bilinear(x: np.ndarray) -> np.ndarray:
    """[N, C, H, W] to twice the size: an even place copies, an odd one is the mean with the next, the last repeats."""
    for axis in (2, 3):
        following = np.concatenate([np.delete(x, 0, axis), np.take(x, [-1], axis)], axis)
        pairs = np.stack([x, (x + following) / 2], axis + 1)
        x = pairs.reshape([2 * size if i == axis else size for i, size in enumerate(x.shape)])
    return x


def convolution(x: np.ndarray, w: np.ndarray, b: np.ndarray, stride: int, pad: tuple[int, int, int, int]) -> np.ndarray:
    top, left, bottom, right = pad
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = sliding_window_view(x, w.shape[2:], (2, 3))[:, :, ::stride, ::stride]
    return np.einsum("nchwij,ocij->nohw", windows, w) + b[:, None, None]


def box(x: np.ndarray) -> np.ndarray:
    """Mean of the up to nine pixels around each that lie inside the picture."""
    mean = np.empty_like(x)
    for i, j in np.ndindex(*x.shape[2:]):
        mean[:, :, i, j] = x[:, :, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].mean((2, 3))
    return mean


def guided(guide: np.ndarray, x: np.ndarray) -> np.ndarray:
    covariance = box(guide * x) - box(guide) * box(x)
    a = covariance / (box(guide**2) - box(guide) ** 2 + GUIDED_EPS)
    b = box(x) - a * box(guide)
    return box(a) * guide + box(b)


@RUNTIMES
@SIZES
def test_upsampling_is_tensorflows_legacy_grid(runtime: Any, height: int, width: int) -> None:
    x = picture(2, 3, height, width)
    np.testing.assert_allclose(runtime(lambda ops, x: ops.upsample2(x), x, {}), legacy_bilinear(x), **F32)


@RUNTIMES
@pytest.mark.parametrize(
    ("stride", "pad", "k"),
    [(1, (1, 1, 1, 1), 3), (2, (0, 0, 1, 1), 3), (2, (3, 3, 3, 3), 8), (2, (1, 1, 1, 1), 4), (1, (0, 0, 0, 0), 1)],
)
def test_convolution_pads_each_side_on_its_own(runtime: Any, stride: int, pad: Any, k: int) -> None:
    x = picture(2, 3, 12, 10)
    weights = {"c.weight": picture(5, 3, k, k, seed=1), "c.bias": picture(5, seed=2)}
    got = runtime(lambda ops, x: ops.conv(x, "c", stride, pad), x, weights)
    want = convolution(x.astype(np.float64), weights["c.weight"], weights["c.bias"], stride, pad)
    np.testing.assert_allclose(got, want, **F32)


@RUNTIMES
@SIZES
def test_box_mean_counts_only_the_picture(runtime: Any, height: int, width: int) -> None:
    x = picture(1, 3, height, width)
    np.testing.assert_allclose(runtime(lambda ops, x: ops.box3(x), x, {}), box(x), **F32)


@RUNTIMES
@SIZES
def test_guided_filter(runtime: Any, height: int, width: int) -> None:
    both = picture(1, 6, height, width)
    guide, x = both[:, :3].astype(np.float64), both[:, 3:].astype(np.float64)

    def function(ops: Any, x: Any) -> Any:
        return guided_filter(ops, *split(x))

    # Divides a difference of float32 means by at least eps = 0.01: errors grow a hundredfold.
    np.testing.assert_allclose(runtime(function, both, {}), guided(guide, x), rtol=1e-3, atol=1e-4)


def split(x: Any) -> tuple[Any, Any]:
    """The first and the last three channels, in either runtime."""
    if isinstance(x, torch.Tensor):
        return x[:, :3], x[:, 3:]
    return tuple(op.split(x, op.constant(1), 2).outputs())  # type: ignore[return-value]


@RUNTIMES
def test_shuffles_keep_channels_outermost(runtime: Any) -> None:
    x = picture(2, 3, 8, 12)
    packed = x.reshape(2, 3, 2, 4, 3, 4).transpose(0, 1, 3, 5, 2, 4).reshape(2, 48, 2, 3)
    np.testing.assert_array_equal(runtime(lambda ops, x: ops.unshuffle(x, 4), x, {}), packed)
    np.testing.assert_array_equal(runtime(lambda ops, x: ops.shuffle(x, 4), packed, {}), x)


@RUNTIMES
def test_padding_repeats_the_edge_and_crop_keeps_the_top_left(runtime: Any) -> None:
    x = picture(1, 3, 2, 3)
    padded = np.pad(x, ((0, 0), (0, 0), (0, 5), (0, 7)), mode="edge")
    np.testing.assert_array_equal(runtime(lambda ops, x: ops.pad_edge(x, 5, 7), x, {}), padded)
    np.testing.assert_array_equal(runtime(lambda ops, x: ops.crop(x, 2, 3), padded, {}), x)


@RUNTIMES
def test_leaky_relu_and_arithmetic(runtime: Any) -> None:
    x = picture(1, 2, 3, 4)
    got = runtime(lambda ops, x: ops.div(ops.sub(ops.mul(ops.leaky_relu(x), 3.0), x), ops.add(x, 2.0)), x, {})
    np.testing.assert_allclose(got, (np.where(x > 0, x, 0.2 * x) * 3 - x) / (x + 2), **F32)


def test_the_folded_last_convolution_is_the_plain_one() -> None:
    weights = {name: value.astype(np.float64) for name, value in random_weights(TTN).items() if "conv9" in name}
    x = torch.from_numpy(picture(1, 32, 12, 20).astype(np.float64))
    plain = F.conv2d(x, *(torch.from_numpy(weights[f"conv9.{part}"]) for part in ("weight", "bias")), padding=3)
    folded = fold_last_conv(weights)
    assert folded["conv9.weight"].shape == (12, 32, 8, 8)
    ops = TorchOps({name: torch.from_numpy(value) for name, value in folded.items()})
    got = ops.shuffle(ops.conv(x, "conv9", 2, (3, 3, 3, 3)), 2)
    torch.testing.assert_close(got, plain, rtol=0, atol=1e-13)


def test_training_sees_the_folded_network_too() -> None:
    weights = random_weights(TTN)
    x = torch.from_numpy(picture(1, 3, 16, 12))
    folded = by_torch(lambda ops, x: run(ops, TTN, x), x.numpy(), prepare(TTN, weights))
    np.testing.assert_allclose(Network(TTN, weights)(x).detach().numpy(), folded, **F32)


@pytest.mark.parametrize("arch", [TTN, STUDENT, SMOOTH], ids=["ttn", "student", "smooth"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (17, 30)])
def test_odd_sizes_are_the_edge_padded_picture_cropped(arch: Architecture, height: int, width: int) -> None:
    network = Network(arch, random_weights(arch)).double()
    x = picture(1, 3, height, width).astype(np.float64)
    rest = [(0, -size % arch.multiple) for size in (height, width)]
    padded = np.pad(x, ((0, 0), (0, 0), *rest), mode="edge")
    with torch.no_grad():
        got, whole = network(torch.from_numpy(x)), network(torch.from_numpy(padded))
    torch.testing.assert_close(got, whole[..., :height, :width], rtol=0, atol=0)


def test_tiles_with_a_halo_of_64_are_exact() -> None:
    network = Network(TTN, random_weights(TTN)).double()
    x = torch.from_numpy(picture(1, 3, 8, 260).astype(np.float64))
    with torch.no_grad():
        whole, tile, narrow = network(x), network(x[..., 64:]), network(x[..., 88:])
    # Not to the bit: a convolution may sum in another order at another size.
    torch.testing.assert_close(tile[..., 64:], whole[..., 128:], rtol=0, atol=1e-12)
    assert (narrow[..., 40:] - whole[..., 128:]).abs().max() > 1e-9


def test_the_published_networks_size_and_cost() -> None:
    assert sum(value.size for value in random_weights(TTN).values()) == 1_467_075
    assert flops_per_pixel(TTN) == pytest.approx(249_216)


def test_weights_are_checked_by_name_and_shape() -> None:
    weights = random_weights(STUDENT)
    with pytest.raises(StyleError, match=r"stem\.bias.*missing or left over"):
        prepare(STUDENT, {name: value for name, value in weights.items() if name != "stem.bias"})
    with pytest.raises(StyleError, match="extra"):
        prepare(STUDENT, weights | {"extra": np.zeros(1, np.float32)})
    with pytest.raises(StyleError, match="head has shape"):
        prepare(STUDENT, weights | {"head.weight": weights["head.weight"][:, :4]})
    with pytest.raises(StyleError, match="head"):
        prepare(STUDENT, weights | {"head.bias": np.zeros(3, np.float32)})
    with pytest.raises(StyleError, match="ttn"):
        prepare(TTN, weights)


def test_prepared_weights_are_float32_whatever_a_file_holds() -> None:
    weights = {name: value.astype(np.float16) for name, value in random_weights(TTN).items()}
    assert {value.dtype for value in prepare(TTN, weights).values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    "card",
    [
        {"name": "unet"},
        {"name": "student", "widths": [8], "blocks": [1], "down_blocks": [1]},
        {"name": "student", "widths": [8, 8], "blocks": [1, 1], "down_blocks": [1]},
        {"name": "ttn", "attention": True},
    ],
)
def test_unknown_architectures_are_refused(card: dict[str, Any]) -> None:
    with pytest.raises(StyleError):
        Architecture.from_card(card)


def test_architectures_survive_their_card() -> None:
    assert Architecture.from_card(STUDENT.to_card()) == STUDENT
    assert STUDENT.multiple == 16
    assert next(iter(layers(STUDENT))) == "stem"
