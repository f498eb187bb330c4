"""Numbered pictures that differ among themselves, or have alpha: kept, told or refused, and never in silence."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from media import picture, save_tiny
from picture_files import encoded, save, smooth, vidstyle, with_exif

from vidstyle.catalog import parse_recipe
from vidstyle.codecs import EncoderOptions
from vidstyle.errors import SourceError
from vidstyle.inputs import video_input
from vidstyle.job import FileJob, stylize_file
from vidstyle.picture import Picture
from vidstyle.reading import Reading
from vidstyle.sink import SinkOptions
from vidstyle.source import SourceOptions, VideoSource

ALPHA = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))


def job_of(home: Path, folder: Path) -> FileJob:
    return FileJob(video_input(str(folder), "24"), parse_recipe(str(save_tiny(home, "tiny"))))


def put_glass(folder: Path, extension: str, glass: tuple[int, ...], count: int = 4) -> Path:
    """Pictures of which those of the indices ``glass`` have alpha."""
    folder.mkdir()
    for index in range(count):
        image = picture(index, 64, 48)
        save(folder / f"{index}{extension}", Picture(image, ALPHA if index in glass else None))
    return folder


@pytest.mark.parametrize("extension", [".png", ".webp"])
@pytest.mark.parametrize("glass", [(0,), (3,), (1, 2)])
def test_alpha_of_some_pictures_is_kept(home: Path, tmp_path: Path, extension: str, glass: tuple[int, ...]) -> None:
    """Writers leave it out of opaque pictures: where the first one has none, that of the others was lost in silence."""
    report = stylize_file(job_of(home, put_glass(tmp_path / "shot", extension, glass)))
    assert report.output == str(tmp_path / "shot.tiny.mov")
    with VideoSource(Path(report.output), SourceOptions(size=None)) as source:
        for index, frame in enumerate(source):
            assert frame.alpha is not None
            wanted = ALPHA if index in glass else np.full_like(ALPHA, 255)
            assert np.abs(frame.alpha.astype(int) - wanted).mean() < 2


def test_alpha_by_one_colour_or_of_a_palette_is_seen(tmp_path: Path) -> None:
    folder = put_glass(tmp_path / "shot", ".png", (), 2)
    assert not video_input(str(folder), "24").series.alpha  # type: ignore[union-attr]
    palette = np.full((256, 4), 128, np.uint8)  # alpha first
    indices = np.zeros((48, 64), np.uint8)
    (folder / "2.png").write_bytes(encoded("png", (indices, palette), "pal8"))
    assert video_input(str(folder), "24").series.alpha  # type: ignore[union-attr]


def test_alpha_that_no_head_tells_is_told(home: Path, tmp_path: Path) -> None:
    """A TIFF with alpha behind one without: on black, as before, and the report says so once."""
    folder = put_glass(tmp_path / "shot", ".tif", (1, 2))
    report = stylize_file(replace(job_of(home, folder), output=tmp_path / "out.mkv"))
    told = "transparent pictures from 0.04 s on were put on black, since the first one is opaque"
    assert [note for note in report.notes if "transparent" in note] == [told]


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "extension", "reason"),
    [
        ("h264", None, ".mp4", None),
        ("prores_ks", None, ".mov", ".mp4 keeps no alpha"),
        ("vp9", None, ".mkv", ".mp4 keeps no alpha"),
        ("ffv1", None, ".mkv", ".mp4 keeps no alpha"),
        ("prores_ks", "yuv422p10le", ".mov", ".mp4 cannot hold prores video"),
    ],
)
def test_a_codec_that_keeps_alpha_finds_a_container_that_does(
    home: Path, tmp_path: Path, codec: str, pix_fmt: str | None, extension: str, reason: str | None
) -> None:
    """H.264 became .mov since .mp4 keeps no alpha, which H.264 keeps nowhere."""
    job = job_of(home, put_glass(tmp_path / "shot", ".png", (0, 1, 2, 3)))
    job = replace(job, writing=SinkOptions(EncoderOptions(codec, pix_fmt=pix_fmt)))
    with VideoSource(job.input) as source:
        assert job.target_for(source) == (tmp_path / f"shot.tiny{extension}", reason)


@pytest.mark.parametrize("value", [3, 6])
def test_pictures_turned_in_other_ways_are_refused_by_name(tmp_path: Path, value: int) -> None:
    """The first one's turn is that of all: the others came out lying on their sides, or upside down."""
    for index in range(4):
        path = save(tmp_path / f"{index}.jpg", smooth(48, 64))
        if index >= 2:
            path.write_bytes(with_exif(path.read_bytes(), value))
    with pytest.raises(SourceError, match=r"2.jpg is turned by another angle than 0.jpg \(EXIF\): turn"):
        video_input(str(tmp_path), "24")
    for name in ("0.jpg", "1.jpg"):
        (tmp_path / name).unlink()
    assert video_input(str(tmp_path), "24").series is not None


def test_many_damaged_pictures_are_all_accounted_for(tmp_path: Path) -> None:
    """Twenty were named, and nothing said that there were more."""
    for index in range(100):
        path = save(tmp_path / f"{index:03d}.png", picture(index, 64, 48))
        if index % 4 in (1, 2) or index >= 97:
            path.write_bytes(path.read_bytes()[:100])
    with VideoSource(video_input(str(tmp_path), "24"), SourceOptions(size=None)) as source:
        assert len(list(source)) == 49
        assert len(source.faults) == 21
        assert source.faults[0] == "001.png to 002.png cannot be decoded (damaged?): 2 pictures are missing there"
        assert source.faults[-1] == "more of the same kind, which is not told"


def test_pictures_that_vanish_meanwhile_are_lost_by_name(tmp_path: Path) -> None:
    """Looking for faces, or going on where a run had stopped, ended in an "unexpected" error."""
    folder = put_glass(tmp_path / "shot", ".png", (), 40)
    source = video_input(str(folder), "24")
    with (
        closing(Reading(source, SourceOptions(), Event())) as first,
        closing(Reading(source, SourceOptions(), Event())) as second,
    ):
        for index in range(20, 31):
            (folder / f"{index}.png").unlink()
        found = [frame and frame.pts for frame in first.glances([Fraction(5, 24), Fraction(25, 24)])]
        assert found[0] == 5 and found[1] in (None, *range(20))
        assert not second.jump_before(35)
        assert [frame.pts for frame in second] == list(range(20))
        told = "20.png to 39.png cannot be decoded (damaged?): 20 pictures are missing there"
        assert second.faults == [told]


def test_a_url_of_a_file_may_be_of_numbered_pictures(tmp_path: Path) -> None:
    folder = put_glass(tmp_path / "my shot", ".png", ())
    assert video_input(folder.as_uri(), "24").series == video_input(str(folder), "24").series
    pattern = (folder / "%d.png").as_uri()
    assert "%25d" in pattern and video_input(pattern, "24").series is not None


@pytest.mark.usefixtures("home")
def test_batch_of_a_folder_of_numbered_pictures_says_what_takes_it(tmp_path: Path) -> None:
    put_glass(tmp_path / "shot", ".png", ())
    done = vidstyle("batch", "shot", "-o", "out", cwd=tmp_path)
    assert "numbered pictures become videos with --fps 24, or their own rate\n" in done.stderr
