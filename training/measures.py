"""How near results are to a look, and to their photos, with few pictures and no network that must be fetched.

The distance of two sets of pictures is Frechet's, and KID (Binkowski et al., 2018), in a feature space that every
figure names, because figures of two spaces cannot be compared:

``FID``            Inception as NVIDIA's TorchScript file ``inception-2015-12-05.pt`` has it: the published measure.
``FD-encoder``     an encoder that `training.features` reads (VGG, or a small one), pooled over the picture.
``FD-statistics``  no network: colours, contrasts, slopes and lines at four scales. Says whether a look's palette and
                   line are met, not whether a face is well drawn.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from training.features import load_features
from training.identity import load_identity
from training.world import TrainingError

PROJECTED = 48  # dimensions an encoder's features are brought to: a covariance needs more pictures than dimensions
INCEPTION = 2048
#: How much the nine statistics usually differ between pictures: mean and deviation of L, a, b; slopes; lines.
USUAL = np.array([15, 8, 10, 10, 6, 7, 3, 5, 4], np.float64)
Look = Callable[[np.ndarray], np.ndarray]  # uint8 [H, W, 3] to the same


@dataclass(frozen=True)
class Space:
    """A feature space: its distance's name, and a function from uint8 [N, S, S, 3] to float64 [N, D]."""

    name: str
    features: Callable[[np.ndarray], np.ndarray]


def space(path: Path | None, device: str = "cpu") -> Space:
    """The space of a network file, or the one that needs none.

    Raises:
        TrainingError: the file is neither Inception as TorchScript nor an encoder.
    """
    if path is None:
        return Space("FD-statistics", statistics)
    if not path.is_file():
        raise TrainingError(f"no network {path}: give Inception as TorchScript, an encoder, or leave it out")
    if _is_script(path):
        return Space("FID", _inception(path, torch.device(device)))
    return Space("FD-encoder", _encoder(path, torch.device(device)))


def _is_script(path: Path) -> bool:
    """Whether a file is TorchScript: a zip with code in it."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def _inception(path: Path, device: torch.device) -> Callable[[np.ndarray], np.ndarray]:
    try:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            net = torch.jit.load(str(path), map_location=device).eval()
    except RuntimeError as error:
        raise TrainingError(f"{path} is a damaged TorchScript file: fetch it again") from error

    @torch.no_grad()
    def features(images: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(images), 16):
            x = torch.from_numpy(np.ascontiguousarray(images[start : start + 16])).to(device).permute(0, 3, 1, 2)
            parts.append(net(x, return_features=True).double().cpu().numpy())
        found = np.concatenate(parts)
        if found.shape[1:] != (INCEPTION,):
            raise TrainingError(f"{path} gives {found.shape[1:]} features, expected {INCEPTION}: not Inception's file")
        return found

    return features


def _encoder(path: Path, device: torch.device) -> Callable[[np.ndarray], np.ndarray]:
    net = load_features(path).to(device)

    @torch.no_grad()
    def features(images: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(images), 8):
            x = torch.from_numpy(np.ascontiguousarray(images[start : start + 8])).to(device).permute(0, 3, 1, 2)
            found = net(x.float() / 127.5 - 1)
            parts.append(torch.cat([found.mean((2, 3)), found.std((2, 3))], 1).double().cpu().numpy())
        return np.concatenate(parts)

    return features


def _projected(features: np.ndarray) -> np.ndarray:
    """At most PROJECTED directions, the same random ones every time, each of unit length."""
    if features.shape[1] <= PROJECTED:
        return features
    directions = np.linalg.qr(np.random.default_rng(0).standard_normal((features.shape[1], PROJECTED)))[0]
    return features @ directions


def statistics(images: np.ndarray) -> np.ndarray:
    """float64 [N, 36] of uint8 [N, S, S, 3]: nine figures of colour, contrast, slope and line at four scales."""
    return np.stack([_statistics(image) for image in images]) / np.tile(USUAL, 4)


def _statistics(image: np.ndarray) -> np.ndarray:
    lab = cv2.cvtColor(np.ascontiguousarray(image).astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    found: list[float] = []
    for _ in range(4):
        light = lab[..., 0]
        dx, dy = light[:, 1:] - light[:, :-1], light[1:] - light[:-1]
        slope = np.hypot(dx[:-1], dy[:, :-1])
        line = np.abs(cv2.Laplacian(light, cv2.CV_32F))
        found += [*lab.mean((0, 1)), *lab.std((0, 1)), slope.mean(), np.sqrt((slope**2).mean()), line.mean()]
        lab = cv2.resize(lab, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return np.array(found, np.float64)


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance of Gaussians fitted to features [N, D] and [M, D] (Heusel et al., 2017, squared as there)."""
    (mean_a, cov_a), (mean_b, cov_b) = ((x.mean(0), np.atleast_2d(np.cov(x, rowvar=False))) for x in (a, b))
    values, vectors = np.linalg.eigh(cov_a)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    # The roots of cov_a @ cov_b and of this symmetric matrix have the same trace.
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_b @ root), 0)).sum()
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * shared)


