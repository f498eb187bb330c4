"""Every way to store colours, against the standards' formulas in float."""

from pathlib import Path

import av
import numpy as np
import pytest
from lossless import codes, raw_frame, rgb_of, write_lossless

from vidstyle.errors import SourceError
from vidstyle.frame import Colour
from vidstyle.source import SourceOptions, VideoSource

SIDE = 16  # pixels of a patch
PATCHES = np.concatenate(
    [
        np.repeat(np.linspace(0, 1, 12)[:, None], 3, 1),
        np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 0]]),
        np.random.default_rng(0).random((14, 3)),
    ]
)


def spread(values: np.ndarray, width: int = SIDE, height: int = SIDE) -> np.ndarray:
    """[N] or [N, C] as patches side by side."""
    return np.repeat(np.repeat(values[None], height, 0), width, 1)


def read(path: Path, **options) -> tuple[np.ndarray, VideoSource]:
    """The middle pixel of every patch of the first picture, and the source."""
    with VideoSource(path, SourceOptions(size=None, **options)) as source:
        image = next(iter(source)).image
    return image[SIDE // 2, SIDE // 2 :: SIDE].astype(float), source


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 4, 5, 6, 7, 9])
@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv422p", "yuv420p", "yuv420p10le", "yuv444p12le", "yuv422p10le"])
def test_planes_become_what_the_formula_says(tmp_path: Path, pix_fmt: str, matrix: int, full: bool) -> None:
    form = av.VideoFormat(pix_fmt, 16, 16)
    bits = form.components[0].bits
    values = codes(PATCHES, matrix, full, bits)
    width, height = SIDE * form.chroma_width() // 16, SIDE * form.chroma_height() // 16
    planes = [spread(values[:, 0]), spread(values[:, 1], width, height), spread(values[:, 2], width, height)]
    path = write_lossless(
        tmp_path / "a.mkv", [raw_frame(pix_fmt, planes)], colorspace=matrix, color_range=2 if full else 1
    )
    found, source = read(path)
    assert (source.colour.matrix, source.colour.range, source.info.bits) == (matrix, 2 if full else 1, bits)
    assert np.abs(found - rgb_of(values, matrix, full, bits)).max() <= 0.7  # half a level is rounding


@pytest.mark.parametrize(
    ("pix_fmt", "tag", "full"),
    [("gray", 0, True), ("gray", 2, True), ("gray", 1, False), ("gray10le", 2, True), ("gray10le", 1, False)],
)
def test_gray(tmp_path: Path, pix_fmt: str, tag: int, full: bool) -> None:
    """Untagged it is full range, as FFmpeg writes it."""
    bits = 10 if "10" in pix_fmt else 8
    levels = np.linspace(0, 2**bits - 1, 30).round()
    path = write_lossless(tmp_path / "a.mkv", [raw_frame(pix_fmt, [spread(levels)])], color_range=tag)
    found, source = read(path)
    unit, top = 2 ** (bits - 8), 2**bits - 1
    expected = 255 * np.clip(levels / top if full else (levels - 16 * unit) / (219 * unit), 0, 1)
    assert np.abs(found - expected[:, None]).max() <= 0.51
    assert source.info.colour.range_used == 1


@pytest.mark.parametrize("pix_fmt", ["gbrp", "gbrp10le", "gbrp12le", "gbrp16le"])
def test_rgb_stays_as_it_is(tmp_path: Path, pix_fmt: str) -> None:
    top = 2 ** av.VideoFormat(pix_fmt).components[0].bits - 1
    values = np.round(PATCHES * top)
    frame = raw_frame(pix_fmt, [spread(values[:, channel]) for channel in (1, 2, 0)])
    codec, name = ("utvideo", "a.avi") if pix_fmt == "gbrp" else ("ffv1", "a.mkv")
    found, source = read(write_lossless(tmp_path / name, [frame], codec))
    assert np.abs(found - values / top * 255).max() <= 0.51
    assert (source.info.colour.matrix, source.info.colour.range) == (1, 1)  # of an output, which will be Y'CbCr


