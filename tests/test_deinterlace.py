from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import make_clip, save_tiny

from vidstyle.catalog import parse_recipe
from vidstyle.errors import UsageError
from vidstyle.job import FileJob, stylize_file
from vidstyle.source import SourceOptions, VideoSource

TIMES = [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 15]


@pytest.fixture
def interlaced(tmp_path: Path) -> Path:
    return moving_bar(tmp_path / "interlaced.mkv")


def moving_bar(path: Path, **more: str) -> Path:
    """It moves from field to field: 12 pictures, two moments each."""
    options = {"flags": "+ildct+ilme", "x264-params": "tff=1", "crf": "5", **more}
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options=options)
        video.width, video.height, video.pix_fmt = 128, 96, "yuv420p"
        for index, time in enumerate(TIMES):
            image = np.zeros((96, 128, 3), np.uint8)
            for field in (0, 1):
                left = (index * 2 + field) * 4
                image[field::2, left : left + 16] = 255
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = time, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


def comb(image: np.ndarray) -> float:
    """How much lines differ from their neighbours."""
    grey = image.astype(int).mean(-1)
    return float(np.abs(2 * grey[1:-1] - grey[:-2] - grey[2:]).mean())


@pytest.mark.parametrize(("mode", "whole"), [("auto", True), ("always", True), ("never", False)])
def test_the_comb_goes_and_every_time_stays(interlaced: Path, mode: str, whole: bool) -> None:
    with VideoSource(interlaced, SourceOptions(deinterlace=mode)) as source:
        assert source.deinterlaced is whole
        frames = list(source)
    assert [f.time for f in frames] == [Fraction(t, 25) for t in TIMES]
    assert (max(comb(f.image) for f in frames[1:-1]) < 3) is whole


@pytest.mark.parametrize("start", [4, 9])
def test_the_first_picture_of_a_part_is_as_in_the_whole(tmp_path: Path, start: int) -> None:
    """Every picture is a key picture: decoding could begin with that one."""
    path = moving_bar(tmp_path / "intra.mkv", g="1")
    with VideoSource(path) as source:
        wanted = {frame.pts: frame.image for frame in source}
    with VideoSource(path, SourceOptions(start=Fraction(start, 25))) as source:
        first = next(iter(source))
    assert first.time == Fraction(start, 25) and np.array_equal(first.image, wanted[first.pts])


def test_progressive_video_is_left_alone(shared) -> None:
    with VideoSource(shared("media/bt601.mp4")) as source:
        assert not source.deinterlaced


def test_what_was_done_is_told(interlaced: Path, home: Path, tmp_path: Path) -> None:
    """A deinterlacing that was asked for is no loss; one that the source needs is."""
    plain = make_clip(tmp_path / "plain.mkv").path
    recipe, always = parse_recipe(str(save_tiny(home, "tiny"))), SourceOptions(deinterlace="always")
    for path, said in ((plain, "as --deinterlace always asks"), (interlaced, "the source is interlaced")):
        report = stylize_file(FileJob(path, recipe, tmp_path / f"{path.stem}.out.mkv", always))
        assert sum(said in line for line in report.lines()) == 1
        assert bool(report.strict_losses()) == (path == interlaced)


def test_an_unknown_mode() -> None:
    with pytest.raises(UsageError, match="auto, always, never"):
        SourceOptions(deinterlace="maybe")
