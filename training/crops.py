"""Training crops, cut and augmented on the training's own device (GEM, DCT-Net section 3.3: T_geo)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.data import EYES, SIDE, Canvases


@dataclass(frozen=True)
class CropOptions:
    side: int = 192  # pixels of a crop
    pairs: int = 6  # crops a step are twice as many: each picture is seen at two small offsets
    empty: float = 0.18  # share of pictures without a face
    exact: float = 0.35  # share at the teacher's own scale, unturned: its sharpness is untouched
    eyes: tuple[float, float] = (20.0, 220.0)  # pixels between the eyes
    near: tuple[float, float] = (40.0, 120.0)  # most faces of calls and films are in this range
    near_share: float = 0.7
    turn: float = 90.0  # degrees either way, at the tails; most turns are small
    offset: int = 7  # pixels, at most, between the crops of a pair
    noise: float = 3.0  # levels of 255, standard deviation at most, on the source alone


@dataclass(frozen=True)
class Crops:
    """``a`` and ``b`` are the same picture, ``b`` moved by ``shift``; all [pairs, 3, side, side] in -1..1.

    ``weight`` [2*pairs, 1, side, side] is higher on faces. ``eyes`` [pairs]: eye distance, 0 without a face.
    ``shift`` (dy, dx): ``b[y, x]`` shows what ``a[y + dy, x + dx]`` shows.
    """

    source: Tensor  # [2*pairs, 3, side, side]: all a, then all b
    target: Tensor
    weight: Tensor
    eyes: Tensor
    shift: tuple[int, int]


class Cropper:
    """Cuts seeded random crops from canvases held on ``device`` as uint8, with half and quarter sizes."""

    def __init__(self, canvases: Canvases, options: CropOptions, device: torch.device) -> None:
        self.options, self.device = options, device
        source = torch.from_numpy(canvases.source).permute(0, 3, 1, 2).contiguous()
        target = torch.from_numpy(canvases.target).permute(0, 3, 1, 2).contiguous()
        self._sources = [level.to(device) for level in _pyramid(source, 4)]
        self._targets = [level.to(device) for level in _pyramid(target, 3)]
        kind = torch.from_numpy(canvases.kind)
        self._faces = torch.nonzero(kind == 0).flatten()
        self._empty = torch.nonzero(kind == 1).flatten()

    def _eyes(self, rng: torch.Generator) -> float:
        options = self.options
        if _uniform(rng) < options.exact:
            return float(EYES)
        low, high = options.near if _uniform(rng) < options.near_share else options.eyes
        return math.exp(_uniform(rng, math.log(low), math.log(high)))

    def __call__(self, rng: torch.Generator) -> Crops:
        """One step's crops; everything random is drawn from ``rng`` (on the CPU, so all devices agree)."""
        options = self.options
        side, margin = options.side, options.offset
        sources, targets, weights, eyes_list = [], [], [], []
        for _ in range(options.pairs):
            empty = len(self._empty) > 0 and _uniform(rng) < options.empty
            pool = self._empty if empty else self._faces
            index = int(pool[int(torch.randint(len(pool), (1,), generator=rng))])
            eyes = self._eyes(rng)
            exact = eyes == EYES
            angle = 0.0 if exact else _turn(rng, options.turn)
            flip = _uniform(rng) < 0.5
            reach = (side + margin) / 2 * (0.75 if not empty else 1.2)
            at = (_uniform(rng, -reach, reach) * 0.8, _uniform(rng, -reach, reach) * 0.8)  # face from the middle
            if exact:
                at = (round(at[0]), round(at[1]))
            size = side + margin
            sources.append(_cut(self._sources, index, eyes / (2 * EYES), angle, flip, at, size))
            targets.append(_cut(self._targets, index, eyes / EYES, angle, flip, at, size))
            weights.append(_face_weight(size, at, 0.0 if empty else eyes, self.device))
            eyes_list.append(0.0 if empty else eyes)
        source, target, weight = torch.stack(sources), torch.stack(targets), torch.stack(weights)
        gain = 1 + 0.12 * (torch.rand(options.pairs, 3, 1, 1, generator=rng) * 2 - 1).to(self.device)
        source, target = ((source + 1) * gain - 1).clamp(-1, 1), ((target + 1) * gain - 1).clamp(-1, 1)
        dy, dx = (int(torch.randint(margin + 1, (1,), generator=rng)) for _ in range(2))

        def both(x: Tensor) -> Tensor:
            return torch.cat([x[..., :side, :side], x[..., dy : dy + side, dx : dx + side]])

        source = both(source)
        sigma = torch.rand(len(source), 1, 1, 1, generator=rng) * options.noise / 127.5
        sigma = sigma * (torch.rand(len(source), 1, 1, 1, generator=rng) < 0.5)
        noise = torch.randn(source.shape, generator=rng) * sigma
        source = (source + noise.to(self.device)).clamp(-1, 1)
        eyes_tensor = torch.tensor(eyes_list, device=self.device)
        return Crops(source, both(target), both(weight), eyes_tensor, (dy, dx))


