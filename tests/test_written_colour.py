"""Encoders that know but one way to store colours get it: pictures look as the source's, whatever the source's tags."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from media import make_clip, save_tiny

from vidstyle.catalog import parse_recipe
from vidstyle.codecs import EncoderOptions
from vidstyle.job import FileJob, stylize_file
from vidstyle.sink import SinkOptions
from vidstyle.source import SourceOptions, VideoSource

#: encoder, extension, and the mean difference that its compression makes
WRITTEN = [
    ("prores_ks", ".mov", 2),
    ("v210", ".mov", 2),
    ("libvpx", ".webm", 4),
    ("mpeg4", ".mov", 5),
    ("mjpeg", ".mov", 5),
    ("libx264rgb", ".mp4", 3),
    ("libx264", ".mp4", 3),
    ("ffv1", ".mkv", 2),
    ("png", ".mov", 2),
]


def pictures(path: Path) -> np.ndarray:
    with VideoSource(path, SourceOptions(size=None)) as source:
        return np.stack([frame.image for frame in source]).astype(int)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("encoder", "extension", "least"), WRITTEN)
def test_colours_are_the_sources(
    home: Path, tmp_path: Path, encoder: str, extension: str, least: float, full: bool
) -> None:
    if encoder not in av.codecs_available:
        pytest.skip(f"no {encoder} here")
    tags = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 2 if full else 1}
    pix_fmt = "yuvj444p" if full else "yuv444p"
    source = make_clip(tmp_path / "in.mp4", frames=4, audio=0, pix_fmt=pix_fmt, **tags).path
    recipe = parse_recipe(str(save_tiny(home, "tiny")), 0.0)
    options = SinkOptions(EncoderOptions(codec=encoder))
    report = stylize_file(FileJob(source, recipe, tmp_path / f"out{extension}", writing=options))
    difference = np.abs(pictures(tmp_path / f"out{extension}") - pictures(source)).mean()
    assert difference <= least
    said = [note for note in report.notes if "limited range" in note]
    assert bool(said) == (full and encoder in ("prores_ks", "v210", "libvpx", "mpeg4"))


@pytest.mark.parametrize(("encoder", "extension"), [("prores_ks", ".mov"), ("libx264", ".mp4"), ("ffv1", ".mkv")])
def test_tags_are_in_the_pictures_themselves(home: Path, tmp_path: Path, encoder: str, extension: str) -> None:
    """ProRes has them twice, and players take what the pictures say."""
    tags = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}
    source = make_clip(tmp_path / "in.mp4", frames=2, audio=0, **tags).path
    options = SinkOptions(EncoderOptions(codec=encoder))
    output = tmp_path / f"out{extension}"
    stylize_file(FileJob(source, parse_recipe(str(save_tiny(home, "tiny"))), output, writing=options))
    with av.open(str(output)) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1)


@pytest.mark.parametrize("matrix", [5, 6])
def test_so_is_the_matrix_of_standard_definition(home: Path, tmp_path: Path, matrix: int) -> None:
    """ProRes said "unknown" of BT.601: players take BT.709 for large pictures then."""
    tags = {"colorspace": matrix, "color_primaries": matrix, "color_trc": 6, "color_range": 1}
    source = make_clip(tmp_path / "in.mp4", frames=2, audio=0, **tags).path
    options = SinkOptions(EncoderOptions(codec="prores_ks"))
    output = tmp_path / "out.mov"
    stylize_file(FileJob(source, parse_recipe(str(save_tiny(home, "tiny"))), output, writing=options))
    with av.open(str(output)) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (6, matrix, 6)
