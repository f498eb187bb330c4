"""Eight bits: the grids, the arithmetic against the definition of it in float64, the looks, and what refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage
import torch
from style_files import random_weights, write_style
from test_bundled import LOOKS

from engines.openvino import _compile
from engines.torch import Network, TorchOps
from training import ranges
from vidstyle import int8
from vidstyle.catalog import add_style, find_style
from vidstyle.cli import main
from vidstyle.engine import EngineSpec, Recipe, load_engine
from vidstyle.errors import EngineError, StyleError
from vidstyle.live.region import RegionStylizer
from vidstyle.network import Architecture, Pad, layers, run
from vidstyle.style import Card, Style, load_style, save_style, weights_sha256

ARCH = Architecture("student", (16, 24, 32), (1, 1, 1), (0, 1, 0), guided=False, smooth=True)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """uint8 [384, 448, 3] RGB: a head and shoulders that no training has seen."""
    image = cv2.imread(str(Path(skimage.__file__).parent / "data" / "astronaut.png"))
    assert image is not None
    return np.ascontiguousarray(image[:384, :448, ::-1])


@pytest.fixture(scope="module")
def style(portrait: np.ndarray) -> Style:
    """A look of random weights that keep the size of what goes through them."""
    weights = random_weights(ARCH)
    for name, value in weights.items():
        if name.endswith("weight"):
            value *= 20 * (1.2 / value[0].size) ** 0.5
    card = Card("t", "A test's look", ARCH, "Apache-2.0", "made by a test", sha256=weights_sha256(weights))
    return Style(card, weights, ranges=ranges.of_pictures(Network(ARCH, weights), [portrait]))


def plain(style: Style) -> Recipe:
    return Recipe(((style, 1.0),))


def styled(style: Style, image: np.ndarray, precision: str) -> np.ndarray:
    with load_engine(plain(style), EngineSpec(*image.shape[:2], precision=precision), "openvino") as engine:
        assert engine.spec.precision == precision and precision in engine.description
        return engine(image[None])[0]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square(a.astype(float) - b).mean()))


@pytest.mark.parametrize(
    "ends", [(-1.0, 1.0), (-0.3, 7.2), (-5.0, 0.01), (0.0, 2.0), (-2.0, 0.0), (0.5, 2.0), (0.0, 0.0)]
)
def test_a_grid_has_256_values_and_zero_is_one(ends: tuple[float, float]) -> None:
    low, high = int8.grid(*ends)
    values = np.linspace(low, high, 256)
    assert np.abs(values).min() < 1e-9 * max(high - low, 1e-9)
    assert low <= ends[0] + 1e-9 and high >= ends[1] - 1e-9 and high > low
    assert high - low <= max(1.02 * (max(ends[1], 0) - min(ends[0], 0)), 0) or ends == (0.0, 0.0)


@pytest.mark.parametrize("together", [1, 4])
def test_weights_are_whole_numbers_and_their_sums_are_kept(together: int) -> None:
    weight = np.random.default_rng(0).normal(0, 1, (6, 8, 3, 3)).astype(np.float32)
    weight[3] = 0
    whole, step = int8.rounded(weight, together)
    assert np.array_equal(whole, np.round(whole)) and np.abs(whole).max() == int8.MOST
    off = (whole * step - weight) / step
    assert np.abs(off).max() <= 1 + 1e-5
    sums = off.reshape(6, 8 // together, -1).sum(-1)
    assert np.abs(sums).max() <= 0.5 + 1e-4
    usual = ((np.round(weight / step) * step - weight) / step).reshape(6, 8 // together, -1).sum(-1)
    assert np.abs(usual).max() > 1  # each rounded for itself


class Exact(TorchOps):
    """The definition of `vidstyle.int8` in float64: inputs and weights on their grids, sums exact."""

    def __init__(self, style: Style) -> None:
        super().__init__({name: torch.from_numpy(value).double() for name, value in style.weights.items()})
        self.ranges = style.ranges

    def conv(self, x: torch.Tensor, name: str, stride: int = 1, pad: Pad = (1, 1, 1, 1)) -> torch.Tensor:
        if name.startswith(("up0.", "gate", "head")):
            return super().conv(x, name, stride, pad)
        weight, bias = self._weights[f"{name}.weight"].float().numpy(), self._weights[f"{name}.bias"]
        if name == "stem":  # a level is its own value there
            whole, step = int8.rounded(weight, 16)
            levels = torch.round((x + 1) * 127.5)
            x = levels / 127.5 - 1
            lost = weight.astype(np.float64).sum((1, 2, 3)) - (whole * step).astype(np.float64).sum((1, 2, 3))
            bias = bias + torch.from_numpy(lost) / 255  # the half level that the engine moves the picture by
        else:
            gain = int8.gains(weight, self.ranges[name]).reshape(1, -1, 1, 1)
            whole, step = int8.rounded(weight / gain)
            span = np.array(self.ranges[name]) * gain.ravel()
            low, high = int8.grid(span[0].min(), span[1].max())
            x = (x * torch.from_numpy(gain)).clamp(low, high)
            x = torch.round((x - low) / (high - low) * 255) / 255 * (high - low) + low
        return torch.nn.functional.conv2d(x, torch.from_numpy(whole * step).double(), bias, stride, pad[0])


def test_the_engine_computes_what_the_definition_says(style: Style, portrait: np.ndarray) -> None:
    x = torch.from_numpy(portrait).permute(2, 0, 1)[None].double() / 127.5 - 1
    with torch.inference_mode():
        y = run(Exact(style), ARCH, x)[0].permute(1, 2, 0).numpy()
    wanted = ((y + 1) * 127.5).clip(0, 255)
    found = styled(style, portrait, "int8")
    inner = (slice(32, -32), slice(32, -32))  # the picture's edge is padded half a level off
    assert psnr(found[inner], wanted[inner]) > psnr(styled(style, portrait, "f32")[inner], wanted[inner]) + 3
    assert abs(float((found[inner] - wanted[inner]).mean())) < 0.1


def test_its_convolutions_run_on_whole_numbers(style: Style) -> None:
    model = _compile(plain(style), EngineSpec(64, 64, 1, "int8", "cpu", 1), "CPU")
    info = [node.get_rt_info() for node in model.get_runtime_model().get_ops()]
    kinds = [entry["primitiveType"].astype(str) for entry in info if entry["layerType"].astype(str) == "Convolution"]
    eight = sum(int8.is_eight_bits(name) for name in layers(ARCH))
    assert len(kinds) == len(layers(ARCH))
    # a processor with AMX calls one of them i8
    assert sum(kind.upper().endswith("_I8") for kind in kinds) == eight, kinds


@pytest.mark.parametrize("look", LOOKS)
def test_a_bundled_look_is_hardly_another_in_eight_bits(look: str, portrait: np.ndarray) -> None:
    found = find_style(look)
    exact, eight = styled(found, portrait, "f32"), styled(found, portrait, "int8")
    assert psnr(eight, exact) > 49.5 and np.abs(eight.astype(int) - exact).max() <= 20
    assert np.abs((eight.astype(float) - exact).mean((0, 1))).max() < 0.4  # levels, of each colour


def test_a_mix_in_eight_bits(portrait: np.ndarray) -> None:
    recipe = Recipe(((find_style("anime"), 0.6), (find_style("3d"), 0.4)), 0.8)
    looks = []
    for precision in ("f32", "int8"):
        with load_engine(recipe, EngineSpec(*portrait.shape[:2], precision=precision), "openvino") as engine:
            looks.append(engine(portrait[None])[0])
    assert psnr(*looks) > 45


def test_parts_of_a_picture_are_as_the_whole(portrait: np.ndarray) -> None:
    recipe, size = plain(find_style("anime")), portrait.shape[:2]
    costs = []
    with (
        RegionStylizer(recipe, *size, precision="int8", waits=True) as region,
        load_engine(recipe, EngineSpec(*size, precision="int8"), "openvino") as whole,
    ):
        for shift in range(6):
            picture = portrait.copy()
            picture[100:150, 40 + 4 * shift : 100 + 4 * shift] = portrait[200:250, 200:260]
            assert np.abs(region(picture).astype(int) - whole(picture[None])[0]).max() <= 1
            costs.append(region.cost)
    assert costs[-1] < 1


def test_it_is_never_chosen_unasked() -> None:
    with load_engine(plain(find_style("anime")), EngineSpec(64, 64), "openvino") as engine:
        assert engine.spec.precision in ("bf16", "f32")


def test_a_look_without_ranges_and_other_engines_refuse(style: Style) -> None:
    with pytest.raises(EngineError, match=r"the look t has no ranges for int8: use --precision auto"):
        load_engine(plain(replace(style, ranges={})), EngineSpec(64, 64, precision="int8"), "openvino")
    with pytest.raises(EngineError, match=r"the torch engine has no int8: .*--engine openvino"):
        load_engine(plain(style), EngineSpec(64, 64, precision="int8"), "torch")


def test_channels_of_uneven_ranges_lose_less_with_gains() -> None:
    rng = np.random.default_rng(0)
    spans = np.geomspace(0.01, 10, 24)
    weight = (rng.normal(0, 1, (16, 24, 3, 3)) / spans.reshape(1, -1, 1, 1)).astype(np.float32)
    weight[:, 0] = 0
    ends = (tuple(-0.2 * spans), tuple(spans))
    gain = int8.gains(weight, ends)
    assert gain.shape == (24,) and np.isfinite(gain).all() and (gain > 0).all()
    x = rng.uniform(-0.2, 1, (500, 24)) * spans

    def lost(gain: np.ndarray) -> float:
        whole, step = int8.rounded((weight / gain.reshape(1, -1, 1, 1)).astype(np.float32))
        low, high = int8.grid((ends[0] * gain).min(), (ends[1] * gain).max())
        inputs = np.round((x * gain - low) / (high - low) * 255) / 255 * (high - low) + low
        off = inputs @ (whole * step).sum((2, 3)).T - x @ weight.sum((2, 3)).T
        return float(np.square(off).mean())

    assert lost(gain) < 0.02 * lost(np.ones(24))


def test_a_range_for_all_channels_is_that_of_each() -> None:
    assert int8.from_text('{"a":[-1,2.5]}', {"a": 3}) == {"a": ((-1, -1, -1), (2.5, 2.5, 2.5))}


def test_ranges_stay_with_the_style(style: Style, tmp_path: Path, home: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_style(path, replace(style.card, name="mine"), style.weights, style.ranges)
    assert load_style(path).ranges == style.ranges
    _, added = add_style(path)
    assert added.is_relative_to(home) and load_style(added).ranges == style.ranges
    assert load_style(write_style(tmp_path / "old.safetensors")).ranges == {}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: {**found, "stem": [1.0, -1.0]},
        lambda found: {**found, "stem": [float("nan"), 1.0]},
        lambda found: {**found, "stem": [0, 10**400]},
        lambda found: {**found, "stem": [-1e300, 1e300]},
        lambda found: {**found, "stem": ["a", 1.0]},
        lambda found: {**found, "stem": [0.0]},
        lambda found: {**found, "stem": [[0.0] * 48, [1.0] * 47]},
        lambda found: {**found, "stem": [[0.0] * 48, [1.0] * 47 + [-1.0]]},
        lambda found: {**found, "stem": [0.0, [1.0] * 48, 2.0]},
        lambda found: {name: ends for name, ends in found.items() if name != "stem"},
        lambda found: list(found),
    ],
)
def test_damaged_ranges_are_refused(style: Style, tmp_path: Path, spoil: Callable[[dict], object]) -> None:
    path = tmp_path / "mine.safetensors"
    damaged = spoil(json.loads(int8.to_text(style.ranges)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(int8, "to_text", lambda _: json.dumps(damaged))
        save_style(path, style.card, style.weights, style.ranges)
    with pytest.raises(StyleError, match="ranges are damaged"):
        load_style(path)


def test_ranges_are_what_the_convolutions_are_given(style: Style, portrait: np.ndarray) -> None:
    network, half = Network(ARCH, style.weights), portrait // 2
    found = ranges.of_pictures(network, [portrait, half])
    assert set(found) == set(layers(ARCH))
    one, other = (ranges.of_pictures(network, [picture]) for picture in (portrait, half))
    for name, (low, high) in found.items():
        assert low == tuple(map(min, one[name][0], other[name][0]))
        assert high == tuple(map(max, one[name][1], other[name][1]))
    inputs = torch.from_numpy(portrait).float() / 127.5 - 1
    assert one["stem"][1][:16] == pytest.approx(
        [float(inputs[i::4, j::4, 0].max()) for i in range(4) for j in range(4)], rel=1e-3
    )
    stem = torch.nn.functional.conv2d(
        torch.nn.functional.pixel_unshuffle(inputs.permute(2, 0, 1)[None], 4),
        *(torch.from_numpy(style.weights[f"stem.{part}"]) for part in ("weight", "bias")),
        padding=1,
    )
    smoothed = torch.nn.functional.avg_pool2d(
        torch.nn.functional.leaky_relu(stem, 0.2), 3, 1, 1, count_include_pad=False
    )
    assert one["down1"][0] == pytest.approx(smoothed.amin((0, 2, 3)).tolist(), rel=1e-3)
    assert one["down1"][1] == pytest.approx(smoothed.amax((0, 2, 3)).tolist(), rel=1e-3)


def test_ranges_are_added_to_a_style_from_before(style: Style, tmp_path: Path, portrait: np.ndarray) -> None:
    path, photos = tmp_path / "mine.safetensors", tmp_path / "photos"
    half = {name: value.astype(np.float16) for name, value in style.weights.items()}
    card = save_style(path, replace(style.card, name="mine"), half)
    photos.mkdir()
    cv2.imwrite(str(photos / "a.png"), portrait[..., ::-1])
    face = [180, 60, 130, 170, 205, 115, 255, 112, 232, 145, 210, 175, 255, 172, 0.9]
    (photos / "faces.json").write_text(json.dumps({"a.png": [face]}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["ranges", str(path), "--photos", str(photos)])
        ranges.main()
    again = load_style(path)
    assert again.card == card and set(again.ranges) == set(layers(ARCH))
    assert all(again.weights[name].dtype == np.float16 for name in half)
    assert psnr(styled(again, portrait, "int8"), styled(again, portrait, "f32")) > 30


def test_on_the_command_line(tmp_path: Path, portrait: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "in.png", tmp_path / "out.png"
    cv2.imwrite(str(source), portrait[..., ::-1])

    def code(precision: str, target: Path) -> object:
        with pytest.raises(SystemExit) as ended:
            main(["image", str(source), "-o", str(target), "--size", "native", "--precision", precision])
        return ended.value.code

    assert code("int8", out) == 0
    wanted = cv2.cvtColor(cv2.imread(str(out)), cv2.COLOR_BGR2RGB)
    assert np.array_equal(wanted, styled(find_style("anime"), portrait, "int8"))
    assert code("int4", tmp_path / "no.png") == 2 and "int8" in capsys.readouterr().err
