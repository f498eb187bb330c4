"""Training crops, cut and augmented on the training's own device (GEM, DCT-Net section 3.3: T_geo)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from training import cameras
from training.cameras import uniform
from training.cuts import Place, cut, pyramid
from training.data import EMPTY, EYES, FACE, MOVING, Canvases
from training.options import share
from training.world import TrainingError


@dataclass(frozen=True)
class CropOptions:
    side: int = field(default=192, metadata={"least": 16})  # pixels of a crop
    pairs: int = 6  # crops a step are twice as many: each picture is seen at two small offsets
    empty: float = share(0.15)  # of pictures without a face
    moving: float = share(0.25)  # of the faces that are of clips, where there are any
    exact: float = share(0.35)  # at the teacher's own scale, unturned: its sharpness is untouched
    eyes: tuple[float, float] = field(default=(20.0, 220.0), metadata={"least": 1})  # pixels between the eyes
    near: tuple[float, float] = field(default=(40.0, 110.0), metadata={"least": 1})  # most faces of calls and films
    near_share: float = share(0.78)
    anywhere: float = share(0.35)  # of the faces whose crop lies anywhere on the canvas: bodies, what is behind them
    eyes_at: float = -0.6  # below the middle of a canvas, where `training.data` has the nose, in eye distances
    mouth_at: float = 0.4
    turn: float = 90.0  # degrees either way
    upright: float = share(0.85)  # turned by at most 15 degrees
    coloured: float = share(0.35)  # in other colours, where the teacher was asked about those (`training.colours`)
    gain: float = share(0.0)  # of each colour channel, in source and target alike: for looks that keep colours
    offset: int = field(default=7, metadata={"least": 0})  # pixels, at most, between the crops of a pair
    noise: float = 3.0  # levels of 255, standard deviation at most, on the source alone
    soft: float = share(0.4)  # whose source is out of focus or in motion
    coded: float = share(0.3)  # of crops whose source has a codec's errors: in a video no two pictures have the same

    def check(self) -> str:
        """See `training.options.set_options`: the crops of a pair must show something in common."""
        return "" if self.offset < self.side else f"offset={self.offset}: expected less than side, which is {self.side}"


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
class _Picture:
    """What was drawn for one picture.

    ``eyes``: pixels between them, where it has a ``face``, and what its scale follows from; ``at``: see
    `training.cuts.Place`; ``blur``: of `training.cameras.draw_blur`, None in focus.
    """

    index: int
    eyes: float
    angle: float
    flip: bool
    at: tuple[float, float]
    face: bool
    coloured: bool
    blur: Tensor | None

    def place(self, eyes: float) -> Place:
        """On a canvas with the eyes so many pixels apart."""
        return Place(self.index, self.eyes / eyes, self.angle, self.flip, self.at)

    def reached(self, across: float, down: float) -> tuple[float, float]:
        """(x, y) from the canvas's middle, in pixels of the crop, of what is so many eye distances from it."""
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        return (cos * across + sin * down) * self.eyes, (cos * down - sin * across) * self.eyes

    def feature(self, height: float, spread: float, where: tuple[float, float]) -> tuple[float, ...]:
        """A Gaussian on a face, in eye distances from its middle: height, twice its variance, that middle, its own."""
        return height * self.face, 2 * (spread * self.eyes) ** 2, *self.at, *self.reached(*where)


