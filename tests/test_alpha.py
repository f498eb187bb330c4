"""Transparent videos: the alpha comes along, and the picture lies on black."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from lossless import write_lossless
from media import save_tiny

from vidstyle.catalog import parse_recipe
from vidstyle.codecs import EncoderOptions
from vidstyle.job import FileJob, stylize_file
from vidstyle.sink import SinkOptions
from vidstyle.source import SourceOptions, VideoSource

HEIGHT, WIDTH = 48, 64


def picture(index: int) -> np.ndarray:
    """RGBA with hidden colours where it is transparent."""
    x = np.arange(WIDTH)
    image = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 200, x * 3, 60
    image[8:40, 8 + index : 40 + index, 3] = 255
    image[:, 48:, 3] = 128
    return image


def composite(image: np.ndarray) -> np.ndarray:
    return image[..., :3] * (image[..., 3:] / 255)


def write(path: Path, codec: str, pix_fmt: str, count: int = 4, **options: str) -> Path:
    with av.open(str(path), "w", format="apng" if codec == "apng" else None) as out:
        stream = out.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgba")
            frame = frame.reformat(format=pix_fmt, dst_colorspace=5, src_color_range=2, dst_color_range=1)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


KINDS = [
    ("vp9.webm", "libvpx-vp9", "yuva420p", {"b": "2M", "auto-alt-ref": "0"}, 8),
    ("vp8.mkv", "libvpx", "yuva420p", {"b": "2M", "auto-alt-ref": "0"}, 8),
    ("prores.mov", "prores_ks", "yuva444p10le", {"profile": "4"}, 12),
    ("ffv1.mkv", "ffv1", "yuva444p10le", {}, 10),
    ("utvideo.avi", "utvideo", "gbrap", {}, 8),
    ("qtrle.mov", "qtrle", "argb", {}, 8),
    ("png.mov", "png", "rgba", {}, 8),
    ("a.png", "apng", "rgba", {}, 8),
]


@pytest.mark.parametrize("size", [None, 24])
@pytest.mark.parametrize(("name", "codec", "pix_fmt", "options", "bits"), KINDS)
def test_alpha_is_given_and_the_picture_lies_on_black(
    tmp_path: Path, name: str, codec: str, pix_fmt: str, options: dict[str, str], bits: int, size: int | None
) -> None:
    path = write(tmp_path / name, codec, pix_fmt, **options)
    with VideoSource(path, SourceOptions(size=size, originals=True)) as source:
        assert (source.info.alpha, source.info.bits) == (True, bits)
        frames = list(source)
    assert len(frames) == 4
    for index, frame in enumerate(frames):
        expected = picture(index)
        assert frame.image.shape == ((HEIGHT, WIDTH, 3) if size is None else (24, 32, 3))
        assert frame.alpha is not None and frame.original is not None
        assert np.abs(frame.alpha.astype(int) - expected[..., 3]).max() <= 2
        assert np.abs(frame.original - composite(expected)).mean() <= 1
        small = composite(expected).reshape(
            frame.image.shape[0], HEIGHT // frame.image.shape[0], -1, WIDTH // frame.image.shape[1], 3
        )
        assert np.abs(frame.image - small.mean((1, 3))).mean() <= 1.5


@pytest.mark.parametrize(("codec", "name"), [("gif", "a.gif"), ("png", "a.mov")])
@pytest.mark.parametrize("opaque", [False, True])
def test_a_palette_counts_where_a_colour_of_it_is_transparent(
    tmp_path: Path, codec: str, name: str, opaque: bool
) -> None:
    palette = np.zeros((256, 4), np.uint8)
    palette[:3] = (255 if opaque else 0, 9, 9, 9), (255, 200, 10, 20), (255, 10, 20, 200)
    indices = np.repeat(np.arange(3, dtype=np.uint8)[None], 32, 0).repeat(16, 1)
    frame = av.VideoFrame.from_ndarray((indices, palette), format="pal8")
    with VideoSource(write_lossless(tmp_path / name, [frame], codec)) as source:
        assert source.info.alpha is not opaque
        read = next(iter(source))
    hidden = [9, 9, 9] if opaque else [0, 0, 0]
    assert read.image[5, 8::16].tolist() == [hidden, [200, 10, 20], [10, 20, 200]]
    assert (read.alpha is None) is opaque
    if read.alpha is not None:
        assert read.alpha[5, 8::16].tolist() == [0, 255, 255]


def test_alpha_is_turned_with_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "turned.mov"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("qtrle", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "argb"
        stream.set_display_rotation(90)
        frame = av.VideoFrame.from_ndarray(picture(0), format="rgba").reformat(format="argb")
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with VideoSource(path) as source:
        frame = next(iter(source))
    assert (source.info.width, source.info.height) == (HEIGHT, WIDTH)
    turned = np.rot90(picture(0), source.info.orientation >> 1)
    np.testing.assert_array_equal(frame.alpha, turned[..., 3])
    assert np.abs(frame.image - composite(turned)).max() <= 1


def test_comparing_tells_that_it_puts_pictures_on_black(home: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "in.mov", "qtrle", "argb")
    look, reading = parse_recipe(str(save_tiny(home, "tiny")), 0.0), SourceOptions(None, originals=True)
    job = FileJob(path, look, tmp_path / "out.mkv", reading)
    report = stylize_file(replace(job, writing=SinkOptions(EncoderOptions("ffv1", pix_fmt="bgr0"), compare=True)))
    assert "the source is transparent; --compare shows its pictures on black" in report.reductions
    with VideoSource(tmp_path / "out.mkv", SourceOptions(None)) as source:
        both = next(iter(source)).image
    for half in (both[:, :WIDTH], both[:, WIDTH:]):
        assert np.abs(half - composite(picture(0))).max() <= 2