def kid(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased squared MMD of the kernel (x.y / D + 1)^3 (Binkowski et al., 2018), over all pictures at once."""

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / x.shape[1] + 1) ** 3

    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel(a, a), kernel(b, b))]
    return float(within[0] + within[1] - 2 * kernel(a, b).mean())


def distances(results: np.ndarray, exemplars: np.ndarray, where: Space) -> dict[str, float]:
    """Frechet distance and KID of results to the exemplars, under the names of their space.

    Raises:
        TrainingError: a single picture has no spread.
    """
    if min(len(results), len(exemplars)) < 2:
        raise TrainingError(
            f"got {len(results)} held-out photos and {len(exemplars)} exemplars, expected at least 2 of each: "
            "train with more photos"
        )
    a, b = where.features(results), where.features(exemplars)
    if where.name == "FD-encoder":  # its features are of any size: the exemplars' spread is the unit
        spread = np.maximum(b.std(0), 0.1 * b.std(0).mean())
        a, b = _projected(a / spread), _projected(b / spread)
    return {where.name: round(frechet(a, b), 3), f"KID ({where.name})": round(kid(a, b), 5)}


def identity(sources: np.ndarray, results: np.ndarray, path: Path | None = None) -> dict[str, float]:
    """How much each result is its own photo: uint8 [N, S, S, 3] aligned, in the same order.

    ``same``: mean cosine to one's own photo. ``other``: to another person's. ``first``: share of results whose own
    photo is nearer than anyone else's. ``path``: see `training.identity.load_identity`; without one the layout of light
    and shade is compared, which does not know people but tells them apart on aligned faces.
    """
    kind, embed = load_identity("" if path is None else str(path), torch.device("cpu"))
    a, b = (_embedded(embed, images) for images in (sources, results))
    cosines = b @ a.T
    own = np.diag(cosines)
    others = cosines[~np.eye(len(own), dtype=bool)]
    first = float((cosines.argmax(1) == np.arange(len(own))).mean())
    figures = {"same": float(own.mean()), "other": float(others.mean()), "first": first}
    return {f"ID {name} ({kind})": round(value, 3) for name, value in figures.items()}


@torch.no_grad()
def _embedded(embed: Callable[[torch.Tensor], torch.Tensor], images: np.ndarray) -> np.ndarray:
    parts = []
    for start in range(0, len(images), 16):
        x = torch.from_numpy(np.ascontiguousarray(images[start : start + 16])).permute(0, 3, 1, 2).float() / 127.5 - 1
        parts.append(embed(x).double().numpy())
    found = np.concatenate(parts)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def turned(look: Look, faces: np.ndarray, angle: float, scale: float = 1.0) -> np.ndarray:
    """Results for faces turned by ``angle`` degrees and scaled, turned back: uint8 [N, S, S, 3]."""
    side = faces.shape[1]
    there = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), angle, scale)
    out = []
    for face in faces:
        picture = cv2.warpAffine(face, there, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        out.append(cv2.warpAffine(look(picture), there, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT_101))
    return np.stack(out)


def sweep(look: Look, faces: np.ndarray, settings: list[tuple[float, float]]) -> list[float]:
    """dB, over the inner face, between the upright result and that of each (angle, scale), turned back."""
    upright, inner = np.stack([look(face) for face in faces]), slice(faces.shape[1] // 4, -faces.shape[1] // 4)
    found = []
    for angle, scale in settings:
        gap = turned(look, faces, angle, scale)[:, inner, inner].astype(np.float64) - upright[:, inner, inner]
        found.append(round(float(10 * np.log10(255**2 / max((gap**2).mean(), 1e-9))), 2))
    return found


def table(rows: dict[str, dict[str, float]]) -> str:
    """A Markdown table: a row a variant, a column a figure."""
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [
        f"| {name} | {' | '.join(str(row.get(column, '')) for column in columns)} |" for name, row in rows.items()
    ]
    return "\n".join(lines)
