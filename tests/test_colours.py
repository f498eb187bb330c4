"""Training pictures in other colours: the matrices, and that crops show source and target in the same ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from training import colours, data
from training.crops import CropOptions, Cropper, _recoloured
from training.data import EMPTY, FACE, MOVING, SIDE, Canvases, Coloured
from vidstyle.engine import EngineSpec
from vidstyle.style import Style

CPU = torch.device("cpu")


def picture(seed: int, side: int) -> np.ndarray:
    """uint8 [side, side, 3]: soft shapes of middling colours, which no matrix here drives out of range everywhere."""
    small = np.random.default_rng(seed).integers(60, 200, (8, 8, 3)).astype(np.uint8)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)


def test_the_same_kinds_and_seed_give_the_same_matrices() -> None:
    kinds = np.array([0, 1] * 20, np.uint8)
    first = colours.draw(kinds)
    assert first.shape == (40, 3, 4) and first.dtype == np.float32
    assert np.array_equal(first, colours.draw(kinds)) and not np.array_equal(first, colours.draw(kinds, 1))


def test_a_face_keeps_something_of_its_own_colours() -> None:
    """A lamp and an exposure: grey stays a possible lamp's grey, and light stays lighter than dark."""
    for matrix in colours.draw(np.zeros(200, np.uint8)):
        dark, light = (colours.apply(np.full((1, 1, 3), level, np.uint8), matrix)[0, 0] for level in (40, 160))
        assert (light > dark).all()
        assert light.max() / light.min() < 2.2


def test_empty_pictures_are_of_all_hues_and_half_of_them_of_nearly_one_colour() -> None:
    source = picture(0, 64)
    matrices = colours.draw(np.ones(400, np.uint8))
    results = [colours.apply(source, matrix).astype(np.float64) for matrix in matrices]
    contrast = np.array([np.abs(matrix[:, :3]).sum(1).max() for matrix in matrices])
    assert 0.4 < (contrast <= 0.5).mean() < 0.7
    strong = np.array([x.mean((0, 1)) for x in results])[contrast <= 0.5]
    assert (np.ptp(strong, axis=1) > 40).mean() > 0.7
    assert set(strong.argmax(1)) == {0, 1, 2}


def test_tensors_and_pictures_take_the_same_colours() -> None:
    source = picture(1, 48)
    x = torch.from_numpy(source).permute(2, 0, 1).float() / 127.5 - 1
    for matrix in colours.draw(np.array([0, 1] * 10, np.uint8)):
        wanted = colours.apply(source, matrix)
        got = ((_recoloured(x, torch.from_numpy(matrix)) + 1) * 127.5).permute(1, 2, 0).numpy()
        assert np.abs(got - wanted).max() < 1  # cv2 computes in fixed point


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_coloured_crop_has_the_target_of_the_coloured_picture(share: float) -> None:
    """The teacher is one that copies: so source and target of every crop agree, plain or coloured."""
    sources = np.stack([picture(seed, 128) for seed in range(3)])
    kinds = np.zeros(3, np.uint8)
    halves = [cv2.resize(source, (64, 64), interpolation=cv2.INTER_AREA) for source in sources]
    matrices = colours.draw(kinds, 3)
    both = Coloured(matrices, np.stack([colours.apply(*pair) for pair in zip(halves, matrices, strict=True)]))
    canvases = Canvases(sources, np.stack(halves), kinds, both)
    clean = CropOptions(side=32, pairs=20, noise=0, soft=0, coded=0, offset=0)
    options = replace(clean, coloured=share, eyes=(40, 100), near=(40, 100))
    cut = Cropper(canvases, options, CPU)(torch.Generator().manual_seed(0), paired=False)
    assert (cut.source - cut.target).abs().mean((1, 2, 3)).max() < 0.02
    plain = Cropper(Canvases(sources, np.stack(halves), kinds), options, CPU)
    again = plain(torch.Generator().manual_seed(0), paired=False)
    differs = (cut.source - again.source).abs().amax((1, 2, 3)) > 0.05
    assert differs.float().mean() == pytest.approx(share, abs=0.2)


TEACHER = type("Teacher", (), {"card": type("Card", (), {"sha256": "ab" * 32})})


class Copying:
    """In place of an engine: the result is the picture."""

    def __init__(self, *_: object) -> None:
        self.spec = type("Spec", (), {"in_flight": 1})

    def __enter__(self) -> Copying:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, images: np.ndarray):  # type: ignore[no-untyped-def]
        return lambda: images


def test_a_limit_keeps_the_faces_of_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "load_engine", Copying)
    kinds = np.array([FACE, EMPTY] * 4 + [MOVING, EMPTY, MOVING], np.uint8)
    np.save(
        tmp_path / "sources.npy",
        np.arange(11, dtype=np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2).repeat(3, 3),
    )
    np.save(tmp_path / "kinds.npy", kinds)
    made = data.build(tmp_path, [], None, _style(TEACHER), tmp_path, limit=3)
    assert made.source[:, 0, 0, 0].tolist() == [0, 5, 10, 8] and made.kind.tolist() == [FACE, EMPTY, MOVING, MOVING]


def test_the_teacher_is_asked_about_the_coloured_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches the engine is the source at half size in its colours; results are kept and read again."""
    monkeypatch.setattr(data, "load_engine", Copying)
    sources, kinds = np.stack([picture(seed, 2 * SIDE) for seed in range(2)]), np.array([0, 1], np.uint8)
    np.save(tmp_path / "sources.npy", sources)
    np.save(tmp_path / "kinds.npy", kinds)
    made = data.build(tmp_path, [], None, _style(TEACHER), tmp_path)
    assert made.coloured is not None
    for row in range(2):
        half = cv2.resize(sources[row], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        assert np.array_equal(made.target[row], half)
        assert np.array_equal(made.coloured.target[row], colours.apply(half, made.coloured.matrix[row]))
    monkeypatch.setattr(data, "load_engine", None)  # nothing is made twice
    again = data.build(tmp_path, [], None, _style(TEACHER), tmp_path)
    assert again.coloured is not None and np.array_equal(again.coloured.target, made.coloured.target)


@pytest.mark.parametrize(("device", "batches"), [("auto", [1] * 10), ("cuda:0", [8, 2])])
def test_a_teacher_on_a_gpu_is_shown_several_canvases_at_a_time(
    device: str, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    class Noting(Copying):
        def __init__(self, _: object, spec: EngineSpec, __: str) -> None:
            super().__init__()
            assert spec.max_batch == max(batches) and spec.device == device

        def submit(self, images: np.ndarray):  # type: ignore[no-untyped-def]
            seen.append(len(images))
            return super().submit(images)

    monkeypatch.setattr(data, "load_engine", Noting)
    sources, matrices = np.stack([picture(seed, 2 * SIDE) for seed in range(10)]), colours.draw(np.zeros(10, bool))
    made = data.teach(sources, _style(TEACHER), "torch", device, matrices)
    assert seen == batches
    for row in (0, 7, 8, 9):
        half = cv2.resize(sources[row], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        assert np.array_equal(made[row], colours.apply(half, matrices[row]))


def _style(teacher: object) -> Style:
    return teacher  # type: ignore[return-value]
