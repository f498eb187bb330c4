"""Drawings of photos, put together from exemplars (image analogies; Hertzmann et al., 2001): see `training.pairs`."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from training.alignment import resampled
from training.portraits import Faces
from training.warps import features_of, oval, warp_to

Tones = tuple[np.ndarray, np.ndarray]  # mean and standard deviation of Lab


@dataclass(frozen=True)
class Pieces:
    """How a drawing is put together; pixels are of a picture of 256."""

    exemplars: int = 14  # that it is taken from
    reach: int = 12  # pixels that a piece may be moved by, either way
    stride: int = 4  # pixels between the places that are tried
    patch: int = 21  # pixels of what is compared around each place


class Maker:
    """Draws photos with pieces of exemplars; what is needed of all exemplars is computed once."""

    def __init__(self, photos: Faces, exemplars: Faces, options: Pieces) -> None:
        self.options, self.exemplars = options, exemplars
        self._shift = exemplars.landmarks.mean(0) - photos.landmarks.mean(0)  # how the look moves features
        self._photo, self._look = _statistics(photos), _statistics(exemplars)
        self._flow = _mean_flow(photos, exemplars, (self._look, self._photo))
        self._thumbs = np.stack([_thumb(_moved(_lab(face), self._look, self._photo)) for face in exemplars.faces])

    def draw(self, photo: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The drawing uint8 [S, S, 3] of a photo, and its points."""
        wanted = points + self._shift
        lab = _lab(resampled(warp_to(photo, points, wanted), self._flow, cv2.INTER_CUBIC))
        alike = np.argsort(((self._thumbs - _thumb(lab)) ** 2).sum((1, 2, 3)))[: self.options.exemplars]
        drawings = [warp_to(self.exemplars.faces[row], self.exemplars.landmarks[row], wanted) for row in alike]
        places = self._match(_features(lab), [self._features(drawing) for drawing in drawings])
        return self._toned(_assembled(drawings, places), lab, wanted), wanted.astype(np.float32)

    def _features(self, drawing: np.ndarray) -> np.ndarray:
        """Of an exemplar in the photos' colours: to compare, not to show."""
        return _features(_moved(_lab(drawing), self._look, self._photo))

    def _match(self, photo: np.ndarray, drawings: list[np.ndarray]) -> np.ndarray:
        """int16 [3, H, W] at half size: exemplar, and where from (dx, dy), that suit each pixel's surroundings best."""
        side = photo.shape[0]
        reach, stride = (max(1, value * side // 256) for value in (self.options.reach, self.options.stride))
        patch, offsets = max(3, self.options.patch * side // 256 | 1), range(-reach, reach + 1, stride)
        best, places = np.full((side, side), np.inf, np.float32), np.zeros((3, side, side), np.int16)
        for index, drawing in enumerate(drawings):
            padded = cv2.copyMakeBorder(drawing, reach, reach, reach, reach, cv2.BORDER_REFLECT_101)
            for dy in offsets:
                for dx in offsets:
                    moved = padded[reach + dy : reach + dy + side, reach + dx : reach + dx + side]
                    gap = cv2.blur(np.square(photo - moved).sum(-1), (patch, patch)) + 0.6 * (dx * dx + dy * dy)
                    closer = gap < best
                    best[closer] = gap[closer]
                    places[:, closer] = np.array([index, dx, dy], np.int16)[:, None]
        return places

    def _toned(self, drawing: np.ndarray, photo: np.ndarray, points: np.ndarray) -> np.ndarray:
        """The drawing with the broad tones and the colours of the photo ``photo`` (Lab), as the look shows them.

        No exemplar may have this background, hair or cloth: what is broad follows the photo, what is fine is drawn.
        Eyes and mouth stay the person's own, in the look's shape and tones: pieces of others would be other people.
        """
        side = drawing.shape[0]
        own, wanted = _lab(drawing), _moved(photo, self._photo, self._look)
        own_features = 0.85 * np.max(features_of(points, side), 0)
        for channel, share in enumerate((0.9 - 0.5 * oval(points, side), 0.85, 0.85)):
            gap = wanted[..., channel] - own[..., channel]
            broad = share * _guided(photo[..., 0], gap, side // 20, 30.0)
            own[..., channel] += (1 - own_features) * broad + own_features * gap
        return np.clip(cv2.cvtColor(own, cv2.COLOR_Lab2RGB) * 255 + 0.5, 0, 255).astype(np.uint8)


def _mean_flow(photos: Faces, exemplars: Faces, tones: tuple[Tones, Tones]) -> np.ndarray:
    """Where each place of a drawing lies in a photo, [S, S, 2]: how the look's average face is bent from the photos'.

    Larger eyes or a smaller chin are found as the optical flow between the two average faces, inside the head only.
    """
    side = photos.faces.shape[1]
    wanted = exemplars.landmarks.mean(0)
    averages = []
    for domain in (exemplars, photos):
        rows = np.linspace(0, len(domain) - 1, min(64, len(domain))).astype(int)
        faces = [warp_to(np.ascontiguousarray(domain.faces[row]), domain.landmarks[row], wanted) for row in rows]
        labs = [_lab(face) for face in faces]
        light = np.mean([lab[..., 0] for lab in (labs if domain is photos else [_moved(x, *tones) for x in labs])], 0)
        level, spread = light[oval(wanted, side) > 0.5].mean(), light[oval(wanted, side) > 0.5].std()
        averages.append(np.clip((light - level) / max(spread, 1e-3) * 40 + 128, 0, 255).astype(np.uint8))
    found = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(averages[0], averages[1], None)  # type: ignore[call-overload]
    smooth = cv2.GaussianBlur(found, (0, 0), side / 64) * oval(wanted, side, 1.35)[..., None]
    limit = side / 20
    xy = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).astype(np.float32)
    return xy + np.clip(smooth, -limit, limit)


def _statistics(faces: Faces) -> Tones:
    """Mean and standard deviation of Lab inside the faces of a domain (of at most 64, at a quarter of their size).

    Inside faces, because skin is what both domains show; one domain's backgrounds say nothing of the other's.
    """
    rows = np.linspace(0, len(faces) - 1, min(64, len(faces))).astype(int)
    side = faces.faces.shape[1]
    some = [_lab(faces.faces[row])[oval(faces.landmarks[row], side) > 0.5][::16] for row in rows]
    pixels = np.concatenate(some)
    return pixels.mean(0), np.maximum(pixels.std(0), 1.0)


def _moved(lab: np.ndarray, here: Tones, there: Tones) -> np.ndarray:
    """Lab whose tones are moved from one domain to the other; colours that are far from skin are only scaled."""
    gain = there[1] / here[1]
    light = (lab[..., :1] - here[0][0]) * gain[0] + there[0][0]
    # Grey stays grey: neutral things move by as little as they are away from skin.
    ratio = float(np.clip(np.hypot(*there[0][1:]) / max(np.hypot(*here[0][1:]), 1e-3), 0.0, 2.5))
    return np.concatenate([np.clip(light, 0, 100), lab[..., 1:] * ratio], -1).astype(np.float32)


def _thumb(lab: np.ndarray) -> np.ndarray:
    return cv2.resize(lab, (16, 16), interpolation=cv2.INTER_AREA)


def _lab(face: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(face).astype(np.float32) / 255, cv2.COLOR_RGB2Lab)


def _features(lab: np.ndarray) -> np.ndarray:
    """float32 [S/2, S/2, 5]: soft colours, which count less, and luminance with its slope."""
    half = cv2.resize(lab, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(half, (0, 0), 1.0) * np.array([1, 0.4, 0.4], np.float32)
    slopes = [cv2.Sobel(soft[..., 0], cv2.CV_32F, x, 1 - x, scale=0.6) for x in (1, 0)]
    return np.dstack([soft, *slopes])


def _assembled(drawings: list[np.ndarray], places: np.ndarray) -> np.ndarray:
    """Pieces put together at full size: offsets change smoothly within one exemplar, between two is a soft seam."""
    side, soft = len(drawings[0]), len(drawings[0]) / 80
    xy = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).astype(np.float32)
    out, total = np.zeros((side, side, 3), np.float32), np.full((side, side, 1), 1e-6, np.float32)
    for index in np.unique(places[0]):
        mask = (places[0] == index).astype(np.float32)
        near = cv2.GaussianBlur(mask, (0, 0), soft)
        moves = [cv2.GaussianBlur(part * mask, (0, 0), soft) / np.maximum(near, 1e-4) for part in places[1:]]
        weight, dx, dy = (cv2.resize(part, (side, side)) for part in (near**4, *moves))
        piece = resampled(drawings[index], xy + 2 * np.dstack([dx, dy]))
        out, total = out + weight[..., None] * piece, total + weight[..., None]
    return np.clip(out / total + 0.5, 0, 255).astype(np.uint8)


def _guided(guide: np.ndarray, image: np.ndarray, radius: int, least: float) -> np.ndarray:
    """What is broad in ``image``, with the edges of ``guide`` (He et al., 2010): no halo at the photo's borders."""
    size = (2 * radius + 1, 2 * radius + 1)
    mean_g, mean_i = cv2.blur(guide, size), cv2.blur(image, size)
    a = (cv2.blur(guide * image, size) - mean_g * mean_i) / (cv2.blur(guide * guide, size) - mean_g**2 + least)
    return cv2.blur(a, size) * guide + cv2.blur(mean_i - a * mean_g, size)
