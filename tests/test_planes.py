"""YUV to RGB and back in torch, against H.273's own formulae and against swscale, which the CPU's path uses."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from media import make_clip

from engines.device.grid import taps
from engines.device.planes import FORMS, Colours, Form, ToPlanes, ToRgb, upright
from vidstyle import orientation
from vidstyle.codecs import EncoderChoice
from vidstyle.encoder import Encoder, Encoding
from vidstyle.frame import RANGE_FULL, Colour, Frame, VideoInfo
from vidstyle.siting import siting_of
from vidstyle.source import SourceOptions, VideoSource

CPU = torch.device("cpu")
RED, BLUE = {1: 0.2126, 5: 0.299, 6: 0.299, 9: 0.2627}, {1: 0.0722, 5: 0.114, 6: 0.114, 9: 0.0593}  # H.273, table 4
FULL_FORMS = {8: "yuv444p", 10: "yuv444p10le", 12: "yuv444p12le"}


def rgb_of(planes: np.ndarray, matrix: int, full: bool, bits: int) -> np.ndarray:
    """float64 0..255 [3, ...] of Y, Cb, Cr, by H.273's equations 20 to 40, solved for R, G, B."""
    y, cb, cr = planes.astype(np.float64)
    unit = 2 ** (bits - 8)
    if full:
        y, cb, cr = (v / (2**bits - 1) for v in (y, cb - 2 ** (bits - 1), cr - 2 ** (bits - 1)))
    else:
        y, cb, cr = (y / unit - 16) / 219, (cb / unit - 128) / 224, (cr / unit - 128) / 224
    red, blue = RED[matrix], BLUE[matrix]
    r, b = y + 2 * (1 - red) * cr, y + 2 * (1 - blue) * cb
    g = (y - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.stack([r, g, b]) * 255, 0, 255)


def planes_of(rgb: np.ndarray, matrix: int, full: bool, bits: int) -> np.ndarray:
    """float64 Y, Cb, Cr of 0..255 [3, ...], by H.273's equations 38 to 40 and 26 to 31."""
    r, g, b = rgb.astype(np.float64) / 255
    red, blue = RED[matrix], BLUE[matrix]
    y = red * r + (1 - red - blue) * g + blue * b
    cb, cr = (b - y) / (2 * (1 - blue)), (r - y) / (2 * (1 - red))
    unit, top, middle = 2 ** (bits - 8), 2**bits - 1, 2 ** (bits - 1)
    if full:
        return np.clip(np.stack([y * top, cb * top + middle, cr * top + middle]), 0, top)
    return np.stack([219 * y + 16, 224 * cb + 128, 224 * cr + 128]) * unit


def tensors(arrays: Any, shift: int = 0) -> list[Any]:
    kind = np.uint8 if arrays[0].max() < 256 and not shift else np.uint16
    return [torch.from_numpy((array << shift).astype(kind)) for array in arrays]


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
def test_colours_are_those_of_the_standard(matrix: int, full: bool, bits: int) -> None:
    random = np.random.default_rng(matrix * bits)
    size, form, colours = (64, 48), FORMS[FULL_FORMS[bits]], Colours(matrix, full)
    planes = random.integers(0, 2**bits, (3, *size)).astype(np.uint16 if bits > 8 else np.uint8)
    got = ToRgb(form, colours, size, size, CPU)([torch.from_numpy(plane) for plane in planes]).numpy()
    exact = rgb_of(planes, matrix, full, bits)
    assert np.abs(got.transpose(2, 0, 1) - exact).max() <= 0.501  # to the nearest level

    rgb = random.integers(0, 256, (*size, 3)).astype(np.uint8)
    back = ToPlanes(form, colours, size, size, CPU)
    flat = back(torch.from_numpy(rgb))
    values = np.stack([plane.numpy() for plane in back.split(flat)])
    exact = planes_of(rgb.transpose(2, 0, 1), matrix, full, bits)
    assert np.abs(values - exact).max() <= 0.502
    again = ToRgb(form, colours, size, size, CPU)(back.split(flat)).numpy()
    assert np.abs(again.astype(int) - rgb).max() <= (1 if bits > 8 else 2)


