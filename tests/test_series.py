"""Numbered pictures as the input of `vidstyle file`: exact times, colours, and nothing lost in silence."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import left_behind, picture, save_tiny, video_times
from picture_files import COUNT, PROFILE, encoded, make_series, save, smooth, vidstyle, with_exif

from vidstyle.catalog import parse_recipe
from vidstyle.codecs import EncoderOptions
from vidstyle.errors import SinkError, SourceError
from vidstyle.inputs import video_input
from vidstyle.job import FileJob, Progress, stylize_file
from vidstyle.picture import Picture, encode_picture, read_picture
from vidstyle.picture_tags import with_profile
from vidstyle.sink import SinkOptions
from vidstyle.source import SourceOptions, VideoSource


@pytest.fixture
def pattern(tmp_path: Path) -> Path:
    return make_series(tmp_path / "shot")


def job_of(home: Path, pattern: Path, fps: str = "24", strength: float = 1.0) -> FileJob:
    return FileJob(video_input(str(pattern), fps), parse_recipe(str(save_tiny(home, "tiny")), strength))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])


@pytest.mark.parametrize(("fps", "rate"), [("24", Fraction(24)), ("23.976", Fraction(24000, 1001)), ("1/2", 1 / 2)])
@pytest.mark.parametrize("extension", [".mp4", ".mov"])
def test_every_picture_has_its_time(home: Path, pattern: Path, extension: str, fps: str, rate: Fraction) -> None:
    output = pattern.parent / f"out{extension}"
    report = stylize_file(replace(job_of(home, pattern, fps), output=output))
    assert (report.frames_in, report.frames_out, report.pts_equal, report.losses) == (COUNT, COUNT, True, [])
    assert video_times(output) == [index / Fraction(rate) for index in range(COUNT)]


def test_the_first_picture_is_the_first(pattern: Path) -> None:
    with VideoSource(video_input(str(pattern), "24"), SourceOptions(size=None)) as source:
        for index, frame in enumerate(source):
            assert np.array_equal(frame.image, picture(index, 64, 48))
        assert index == COUNT - 1


def test_a_part(pattern: Path) -> None:
    reading = SourceOptions(size=None, start=Fraction(5, 24), end=Fraction(8, 24))
    with VideoSource(video_input(str(pattern), "24"), reading) as source:
        assert [int(frame.image[0, 0, 2]) for frame in source] == [picture(i, 2, 2)[0, 0, 2] for i in (5, 6, 7)]


def write_deep(folder: Path, codec: str, extension: str, pix_fmt: str) -> Path:
    folder.mkdir()
    for index in range(3):
        frame = av.VideoFrame.from_ndarray(picture(index, 64, 48), format="rgb24").reformat(format=pix_fmt)
        data = encoded(codec, frame.to_ndarray(), pix_fmt)
        (folder / f"shot.{1001 + index}{extension}").write_bytes(data)
    return folder / f"shot.%04d{extension}"


@pytest.mark.parametrize(
    ("extension", "deep", "most"),
    [
        (".png", None, 0),
        (".jpg", None, 3),
        (".tif", None, 0),
        (".bmp", None, 0),
        (".webp", None, 4),
        (".png", ("png", "rgb48be"), 1),
        (".tif", ("tiff", "rgb48le"), 1),
        (".dpx", ("dpx", "gbrp10le"), 1),
        (".tga", ("targa", "bgr24"), 0),
        (".png", ("png", "gray16be"), None),
    ],
)
def test_colours_are_the_pictures(
    home: Path, tmp_path: Path, extension: str, deep: tuple[str, str] | None, most: float | None
) -> None:
    """Those of JPEG and WebP are stored in BT.601, as no player expects of a video of this size or of a larger one."""
    folder = tmp_path / "shot"
    pattern = write_deep(folder, deep[0], extension, deep[1]) if deep else make_series(folder, extension, 3)
    lossless = SinkOptions(EncoderOptions("ffv1", pix_fmt="yuv444p"))
    output = tmp_path / "out.mkv"
    stylize_file(replace(job_of(home, pattern, strength=0.0), output=output, writing=lossless))
    with av.open(str(output)) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc) == (1, 1, 1, 1)
    if most is not None:
        with VideoSource(output, SourceOptions(size=None)) as source:
            for index, made in enumerate(source):
                difference = np.abs(made.image.astype(int) - picture(index, 64, 48))
                assert difference.mean() <= most + 1


@pytest.mark.parametrize("extension", [".png", ".webp"])
def test_alpha_is_kept_and_the_container_follows(home: Path, tmp_path: Path, extension: str) -> None:
    (tmp_path / "glass").mkdir()
    alpha = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))
    for index in range(3):
        save(tmp_path / "glass" / f"{index}{extension}", Picture(picture(index, 64, 48), alpha))
    report = stylize_file(job_of(home, tmp_path / "glass" / f"%d{extension}"))
    assert report.output == str(tmp_path / "glass" / "glass.tiny.mov")
    assert "written as .mov, since .mp4 keeps no alpha" in report.notes
    with VideoSource(Path(report.output), SourceOptions(size=None)) as source:
        assert source.info.alpha
        assert np.abs(next(iter(source)).alpha.astype(int) - alpha).mean() < 2


def test_the_codec_decides_on_the_container(home: Path, pattern: Path) -> None:
    writing = SinkOptions(EncoderOptions("prores_ks"))
    report = stylize_file(replace(job_of(home, pattern), writing=writing))
    assert report.output == str(pattern.parent / "shot.tiny.mov")
    assert "written as .mov, since .mp4 cannot hold prores video" in report.notes


def test_pictures_of_a_camera_come_upright(tmp_path: Path) -> None:
    for index in range(3):
        path = save(tmp_path / f"{index}.jpg", smooth(48, 64))
        path.write_bytes(with_exif(path.read_bytes(), 6))
    with VideoSource(video_input(str(tmp_path / "%d.jpg"), "24"), SourceOptions(size=None)) as source:
        image = next(iter(source)).image
    assert image.shape == (64, 48, 3)
    assert np.abs(image.astype(int) - np.rot90(smooth(48, 64), -1)).mean() < 4


@pytest.mark.parametrize("value", [1, 2, 6, 7])
def test_and_mirrored_ones_as_well(tmp_path: Path, value: int) -> None:
    path = save(tmp_path / "0.jpg", smooth(48, 64))
    path.write_bytes(with_exif(path.read_bytes(), value))
    with VideoSource(video_input(str(tmp_path / "%d.jpg"), "24"), SourceOptions(size=None)) as source:
        made = next(iter(source)).image
    assert np.abs(made.astype(int) - read_picture(path).rgb).mean() < 2


@pytest.mark.parametrize("name", ["0.png", "%d.png"])
def test_a_png_with_a_colour_profile_is_no_crash(home: Path, tmp_path: Path, name: str) -> None:
    """PyAV frees the profile's name twice where the side data of its frame was listed."""
    png = with_profile(encode_picture(Picture(picture(0, 64, 48)), ".png"), PROFILE)
    (tmp_path / "0.png").write_bytes(png or b"")
    save_tiny(home / "styles", "tiny")
    single = name == "0.png"
    done = vidstyle("file", name, *(() if single else ("--fps", "24")), "--style", "tiny", cwd=tmp_path)
    assert done.returncode == (4 if single else 0), done.stderr


