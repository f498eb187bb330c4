"""Going on inside a file gives what a straight run gives, to the bit, or refuses."""

import random
import zlib
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import make_clip

from vidstyle.decoding import Decoder
from vidstyle.frame import Frame
from vidstyle.pictures import ChangedError
from vidstyle.source import SourceOptions, VideoSource, picture_check

SMALL = SourceOptions(size=90)


def facts(frames: Iterable[Frame]) -> list[tuple[int, int, int]]:
    return [(frame.pts, frame.duration, zlib.crc32(frame.image.data)) for frame in frames]


def check_from(path: Path, places: Iterable[int], options: SourceOptions = SMALL) -> None:
    with VideoSource(path, options) as source:
        whole = facts(source)
    for place in places:
        pts, _, check = whole[place]
        with VideoSource(path, options) as source:
            assert facts(source.frames_after(pts, check)) == whole[place + 1 :], f"{path.name} after {place}"


def moving(path: Path, codec: str, pix_fmt: str = "yuv420p", count: int = 120, still: bool = False, **more) -> Path:
    """A pattern that moves, 25 frames a second; ``more``: options of encoder and container."""
    times = more.pop("times", None) or range(count)
    mux = {key[4:]: more.pop(key) for key in list(more) if key.startswith("mux_")}
    with av.open(str(path), "w", options=mux) as out:
        stream = out.add_stream(codec, rate=25, options={key.replace("_", "-"): value for key, value in more.items()})
        stream.width, stream.height, stream.pix_fmt = 128, 96, pix_fmt
        y, x = np.mgrid[0:96, 0:128]
        for index, time in enumerate(times):
            step = 0 if still else index
            image = np.stack([x * 2 + step * 5, y * 2 - step * 3, (x + y + step * 7)], -1).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = time, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


KINDS = {
    "bframes.mp4": ("libx264", {"x264-params": "keyint=20:bframes=5:b-pyramid=normal"}),
    "open.mp4": ("libx264", {"x264-params": "keyint=20:open-gop=1:bframes=3"}),
    "open.ts": ("libx264", {"x264-params": "keyint=20:open-gop=1:bframes=3"}),
    "refresh.mkv": ("libx264", {"x264-params": "keyint=20:intra-refresh=1"}),
    "still.ts": ("libx264", {"x264-params": "keyint=20", "still": True}),
    "fragments.mp4": ("libx264", {"x264-params": "keyint=20", "mux_movflags": "frag_keyframe+empty_moov"}),
    "uneven.mkv": ("libx264", {"x264-params": "keyint=20", "times": [n + n * n // 40 for n in range(120)]}),
    "hevc10.mp4": ("libx265", {"x265-params": "keyint=20:open-gop=1:log-level=none", "pix_fmt": "yuv420p10le"}),
    "hevc10.ts": ("libx265", {"x265-params": "keyint=20:open-gop=1:log-level=none", "pix_fmt": "yuv420p10le"}),
    "interlaced.ts": ("mpeg2video", {"flags": "+ildct+ilme", "g": "12", "bf": "2", "b": "4M"}),
    "interlaced.mkv": ("libx264", {"flags": "+ildct+ilme", "x264-params": "tff=1:keyint=20"}),
    "interlaced.mov": ("prores_ks", {"flags": "+ildct", "pix_fmt": "yuv422p10le"}),
    "vp9.webm": ("libvpx-vp9", {"g": "25", "b": "500k", "cpu-used": "8", "auto-alt-ref": "1"}),
    "mpeg4.avi": ("mpeg4", {"g": "20", "bf": "2", "b": "2M"}),
    "bare.h264": ("libx264", {"x264-params": "keyint=20"}),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_stream(tmp_path: Path, name: str) -> None:
    codec, options = KINDS[name]
    path = moving(tmp_path / name, codec, **options)
    check_from(path, (0, 37, 60, 79, 80, 81, 99, 118, 119))


@pytest.mark.parametrize(
    "name",
    [
        "sample-with-large-length.avi",  # times that run backwards
        # 10-bit HEVC, an edit list, times before 0
        pytest.param("sample_edit_list_no_sync_frame_before_edit.mp4", marks=pytest.mark.slow),
        "iibbibb_editlist_videoonly.mp4",
        "edit_list_positive_shift.mp4",
        "bbb_2500ms.ts",
        "internal_emulator_transformer_output_180_rotated.mp4",
        "sample_with_invalid_nalu.mp4",  # damaged
    ],
)
def test_real_files(shared, name: str) -> None:
    with VideoSource(shared(f"media/{name}"), SMALL) as source:
        count = len(list(source))
    check_from(shared(f"media/{name}"), {count // 2, count * 3 // 4, count - 1})


def test_it_is_quick_in_the_middle_of_a_long_film(shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than some groups of pictures are decoded before the first."""
    decoded = 0
    decode = Decoder._decode

    def counted(self, packet):
        nonlocal decoded
        for frame in decode(self, packet):
            decoded += 1
            yield frame

    path = shared("media/long_180p_av1.mp4")
    with VideoSource(path) as source:
        whole = [(f.pts, picture_check(f.image)) for f, _ in zip(source, range(4002), strict=False)]
    monkeypatch.setattr(Decoder, "_decode", counted)
    for place in (2000, 3000, 4000):
        decoded = 0
        with VideoSource(path) as source:
            frame = next(source.frames_after(*whole[place]))
        assert (frame.pts, picture_check(frame.image)) == whole[place + 1]
        assert decoded < 1200


@pytest.mark.slow
def test_a_long_film_at_many_places(shared) -> None:
    check_from(shared("media/long_180p_av1.mp4"), [1, *random.Random(0).choices(range(21700), k=8), 21764, 21765])


def test_key_pictures_that_are_none_do_no_harm(tmp_path: Path) -> None:
    """Without its table of key pictures an MP4 claims that every picture is one."""
    for codec, options in (("libx264", {"x264-params": "keyint=20"}), ("mpeg4", {"g": "20", "bf": "2"})):
        path = moving(tmp_path / f"{codec}.mp4", codec, **options)
        data = path.read_bytes()
        assert b"stss" in data
        path.write_bytes(data.replace(b"stss", b"free"))
        check_from(path, (37, 60, 85, 99, 118))


def test_a_part_and_deinterlacing_by_force(tmp_path: Path) -> None:
    path = moving(tmp_path / "a.mp4", "libx264", **{"x264-params": "keyint=10"})
    part = replace(SMALL, start=Fraction(2), end=Fraction(4))
    check_from(path, (0, 1, 25, 48, 49), part)
    check_from(path, (30, 90), replace(SMALL, deinterlace="always"))


def test_another_picture_is_told_and_none_is_refused(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=20).path
    with VideoSource(path) as source:
        whole = facts(source)
    with VideoSource(path) as source:
        assert facts(source.frames_after(whole[5][0], whole[6][2])) == whole[6:]
        assert any("is not to the bit" in note for note in source.notes)
    for pts in (whole[5][0] + 1, whole[-1][0] + 1):
        with VideoSource(path) as source, pytest.raises(ChangedError, match=r"a\.mp4 is not as it was .* begin again"):
            list(source.frames_after(pts, whole[5][2]))


def test_without_a_checksum_all_is_read(tmp_path: Path) -> None:
    path = moving(tmp_path / "a.mp4", "libx264")
    with VideoSource(path, SMALL) as source:
        whole = facts(source)
    with VideoSource(path, SMALL) as source:
        assert facts(source.frames_after(whole[70][0])) == whole[71:]