def _uniform(rng: torch.Generator, low: float = 0.0, high: float = 1.0) -> float:
    return low + (high - low) * float(torch.rand(1, generator=rng))


def _turn(rng: torch.Generator, limit: float) -> float:
    """Degrees: two of three within 20, the rest anywhere within the limit."""
    return _uniform(rng, -20, 20) if _uniform(rng) < 0.67 else _uniform(rng, -limit, limit)


def _pyramid(x: Tensor, levels: int) -> list[Tensor]:
    out = [x]
    while len(out) < levels:
        halves = [F.avg_pool2d(part.float(), 2).round().to(torch.uint8) for part in out[-1].split(64)]
        out.append(torch.cat(halves))
    return out


def _cut(
    levels: list[Tensor], index: int, scale: float, angle: float, flip: bool, at: tuple[float, float], size: int
) -> Tensor:
    """Cut [3, size, size] in -1..1, the canvas's middle at ``at`` from the crop's middle, scaled and turned."""
    level = min(max(0, math.floor(-math.log2(scale) + 0.2)), len(levels) - 1)
    image = levels[level][index]
    step = 1 / (scale * 2**level)  # canvas pixels of this level per crop pixel
    side = image.shape[-1]
    if step == 1 and not angle:  # whole pixels: no resampling
        top, left = side // 2 - size // 2 - round(at[1]), side // 2 - size // 2 - round(at[0])
        rows = _reflect(torch.arange(top, top + size, device=image.device), side)
        cols = _reflect(torch.arange(left, left + size, device=image.device), side)
        if flip:
            cols = side - 1 - cols
        return image[:, rows][:, :, cols].float() / 127.5 - 1
    cos, sin = math.cos(math.radians(angle)) * step, math.sin(math.radians(angle)) * step
    xy = torch.arange(size, device=image.device, dtype=torch.float32) - size // 2
    x, y = xy[None, :] - at[0], xy[:, None] - at[1]
    u, v = cos * x - sin * y, sin * x + cos * y
    grid = torch.stack([-u if flip else u, v], -1) * (2 / side)
    picked = F.grid_sample(image[None].float() / 127.5 - 1, grid[None], "bicubic", "reflection", align_corners=False)
    return picked[0].clamp(-1, 1)


def _reflect(index: Tensor, side: int) -> Tensor:
    index = index.remainder(2 * side)
    return torch.where(index >= side, 2 * side - 1 - index, index)


def _face_weight(size: int, at: tuple[float, float], eyes: float, device: torch.device) -> Tensor:
    """[1, size, size]: 1, and up to 4 in the middle of a face (a Gaussian of its size)."""
    if not eyes:
        return torch.ones(1, size, size, device=device)
    xy = torch.arange(size, device=device, dtype=torch.float32) - size / 2
    d2 = (xy[None, :] - at[0]) ** 2 + (xy[:, None] - at[1]) ** 2
    return (1 + 3 * torch.exp(-d2 / (2 * (1.0 * eyes) ** 2)))[None]