@pytest.mark.parametrize("broken", [(0,), (5,), (3, 9), (COUNT - 1,), (2, COUNT - 2)])
@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_a_damaged_picture_costs_itself_and_is_named(
    home: Path, tmp_path: Path, extension: str, broken: tuple[int, ...]
) -> None:
    """Also near the end, where a decoder of several threads loses those behind it."""
    pattern = make_series(tmp_path / "shot", extension)
    names = [f"shot.{1001 + index}{extension}" for index in broken]
    for name in names:
        cut_short(pattern.parent / name)
    report = stylize_file(replace(job_of(home, pattern), output=tmp_path / "out.mov"))
    assert report.losses == [f"{name} cannot be decoded (damaged?): a picture is missing there" for name in names]
    left = [Fraction(index, 24) for index in range(COUNT) if index not in broken]
    times = video_times(tmp_path / "out.mov")
    assert [time - times[0] for time in times] == [time - left[0] for time in left]


@pytest.mark.parametrize("frames", [4, 9, 12])
def test_it_goes_on_where_it_was_stopped(
    home: Path, pattern: Path, tmp_path: Path, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidstyle.segment.SECONDS", Fraction(1, 8))
    job = replace(job_of(home, pattern), output=tmp_path / "out.mp4")

    def stop(progress: Progress) -> None:
        if progress.frames == frames:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stylize_file(job, stop)
    seen: list[Progress] = []
    report = stylize_file(replace(job, resume=True), seen.append)
    assert report.frames_out == COUNT and seen[0].frames == (frames - 1) // 3 * 3 + 1
    stylize_file(replace(job, output=tmp_path / "straight.mp4"))
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "straight.mp4").read_bytes()


