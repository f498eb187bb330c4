"""Which colours aligned exemplars have in which place of a face, as an anchor for unpaired training.

The critics of `training.texture` see patches: to them a face as pale as the exemplars' paper is as good as one as
brown as their skin, and from step to step colours drift. What a generator's calibration settles in the paper (DCT-Net
section 3.2) is settled here by place: portraits are aligned, so at each place of the face the photos' colours are
moved and spread as the exemplars' are there (Reinhard et al., 2001, place by place), and a person stays lighter or
darker than others.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.portraits import Faces
from training.warps import oval

SIDE = 32  # places across a portrait
SPREAD = (0.3, 1.3)  # least and greatest change of the differences between people
FACE = 1.0  # of the inner face's oval


def coarse(faces: np.ndarray) -> np.ndarray:
    """float32 [N, SIDE, SIDE, 3] in -1..1: the mean colours of aligned portraits, uint8 [N, S, S, 3]."""
    small = [cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for face in faces]
    return np.stack(small).astype(np.float32) / 127.5 - 1


def wanted(photos: Faces, exemplars: Faces) -> Tensor:
    """[N, 4, SIDE, SIDE]: the colours each photo is to have, in -1..1, and how much that counts: -1 (not) to 1 (fully).

    Only the place of the face counts: hair and background are elsewhere in each picture.
    """
    source, look = coarse(photos.faces), coarse(exemplars.faces)
    (mean_s, spread_s), (mean_l, spread_l) = _by_place(source), _by_place(look)
    ratio = np.clip(spread_l / np.maximum(spread_s, 0.02), *SPREAD)
    moved = np.clip(mean_l + (source - mean_s) * ratio, -1, 1)
    face = oval(photos.landmarks.mean(0) * (SIDE / photos.faces.shape[1]), SIDE, FACE)
    counts = np.broadcast_to(2 * face - 1, (len(moved), SIDE, SIDE))[..., None]
    return torch.from_numpy(np.concatenate([moved, counts], 3).transpose(0, 3, 1, 2).astype(np.float32))


def enlarged(colours: Tensor, size: int) -> Tensor:
    """[n, 4, size, size] of what `wanted` gives, to go through the same T_geo as the photos."""
    return F.interpolate(colours, size=(size, size), mode="bilinear", align_corners=False)


def _by_place(small: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, [SIDE, SIDE, 3], of pictures and their mirror images, smooth over the places."""
    both = np.concatenate([small, small[:, :, ::-1]])
    return tuple(cv2.GaussianBlur(part, (0, 0), 1.0) for part in (both.mean(0), both.std(0)))


def tones_loss(made: Tensor, colours: Tensor) -> Tensor:
    """L1 between the mean colours of ``made`` [N, 3, S, S] and those of `enlarged`, at `SIDE` places across."""
    a, b = (F.interpolate(x, size=(SIDE, SIDE), mode="area") for x in (made, colours))
    return ((a - b[:, :3]).abs() * (b[:, 3:] + 1) / 2).mean()
