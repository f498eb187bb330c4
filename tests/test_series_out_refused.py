"""What `vidstyle file` refuses of numbered pictures as an output, in one line and before any work, and what stays."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from media import left_behind, make_clip, save_tiny
from picture_files import make_series, vidstyle

from vidstyle.catalog import parse_recipe
from vidstyle.codecs import EncoderOptions
from vidstyle.errors import SinkError, UsageError
from vidstyle.inputs import video_input
from vidstyle.job import FileJob, stylize_file
from vidstyle.outputs import parse_output
from vidstyle.sink import SinkOptions
from vidstyle.source import SourceOptions


@pytest.fixture
def job(home: Path, tmp_path: Path) -> FileJob:
    clip = make_clip(tmp_path / "in.mp4", frames=3, audio=0)
    return FileJob(clip.path, parse_recipe(str(save_tiny(home, "tiny"))), tmp_path / "drawn" / "to.%d.png")


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        ("x.png", 2, "x.png is the name of one picture: a video becomes numbered ones as x.%04d.png, or use .mp4"),
        ("a/x.jpg", 2, "becomes numbered ones as a/x.%04d.jpg"),
        ("a/x.%04d.tga", 2, "cannot write numbered pictures as .tga: use one of .png .jpg"),
        ("a/x.####.exr", 2, "cannot write numbered pictures as .exr: use one of .png .jpg"),
        ("a/%d.%d.png", 2, "%d.%d.png has several numbers: write one as %04d"),
        ("in.mp4/x.%d.png", 5, "in.mp4 is no folder"),
        ("a/x.%d.png --codec h264", 2, ".png pictures are made by png, got --codec h264: leave it out"),
        ("a/x.%d.webp --codec libwebp_anim", 2, "made by libwebp, got --codec libwebp_anim"),
        ("a/x.%d.png --crf 20", 2, "the encoder png has no option 'crf'"),
        ("a/x.%d.png --preset fast", 2, "the encoder png has no option 'preset'"),
        ("a/x.%d.tif --pixel-format yuv420p", 2, "has no pixel format 'yuv420p': use one of rgb24, rgb48le, rgba"),
        ("a/x.%d.png --encoder-option foo=1", 2, "the encoder png has no option 'foo'"),
        ("a/x.%d.png --pipe y4m", 2, "--pipe y4m is for standard output"),
    ],
)
def test_mistakes_are_one_line_and_a_code(home: Path, tmp_path: Path, given: str, code: int, says: str) -> None:
    save_tiny(home / "styles", "tiny")
    make_clip(tmp_path / "in.mp4", frames=3)
    done = vidstyle("file", "in.mp4", "--style", "tiny", "-o", *given.split(), cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1) and says in done.stderr
    assert left_behind(tmp_path, "in.mp4") == [] and not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("batch", "in.mp4", "-o", "x.%d.dpx"), "results go to a folder, got -o x.%d.dpx"),
        (("batch", "in.mp4", "-o", "x.%d.png", "--cluster", "127.0.0.1"), "results go to a folder, got -o x.%d.png"),
    ],
)
@pytest.mark.usefixtures("home")
def test_other_commands_make_videos(tmp_path: Path, args: tuple[str, ...], says: str) -> None:
    make_clip(tmp_path / "in.mp4", frames=3)
    done = vidstyle(*args, cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1) and says in done.stderr
    assert left_behind(tmp_path, "in.mp4") == []


def test_a_folder_stays_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x.%d.png").mkdir()
    for text in (f"{tmp_path}/x.%d.png", f"{tmp_path}/y.%d.png/"):
        assert parse_output(text) == (None, Path(text))
    assert parse_output("y.####.PNG") == (Path("y.%04d.PNG"), None)
    assert parse_output("y.%d.mp4") == (Path("y.%d.mp4"), None)


def test_hdr_is_refused_and_nothing_left(home: Path, tmp_path: Path) -> None:
    clip = make_clip(
        tmp_path / "in.mkv",
        frames=2,
        codec="libx265",
        pix_fmt="yuv420p10le",
        color_trc=16,
        color_primaries=9,
        colorspace=9,
    )
    recipe = parse_recipe(str(save_tiny(home, "tiny")))
    kept = FileJob(clip.path, recipe, tmp_path / "a" / "%d.png", SourceOptions(hdr="keep"))
    with pytest.raises(UsageError, match="numbered pictures carry no HDR: leave --hdr keep out, or write a video"):
        stylize_file(kept)
    assert not (tmp_path / "a").exists()
    report = stylize_file(replace(kept, reading=SourceOptions()))
    assert "HDR was tone-mapped to SDR (BT.709); --hdr keep keeps it in a video" in report.reductions


def test_pictures_that_are_there_are_kept_or_replaced_and_named(job: FileJob) -> None:
    folder = job.target.parent
    folder.mkdir()
    for name in ("to.2.png", "to.7.png", "to.9.png", "to.07.png"):
        (folder / name).write_bytes(b"mine")
    with pytest.raises(SinkError, match=r"3 pictures from to.2.png to to.9.png exist in .*drawn: give another name"):
        stylize_file(job)
    assert (folder / "to.2.png").read_bytes() == b"mine" and len(list(folder.iterdir())) == 4
    report = stylize_file(replace(job, writing=SinkOptions(overwrite=True)))
    left = "2 pictures from to.7.png to to.9.png were there before, and are none of these"
    assert left in report.notes and report.kept_everything
    mine = [path.name for path in sorted(folder.iterdir()) if path.read_bytes() == b"mine"]
    assert mine == ["to.07.png", "to.7.png", "to.9.png"] and len(list(folder.iterdir())) == 6


@pytest.mark.parametrize("way", ["itself", "link", "hard", "digits"])
def test_the_source_is_no_output(home: Path, tmp_path: Path, way: str) -> None:
    pattern = make_series(tmp_path / "shot", count=3)
    output = pattern
    if way == "link":
        (tmp_path / "other").symlink_to(tmp_path / "shot")
        output = tmp_path / "other" / pattern.name
    elif way == "hard":
        output = tmp_path / "b.%d.png"
        os.link(pattern.parent / "shot.1002.png", tmp_path / "b.4.png")
    elif way == "digits":
        output = pattern.with_name("shot.%d.png")
    recipe = parse_recipe(str(save_tiny(home, "tiny")))
    writing = SinkOptions(overwrite=True)
    with pytest.raises(UsageError, match=r"the output .* is the source itself: give another name with -o"):
        stylize_file(FileJob(video_input(str(pattern), "24"), recipe, output, writing=writing))


def test_a_folder_in_the_way_of_a_picture(job: FileJob) -> None:
    (job.target.parent / "to.2.png").mkdir(parents=True)
    with pytest.raises(SinkError, match=r"to.2.png is a folder: give another name with -o"):
        stylize_file(replace(job, writing=SinkOptions(overwrite=True)))


def test_a_failure_leaves_no_folder(job: FileJob, tmp_path: Path) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stylize_file(replace(job, output=tmp_path / "a" / "b" / "%d.png"), fail)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(("name", "codec"), [("%d.png", "png"), ("%d.tif", "tiff"), ("%d.webp", "libwebp")])
def test_the_fitting_codec_may_be_named(job: FileJob, tmp_path: Path, name: str, codec: str) -> None:
    writing = SinkOptions(EncoderOptions(codec, pix_fmt="bgra" if codec == "libwebp" else "gray"))
    report = stylize_file(replace(job, output=tmp_path / name, writing=writing))
    assert report.frames_out == 3 and report.encoder_name == codec
