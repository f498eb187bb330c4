"""A video to be styled with its pictures on a device; a test module names this one in ``pytest_plugins``."""

from __future__ import annotations

from pathlib import Path

import pytest
from media import make_clip, save_tiny
from on_device import DEVICE, LOSSLESS

from vidstyle.catalog import parse_recipe
from vidstyle.job import FileJob
from vidstyle.source import SourceOptions


@pytest.fixture
def job(tmp_path: Path) -> FileJob:
    clip = make_clip(tmp_path / "in.mp4", 30, size=(96, 64), colorspace=1, color_range=1)
    recipe = parse_recipe(str(save_tiny(tmp_path, "tiny")))
    return FileJob(clip.path, recipe, tmp_path / "out.mp4", SourceOptions(48), LOSSLESS, DEVICE)