def test_another_picture_or_rate_since_is_noticed(
    home: Path, pattern: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidstyle.segment.SECONDS", Fraction(1, 8))
    job = replace(job_of(home, pattern), output=tmp_path / "out.mp4")

    def stop(progress: Progress) -> None:
        if progress.frames == 8:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stylize_file(job, stop)
    again = replace(job, resume=True)
    other = replace(again, source=video_input(str(pattern), "25"))
    with pytest.raises(SinkError, match=r"since that run --fps changed \(was 24, is 25\)"):
        stylize_file(other)
    path = pattern.parent / "shot.1007.png"
    before = path.stat()
    path.write_bytes(bytes(reversed(path.read_bytes())))  # of the same length
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with pytest.raises(SinkError, match="since that run the source changed"):
        stylize_file(again)


def test_pictures_that_do_not_go_together_are_refused_by_name(pattern: Path) -> None:
    folder = pattern.parent
    wrong = folder / "shot.1005.png"
    whole = wrong.read_bytes()

    def refused(data: bytes) -> str:
        wrong.write_bytes(data)
        with pytest.raises(SourceError) as error:
            video_input(str(pattern), "24")
        return str(error.value)

    save(wrong, picture(4, 48, 64))
    other = f"{wrong} is 48x64, and shot.1001.png is 64x48: the pictures of a series have one size"
    assert refused(wrong.read_bytes()) == other
    assert refused(b"") == f"{wrong} is empty (0 bytes): make it again"
    jpeg = save(folder / "a.jpg", picture(0, 64, 48)).read_bytes()
    assert refused(jpeg) == f"{wrong} is no PNG picture (damaged, or of another kind)"
    wrong.write_bytes(whole)
    assert video_input(str(folder), "24").name == str(pattern)


def test_sizes_behind_the_pixels_or_of_other_kinds_are_read(tmp_path: Path) -> None:
    for extension, codec, pix_fmt in ((".tif", "tiff", "rgb24"), (".tga", "targa", "bgr24"), (".webp", "", "")):
        folder = tmp_path / extension
        large = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
        folder.mkdir()
        for index, image in enumerate((large, large, large[:100])):
            path = folder / f"{index}{extension}"
            if codec:
                path.write_bytes(encoded(codec, np.ascontiguousarray(image), pix_fmt))
            else:
                save(path, image)
        with pytest.raises(SourceError, match=f"2{extension} is 300x100, and 0{extension} is 300x200"):
            video_input(str(folder), "24")


def test_colours_that_mean_something_else_are_told(tmp_path: Path) -> None:
    def notes(folder: str, data: bytes, extension: str) -> list[str]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"0{extension}").write_bytes(data)
        with VideoSource(video_input(str(tmp_path / folder), "24")) as source:
            return source.notes

    png = encode_picture(Picture(picture(0, 64, 48)), ".png")
    srgb = bytes(16) + b"RGB " + "sRGB IEC61966-2.1".encode("utf-16-be")
    assert notes("wide", with_profile(png, PROFILE) or b"", ".png") == [
        "the pictures' colour profile is not kept: their colours were taken as sRGB"
    ]
    assert notes("usual", with_profile(png, srgb) or b"", ".png") == notes("none", png, ".png") == []
    dpx = bytearray(encoded("dpx", picture(0, 64, 48), "rgb24"))
    assert notes("video", bytes(dpx), ".dpx") == []
    dpx[801] = 3
    assert "film densities" in notes("film", bytes(dpx), ".dpx")[0]