@pytest.mark.parametrize("name", ["nv12", "p010le", "p016le"])
def test_paired_planes_hold_the_same_as_separate_ones(name: str) -> None:
    form = FORMS[name]
    flat_form = Form(form.bits)
    size, chroma, colours = (32, 48), (16, 24), Colours(1, False)
    random = np.random.default_rng(1)
    y, cb, cr = (random.integers(0, 2**form.bits, shape) for shape in (size, chroma, chroma))
    kind = np.uint8 if form.bits == 8 else np.uint16
    separate = [torch.from_numpy(plane.astype(kind)) for plane in (y, cb, cr)]
    paired = [torch.from_numpy((plane << form.shift).astype(kind)) for plane in (y, np.stack([cb, cr], -1))]
    want = ToRgb(flat_form, colours, size, (20, 30), CPU)(separate)
    assert torch.equal(ToRgb(form, colours, size, (20, 30), CPU)(paired), want)

    image = torch.from_numpy(random.integers(0, 256, (20, 30, 3)).astype(np.uint8))
    one, other = (ToPlanes(f, colours, (20, 30), size, CPU) for f in (flat_form, form))
    y, cb, cr = (plane.int() for plane in one.split(one(image)))
    luma, both = (plane.int() for plane in other.split(other(image)))
    assert torch.equal(luma, y << form.shift) and torch.equal(both, torch.stack([cb, cr], -1) << form.shift)


@pytest.mark.parametrize("turn", range(8))
def test_turning_is_that_of_the_cpu(turn: int) -> None:
    image = np.random.default_rng(turn).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    got = upright(torch.from_numpy(image), turn)
    assert got.is_contiguous() and np.array_equal(got.numpy(), orientation.apply(image, turn))


def test_planes_of_another_size_are_refused() -> None:
    convert = ToRgb(FORMS["yuv420p"], Colours(1, False), (16, 16), (16, 16), CPU)
    with pytest.raises(ValueError, match=r"expected planes \(\(16, 16\), \(8, 8\), \(8, 8\)\)"):
        convert([torch.zeros(16, 16), torch.zeros(16, 16), torch.zeros(16, 16)])


@pytest.mark.parametrize(("source", "target"), [(30, 20), (1080, 720), (17, 5), (100, 7)])
def test_shrinking_gives_each_pixel_its_own_area(source: int, target: int) -> None:
    found = taps(source, target, True)
    assert found is not None
    edges, matrix = np.arange(target + 1) * source / target, np.zeros((target, source))
    for i, (places, weights) in enumerate(zip(*found, strict=True)):
        np.add.at(matrix[i], places, weights)
    cells = np.arange(source)
    covered = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    assert np.abs(matrix - np.clip(covered, 0, None) * target / source).max() < 1e-12


def decibels(one: np.ndarray, other: np.ndarray, top: float = 255) -> float:
    error = np.mean((one.astype(np.float64) - other) ** 2)
    return 10 * np.log10(top**2 / error) if error else 99.0


