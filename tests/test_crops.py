"""Canvases and training crops by their geometry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from distilling import CPU, SMALL, canvases, crops
from torch.utils._python_dispatch import TorchDispatchMode

from training.crops import CropOptions, Cropper
from training.data import EMPTY, EYES, FACE, MOVING, SIDE, Canvases, empty_canvas, face_canvas, held_out

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("exact", [0.0, 1.0])
def test_source_and_target_are_cut_alike(exact: float) -> None:
    """The target is the source at half size, so that any two cuts of one place show the same."""
    options = replace(SMALL, pairs=24, noise=0, gain=0, exact=exact, eyes=(30, 100), near=(30, 100), empty=0)
    cut = crops(options)
    error = (cut.source - cut.target).abs()
    assert error.mean() < 0.004 and error.amax((1, 2, 3)).median() < 0.02
    assert (cut.source.flip(-1) - cut.target).abs().mean() > 0.05  # the pictures would tell
    assert cut.source.std((0, 1)).mean() > 0.1


def test_a_crops_partner_is_moved_by_whole_pixels() -> None:
    options = replace(SMALL, noise=0)
    for seed in range(8):
        cut = crops(options, seed)
        dy, dx = cut.shift
        assert 0 <= dy <= 3 and 0 <= dx <= 3
        for name in ("source", "target", "weight"):
            a, b = getattr(cut, name).chunk(2)
            torch.testing.assert_close(a[..., dy:, dx:], b[..., : 32 - dy, : 32 - dx], rtol=0, atol=0)


def test_crops_cover_the_sizes_of_faces_that_were_asked_for() -> None:
    options = replace(CropOptions(), side=16, pairs=400, soft=0, coded=0)
    cut = crops(options)
    assert cut.source.shape == cut.target.shape == (800, 3, 16, 16) and cut.weight.shape == (800, 1, 16, 16)
    assert cut.source.abs().max() <= 1 and cut.target.abs().max() <= 1
    faces = cut.eyes[cut.eyes > 0]
    assert options.eyes[0] <= faces.min() < options.near[0] and options.near[1] < faces.max() <= options.eyes[1]
    assert (cut.eyes == 0).float().mean() == pytest.approx(options.empty, abs=0.06)
    assert (faces == EYES).float().mean() == pytest.approx(options.exact, abs=0.08)
    assert cut.weight.min() >= 1 and 10 < cut.weight.max() <= 14
    assert (cut.weight[:400][cut.eyes == 0] == 1).all()
    assert len(crops(options, paired=False).eyes) == 800


@pytest.mark.parametrize("anywhere", [0.0, 0.5])
def test_crops_lie_around_faces_and_a_share_of_them_anywhere(anywhere: float) -> None:
    """Red and green tell the place on the canvas: what a crop's middle shows."""
    ramp = np.arange(2 * SIDE) * 255 // (2 * SIDE)
    face = np.stack(np.broadcast_arrays(ramp[None], ramp[:, None], 0), -1).astype(np.uint8)
    canvas = Canvases(face[None], face[None, ::2, ::2].copy(), np.zeros(1, np.uint8))
    options = replace(CropOptions(), side=64, pairs=400, noise=0, soft=0, coded=0, exact=1.0, anywhere=anywhere)
    middles = Cropper(canvas, options, CPU)(torch.Generator().manual_seed(0), paired=False).target[:, :2, 32, 32]
    apart = middles.abs() * SIDE / 2  # pixels from the nose
    around = 0.3 * (64 + options.offset) + 8
    far = (apart > around).any(1).float().mean()
    beyond = SIDE / 2 - (64 + options.offset) / 3  # evenly up to there, on either axis
    assert far == pytest.approx(anywhere * (1 - (around / beyond) ** 2), abs=0.06)
    assert apart.max() > (0.9 * beyond if anywhere else 0)


