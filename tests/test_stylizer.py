from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media import picture, save_tiny

from vidstyle.catalog import parse_recipe
from vidstyle.errors import EngineError
from vidstyle.frame import Frame
from vidstyle.stylizer import Stylizer


def make_frames(indices: list[int], width: int = 32, height: int = 24) -> list[Frame]:
    return [Frame(picture(i, width, height), n * 10, Fraction(1, 250)) for n, i in enumerate(indices)]


@pytest.mark.parametrize("in_flight", [1, 2, 5])
def test_a_stream_gives_what_single_pictures_give(home: Path, in_flight: int) -> None:
    recipe = parse_recipe(str(save_tiny(home, "t")))
    frames = make_frames(list(range(20)))
    with Stylizer(recipe, precision="f32", in_flight=in_flight) as stylizer:
        styled = list(stylizer.frames(frames))
    with Stylizer(recipe, precision="f32") as single:
        expected = [single(f.image) for f in frames]
    assert [f.pts for f in styled] == [f.pts for f in frames]
    for frame, image in zip(styled, expected, strict=True):
        np.testing.assert_array_equal(frame.image, image)
    assert not np.array_equal(styled[0].image, frames[0].image)


def test_a_repeated_picture_is_computed_once_and_changes_nothing(home: Path) -> None:
    recipe = parse_recipe(str(save_tiny(home, "t")))
    frames = make_frames([0, 0, 0, 1, 1, 2, 0, 0])
    with Stylizer(recipe, precision="f32", in_flight=3) as stylizer:
        styled = list(stylizer.frames(frames))
        assert stylizer.reused == 4
    with Stylizer(recipe, precision="f32") as single:
        for frame, result in zip(frames, styled, strict=True):
            np.testing.assert_array_equal(result.image, single(frame.image))
    assert len(styled) == len(frames)


def test_a_long_still_does_not_pile_up(home: Path) -> None:
    recipe = parse_recipe(str(save_tiny(home, "t")))
    seen = 0

    def frames():
        nonlocal seen
        for frame in make_frames([0] * 500):
            seen += 1
            yield frame

    with Stylizer(recipe, in_flight=2) as stylizer:
        for count, _ in enumerate(stylizer.frames(frames()), start=1):
            assert seen - count <= 8


def test_the_size_may_change_in_the_middle(home: Path) -> None:
    recipe = parse_recipe(str(save_tiny(home, "t")))
    frames = make_frames([0, 1]) + make_frames([2, 3], 48, 40)
    with Stylizer(recipe, in_flight=2) as stylizer:
        styled = list(stylizer.frames(frames))
    assert [f.image.shape for f in styled] == [f.image.shape for f in frames]


def test_strength_and_mixing(home: Path) -> None:
    one, two = save_tiny(home / "styles", "one", 1), save_tiny(home / "styles", "two", 2)
    assert one.exists() and two.exists()
    image = picture(3, 40, 32)

    def run(text: str, strength: float = 1.0) -> np.ndarray:
        with Stylizer(parse_recipe(text, strength), precision="f32") as stylizer:
            return stylizer(image).astype(int)

    np.testing.assert_array_equal(run("one", 0.0), image)
    half = image + 0.5 * (run("one") - image)
    assert np.abs(run("one", 0.5) - half).max() <= 1.6  # clipping and rounding of both
    inside = (run("one") % 255 != 0) & (run("two") % 255 != 0)  # where nothing was clipped
    mixed = 0.25 * run("one") + 0.75 * run("two")
    assert np.abs(run("one:1+two:3") - mixed)[inside].max() <= 1.1


def test_a_closed_stylizer_says_so(home: Path) -> None:
    recipe = parse_recipe(str(save_tiny(home, "t")))
    for used in (True, False):
        with Stylizer(recipe) as stylizer:
            if used:
                stylizer(picture(0, 16, 16))
                stylizer.unload()
                stylizer(picture(0, 16, 16))
        stylizer.close()
        with pytest.raises(EngineError, match=r"^the stylizer is closed: open it again$"):
            stylizer(picture(0, 16, 16))
        with pytest.raises(EngineError, match="closed"):
            next(stylizer.frames(make_frames([0])))


def test_an_unknown_device_is_never_replaced(home: Path) -> None:
    recipe = parse_recipe(str(save_tiny(home, "t")))
    with Stylizer(recipe, device="npu7") as stylizer, pytest.raises(EngineError, match="npu7"):
        stylizer(picture(0, 16, 16))
