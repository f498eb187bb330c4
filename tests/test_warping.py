"""The measure of shimmer: 1 for a look as steady as its source, more for one that flickers."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from still_scenes import backdrop

from training.warping import Clip, motions, moved
from vidstyle.errors import SourceError


def written(path: Path, images: list[np.ndarray]) -> Path:
    """A video of the pictures, without loss."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("ffv1", rate=25)
        video.height, video.width = images[0].shape[:2]
        video.pix_fmt = "bgr0"
        for image in images:
            out.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="bgr0")))
        out.mux(video.encode(None))
    return path


@pytest.fixture(scope="module")
def panned() -> list[np.ndarray]:
    """160 x 240 pixels of a larger picture, 2 further to the right in each."""
    wide = cv2.GaussianBlur(backdrop(160, 300), (0, 0), 1.2)
    return [np.ascontiguousarray(wide[:, 2 * i : 2 * i + 240]) for i in range(8)]


@pytest.fixture(scope="module")
def clip(panned: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return Clip(written(tmp_path_factory.mktemp("clip") / "panned.mkv", panned), None, 160, 8)


def test_motion_brings_a_picture_to_its_place(panned: list[np.ndarray]) -> None:
    flow, seen = next(motions(panned))
    inner = (slice(20, -20), slice(20, -20))
    assert np.abs(flow[inner] - (2, 0)).mean() < 0.3 and seen[inner].mean() > 0.9
    assert np.abs(moved(panned[0], flow)[inner].astype(int) - panned[1][inner]).mean() < 4


def test_the_source_is_one_flicker_is_more_and_a_blur_is_told(clip: Clip) -> None:
    sources, rng = clip.sources, np.random.default_rng(0)
    own = clip.measure(sources)
    assert own.whole == pytest.approx(1) and own.face == pytest.approx(1)
    flickering = [np.clip(s + rng.normal(0, 10, s.shape), 0, 255).astype(np.uint8) for s in sources]
    assert clip.measure(flickering).whole > 2
    blurred = clip.measure([cv2.GaussianBlur(s, (0, 0), 3) for s in sources])
    assert blurred.sharpness < 0.8 * own.sharpness


@pytest.mark.parametrize(("count", "says"), [(1, "got 1 pictures, expected 2"), (3, "nothing changes from picture to")])
def test_what_does_not_move_is_no_measure(tmp_path: Path, count: int, says: str) -> None:
    still = [np.full((64, 64, 3), 90, np.uint8)] * 3
    with pytest.raises(SourceError, match=says):
        Clip(written(tmp_path / "still.mkv", still), None, 64, count)