class Cropper:
    """Cuts seeded random crops from canvases held on ``device`` as uint8, with half and quarter sizes.

    Raises:
        TrainingError: there is no face among them.
    """

    def __init__(self, canvases: Canvases, options: CropOptions, device: torch.device) -> None:
        self.options, self.device = options, device
        self._size = options.side + options.offset  # pixels of the picture that a pair is cut from
        # Left in the pictures' own layout: a planar copy would cost gigabytes, and canvases may lie on disk.
        source = torch.from_numpy(canvases.source).permute(0, 3, 1, 2)
        target = torch.from_numpy(canvases.target).permute(0, 3, 1, 2)
        self._sources, self._targets = pyramid(source.to(device), 4), pyramid(target.to(device), 3)
        self._matrices, self._coloured = None, self._targets
        if canvases.coloured is not None:
            target = torch.from_numpy(canvases.coloured.target).permute(0, 3, 1, 2)
            self._coloured = pyramid(target.to(device), 3)
            self._matrices = torch.from_numpy(canvases.coloured.matrix).to(device)
        kind = torch.from_numpy(canvases.kind)
        self._faces, self._empty, self._moving = (
            torch.nonzero(kind == which).flatten() for which in (FACE, EMPTY, MOVING)
        )
        if not len(self._faces):
            raise TrainingError(f"among {len(kind)} pictures to learn from is no face of a photo: give more of them")

    @property
    def _features(self) -> tuple[tuple[float, float], ...]:
        """Both eyes and the mouth: eye distances across and down from a canvas's middle."""
        return (-0.5, self.options.eyes_at), (0.5, self.options.eyes_at), (0.0, self.options.mouth_at)

    def _places(self, pictures: list[_Picture]) -> Tensor:
        """[n, 3, 2]: x, y of `_features` in the pictures, in pixels."""
        reached = torch.tensor([[picture.reached(*where) for where in self._features] for picture in pictures])
        middles = torch.tensor([picture.at for picture in pictures])[:, None]
        return (reached + middles + self._size // 2).to(self.device)

    def _eyes(self, rng: torch.Generator) -> float:
        options = self.options
        if uniform(rng) < options.exact:
            return float(EYES)
        low, high = options.near if uniform(rng) < options.near_share else options.eyes
        return math.exp(uniform(rng, math.log(low), math.log(high)))

    def _draw(self, rng: torch.Generator) -> _Picture:
        """Everything random of one picture of ``side + offset`` pixels."""
        options = self.options
        empty = len(self._empty) > 0 and uniform(rng) < options.empty
        moving = len(self._moving) > 0 and uniform(rng) < options.moving
        pool = self._empty if empty else self._moving if moving else self._faces
        index = int(pool[int(torch.randint(len(pool), (1,), generator=rng))])
        eyes = self._eyes(rng)
        exact = eyes == EYES
        angle = 0.0 if exact else _turn(rng, options)
        flip = uniform(rng) < 0.5
        reach = self._size * (0.48 if empty else 0.3)
        if not empty and uniform(rng) < options.anywhere:  # two thirds of a crop, at least, show the canvas
            reach = max(reach, self._targets[0].shape[-1] / 2 * eyes / EYES - self._size / 3)
        at = (uniform(rng, -reach, reach), uniform(rng, -reach, reach))  # the face, from the middle
        if exact:
            at = (round(at[0]), round(at[1]))
        coloured = uniform(rng) < options.coloured and self._matrices is not None
        blur = cameras.draw_blur(rng) if uniform(rng) < options.soft else None
        return _Picture(index, eyes, angle, flip, at, not empty, coloured, blur)

    def _cut(self, pictures: list[_Picture]) -> tuple[Tensor, Tensor]:
        """Sources and targets, [n, 3, size, size] each."""
        targets = [self._coloured if picture.coloured else self._targets for picture in pictures]
        source = cut([self._sources] * len(pictures), [picture.place(2 * EYES) for picture in pictures], self._size)
        target = cut(targets, [picture.place(EYES) for picture in pictures], self._size)
        for i, picture in enumerate(pictures):
            if picture.coloured and self._matrices is not None:
                source[i] = _recoloured(source[i], self._matrices[picture.index])
            if picture.eyes > EYES:
                target[i] = cameras.clear(target[i], picture.eyes / EYES)
            if picture.blur is not None:
                source[i] = cameras.blurred(source[i], picture.blur)
        return source, target

    def _weights(self, pictures: list[_Picture]) -> Tensor:
        """[n, 1, size, size]: 1, and Gaussians on a face, its eyes and its mouth: small, and looked at most."""
        xy = torch.arange(self._size, device=self.device, dtype=torch.float32) - self._size / 2
        weight = torch.ones(len(pictures), 1, self._size, self._size, device=self.device)
        eye, other, mouth = self._features
        for height, spread, where in ((3, 1.0, (0.0, 0.0)), (8, 0.22, eye), (8, 0.22, other), (4, 0.25, mouth)):
            numbers = [picture.feature(height, spread, where) for picture in pictures]
            tall, wide, left, top, x, y = torch.tensor(numbers).to(self.device)[..., None, None, None].unbind(1)
            d2 = (xy[None, :] - left - x) ** 2 + (xy[:, None] - top - y) ** 2
            weight += tall * torch.exp(-d2 / wide)
        return weight

    def __call__(self, rng: torch.Generator, paired: bool = True) -> Crops:
        """One step's crops; everything random is drawn from ``rng`` (on the CPU, so all devices agree).

        Not ``paired``: every crop is of another picture, and ``shift`` means nothing.
        """
        options, side = self.options, self.options.side
        pictures = [self._draw(rng) for _ in range(options.pairs * (1 if paired else 2))]
        (source, target), weight = self._cut(pictures), self._weights(pictures)
        eyes = torch.tensor([picture.eyes if picture.face else 0.0 for picture in pictures], device=self.device)
        turn = torch.tensor([picture.angle for picture in pictures], device=self.device)
        crisp, places = torch.tensor([p.blur is None for p in pictures], device=self.device), self._places(pictures)
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


def _recoloured(x: Tensor, matrix: Tensor) -> Tensor:
    """[3, H, W] in -1..1 in the colours of one of `training.colours.draw`'s matrices."""
    mixed = torch.einsum("ck,khw->chw", matrix[:, :3], x + 1)
    return (mixed + matrix[:, 3, None, None] / 127.5).clamp(0, 2) - 1
