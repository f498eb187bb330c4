"""Training crops, cut and augmented on the training's own device (GEM, DCT-Net section 3.3: T_geo)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from training import cameras
from training.cameras import uniform
from training.data import EMPTY, EYES, FACE, MOVING, Canvases


@dataclass(frozen=True)
class CropOptions:
    side: int = 192  # pixels of a crop
    pairs: int = 6  # crops a step are twice as many: each picture is seen at two small offsets
    empty: float = 0.15  # share of pictures without a face
    moving: float = 0.25  # share of the faces that are of clips, where there are any
    exact: float = 0.35  # share at the teacher's own scale, unturned: its sharpness is untouched
    eyes: tuple[float, float] = (20.0, 220.0)  # pixels between the eyes
    near: tuple[float, float] = (40.0, 110.0)  # most faces of calls and films are in this range
    near_share: float = 0.78
    eyes_at: float = -0.6  # below the middle of a canvas, where `training.data` has the nose, in eye distances
    mouth_at: float = 0.4
    turn: float = 90.0  # degrees either way
    upright: float = 0.85  # share turned by at most 15 degrees
    coloured: float = 0.35  # share in other colours, where the teacher was asked about those (`training.colours`)
    gain: float = 0.0  # of each colour channel, in source and target alike: for looks that keep a source's colours
    offset: int = field(default=7, metadata={"least": 0})  # pixels, at most, between the crops of a pair
    noise: float = 3.0  # levels of 255, standard deviation at most, on the source alone
    soft: float = 0.4  # share whose source is out of focus or in motion
    coded: float = 0.3  # share of crops whose source has a codec's errors: in a video no two pictures have the same


@dataclass(frozen=True)
class Crops:
    """The first half, a, and the second, b, show the same pictures when paired, b moved by ``shift``.

    ``weight`` [2*pairs, 1, side, side] is higher on faces. ``eyes`` [pairs, or 2*pairs when not paired]: eye
    distance, 0 without a face. Of as many, ``crisp``: in focus; ``turn``: degrees; ``places`` [.., 3, 2]: x, y of
    both eyes and the mouth in a, in pixels.
    ``shift`` (dy, dx): ``b[y, x]`` shows what ``a[y + dy, x + dx]`` shows.
    """

    source: Tensor  # [2*pairs, 3, side, side] in -1..1: all a, then all b
    target: Tensor
    weight: Tensor
    eyes: Tensor
    crisp: Tensor
    turn: Tensor
    places: Tensor
    shift: tuple[int, int]

    def rows(self, share: slice) -> Crops:
        """Those pictures of a alone, and of b."""
        half = len(self.source) // 2
        rows = torch.cat([torch.arange(half)[share], torch.arange(half, 2 * half)[share]])
        parts = (self.source[rows], self.target[rows], self.weight[rows])
        of_faces = (self.eyes, self.crisp, self.turn, self.places)
        eyes, crisp, turn, places = (torch.cat([part[share] for part in x.split(half)]) for x in of_faces)
        return Crops(*parts, eyes, crisp, turn, places, self.shift)


@dataclass(frozen=True)
class Face:
    """Where a face is in a crop: ``at`` (x, y), its canvas's middle from the crop's, in pixels; ``turn`` in degrees."""

    at: tuple[float, float]
    eyes: float  # pixels apart, 0 without a face
    turn: float

    def place(self, across: float, down: float) -> tuple[float, float]:
        """(x, y) from the crop's middle of what is so many eye distances from the canvas's."""
        cos, sin = math.cos(math.radians(self.turn)), math.sin(math.radians(self.turn))
        x, y = (cos * across + sin * down) * self.eyes, (cos * down - sin * across) * self.eyes
        return self.at[0] + x, self.at[1] + y


class Cropper:
    """Cuts seeded random crops from canvases held on ``device`` as uint8, with half and quarter sizes."""

    def __init__(self, canvases: Canvases, options: CropOptions, device: torch.device) -> None:
        self.options, self.device = options, device
        # Left in the pictures' own layout: a planar copy would cost gigabytes, and canvases may lie on disk.
        source = torch.from_numpy(canvases.source).permute(0, 3, 1, 2)
        target = torch.from_numpy(canvases.target).permute(0, 3, 1, 2)
        self._sources = [level.to(device) for level in _pyramid(source, 4)]
        self._targets = [level.to(device) for level in _pyramid(target, 3)]
        self._matrices, self._coloured = None, self._targets
        if canvases.coloured is not None:
            target = torch.from_numpy(canvases.coloured.target).permute(0, 3, 1, 2)
            self._coloured = [level.to(device) for level in _pyramid(target, 3)]
            self._matrices = torch.from_numpy(canvases.coloured.matrix).to(device)
        kind = torch.from_numpy(canvases.kind)
        self._faces, self._empty, self._moving = (
            torch.nonzero(kind == which).flatten() for which in (FACE, EMPTY, MOVING)
        )

    def _eyes(self, rng: torch.Generator) -> float:
        options = self.options
        if uniform(rng) < options.exact:
            return float(EYES)
        low, high = options.near if uniform(rng) < options.near_share else options.eyes
        return math.exp(uniform(rng, math.log(low), math.log(high)))

    def _picture(self, rng: torch.Generator) -> tuple[Tensor, Tensor, Face, bool]:
        """One augmented picture of ``side + offset`` pixels: source, target, its face, in focus."""
        options = self.options
        size = options.side + options.offset
        empty = len(self._empty) > 0 and uniform(rng) < options.empty
        moving = len(self._moving) > 0 and uniform(rng) < options.moving
        pool = self._empty if empty else self._moving if moving else self._faces
        index = int(pool[int(torch.randint(len(pool), (1,), generator=rng))])
        eyes = self._eyes(rng)
        exact = eyes == EYES
        angle = 0.0 if exact else _turn(rng, options)
        flip = uniform(rng) < 0.5
        reach = size * (0.48 if empty else 0.3)
        at = (uniform(rng, -reach, reach), uniform(rng, -reach, reach))  # the face, from the middle
        if exact:
            at = (round(at[0]), round(at[1]))
        coloured = uniform(rng) < options.coloured and self._matrices is not None
        source = _cut(self._sources, index, eyes / (2 * EYES), angle, flip, at, size)
        target = _cut(self._coloured if coloured else self._targets, index, eyes / EYES, angle, flip, at, size)
        if coloured and self._matrices is not None:
            source = _recoloured(source, self._matrices[index])
        if eyes > EYES:
            target = cameras.clear(target, eyes / EYES)
        if soft := uniform(rng) < options.soft:
            source = cameras.soften(source, rng)
        return source, target, Face(at, 0.0 if empty else eyes, angle), not soft

    def _features(self) -> tuple[tuple[float, float], ...]:
        """Both eyes and the mouth: eye distances across and down from a canvas's middle."""
        return (-0.5, self.options.eyes_at), (0.5, self.options.eyes_at), (0.0, self.options.mouth_at)

    def _weight(self, size: int, face: Face) -> Tensor:
        """[1, size, size]: 1, and Gaussians on a face, and on its eyes and mouth: small, and looked at most."""
        weight = torch.ones(1, size, size, device=self.device)
        xy = torch.arange(size, device=self.device, dtype=torch.float32) - size / 2
        eye, other, mouth = self._features()
        features = ((3, 1.0, (0.0, 0.0)), (8, 0.22, eye), (8, 0.22, other), (4, 0.25, mouth))
        for height, spread, where in features if face.eyes else ():
            x, y = face.place(*where)
            d2 = (xy[None, :] - x) ** 2 + (xy[:, None] - y) ** 2
            weight += height * torch.exp(-d2 / (2 * (spread * face.eyes) ** 2))
        return weight

    def __call__(self, rng: torch.Generator, paired: bool = True) -> Crops:
        """One step's crops; everything random is drawn from ``rng`` (on the CPU, so all devices agree).

        Not ``paired``: every crop is of another picture, and ``shift`` means nothing.
        """
        options, side = self.options, self.options.side
        pictures = [self._picture(rng) for _ in range(options.pairs * (1 if paired else 2))]
        sources, targets, faces, focus = zip(*pictures, strict=True)
        source, target = torch.stack(sources), torch.stack(targets)
        weight = torch.stack([self._weight(source.shape[-1], face) for face in faces])
        eyes, turn, crisp = (
            torch.tensor(x, device=self.device) for x in ([f.eyes for f in faces], [f.turn for f in faces], focus)
        )
        places = torch.tensor([[face.place(*where) for where in self._features()] for face in faces])
        places = (places + source.shape[-1] // 2).to(self.device)
        gain = 1 + options.gain * (torch.rand(len(source), 3, 1, 1, generator=rng) * 2 - 1).to(self.device)
        source, target = ((source + 1) * gain - 1).clamp(-1, 1), ((target + 1) * gain - 1).clamp(-1, 1)
        dy, dx = (int(torch.randint(options.offset + 1, (1,), generator=rng)) for _ in range(2))

        def crop(x: Tensor) -> Tensor:
            here = x[..., :side, :side]
            return torch.cat([here, x[..., dy : dy + side, dx : dx + side]]) if paired else here

        filmed = self._filmed(crop(source), rng)
        return Crops(filmed, crop(target), crop(weight), eyes, crisp, turn, places, (dy, dx))

    def _filmed(self, source: Tensor, rng: torch.Generator) -> Tensor:
        """Half of the crops get sensor noise of a random strength, some a codec's errors; the target stays clean."""
        sigma = torch.rand(len(source), 1, 1, 1, generator=rng) * self.options.noise / 127.5
        sigma = sigma * (torch.rand(len(source), 1, 1, 1, generator=rng) < 0.5)
        noise = torch.randn(source.shape, generator=rng) * sigma
        noisy = (source + noise.to(self.device)).clamp(-1, 1)
        coded = torch.rand(len(source), generator=rng) < self.options.coded
        return torch.stack([cameras.code(x, rng) if yes else x for x, yes in zip(noisy, coded, strict=True)])


def _turn(rng: torch.Generator, options: CropOptions) -> float:
    """Degrees; most heads are nearly upright."""
    limit = 15.0 if uniform(rng) < options.upright else options.turn
    return uniform(rng, -limit, limit)


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
    u, v = (-u if flip else u) + side / 2, v + side / 2  # from the canvas's corner
    corners = [(x - size // 2 - at[0], y - size // 2 - at[1]) for x in (0, size) for y in (0, size)]
    across = [(-1 if flip else 1) * (cos * x - sin * y) + side / 2 for x, y in corners]
    window, left, top = _window(image, across, [sin * x + cos * y + side / 2 for x, y in corners])
    size_x, size_y = window.shape[2], window.shape[1]
    grid = torch.stack([(u - left) * (2 / size_x) - 1, (v - top) * (2 / size_y) - 1], -1)
    picked = F.grid_sample(window[None].float() / 127.5 - 1, grid[None], "bicubic", "reflection", align_corners=False)
    return picked[0].clamp(-1, 1)


def _window(image: Tensor, across: list[float], down: list[float]) -> tuple[Tensor, int, int]:
    """What bicubic sampling inside these corners reads of ``image``, and where it begins; all of it at a border."""
    side = image.shape[-1]
    (left, right), (top, bottom) = ((math.floor(min(x)) - 3, math.ceil(max(x)) + 3) for x in (across, down))
    if min(left, top) < 0 or max(right, bottom) > side:
        return image, 0, 0
    return image[:, top:bottom, left:right], left, top


def _recoloured(x: Tensor, matrix: Tensor) -> Tensor:
    """[3, H, W] in -1..1 in the colours of one of `training.colours.draw`'s matrices."""
    mixed = torch.einsum("ck,khw->chw", matrix[:, :3], x + 1)
    return (mixed + matrix[:, 3, None, None] / 127.5).clamp(0, 2) - 1


def _reflect(index: Tensor, side: int) -> Tensor:
    index = index.remainder(2 * side)
    return torch.where(index >= side, 2 * side - 1 - index, index)