@pytest.mark.parametrize("turn", [0.0, 90.0])
def test_eyes_and_mouth_weigh_most_wherever_a_face_is_turned(turn: float) -> None:
    """Light eyes and a light mouth on a dark face: the weight is high where those are, and nowhere else."""
    face = np.zeros((2 * SIDE, 2 * SIDE, 3), np.uint8)
    for across, down in ((-0.5, -0.6), (0.5, -0.6), (0, 0.4)):
        cv2.circle(face, (round(SIDE + across * 2 * EYES), round(SIDE + down * 2 * EYES)), EYES // 4, (255,) * 3, -1)
    faces = Canvases(face[None], face[None, ::2, ::2].copy(), np.zeros(1, np.uint8))
    options = replace(SMALL, side=192, pairs=20, noise=0, gain=0, exact=0, empty=0, turn=turn, upright=0)
    cut = Cropper(faces, replace(options, eyes=(50, 70), near=(50, 70)), CPU)(torch.Generator().manual_seed(0))
    light = cut.source.mean(1, keepdim=True) > 0
    assert light.any() and cut.weight[light].min() > 6
    assert cut.weight[~light].mean() < 4


@pytest.mark.parametrize("fault", ["soft", "coded"])
def test_a_cameras_faults_are_in_the_source_alone(fault: str) -> None:
    """Both of a pair are as soft as each other, and each has a codec's errors of its own."""
    fine = np.random.default_rng(0).integers(0, 255, (3, 48, 48, 3), np.uint8)
    drawings = Canvases(fine.repeat(2, 1).repeat(2, 2), fine, np.zeros(3, np.uint8))
    options = replace(SMALL, pairs=8, noise=0, exact=1.0, empty=0, **{fault: 1.0})
    some = Cropper(drawings, options, CPU)(torch.Generator().manual_seed(3))
    assert (some.source - some.target).abs().mean((1, 2, 3)).min() > 0.02
    assert (some.crisp == (fault != "soft")).all() and len(some.crisp) == 8
    assert some.target.std() == pytest.approx(fine.std() / 127.5, rel=0.05)
    torch.testing.assert_close(some.source.mean(), some.target.mean(), atol=0.02, rtol=0)
    dy, dx = some.shift
    a, b = some.source.chunk(2)
    differ = (a[..., dy:, dx:] - b[..., : 32 - dy, : 32 - dx]).abs().amax((1, 2, 3))
    assert (differ == 0).all() if fault == "soft" else (differ > 0.02).all()


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_faces_of_clips_have_their_share(share: float) -> None:
    """Each canvas is of one tone, by which its kind is seen."""
    kind = np.array([FACE] * 5 + [EMPTY, MOVING], np.uint8)
    tones = (40 + 60 * kind)[:, None, None, None]
    source, target = (np.broadcast_to(tones, (7, side, side, 3)).astype(np.uint8).copy() for side in (96, 48))
    options = replace(SMALL, pairs=400, noise=0, empty=0.2, moving=share)
    cut = Cropper(Canvases(source, target, kind), options, CPU)(torch.Generator().manual_seed(0), paired=False)
    seen = ((cut.target.mean((1, 2, 3)) + 1) * 127.5 - 40).div(60).round().int()
    shares = torch.bincount(seen, minlength=3) / 800
    wanted = torch.tensor([0.8 * (1 - share), 0.2, 0.8 * share])
    torch.testing.assert_close(shares, wanted, atol=0.05, rtol=0)


def test_crops_follow_from_the_seed_alone() -> None:
    first, again, other = crops(SMALL, 1), crops(SMALL, 1), crops(SMALL, 2)
    assert torch.equal(first.source, again.source) and torch.equal(first.target, again.target)
    assert not torch.equal(first.source, other.source)


def test_a_face_canvas_has_the_nose_in_the_middle_and_a_known_eye_distance() -> None:
    image = np.zeros((400, 500, 3), np.uint8)
    points = np.array([[200, 150], [240, 150], [220, 175], [205, 200], [235, 200]], np.float64)
    for x, y in points[:3].astype(int):
        image[y - 2 : y + 3, x - 2 : x + 3] = 255
    canvas = face_canvas(image, points)
    assert canvas.shape == (2 * SIDE, 2 * SIDE, 3)
    scale = 2 * EYES / (50 * 0.95)  # from the eyes to the mouth: more than between the eyes
    for point in points[:3]:
        x, y = ((point - points[2]) * scale + SIDE).astype(int)
        assert canvas[y, x].min() > 200


def test_an_empty_canvas_keeps_clear_of_faces() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    image[:, :160] = 255  # the face's half
    for seed in range(5):
        canvas = empty_canvas(image, [np.array([0, 0, 160, 300])], np.random.default_rng(seed))
        assert canvas is None or canvas.max() == 0
    assert empty_canvas(image, [np.array([0, 0, 300, 300])], np.random.default_rng(0)) is None


def test_the_same_pictures_are_held_out_in_every_run() -> None:
    kept = [name for name in (f"{i}.jpg" for i in range(2000)) if held_out(name)]
    assert 0.04 < len(kept) / 2000 < 0.08
    assert kept[:3] == [name for name in (f"{i}.jpg" for i in range(2000)) if held_out(name)][:3]


def test_a_share_of_the_crops_keeps_pairs_together() -> None:
    whole = crops(replace(SMALL, pairs=4))
    part = whole.rows(slice(2, 4))
    for name in ("source", "target", "weight"):
        values = getattr(whole, name)
        assert torch.equal(getattr(part, name), torch.cat([values[2:4], values[6:8]]))
    assert torch.equal(part.eyes, whole.eyes[2:4]) and part.shift == whole.shift and len(part.crisp) == 2
    apart = crops(replace(SMALL, pairs=4), paired=False)
    assert torch.equal(apart.rows(slice(0, 2)).eyes, torch.cat([apart.eyes[0:2], apart.eyes[4:6]]))


class Operations(TorchDispatchMode):
    """Notes what torch is asked for, and on which devices."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        where = next((str(x.device) for x in args if isinstance(x, torch.Tensor)), "")
        self.asked.append((str(operation), where))
        return operation(*args, **(kwargs or {}))


def test_one_more_picture_takes_few_operations() -> None:
    """A GPU waits for the host, which starts each of them: a picture took 120."""
    counts = []
    for pairs in (4, 8):
        cropper = Cropper(canvases(), replace(SMALL, pairs=pairs, eyes=(20, 60), near=(20, 60), exact=0), CPU)
        with Operations() as seen:
            cropper(torch.Generator().manual_seed(0))
        counts.append(sum("rand" not in name and "_local_scalar" not in name for name, _ in seen.asked))
    assert (counts[1] - counts[0]) / 4 < 40


def test_canvases_are_made_smaller_where_they_are_cut() -> None:
    """On the CPU it takes half a minute of a GPU's time for each look."""
    with Operations() as seen:
        Cropper(canvases(), SMALL, torch.device("meta"))
    pooled = [where for name, where in seen.asked if "avg_pool2d" in name]
    assert pooled and set(pooled) == {"meta"}
