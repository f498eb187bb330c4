"""Softened, coded and cleared pictures against what OpenCV makes of them, and against their own geometry."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from training import cameras

pytestmark = pytest.mark.usefixtures("one_thread")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def edge(size: int = 48) -> torch.Tensor:
    """A dark left half and a bright right one, a line below the middle."""
    x = torch.full((3, size, size), -0.5)
    x[..., size // 2 :] = 0.5
    x[:, 30] = -1
    return x


def soften(x: torch.Tensor, seed: int) -> torch.Tensor:
    return cameras.blurred(x, cameras.draw_blur(generator(seed)))


def roughness(x: torch.Tensor) -> float:
    return cv2.Laplacian(x[0].numpy(), cv2.CV_32F).var()


@pytest.mark.parametrize("seed", range(6))
def test_softening_keeps_tones_and_places_and_takes_lines(seed: int) -> None:
    assert torch.allclose(soften(torch.full((3, 24, 30), 0.3), seed), torch.tensor(0.3), atol=1e-5)
    point = torch.zeros(3, 41, 41)
    point[:, 20, 20] = 1
    spread = soften(point, seed)[0].numpy()
    at = np.arange(41)
    assert spread.sum() == pytest.approx(1, abs=1e-4)
    assert (spread.sum(0) * at).sum() == pytest.approx(20, abs=1e-3) and (spread.sum(1) * at).sum() == pytest.approx(
        20, abs=1e-3
    )
    spreads = np.linalg.eigvalsh(np.cov(np.mgrid[:41, :41].reshape(2, -1), aweights=spread.ravel(), ddof=0)) ** 0.5
    assert 0.05 < spreads[0] <= spreads[1] < 4.4
    assert spreads[1] < 2.05 * spreads[0] + 0.6
    assert roughness(soften(edge(), seed)) < roughness(edge())


def test_softness_differs_from_picture_to_picture() -> None:
    found = [roughness(soften(edge(), seed)) for seed in range(20)]
    assert max(found) > 5 * min(found)


def test_the_cosine_transform_is_the_codecs() -> None:
    block = np.random.default_rng(0).uniform(-1, 1, (8, 8)).astype(np.float32)
    basis = cameras.COSINES.numpy()
    np.testing.assert_allclose(basis @ block @ basis.T, cv2.dct(block), atol=1e-5)


@pytest.mark.parametrize("size", [(32, 48), (37, 50)])
def test_a_coded_picture_has_a_codecs_errors(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    smooth = cv2.GaussianBlur(rng.uniform(0, 255, (*size, 3)).astype(np.float32), (0, 0), 2)
    smooth = np.clip((smooth - 128) * 4 + 128, 0, 255).round().astype(np.uint8)
    x = torch.from_numpy(smooth).permute(2, 0, 1).float() / 127.5 - 1

    def error(quality: int) -> float:
        file = cv2.imencode(".jpg", smooth[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return float(np.sqrt(((cv2.imdecode(file, 1)[..., ::-1].astype(float) - smooth) ** 2).mean()))

    found = [cameras.code(x, generator(seed)) for seed in range(30)]
    assert all(y.shape == x.shape and y.abs().max() <= 1 for y in found)
    errors = [float((y - x).square().mean().sqrt()) * 127.5 for y in found]
    assert 0.5 * error(90) < min(errors) and max(errors) < 2 * error(30)
    assert max(errors) > 1.5 * min(errors)
    grey = torch.full((3, 20, 20), 0.25)
    assert (cameras.code(grey, generator()) - grey).abs().max() < 24 / 127.5 / 8


@pytest.mark.parametrize("scale", [1.3, 2.0, 3.4])
def test_an_enlarged_drawing_is_as_clear_as_a_drawing_of_that_size(scale: float) -> None:
    small, size = edge().permute(1, 2, 0).numpy(), round(48 * scale)
    enlarged = torch.from_numpy(cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)).permute(2, 0, 1)
    found = cameras.clear(enlarged, scale)
    assert found.min() >= enlarged.min() and found.max() <= enlarged.max()  # no bright rim
    slope, before = (x[0, 10].diff().max() for x in (found, enlarged))
    assert slope > (1.1 if scale < 1.5 else 1.5) * before
    middle = (found[0, 10] > 0).nonzero()[0] - (enlarged[0, 10] > 0).nonzero()[0]
    assert abs(int(middle)) <= 1  # edges stay where they were
    assert torch.allclose(cameras.clear(torch.full((3, 30, 30), 0.2), scale), torch.tensor(0.2), atol=1e-5)