@pytest.mark.parametrize("pix_fmt", ["rgb24", "bgr0", "pal8"])
def test_packed_rgb(tmp_path: Path, pix_fmt: str) -> None:
    values = np.round(PATCHES * 255).astype(np.uint8)
    if pix_fmt == "pal8":
        palette = np.full((256, 4), 255, np.uint8)
        palette[: len(values), 1:] = values
        indices = spread(np.arange(len(values), dtype=np.uint8))
        frame, codec, name = av.VideoFrame.from_ndarray((indices, palette), format="pal8"), "png", "a.mov"
    else:
        frame = av.VideoFrame.from_ndarray(spread(values), format="rgb24").reformat(format=pix_fmt)
        codec, name = {"rgb24": ("png", "a.mov"), "bgr0": ("ffv1", "a.mkv")}[pix_fmt]
    found, source = read(write_lossless(tmp_path / name, [frame], codec))
    assert source.info.pix_fmt == pix_fmt
    np.testing.assert_array_equal(found, values)
    assert not source.info.alpha


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full", [False, True])
def test_ycgco(tmp_path: Path, full: bool, bits: int) -> None:
    unit, top = 2 ** (bits - 8), 2**bits - 1
    red, green, blue = PATCHES.T
    y, cg, co = red / 4 + green / 2 + blue / 4, -red / 4 + green / 2 - blue / 4, red / 2 - blue / 2
    luma, chroma = (top, top) if full else (219 * unit, 224 * unit)
    planes = [y * luma + (0 if full else 16 * unit), cg * chroma + 128 * unit, co * chroma + 128 * unit]
    planes = [spread(np.clip(np.round(plane), 0, top)) for plane in planes]
    frame = raw_frame("yuv444p" if bits == 8 else "yuv444p10le", planes)
    path = write_lossless(tmp_path / "a.mkv", [frame], colorspace=8, color_range=2 if full else 1)
    found, source = read(path)
    assert np.abs(found - PATCHES * 255).max() <= 2.1  # three rounded codes each
    assert source.info.colour.matrix == 1


def test_what_cannot_be_turned_into_rgb_is_refused_by_name(tmp_path: Path) -> None:
    frame = raw_frame("yuv420p", [np.full((32, 32), 90), *[np.full((16, 16), 128)] * 2])
    path = write_lossless(tmp_path / "a.mkv", [frame], colorspace=14, color_range=1)
    with pytest.raises(SourceError, match="ICtCp"):
        VideoSource(path)


@pytest.mark.parametrize(("transfer", "primaries"), [(13, 1), (4, 5), (5, 6), (8, 9), (1, 12)])
def test_transfer_and_primaries_are_carried_not_applied(tmp_path: Path, transfer: int, primaries: int) -> None:
    values = codes(PATCHES, 1, False, 8)
    frame = raw_frame("yuv444p", [spread(values[:, n]) for n in range(3)])
    tags = {"colorspace": 1, "color_range": 1, "color_trc": transfer, "color_primaries": primaries}
    found, source = read(write_lossless(tmp_path / "a.mkv", [frame], **tags))
    assert (source.info.colour.transfer, source.info.colour.primaries) == (transfer, primaries)
    assert np.abs(found - rgb_of(values, 1, False, 8)).max() <= 0.6


def test_tags_that_change_on_the_way_are_followed(tmp_path: Path) -> None:
    """Three H.264 streams behind each other: another matrix, another range."""
    parts = [(5, 1), (1, 2), (9, 1)]
    for index, (matrix, range_) in enumerate(parts):
        values = codes(PATCHES, matrix, range_ == 2, 8)
        with av.open(str(tmp_path / f"{index}.ts"), "w") as out:
            stream = out.add_stream("libx264", rate=25, options={"qp": "0", "x264-params": "bframes=0"})
            stream.width, stream.height, stream.pix_fmt = SIDE * len(PATCHES), SIDE, "yuv444p"
            stream.codec_context.colorspace, stream.codec_context.color_range = matrix, range_
            for count in range(3):
                frame = raw_frame("yuv444p", [spread(values[:, n]) for n in range(3)])
                frame.pts = 25 * index + count
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    whole = tmp_path / "whole.ts"
    whole.write_bytes(b"".join((tmp_path / f"{index}.ts").read_bytes() for index in range(3)))
    with VideoSource(whole) as source:
        images = [frame.image[8, 8::SIDE].astype(float) for frame in source]
    assert len(images) == 9
    for image in images:
        assert np.abs(image - PATCHES * 255).max() <= 2.1


def test_untagged_pictures_are_601_below_720_lines_and_709_above() -> None:
    assert Colour(height=576).matrix_used == 5
    assert Colour(height=720).matrix_used == 1
    assert Colour(matrix=9, height=480).matrix_used == 9
    assert Colour(matrix=0, height=720).matrix_used == 1  # RGB's "matrix" is none for planes
    assert Colour(transfer=16, height=720).matrix_used == 9
    assert Colour(matrix=12, primaries=9, height=720).matrix_used == 9