REAL = ["dctnet_demo.mp4", "bt709_full_range.mp4", "bt601.mp4", "h265_10bits.mp4", "iibbibb_editlist_videoonly.mp4"]


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("size", [None, 360, 200])
def test_real_pictures_become_what_the_cpu_makes_of_them(shared: Callable[[str], Path], name: str, size: int) -> None:
    with VideoSource(shared(f"media/{name}"), SourceOptions(size)) as source:
        first = source._pictures.first
        want, colour = next(iter(source)).image, source.colour
    colours = Colours(colour.matrix_used, colour.range_used == RANGE_FULL)
    sizes = (first.height, first.width), source.info.working
    convert = ToRgb(FORMS[first.format.name], colours, *sizes, CPU, source.info.orientation, siting_of(first))
    got = convert([torch.from_dlpack(plane.__dlpack__()) for plane in first.planes]).numpy()
    assert decibels(got, want) > 65
    assert np.abs(got.astype(int) - want).mean() < 0.01


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "nv12", "yuv422p", "yuv444p", "yuv420p10le", "p010le"])
@pytest.mark.parametrize(
    ("size", "target"), [((180, 320), (180, 320)), ((180, 320), (270, 480)), ((99, 177), (180, 322))]
)
@pytest.mark.parametrize("full", [False, True])
def test_encoders_get_what_the_cpu_gives_them(
    shared: Callable[[str], Path], pix_fmt: str, size: tuple[int, int], target: tuple[int, int], full: bool
) -> None:
    with VideoSource(shared("media/dctnet_demo.mp4"), SourceOptions(None)) as source:
        frame = av.VideoFrame.from_ndarray(next(iter(source)).image, "rgb24")
    image = frame.reformat(width=size[1], height=size[0]).to_ndarray()
    info = VideoInfo(
        target[1], target[0], size, Fraction(1, 1000), Fraction(25), colour=Colour(1, 1, 1, 2 if full else 1, 720)
    )
    encoder = Encoder.__new__(Encoder)
    encoder._encoding, encoder._inverse = Encoding(info, EncoderChoice("", pix_fmt, {})), None
    want = [
        torch.from_dlpack(plane.__dlpack__()).int()
        for plane in encoder._picture(Frame(image, 0, info.time_base)).planes
    ]
    form = FORMS[pix_fmt]
    convert = ToPlanes(form, Colours(1, full), size, target, CPU)
    for index, (one, other) in enumerate(zip(convert.split(convert(torch.from_numpy(image))), want, strict=True)):
        off = ((one.int() >> form.shift) - (other >> form.shift)).numpy()
        assert decibels(off, np.zeros(1), 2**form.bits - 1) > (50 if full and index else 60)
        # swscale rounds the chroma of full range down: half a level on average
        assert np.abs(off).mean() < (0.6 if full and index else 0.2)


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "want"),
    [
        ("libx264", "yuv420p", (0.25, 0.5)),
        ("libx264", "yuv422p", (0.25, 0.5)),
        ("libx264", "yuv444p", (0.5, 0.5)),
        ("mpeg2video", "yuv420p", (0.25, 0.5)),
        ("mjpeg", "yuvj420p", (0.5, 0.5)),
    ],
)
def test_the_place_of_the_colours_is_found(tmp_path: Path, codec: str, pix_fmt: str, want: tuple[float, float]) -> None:
    clip = make_clip(tmp_path / "a.mov", 1, time_base=Fraction(1, 25), codec=codec, pix_fmt=pix_fmt, audio=0)
    with av.open(str(clip.path)) as container:
        frame = next(container.decode(video=0))
    before = bytes(frame.planes[1])
    assert siting_of(frame) == want
    assert bytes(frame.planes[1]) == before  # it was not written to
    assert siting_of(frame.reformat(width=32, height=32)) == want


def test_a_form_knows_the_planes_of_odd_sizes() -> None:
    assert FORMS["yuv420p"].shapes((5, 7)) == ((5, 7), (3, 4), (3, 4))
    assert FORMS["nv12"].shapes((6, 8)) == ((6, 8), (3, 4, 2))
    assert replace(FORMS["yuv422p"]).shapes((5, 7)) == ((5, 7), (5, 4), (5, 4))


# --- the kernels


@pytest.fixture
def interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton's, which runs a kernel in Python; it is chosen where the kernel is defined."""
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.delitem(sys.modules, "engines.device.planes_kernels", raising=False)
    monkeypatch.setattr("engines.device.planes.BLOCK", 16)  # several programs a row


@pytest.mark.usefixtures("interpreter")
@pytest.mark.parametrize(
    ("name", "size", "target"),
    [
        ("nv12", (4, 18), (4, 18)),
        ("p010le", (6, 18), (4, 12)),
        ("yuv422p10le", (4, 18), (5, 20)),
        ("yuv420p", (4, 14), (2, 14)),
        ("yuv444p", (3, 17), (4, 9)),
    ],
)
def test_kernels_do_what_torch_does(name: str, size: tuple[int, int], target: tuple[int, int]) -> None:
    form, colours, random = FORMS[name], Colours(1, name == "yuv444p"), np.random.default_rng(0)
    kind = np.uint8 if form.bits == 8 else np.uint16
    planes = []
    for height, width, *pair in form.shapes(size):
        rows = random.integers(0, 2**form.bits, (height, width + 3, *pair)) << form.shift
        planes.append(torch.from_numpy(rows.astype(kind))[:, :width])  # with a decoder's padding
    one, other = (ToRgb(form, colours, size, target, CPU, fused=fused)(planes) for fused in (True, False))
    assert (one.int() - other.int()).abs().max() <= 1
    assert (one != other).float().mean() < 0.02

    image = torch.from_numpy(random.integers(0, 256, (*target, 3)).astype(np.uint8))
    ways = [ToPlanes(form, colours, target, size, CPU, fused) for fused in (True, False)]
    for one, other in zip(*(way.split(way(image)) for way in ways), strict=True):
        off = (one.int() - other.int()).abs() >> form.shift
        assert one.shape == other.shape and off.max() <= 1
        assert (off > 0).float().mean() < 0.02
