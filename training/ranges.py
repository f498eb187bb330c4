"""What the convolutions of a look are given by pictures: the ranges that eight bits need (`vidstyle.int8`).

Distillation and `training.student` end with this; `python -m training.ranges STYLE --photos PHOTOS` gives
them to a style file from before.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from engines.torch import Network, TorchOps
from training import data
from training.options import run_command
from vidstyle.errors import UsageError
from vidstyle.int8 import Ranges
from vidstyle.network import Pad, run
from vidstyle.style import load_style, save_style

log = logging.getLogger("ranges")

PICTURES = 48
PHOTO_EVERY = 20  # of the command: one in so many
LARGE_EVERY = 4  # one picture in so many is seen at its full size, the others at half of it


class _Noting(TorchOps):
    """Notes the least and the greatest value that each convolution is given, in each channel."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__(weights)
        self.seen: dict[str, tuple[Tensor, Tensor]] = {}

    def conv(self, x: Tensor, name: str, stride: int = 1, pad: Pad = (1, 1, 1, 1)) -> Tensor:
        low, high = x.amin((0, 2, 3)), x.amax((0, 2, 3))
        if name in self.seen:
            low, high = torch.minimum(low, self.seen[name][0]), torch.maximum(high, self.seen[name][1])
        self.seen[name] = low, high
        return super().conv(x, name, stride, pad)


def _written(values: Tensor) -> tuple[float, ...]:
    """With four digits, as they stand in the file of every style."""
    return tuple(float(f"{value:.4g}") for value in values.tolist())


@torch.no_grad()
def of_pictures(network: Network, pictures: Iterable[np.ndarray]) -> Ranges:
    """The ranges of a student over ``pictures``, uint8 [H, W, 3] RGB; in float32, on its device."""
    ops = _Noting(network.named_weights())
    device = next(network.parameters()).device
    for picture in pictures:
        x = torch.from_numpy(np.ascontiguousarray(picture)).to(device).permute(2, 0, 1)[None].float() / 127.5 - 1
        run(ops, network.arch, x)
    return {name: (_written(low), _written(high)) for name, (low, high) in ops.seen.items()}


def of_canvases(network: Network, sources: np.ndarray) -> Ranges:
    """`of_pictures` over `PICTURES` of uint8 [N, 2*SIDE, 2*SIDE, 3], see `training.data.Canvases`, spread evenly."""
    return of_pictures(network, _sized(sources[index] for index in data.evenly(len(sources), PICTURES)))


def _sized(sources: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
    for count, source in enumerate(sources):
        half = (source.shape[1] // 2, source.shape[0] // 2)
        yield cv2.resize(source, half, interpolation=cv2.INTER_AREA) if count % LARGE_EVERY else source


def main() -> None:
    run_command(_command)


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.ranges", description=__doc__)
    parser.add_argument("style", type=Path, nargs="+", help="style files, which are written again")
    parser.add_argument("--photos", type=Path, required=True, help="folder of portraits with faces.json")
    args = parser.parse_args()
    sources, _ = data.cut(islice(data.photos(args.photos, training=True), 0, None, PHOTO_EVERY), seed=0)
    for path in args.style:
        style = load_style(path)
        if style.card.architecture.name != "student":
            raise UsageError(f"{path} is a published network: eight bits are for students")
        network = Network(style.card.architecture, style.weights)
        save_style(path, style.card, style.weights, of_canvases(network, sources))
        log.info("wrote %s", path)


if __name__ == "__main__":
    main()
