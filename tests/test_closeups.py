"""Close-ups of eyes and mouths by their geometry; what their critic is told, and tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from distilling import CPU, SMALL, pair
from torch.nn import functional as F

from training import closeups, steps, student
from training.alignment import aligned
from training.crops import CropOptions, Cropper, Crops
from training.data import EYES, SIDE, Canvases
from training.run import Options

pytestmark = pytest.mark.usefixtures("one_thread")

COLOURS = {(-0.5, -0.6): (255, 0, 0), (0.5, -0.6): (0, 255, 0), (0.0, 0.4): (0, 0, 255)}
PLAIN = replace(SMALL, side=192, pairs=24, noise=0, empty=0, anywhere=0, exact=0, eyes=(46, 130), near=(46, 130))

INNER = slice(32 - closeups.LEAST, 32 + closeups.LEAST)  # beyond it a crop's border may be mirrored


def marked(options: CropOptions, paired: bool = True) -> Crops:
    """Crops of a dark face: a disc on either eye and the mouth, each of its colour, and a grey bar above each."""
    face = np.zeros((2 * SIDE, 2 * SIDE, 3), np.uint8)
    for (across, down), colour in COLOURS.items():
        x, y = round(SIDE + across * 2 * EYES), round(SIDE + down * 2 * EYES)
        cv2.circle(face, (x, y), EYES // 6, colour, -1)
        cv2.rectangle(face, (x - 10, y - 36), (x + 10, y - 22), (128,) * 3, -1)
    faces = Canvases(face[None], face[None, ::2, ::2].copy(), np.zeros(1, np.uint8))
    return Cropper(faces, options, CPU)(torch.Generator().manual_seed(0), paired)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("turn", [0.0, 90.0])
def test_eyes_and_mouths_are_upright_in_the_middle_and_of_one_size(turn: float, paired: bool) -> None:
    cut = marked(replace(PLAIN, turn=turn, upright=0), paired)
    close = closeups.find(cut, (44, 140))
    found = close.of(cut.source)
    assert len(found) == len(close) > 20 and found.shape[1:] == (3, closeups.SIDE, closeups.SIDE)
    half = len(cut.source) // 2
    assert (close.rows < half).any() and (close.rows >= half).any()
    found = found[:, :, INNER, INNER]
    lit = found > 0.5
    assert lit.sum(1).max() == 1  # each disc is of one colour
    assert set(lit.sum((2, 3)).argmax(1).tolist()) == {0, 1, 2}
    disc, bar = lit.any(1), (found.abs() < 0.4).all(1)
    assert disc[:, 18:22, 18:22].all() and not disc[:, :11].any() and not disc[:, 29:].any()
    area = disc.sum((1, 2)).float()
    assert area.min() > 0.75 * area.max()  # whatever the face's size
    assert (bar[:, :11, 15:25].sum((1, 2)) > 30).all() and not bar[:, 29:].any()


def test_a_partners_closeups_show_the_same() -> None:
    cut = marked(replace(PLAIN, exact=1.0))
    close, half = closeups.find(cut, (44, 140)), len(cut.source) // 2
    found = close.of(cut.target)[:, :, INNER, INNER]
    places: dict[tuple[int, int], list[tuple[int, torch.Tensor, torch.Tensor]]] = {}
    for picture, row, grid in zip(found, close.rows.tolist(), close.grids, strict=True):
        places.setdefault((row % half, int(picture.mean((1, 2)).argmax())), []).append((row, picture, grid))
    both = [pairs for pairs in places.values() if len(pairs) == 2]
    assert len(both) > 10
    for (row, a, at), (other, b, there) in both:
        assert row != other and torch.allclose(a, b, atol=1e-4)
        dy, dx = cut.shift
        assert torch.allclose((at - there) * 96, torch.tensor([dx, dy]).float() * (1 if row < other else -1), atol=1e-3)


def test_there_is_none_of_faces_that_cannot_be_judged() -> None:
    cut = marked(replace(PLAIN, turn=0))
    all_of_them = len(closeups.find(cut, (44, 140)))
    assert len(closeups.find(replace(cut, crisp=torch.zeros_like(cut.crisp)), (44, 140))) == 0
    assert len(closeups.find(replace(cut, eyes=torch.zeros_like(cut.eyes)), (44, 140))) == 0
    assert 0 < len(closeups.find(cut, (80, 140))) < all_of_them
    assert len(closeups.find(replace(cut, places=cut.places + 1000), (44, 140))) == 0


def test_critic_and_student_are_told_what_the_papers_say() -> None:
    source, target, _, _ = pair(0, 4, 3, 64, 64)
    out = pair(1, 4, 3, 64, 64)[0].requires_grad_()
    torch.manual_seed(0)
    critic = closeups.CloseUpCritic().eval()
    with torch.no_grad():
        (real, of_real), (fake, of_fake) = critic(source, target), critic(source, out)
        told = float(closeups.critic_loss(critic, source, target, out))
    assert real.shape == (4, 1, 8, 8) and [x.shape[1] for x in of_real] == [32, 64, 128]
    assert told == pytest.approx(float(F.relu(1 - real.double()).mean() + F.relu(1 + fake.double()).mean()), rel=1e-5)
    against, apart = closeups.student_losses(critic, source, target, out)
    assert float(against.detach()) == pytest.approx(-float(fake.mean()), rel=1e-5)
    far = [float((a - b).abs().mean() / b.abs().mean()) for a, b in zip(of_fake, of_real, strict=True)]
    assert float(apart.detach()) == pytest.approx(sum(far), rel=1e-5)
    assert float(closeups.student_losses(critic, source, target, target)[1].detach()) == 0
    (against + apart).backward()
    assert out.grad is not None and out.grad.abs().sum() > 0


def test_no_closeup_is_looked_for_before_its_time_or_where_none_is_asked_for() -> None:
    cut, mix = marked(replace(PLAIN, turn=0)), torch.ones(3)
    options = Options(steps=10, closeups_from=0.5, crops=PLAIN)
    assert steps.judged(cut, mix, options, 4).close is None
    assert len(steps.judged(cut, mix, options, 5).close or ()) > 0
    assert steps.judged(cut, mix, replace(options, closeups=0.0, closeups_like=0.0), 5).close is None


def test_eyes_and_mouths_are_looked_for_where_people_have_them(shared: Callable[[str], Path]) -> None:
    listed = json.loads(shared("photos/faces.json").read_text())
    points = [np.array(faces[0][4:14]).reshape(5, 2) for faces in listed.values() if faces]
    blank = np.zeros((8, 8, 3), np.uint8)
    for options, places in (
        (CropOptions(), [(p - p[2]) / _apart(p) for p in points]),  # a canvas's middle is the nose
        (student.Options().crops, [(aligned(blank, p)[1] - 128) / 64 for p in points[::8]]),
    ):
        eyes, mouth = (np.mean([p[which].mean(0) for p in places], 0) for which in (slice(2), slice(3, 5)))
        assert eyes == pytest.approx([0, options.eyes_at], abs=0.03)
        assert mouth == pytest.approx([0, options.mouth_at], abs=0.03)


def _apart(points: np.ndarray) -> float:
    """Pixels between the eyes, as `training.data.face_canvas` takes them."""
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    return float(max(np.linalg.norm(points[0] - points[1]), 0.95 * np.linalg.norm(eyes - mouth)))
