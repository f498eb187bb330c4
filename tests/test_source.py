import gc
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from caption_clips import captioned_clip
from media import make_clip, picture

from vidstyle.errors import SourceError
from vidstyle.frame import working_size
from vidstyle.limits import Limit, TooLargeError
from vidstyle.reading import Reading
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


@pytest.mark.parametrize("start", [5, 10**20, 10**40])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_start_after_the_end_is_told_however_late(tmp_path: Path, name: str, start: int) -> None:
    clip = make_clip(tmp_path / name, frames=5)
    with pytest.raises(SourceError, match=r"between --start and --end: it ends at 0\.\d\d s"):
        VideoSource(clip.path, SourceOptions(start=Fraction(start)))


def test_a_clock_slower_than_a_second_finds_its_way_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a camera that takes a picture every five seconds, whose index names no key picture near the start."""
    clip = make_clip(tmp_path / "a.avi", pts=list(range(8)), time_base=Fraction(5), codec="mpeg4", audio=0)
    landed: list[None] = []

    def nowhere(_: Reading) -> None:
        landed.append(None)
        assert len(landed) < 10, "it looks at the same place again and again"

    monkeypatch.setattr(Reading, "_land", nowhere)
    with VideoSource(clip.path, SourceOptions(start=Fraction(12))) as source:
        assert [frame.time for frame in source] == [15, 20, 25, 30, 35]
    assert landed


@pytest.mark.parametrize("captions", [False, True])
def test_pictures_are_freed_as_they_are_given(tmp_path: Path, captions: bool) -> None:
    """Not when the collector comes: of a film in 4K that would be gigabytes."""

    def living() -> int:
        return sum(type(thing) is av.VideoFrame for thing in gc.get_objects())

    times = [index * 512 for index in range(80)]
    clip = captioned_clip(tmp_path / "a.mp4", pts=times) if captions else make_clip(tmp_path / "a.mp4", pts=times).path
    gc.collect()
    gc.disable()
    before = living()
    try:
        with VideoSource(clip, SourceOptions(threads=1)) as source:
            assert sum(bool(frame.captions) == captions for frame in source) == 80
            assert living() < before + 10
    finally:
        gc.enable()


@pytest.mark.parametrize("part", [("0.005", "0.015"), ("0.165", None)])
def test_a_part_that_lies_within_a_picture_is_told_as_too_short(tmp_path: Path, part: tuple[str, str | None]) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=5)  # 25 a second
    start, end = (None if text is None else Fraction(text) for text in part)
    with pytest.raises(SourceError, match="between --start and --end: one may be shown there, none begins there"):
        VideoSource(clip.path, SourceOptions(start=start, end=end))


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


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 8, 16])
def test_damage_costs_its_own_picture_and_is_told_however_many_threads_decode(shared, threads: int) -> None:
    path = shared("media/sample_with_invalid_nalu.mp4")
    with VideoSource(path, SourceOptions(size=64, threads=threads)) as source:
        frames = list(source)
    assert [frame.pts // 1001 for frame in frames] == [*range(26), 27, 28, 29]
    assert len(source.faults) == 1 and "cannot be decoded after 26 pictures" in source.faults[0]
    with VideoSource(path, SourceOptions(size=64, threads=1)) as source:
        for frame, expected in zip(frames, source, strict=True):
            np.testing.assert_array_equal(frame.image, expected.image)


def test_a_hole_in_the_middle_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.ts", frames=200, size=(320, 240), audio=0)
    data = bytearray(clip.path.read_bytes())
    middle = len(data) // 2 // 188 * 188
    data[middle : middle + 40 * 188] = np.random.default_rng(0).bytes(40 * 188)
    clip.path.write_bytes(bytes(data))
    with VideoSource(clip.path) as source:
        times = [frame.time for frame in source]
    assert times[-1] - times[0] == clip.times[-1] - clip.times[0]
    assert 100 < len(times) <= 200
    assert all(a < b for a, b in pairwise(times))


def write_ts(path: Path, size: tuple[int, int], first: int, **options: str) -> bytes:
    """Ten pictures in two halves, red left and green right, as MPEG-TS."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"x264-params": "bframes=0"} | options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        image = np.zeros((size[1], size[0], 3), np.uint8)
        image[:, : size[0] // 2, 0] = image[:, size[0] // 2 :, 1] = 200
        for index in range(10):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = first + index, Fraction(1, 25)
            out.mux(stream.encode(frame.reformat(format="yuv420p")))
        out.mux(stream.encode(None))
    return path.read_bytes()


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("options", [SourceOptions(originals=True), SourceOptions(size=48, originals=True)])
def test_a_size_that_changes_is_fitted_into_the_first_with_bars(
    tmp_path: Path, options: SourceOptions, interlaced: bool
) -> None:
    fields = {"flags": "+ildct+ilme", "x264-params": "tff=1:bframes=0"} if interlaced else {}
    parts = [((160, 96), 0), ((320, 96), 10), ((96, 96), 20), ((160, 96), 30)]
    whole = tmp_path / "whole.ts"
    whole.write_bytes(b"".join(write_ts(tmp_path / "part.ts", size, first, **fields) for size, first in parts))
    with VideoSource(whole, options) as source:
        frames = list(source)
        assert source.deinterlaced is interlaced
    assert len(frames) == 40
    for frame, bars in zip(frames[5::10], [(0, 0), (24, 0), (0, 32), (0, 0)], strict=True):
        assert frame.original is not None and frame.original.shape == (96, 160, 3)
        assert frame.image.shape == (frame.image.shape[0], frame.image.shape[0] * 5 // 3, 3)
        for image in (frame.original, frame.image):
            top, left = (bar * image.shape[0] // 96 for bar in bars)
            assert image[: max(0, top - 1)].max(initial=0) == 0 and image[:, : max(0, left - 1)].max(initial=0) == 0
            inside = image[top + 2 : image.shape[0] - top - 2, left + 2 : image.shape[1] - left - 2].astype(int)
            assert inside[:, 2, 0].min() > 150 and inside[:, -3, 1].min() > 150
    assert [note for note in source.notes if "fitted" in note] == [
        "pictures of 320x96 from 0.40 s on were fitted into the first one's size",
        "pictures of 96x96 from 0.80 s on were fitted into the first one's size",
    ]
    assert source.faults == []


@pytest.mark.parametrize(("aspect", "taken"), [(Fraction(4, 3), Fraction(4, 3)), (Fraction(20), Fraction(1))])
def test_the_shape_of_pixels(tmp_path: Path, aspect: Fraction, taken: Fraction) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        out.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        out.mux(stream.encode(None))
    with VideoSource(path) as source:
        assert source.info.aspect == taken
        assert source.info.working == (48, round(64 * taken))
        assert bool(source.notes) is (aspect != taken)


def test_what_claims_to_be_giant_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch) -> None:
    """The claim of a header: 256 million pixels in a file of 200 bytes."""
    head = b"GIF89a" + (16000).to_bytes(2, "little") * 2 + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    picture = b"\x2c" + bytes(4) + (16000).to_bytes(2, "little") * 2 + b"\0" + b"\x02\x02\x4c\x01\0"
    path = tmp_path / "bomb.gif"
    path.write_bytes(head + picture + b"\x3b")
    monkeypatch.setattr("vidstyle.reading.Decoder", None)  # it is not even made
    with pytest.raises(TooLargeError, match=r"bomb\.gif has pictures of 16000x16000, more than 35 megapixels"):
        VideoSource(path)


def test_limits(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", frames=10)
    for limit in (Limit(picture=64 * 48 - 1), Limit(total=64 * 48 * 10 - 1)):
        with pytest.raises(TooLargeError, match="--no-limit"):
            VideoSource(clip.path, SourceOptions(limit=limit))
    for allowed in (None, Limit(64 * 48, 64 * 48 * 10)):
        with VideoSource(clip.path, SourceOptions(limit=allowed)) as source:
            assert len(list(source)) == 10


def test_a_later_picture_beyond_the_limit_is_not_decoded(tmp_path: Path) -> None:
    whole = tmp_path / "whole.ts"
    whole.write_bytes(write_ts(tmp_path / "a.ts", (64, 48), 0) + write_ts(tmp_path / "b.ts", (640, 480), 10))
    with VideoSource(whole, SourceOptions(limit=Limit(picture=100_000))) as source:
        assert len(list(source)) == 10
    assert source.faults


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
