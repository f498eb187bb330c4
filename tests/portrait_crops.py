"""Crops, pairs and weights for the stages' tests: tiny, from a seed."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from faces import dense_points
from safetensors.torch import load_file

from training import pairs, stylegan2_weights
from training.stylegan2 import Discriminator, Generator, Shape

TINY = Shape(8, (6, 4), latent=8, mapping=2)


def pictures(count: int, side: int, seed: int, tint: float = 0.0) -> np.ndarray:
    """uint8 [count, side, side, 3]: soft blotches, shifted towards red by ``tint``."""
    coarse = np.random.default_rng(seed).uniform(20, 200, (count, 4, 4, 3))
    large = [cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC) for image in coarse]
    return np.clip(np.stack(large) + np.array([tint, 0, -tint]), 0, 255).astype(np.uint8)


def crops(folder: Path, count: int = 10, side: int = 16, seed: int = 0, tint: float = 0.0) -> Path:
    """A folder as `training.portraits` writes it; the last two are held out."""
    folder.mkdir(parents=True)
    np.save(folder / "faces.npy", pictures(count, side, seed, tint))
    points = np.array([[0.35, 0.45], [0.65, 0.45], [0.5, 0.6], [0.4, 0.75], [0.6, 0.75]]) * side
    np.save(folder / "landmarks.npy", np.repeat(points[None].astype(np.float32), count, 0))
    openness = np.random.default_rng(seed).uniform(0.1, 0.7, (count, 3))
    np.save(folder / "dense.npy", np.stack([dense_points(tuple(row), side=side) for row in openness]))
    rows = list(range(count))
    split = {"train": rows[:-2], "held": rows[-2:], "names": [f"{row}.png" for row in rows]}
    (folder / "split.json").write_text(json.dumps(split))
    return folder


def paired(folder: Path, count: int = 6, side: int = 16) -> Path:
    """A folder of pairs whose target is the source, redder."""
    source = pictures(count, side, 5)
    target = np.clip(source + np.array([40.0, 0, -40]), 0, 255).astype(np.uint8)
    pairs.write(folder, 0, source, target, np.zeros((count, 5, 2), np.float32))
    return folder


def same_weights(a: Path, b: Path) -> bool:
    """Whether two files hold the same tensors to the bit; their metadata has no order of its own."""
    ours, theirs = load_file(a), load_file(b)
    return set(ours) == set(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)


def generator_file(path: Path, seed: int = 3) -> Path:
    """Weights of a tiny generator with its critic."""
    torch.manual_seed(seed)
    generator = Generator(TINY)
    for name, value in generator.named_parameters():
        if name.endswith("noise_strength"):
            value.data.fill_(0.1)
    stylegan2_weights.save(path, generator, generator, Discriminator(TINY), {})
    return path
