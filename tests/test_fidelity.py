"""What a player finds in the output of the whole path: transparency, HDR, containers, and what is said of them."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media import make_clip, save_tiny

from vidstyle import cli
from vidstyle.catalog import parse_recipe
from vidstyle.codecs import EncoderOptions
from vidstyle.errors import UsageError
from vidstyle.job import FileJob, stylize_file
from vidstyle.sink import SinkOptions
from vidstyle.source import SourceOptions


@pytest.fixture
def style(home: Path) -> str:
    return str(save_tiny(home, "tiny"))


def first(path: Path, pix_fmt: str) -> np.ndarray:
    with av.open(str(path)) as container:
        stream: Any = container.streams.best("video")
        return next(container.decode(stream)).reformat(format=pix_fmt).to_ndarray()


@pytest.fixture
def glass(tmp_path: Path) -> Path:
    """Three transparent pictures, lossless: colours on the left, ever clearer to the right."""
    x = np.arange(64, dtype=np.uint8)
    image = np.zeros((48, 64, 4), np.uint8)
    image[..., 0], image[..., 1], image[..., 2], image[..., 3] = 200, 90, 40, 255 - 4 * x
    with av.open(str(tmp_path / "glass.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgra"
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(image, format="rgba").reformat(format="bgra")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return tmp_path / "glass.mkv"


def test_transparency_is_kept_with_its_colours(style: str, glass: Path) -> None:
    """Straight alpha: a half-clear red is as red as an opaque one."""
    report = stylize_file(FileJob(glass, parse_recipe(style, strength=0.0)))
    assert report.strict_losses() == []
    found, before = first(Path(report.output), "rgba"), first(glass, "rgba")
    assert np.abs(found[..., 3].astype(int) - before[..., 3]).max() <= 1
    seen = before[..., 3] > 128  # below, eight bits of a nearly black picture say little of its colour
    assert np.abs(found.astype(int) - before)[seen].max() <= 3


def test_transparency_that_is_lost_is_told(style: str, glass: Path, tmp_path: Path) -> None:
    report = stylize_file(FileJob(glass, parse_recipe(style, strength=0.0), tmp_path / "out.mp4"))
    assert any("black" in line for line in report.strict_losses())
    assert first(tmp_path / "out.mp4", "rgb24")[:, -8:].max() < 30


def test_transparent_prores_is_called_so(style: str, glass: Path, tmp_path: Path) -> None:
    """By the name of the codec alone players of MOV know that there is an alpha channel."""
    stylize_file(FileJob(glass, parse_recipe(style, strength=0.0), tmp_path / "out.mov"))
    with av.open(str(tmp_path / "out.mov")) as container:
        assert container.streams.video[0].codec_context.codec_tag == "ap4h"


@pytest.mark.parametrize("name", ["hdr10-av1.mp4", "hlg10-color-test.mp4"])
def test_hdr_is_kept(style: str, shared, tmp_path: Path, name: str) -> None:
    """Ten bits, the source's tags, and with no look the source's signal but for what eight bits between cost."""
    source = shared(f"media/{name}")
    job = FileJob(source, parse_recipe(style, strength=0.0), tmp_path / "out.mp4", SourceOptions(None, hdr="keep"))
    end = replace(job.reading, end=Fraction(1, 5))
    report = stylize_file(replace(job, reading=end, writing=SinkOptions(EncoderOptions(crf=4, preset="ultrafast"))))
    assert not any("HDR" in line for line in report.strict_losses())
    with av.open(str(source)) as a, av.open(str(tmp_path / "out.mp4")) as b:
        frames = [next(c.decode(c.streams.best("video"))) for c in (a, b)]
    tags = [(f.color_trc, f.colorspace, f.color_primaries, f.color_range) for f in frames]
    assert tags[0] == tags[1] and frames[1].format.name == "yuv420p10le"
    luma = [np.frombuffer(f.planes[0], np.uint16).reshape(f.height, -1)[:, : f.width].astype(int) for f in frames]
    assert np.abs(luma[0] - luma[1]).mean() < 16  # of 1023; highlights lie far apart in eight bits


def test_hdr_that_is_tone_mapped_is_told(style: str, shared, tmp_path: Path) -> None:
    source = shared("media/hlg10-color-test.mp4")
    report = stylize_file(FileJob(source, parse_recipe(style), tmp_path / "out.mp4", SourceOptions(48)))
    assert [line for line in report.strict_losses() if "tone-mapped" in line and "--hdr keep" in line]


def test_hdr_needs_a_codec_that_carries_it(style: str, shared, tmp_path: Path) -> None:
    reading, writing = SourceOptions(48, hdr="keep"), SinkOptions(EncoderOptions("h264"))
    job = FileJob(shared("media/hlg10-color-test.mp4"), parse_recipe(style), tmp_path / "out.mp4", reading, writing)
    with pytest.raises(UsageError, match="hevc"):
        stylize_file(job)
    assert list(tmp_path.glob("out*")) == []


def test_the_container_follows_the_streams(style: str, shared, tmp_path: Path) -> None:
    """A name without an extension, and a source whose container cannot be written."""
    source = shared("media/sample_with_pgs_subtitles.mkv")
    report = stylize_file(FileJob(source, parse_recipe(style), tmp_path / "named", SourceOptions(48)))
    assert report.output == str(tmp_path / "named.mkv")
    plain = make_clip(tmp_path / "plain.mp4", frames=3)
    report = stylize_file(FileJob(plain.path, parse_recipe(style), tmp_path / "short"))
    assert report.output == str(tmp_path / "short.mp4")


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(a) for a in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_strict_and_the_report_file(style: str, shared, tmp_path: Path) -> None:
    plain = make_clip(tmp_path / "plain.mp4", frames=3).path
    common = ("file", "-s", style, "--size", "48", "--strict", "--report", tmp_path / "report.json", "-o")
    assert run(*common, tmp_path / "a.mp4", plain) == 0
    said = json.loads((tmp_path / "report.json").read_text())
    assert said["kept_everything"] and said["frames_out"] == 3
    assert run(*common, tmp_path / "b.mp4", shared("media/hlg10-color-test.mp4")) == 1
    said = json.loads((tmp_path / "report.json").read_text())
    assert not said["kept_everything"] and (tmp_path / "b.mp4").exists()


@pytest.mark.parametrize(("codec", "kept"), [("h264", True), ("ffv1", False)])
def test_the_shape_of_pixels_is_kept_or_told(style: str, shared, tmp_path: Path, codec: str, kept: bool) -> None:
    source = shared("media/h264_white_frame_sar_16_9.mp4")
    writing = SinkOptions(EncoderOptions(codec))
    report = stylize_file(FileJob(source, parse_recipe(style), tmp_path / "out.mkv", SourceOptions(48), writing))
    with av.open(str(tmp_path / "out.mkv")) as container:
        stream = container.streams.video[0]
        assert (stream.sample_aspect_ratio == Fraction(16, 9)) == kept
    assert any("shown as square" in line for line in report.strict_losses()) != kept


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(67, 64), (68, 48)), (Fraction(1, 2), (64, 96))])
@pytest.mark.parametrize("compare", [False, True])
def test_pictures_keep_their_shape_where_pixels_cannot(
    style: str, tmp_path: Path, aspect: Fraction, size: tuple[int, int], compare: bool
) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=2, audio=0, sample_aspect_ratio=aspect)
    reading, writing = SourceOptions(originals=compare), SinkOptions(EncoderOptions("vp9"), compare)
    report = stylize_file(FileJob(clip.path, parse_recipe(style), tmp_path / "out.webm", reading, writing))
    with av.open(str(tmp_path / "out.webm")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (size[0] * (1 + compare), size[1])
        assert stream.sample_aspect_ratio in (None, 1)
    assert [line for line in report.reductions if f"scaled to {size[0]}x{size[1]}" in line]
