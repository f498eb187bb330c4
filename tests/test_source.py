from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from media import make_clip, picture

from vidstyle.errors import SourceError
from vidstyle.frame import Colour, working_size
from vidstyle.source import SourceOptions, VideoSource


@pytest.mark.parametrize(
    ("size", "aspect", "short", "expected"),
    [
        ((1920, 1080), 1, 720, (720, 1280)),
        ((1080, 1920), 1, 720, (1280, 720)),
        ((640, 480), 1, 720, (480, 640)),  # never enlarged
        ((640, 480), 1, None, (480, 640)),
        ((720, 576), Fraction(64, 45), 720, (576, 1024)),  # anamorphic: the network sees square pixels
        ((480, 640), Fraction(1, 2), 720, (1280, 480)),
        ((1, 1), 1, 720, (1, 1)),
    ],
)
def test_working_size(size, aspect, short, expected) -> None:
    assert working_size(*size, Fraction(aspect), short) == expected


def test_untagged_pictures_are_601_below_720_lines_and_709_above() -> None:
    assert Colour(height=576).matrix_used == 5
    assert Colour(height=720).matrix_used == 1
    assert Colour(matrix=9, height=480).matrix_used == 9
    assert Colour(matrix=0, height=720).matrix_used == 1  # RGB's "matrix" is none for planes


def test_every_picture_comes_with_its_own_time(tmp_path: Path) -> None:
    pts = [0, 512, 1000, 1100, 4000, 4001, 9000]  # as uneven as a phone's
    clip = make_clip(tmp_path / "vfr.mp4", pts=pts, audio=0)
    with VideoSource(clip.path) as source:
        frames = list(source)
    assert [f.time for f in frames] == clip.times
    assert source.faults == []
    for index, frame in enumerate(frames):
        assert frame.image.shape == (48, 64, 3)
        assert np.abs(frame.image.astype(int) - picture(index, 64, 48)).mean() < 12


def test_a_smaller_working_size_and_the_original_beside_it(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=3, size=(320, 240))
    with VideoSource(clip.path, SourceOptions(size=120, originals=True)) as source:
        assert source.info.working == (120, 160)
        frames = list(source)
    assert frames[0].image.shape == (120, 160, 3)
    assert frames[0].original is not None and frames[0].original.shape == (240, 320, 3)


@pytest.mark.parametrize("start,end", [(None, "0.2"), ("0.1", None), ("0.1", "0.3"), ("0.11", "0.29")])
def test_trimming_is_exact_to_the_picture(tmp_path: Path, start: str | None, end: str | None) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=25)
    first, last = start and Fraction(start), end and Fraction(end)
    with VideoSource(clip.path, SourceOptions(start=first or None, end=last or None)) as source:
        times = [f.time for f in source]
    expected = [t for t in clip.times if (not first or t >= first) and (not last or t < last)]
    assert times == expected


def test_the_picture_that_spans_the_start_is_not_lost_when_it_is_the_only_one(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=5)
    with pytest.raises(SourceError, match="between --start and --end"):
        VideoSource(clip.path, SourceOptions(start=Fraction(100)))


@pytest.mark.parametrize("matrix", [1, 5, 9])
@pytest.mark.parametrize("full", [False, True])
def test_matrix_and_range_are_honoured(tmp_path: Path, matrix: int, full: bool) -> None:
    """A picture of plain colours comes back as it was made, whatever its planes mean."""
    colours = np.array([[200, 30, 40], [20, 160, 60], [30, 40, 190], [128, 128, 128], [240, 240, 30]], np.uint8)
    image = np.repeat(np.repeat(colours[None], 64, 0), 32, 1)
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"qp": "0"})
        video.width, video.height, video.pix_fmt = image.shape[1], 64, "yuv444p"
        video.codec_context.colorspace = matrix
        video.codec_context.color_range = 2 if full else 1
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
            format="yuv444p", dst_colorspace=matrix, src_color_range=2, dst_color_range=2 if full else 1
        )
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        out.mux(video.encode(frame))
        out.mux(video.encode(None))
    with VideoSource(path) as source:
        assert source.colour.matrix_used == matrix
        frame = next(iter(source))
    assert np.abs(frame.image.astype(int) - image).max() <= 3


def test_cover_art_and_missing_video_are_told(tmp_path: Path) -> None:
    sound = tmp_path / "sound.m4a"
    with av.open(str(sound), "w") as out:
        track = out.add_stream("aac", rate=48000, layout="mono")
        samples = np.zeros((1, 1024), np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 48000
        out.mux(track.encode(frame))
        out.mux(track.encode(None))
    with pytest.raises(SourceError, match="no video stream"):
        VideoSource(sound)


BAD = {
    "empty.mp4": b"",
    "text.mp4": b"this is no video\n" * 50,
    "zeros.mkv": bytes(5000),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_are_no_videos_are_refused_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(BAD[name])
    with pytest.raises(SourceError, match=name):
        VideoSource(path)


def test_missing_folder_and_cut_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        VideoSource(tmp_path / "nothing.mp4")
    with pytest.raises(SourceError, match="is a folder"):
        VideoSource(tmp_path)
    clip = make_clip(tmp_path / "a.mp4", frames=30)
    data = clip.path.read_bytes()
    clip.path.write_bytes(data[: len(data) // 2])  # the index is at the end: nothing is left to read
    with pytest.raises(SourceError, match="cut short"):
        VideoSource(clip.path)


def test_a_damaged_middle_ends_the_stream_and_is_told(shared) -> None:
    with VideoSource(shared("media/sample_with_invalid_nalu.mp4")) as source:
        assert len(list(source)) == 26
    assert "after 26 pictures" in source.faults[0]


@pytest.mark.parametrize(
    ("name", "frames", "first", "size"),
    [
        ("sample_edit_list_no_sync_frame_before_edit.mp4", 68, Fraction(-1, 3), (1080, 1920)),
        ("nasa_13013.mp4", 390, Fraction(0), (480, 270)),  # the best stream is not the first
        ("bbb_800x640_768kbps_30fps_avc_2b_firstpts_10_sec.mp4", 120, Fraction(10), (800, 640)),
        ("sample_rotate_and_reflect.mp4", 30, Fraction(0), (720, 1080)),
        ("metadata.mp4", 1, Fraction(0), (320, 240)),  # cover art beside it
    ],
)
def test_odd_real_files(shared, name: str, frames: int, first: Fraction, size: tuple[int, int]) -> None:
    with VideoSource(shared(f"media/{name}"), SourceOptions(size=64)) as source:
        times = [f.time for f in source]
        assert (source.info.width, source.info.height) == size
    assert len(times) == frames
    assert abs(times[0] - first) < Fraction(1, 1000)
    assert all(a < b for a, b in pairwise(times))