def test_linear_light_is_refused(tmp_path: Path) -> None:
    for index in range(2):
        (tmp_path / f"{index}.exr").write_bytes(b"\x76\x2f\x31\x01")
    with pytest.raises(SourceError, match=r"hold linear light, .*: make 16-bit .png or .tif of them first"):
        video_input(str(tmp_path), "24")


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("shot/shot.%04d.png",), 2, "(shot.%04d.png, 1001 to 1012) have no times of their own: add --fps 24"),
        (("shot",), 2, "have no times of their own: add --fps 24"),
        (("shot", "--fps", "x"), 2, "--fps is 'x': expected"),
        (("shot/shot.1001.png", "--fps", "24"), 2, "one picture: give all as shot/shot.%04d.png"),
        (("in.mp4", "--fps", "24"), 2, "in.mp4 is a video with times of its own: leave it out"),
        (("-", "--fps", "24"), 2, "standard input is a video with times of its own: leave it out"),
        (("empty", "--fps", "24"), 4, "empty is a folder without numbered pictures"),
        (("shto", "--fps", "24"), 4, "cannot read shto: no such file or folder; numbered pictures are named as"),
        (("shot/*.png", "--fps", "24"), 4, "no such file or folder; numbered pictures are named as shot.%04d.png"),
    ],
)
@pytest.mark.usefixtures("home")
def test_mistakes_are_one_line_and_a_code(
    pattern: Path, tmp_path: Path, args: tuple[str, ...], code: int, says: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "in.mp4").touch()
    done = vidstyle("file", *args, cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1) and says in done.stderr
    assert left_behind(tmp_path, "in.mp4") == [] and len(list(pattern.parent.iterdir())) == COUNT


@pytest.mark.usefixtures("pattern")
def test_at_the_command_line(home: Path, tmp_path: Path) -> None:
    save_tiny(home / "styles", "tiny")
    (home / "config.toml").write_text('[file]\nfps = "25"\n')
    given = ("--style", "tiny", "--compare", "--strict", "--pixel-format", "yuv444p")
    done = vidstyle("file", "shot/", "--fps", "24", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "12 frames in, 12 out, every time exact" in done.stderr
    assert video_times(tmp_path / "shot.tiny.mp4") == [Fraction(index, 24) for index in range(COUNT)]
    done = vidstyle("file", "shot/shot.####.png", *given, cwd=tmp_path)  # the rate is the config file's
    assert done.returncode == 0, done.stderr
    assert video_times(tmp_path / "shot" / "shot.tiny.mp4")[1] == Fraction(1, 25)
    done = vidstyle("file", "shot/shot.tiny.mp4", *given, cwd=tmp_path)  # and not meant for this
    assert done.returncode == 0, done.stderr


def test_a_preview_is_of_a_picture_among_them(home: Path, pattern: Path, tmp_path: Path) -> None:
    save_tiny(home / "styles", "tiny")
    for name, at in (("shot", tmp_path / "shot.preview.png"), (str(pattern), pattern.parent / "shot.preview.png")):
        done = vidstyle("preview", name, "--size", "48", cwd=tmp_path)
        assert done.returncode == 0 and at.exists(), done.stderr
    assert vidstyle("file", "shot", cwd=tmp_path).returncode == 2  # the sheet in it is no part of it
