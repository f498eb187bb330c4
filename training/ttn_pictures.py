"""What texture translation learns from (DCT-Net section 3.4): photos, exemplars and pairs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from training import openness, pairs, portraits, tones
from training.world import TrainingError


class Pictures:
    """What a step draws from: photos with their expressions, and style pictures, and pairs.

    ``photos``, ``exemplars``, and of the pairs ``sources`` and ``targets`` (None without): uint8 RGB
    [N, size, size, 3].

    Raises:
        TrainingError: a folder holds no crops to train on.
        SourceError: there are no pairs in ``pairs_folder``.
    """

    def __init__(self, photos: Path, exemplars: Path, pairs_folder: Path | None, size: int) -> None:
        self._aligned = [portraits.load(folder, "train", size) for folder in (photos, exemplars)]
        self.photos, self.exemplars = (part.faces for part in self._aligned)
        made = pairs.load(pairs_folder) if pairs_folder else None
        self.sources = _sized(made.source, size) if made else None
        self.targets = _sized(made.target, size) if made else None
        self._folder = photos
        if not len(self.photos) or not len(self.exemplars):
            raise TrainingError(f"no pictures to train on in {exemplars if len(self.photos) else photos}")

    def tones(self) -> Tensor:
        """What `training.tones.wanted` says of the photos: [photos, 4, places, places]."""
        return tones.wanted(*self._aligned)

    def expressions(self, bounds: openness.Bounds) -> Tensor:
        """How open eyes and mouth of each photo are, 0..1 between ``bounds``: [photos, 3], NaN where nobody knows.

        Raises:
            TrainingError: the photos have no landmarks.
        """
        return torch.from_numpy(bounds(openness.raw_labels(self._folder)))

    def style(self, count: int, share: float, rng: torch.Generator) -> np.ndarray:
        """uint8 [count, S, S, 3] of the raw exemplars and the generated targets."""
        raw = len(self.exemplars)
        if self.targets is None:
            return self.exemplars[torch.randint(raw, (count,), generator=rng).numpy()]
        share = share or raw / (raw + len(self.targets))
        from_raw = torch.rand(count, generator=rng) < share
        first = torch.randint(raw, (count,), generator=rng)
        second = torch.randint(len(self.targets), (count,), generator=rng)
        return np.stack(
            [
                self.exemplars[int(a)] if own else self.targets[int(b)]
                for own, a, b in zip(from_raw, first, second, strict=True)
            ]
        )


def _sized(images: np.ndarray, size: int) -> np.ndarray:
    if images.shape[1] == size:
        return images
    return np.stack([cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in images])
