"""Pictures that do not fit into the device's memory: the same result by smaller batches, or in parts."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from media import picture, save_tiny
from style_files import random_weights

from vidstyle import fitting
from vidstyle.catalog import parse_recipe
from vidstyle.engine import Engine, EngineSpec, Recipe, load_engine
from vidstyle.errors import DeviceLostError, OutOfMemoryError, TooSmallError
from vidstyle.frame import Frame
from vidstyle.live.parts import halo
from vidstyle.network import Architecture
from vidstyle.style import Card, Style, weights_sha256
from vidstyle.stylizer import Stylizer
from vidstyle.tiling import TiledEngine, spans

STUDENT = Architecture("student", (8, 12, 16), (1, 0, 1), (0, 1, 0), guided=False)
SMOOTH = replace(STUDENT, smooth=True)


def recipe_of(*networks: Architecture, strength: float = 1.0) -> Recipe:
    styles = []
    for seed, arch in enumerate(networks):
        weights = random_weights(arch, seed)
        card = Card(f"s{seed}", "A test's", arch, "Apache-2.0", "made by a test", sha256=weights_sha256(weights))
        styles.append((Style(card, weights), 1.0 + seed))
    return Recipe(tuple(styles), strength)


def on_torch(recipe: Recipe, spec: EngineSpec) -> Engine:
    return load_engine(recipe, spec, "torch")


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (1, height, width, 3), np.uint8)


@pytest.mark.parametrize("length", [200, 411, 1080, 1917])
@pytest.mark.parametrize("parts", [1, 2, 3, 7])
@pytest.mark.parametrize(("around", "grid"), [(64, 4), (144, 16)])
def test_parts_cover_a_line_once_and_have_their_surroundings(length: int, parts: int, around: int, grid: int) -> None:
    size, found = spans(length, parts, around, grid)
    taken = [pixel for _, first, last in found for pixel in range(first, last)]
    assert taken == list(range(length))
    for start, first, last in found:
        assert start % grid == 0 and 0 <= start <= length - size
        assert first - start >= around or start == first == 0
        assert start + size - last >= around or start + size == last == length
    assert size < length or len(found) == 1


@pytest.mark.parametrize(
    ("networks", "strength"),
    [((Architecture(),), 1.0), ((STUDENT,), 1.0), ((SMOOTH,), 1.0), ((STUDENT, Architecture(guided=False)), 0.6)],
    ids=["teacher", "student", "smooth", "mix"],
)
@pytest.mark.parametrize("size", [(401, 507), (600, 130)])
def test_parts_give_the_whole_pictures_result(
    networks: tuple[Architecture, ...], strength: float, size: tuple[int, int]
) -> None:
    recipe, batch = recipe_of(*networks, strength=strength), noise(*size)
    with on_torch(recipe, EngineSpec(*size)) as whole:
        expected = whole(batch)
    with TiledEngine(recipe, EngineSpec(*size, max_batch=4), 2, 3, on_torch) as tiled:
        assert tiled.spec.max_batch == 1 and "parts" in tiled.description
        difference = np.abs(tiled(batch).astype(int) - expected)
        on_device = tiled.submit_on_device(torch.from_numpy(batch))().numpy()
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-4  # a rounding on the half
    np.testing.assert_array_equal(np.abs(on_device.astype(int) - expected), difference)


def test_less_around_a_part_would_show() -> None:
    """The halo is needed: without it the same pictures differ."""
    recipe, batch = recipe_of(Architecture()), noise(120, 400)
    around = halo(Architecture())
    with on_torch(recipe, EngineSpec(120, 400)) as whole, on_torch(recipe, EngineSpec(120, 200)) as half:
        cut = half(batch[:, :, :200])
        assert not np.array_equal(cut[:, :, 200 - around // 2 :], whole(batch)[:, :, 200 - around // 2 : 200])


def test_a_small_picture_is_not_cut() -> None:
    with pytest.raises(TooSmallError, match="cannot be cut"):
        TiledEngine(recipe_of(STUDENT), EngineSpec(64, 64), 2, 2, on_torch)


class Memory:
    """Stands for a device that holds ``room`` pixels at a time: loading or running more fails."""

    def __init__(self, room: int, at: str) -> None:
        self.room, self.at = room, at
        self.specs: list[EngineSpec] = []

    def load(self, recipe: Recipe, spec: EngineSpec, _engine: str = "") -> Engine:
        pixels = spec.height * spec.width * spec.max_batch * max(1, spec.in_flight)
        self.specs.append(spec)
        if pixels > self.room and self.at == "load":
            raise OutOfMemoryError("the GPU has 1 GiB left, 2 are needed")
        loaded: Any = load_engine(recipe, spec, "openvino")
        if pixels > self.room:
            submit, calls = loaded.submit, []

            def failing(batch: np.ndarray) -> Callable[[], np.ndarray]:
                calls.append(submit(batch))
                return calls[-1] if len(calls) <= 2 else self._fail  # in the middle of a stream

            loaded.submit = failing
        return loaded

    def _fail(self) -> np.ndarray:
        raise OutOfMemoryError("the GPU has 1 GiB left, 2 are needed")


@pytest.mark.parametrize("at", ["load", "run"])
@pytest.mark.parametrize(("room", "batch", "word"), [(2, 4, "2 at a time"), (1, 2, "1 at a time"), (0.7, 4, "parts")])
def test_a_stream_goes_on_with_less(
    home: Path, monkeypatch: pytest.MonkeyPatch, at: str, room: float, batch: int, word: str
) -> None:
    recipe = parse_recipe(str(save_tiny(home, "t")))
    height, width = 200, 420
    frames = [Frame(picture(i // 2, width, height), i, Fraction(1, 25)) for i in range(22)]
    memory = Memory(int(room * height * width), at)
    with Stylizer(recipe, precision="f32") as plain:
        expected = [plain(frame.image) for frame in frames]
    monkeypatch.setattr(fitting, "load_engine", memory.load)
    with Stylizer(recipe, precision="f32", batch=batch, in_flight=1) as stylizer:
        styled = list(stylizer.frames(frames))
        notes, single = stylizer.notes, stylizer(frames[0].image)
    assert [f.pts for f in styled] == [f.pts for f in frames]
    for frame, want in zip(styled, expected, strict=True):
        assert np.abs(frame.image.astype(int) - want).max() <= 1
    assert np.abs(single.astype(int) - expected[0]).max() <= 1
    assert len(notes) == 1 and word in notes[0] and "420x200" in notes[0]


def test_no_memory_at_all_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = parse_recipe(str(save_tiny(home, "t")))
    monkeypatch.setattr(fitting, "load_engine", Memory(0, "load").load)
    with Stylizer(recipe, batch=4) as stylizer, pytest.raises(OutOfMemoryError, match="close other programs"):
        stylizer(picture(0, 420, 200))


def test_what_else_fails_on_the_way_down_is_told_as_itself(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory(100 * 100, "load")

    def load(recipe: Recipe, spec: EngineSpec, _engine: str = "") -> Engine:
        if spec.width < 420:
            raise DeviceLostError("the GPU fell off the bus")
        return memory.load(recipe, spec)

    monkeypatch.setattr(fitting, "load_engine", load)
    with Stylizer(parse_recipe(str(save_tiny(home, "t")))) as stylizer, pytest.raises(DeviceLostError, match="the bus"):
        stylizer(picture(0, 420, 200))


def test_a_batch_takes_several_pictures_a_call(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, sizes = parse_recipe(str(save_tiny(home, "t"))), []

    def counting(recipe: Recipe, spec: EngineSpec, engine: str) -> Engine:
        loaded: Any = load_engine(recipe, spec, engine)
        submit = loaded.submit
        loaded.submit = lambda batch: (sizes.append(len(batch)), submit(batch))[1]
        return loaded

    monkeypatch.setattr(fitting, "load_engine", counting)
    frames = [Frame(picture(i, 48, 32), i, Fraction(1, 25)) for i in (0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9)]
    with Stylizer(recipe, precision="f32", batch=4, in_flight=2) as stylizer:
        styled = list(stylizer.frames(frames))
        assert stylizer.reused == 1
    assert sizes == [4, 4, 2]
    with Stylizer(recipe, precision="f32") as single:
        for frame, result in zip(frames, styled, strict=True):
            np.testing.assert_array_equal(result.image, single(frame.image))


def test_pictures_on_a_device_stay_there(home: Path) -> None:
    recipe = parse_recipe(str(save_tiny(home, "t")))
    arrays = [picture(i, 48, 32) for i in (0, 0, 1, 2, 3)]
    frames = [Frame(torch.from_numpy(a), i, Fraction(1, 25)) for i, a in enumerate(arrays)]
    with Stylizer(recipe, engine="torch", batch=2) as stylizer:
        styled = list(stylizer.frames(frames))
        assert stylizer.reused == 1 and all(frame.on_device for frame in styled)
        for array, frame in zip(arrays, styled, strict=True):
            assert np.abs(frame.image.numpy().astype(int) - stylizer(array)).max() <= 1


@pytest.mark.parametrize(
    ("runtime", "device", "size", "batch"),
    [
        ("cuda", "cuda:0", (360, 640), 8),
        ("cuda", "cuda:0", (720, 1280), 2),
        ("cuda", "cuda:1", (1080, 1920), 1),
        ("cuda", "cuda:0", (2160, 3840), 1),
        ("torch", "cuda:0", (720, 1280), 2),
        ("torch", "cpu", (360, 640), 1),
        ("tensorrt", "cuda:0", (360, 640), 1),
        ("openvino", "auto", (360, 640), 1),
    ],
)
def test_small_pictures_go_together_to_a_gpu(runtime: str, device: str, size: tuple[int, int], batch: int) -> None:
    assert fitting.batch_for(runtime, device, *size) == batch
