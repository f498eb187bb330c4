"""Reuse of what did not change gives what the whole computation gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage
from still_scenes import backdrop, noisy, with_box
from style_files import random_weights

from vidstyle.catalog import parse_recipe
from vidstyle.engine import Recipe
from vidstyle.errors import EngineError
from vidstyle.live.region import SETTLED, RegionStylizer
from vidstyle.network import Architecture
from vidstyle.style import Card, Style, weights_sha256
from vidstyle.stylizer import Stylizer

SMALL = Architecture("student", (8, 12, 16), (1, 0, 1), (0, 1, 0), guided=False)


def recipe(arch: Architecture = SMALL, seed: int = 0) -> Recipe:
    """A look of random weights that keep the size of what goes through them: it reaches as far as it can."""
    weights = random_weights(arch, seed)
    for name, value in weights.items():
        if name.endswith("weight"):
            value *= 20 * (1.5 / value[0].size) ** 0.5
    card = Card("t", "A test's look", arch, "Apache-2.0", "made by a test", sha256=weights_sha256(weights))
    return Recipe(((Style(card, weights), 1.0),))


@pytest.fixture(scope="module")
def home_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDSTYLE_HOME", str(tmp_path_factory.mktemp("home")))
        yield tmp_path_factory.getbasetemp()


SCENES = {
    "middle": [(96, 160), (96, 176), (112, 176)],
    "corner": [(0, 368), (16, 352), (0, 336)],
    "leaves": [(96, 160), (300, 500), (96, 160)],  # out of the picture, and back
    "across": [(16 * i, 24 * i) for i in range(8)],
}


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """uint8 [384, 512, 3]: a woman's head and shoulders."""
    image = cv2.imread(str(Path(skimage.__file__).parent / "data" / "astronaut.png"))
    assert image is not None
    return np.ascontiguousarray(image[:384, :, ::-1])


@pytest.mark.usefixtures("home_of_module")
@pytest.mark.parametrize("size", [(272, 400), (261, 395)], ids=["multiple", "odd"])
@pytest.mark.parametrize("scene", SCENES)
def test_a_part_computed_again_is_within_a_level_of_the_whole(scene: str, size: tuple[int, int]) -> None:
    back = backdrop(*size)
    pictures = [back, *(with_box(back, *place, seed) for seed, place in enumerate(SCENES[scene] * 2))]
    with (
        Stylizer(recipe(), precision="f32") as whole,
        RegionStylizer(recipe(), *size, precision="f32", waits=True) as region,
    ):
        costs = []
        for picture in pictures:
            look = region(picture)
            assert look.shape == picture.shape and look.dtype == np.uint8
            assert np.abs(look.astype(int) - whole(picture)).max() <= 1
            costs.append(region.cost)
    assert costs[0] == 1 and all(0 < cost < 0.85 for cost in costs[SETTLED + 1 :]), costs
    assert np.abs(look.astype(int) - pictures[-1]).mean() > 5, "the look must be one that changes something"


@pytest.mark.usefixtures("home_of_module")
def test_small_changes_do_not_add_up(portrait: np.ndarray) -> None:
    """Each of them the threshold might let pass."""
    with (
        Stylizer(parse_recipe("anime"), precision="f32") as whole,
        RegionStylizer(parse_recipe("anime"), *portrait.shape[:2], precision="f32", waits=True) as region,
    ):
        for index in range(40):
            picture = portrait.copy()
            picture[64:160, 176:272] = np.minimum(portrait[64:160, 176:272].astype(int) + index, 255)
            look = region(picture)
        assert 0 < region.cost < 0.85
        assert np.abs(look.astype(int) - whole(picture)).max() <= 1


@pytest.mark.usefixtures("home_of_module")
def test_an_unchanged_picture_is_not_computed() -> None:
    back = backdrop(128, 128)
    with RegionStylizer(recipe(), 128, 128) as region:
        look = region(back)
        kept = look.copy()
        assert region(back.copy()) is look and (region.cost, region.reused) == (0.0, 1)
        for seed in range(4):
            region(with_box(back, 0, 0, seed, 16))
        np.testing.assert_array_equal(look, kept)  # what was handed out is not written to


@pytest.mark.usefixtures("home_of_module")
def test_all_is_computed_when_much_changes_and_regularly() -> None:
    back, other = backdrop(272, 400), backdrop(272, 400, seed=1)
    with RegionStylizer(recipe(), 272, 400, refresh=3, waits=True) as region:
        costs = []
        for picture in [back, *(with_box(back, 96, 160, seed) for seed in range(10)), other]:
            region(picture)
            costs.append(region.cost)
        changed = region(with_box(other, 96, 160, 20))
        with Stylizer(recipe()) as whole:
            assert np.abs(changed.astype(int) - whole(with_box(other, 96, 160, 20))).max() <= 2
    fresh = [index for index, cost in enumerate(costs[1:], 1) if cost == 1]
    assert fresh == [1, SETTLED, SETTLED + 4, SETTLED + 8, len(costs) - 1]
    assert costs[0] == costs[-1] == 1


@pytest.mark.usefixtures("home_of_module")
def test_a_noisy_background_is_used_again() -> None:
    back, rng = backdrop(272, 400), np.random.default_rng(0)

    with RegionStylizer(recipe(), 272, 400, precision="f32", noise=None, waits=True) as region:
        looks = [region(noisy(back, rng)) for _ in range(8)]
        assert region.noise > 0 and region.cost == 0 and looks[-1] is looks[-2]
        moved = [region(noisy(with_box(back, 96, 160, seed), rng)) for seed in range(6)]
        assert 0 < region.cost < 0.85
    with Stylizer(recipe(), precision="f32") as whole:
        assert np.abs(moved[-1].astype(int) - whole(with_box(back, 96, 160, 5))).mean() < 4


@pytest.mark.usefixtures("home_of_module")
def test_a_mix_and_a_published_network_are_computed_whole() -> None:
    one, two = recipe(seed=1).parts[0][0], recipe(SMALL, seed=2).parts[0][0]
    back = backdrop(64, 96)
    for look in (Recipe(((one, 1.0), (two, 2.0))), Recipe(((one, 1.0),), 0.5), recipe(Architecture("ttn"))):
        with (
            RegionStylizer(look, 64, 96, precision="f32", waits=True) as region,
            Stylizer(look, precision="f32") as whole,
        ):
            for seed in range(4):
                picture = with_box(back, 0, 0, seed, 16)
                np.testing.assert_array_equal(region(picture), whole(picture))
                assert region.cost == 1
            assert region(picture) is region(picture.copy())


@pytest.mark.usefixtures("home_of_module")
@pytest.mark.parametrize("look", ["anime", "anime-fast", "sketch", "3d"])
def test_the_bundled_looks_by_parts(portrait: np.ndarray, look: str) -> None:
    """The real weights and threshold on a face that moves."""
    back = portrait
    with (
        Stylizer(parse_recipe(look), precision="f32") as whole,
        RegionStylizer(parse_recipe(look), *back.shape[:2], precision="f32", waits=True) as region,
    ):
        for index in range(8):
            picture = back.copy()
            picture[64:160, 176:272] = back[64:160, 176 + 2 * index : 272 + 2 * index]
            difference = np.abs(region(picture).astype(int) - whole(picture))
            assert difference.max() <= 1
        assert 0 < region.cost < 0.85


@pytest.mark.usefixtures("home_of_module")
def test_a_device_that_is_not_there_is_an_error() -> None:
    with pytest.raises(EngineError, match="npu7"):
        RegionStylizer(recipe(), 64, 64, device="npu7")
