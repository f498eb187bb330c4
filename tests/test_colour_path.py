"""Colours through the whole path (decode, network, encode) with a look that changes nothing."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import save_tiny

from vidstyle.catalog import parse_recipe
from vidstyle.codecs import EncoderOptions
from vidstyle.job import FileJob, stylize_file
from vidstyle.sink import SinkOptions

SIDE = 32  # pixels of a patch, whose middle no neighbour touches
LEVELS = (0, 16, 64, 128, 192, 235, 255)
RGB = np.array([(r, g, b) for r in LEVELS for g in LEVELS for b in LEVELS][::7], np.float64)  # 49 colours
KR_KB = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}


def to_yuv(rgb: np.ndarray, matrix: int, full: bool) -> np.ndarray:
    """float [N, 3] R'G'B' in 0..255 to 8-bit codes, by the definition of the matrix (BT.601, 709, 2020)."""
    kr, kb = KR_KB[matrix]
    r, g, b = (rgb / 255).T
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)
    scale = (255, 0, 255) if full else (219, 16, 224)
    return np.stack([y * scale[0] + scale[1], cb * scale[2] + 128, cr * scale[2] + 128], -1).round().clip(0, 255)


def to_rgb(yuv: np.ndarray, matrix: int, full: bool) -> np.ndarray:
    """The inverse, not rounded."""
    kr, kb = KR_KB[matrix]
    scale = (255, 0, 255) if full else (219, 16, 224)
    y, cb, cr = (yuv[:, 0] - scale[1]) / scale[0], (yuv[:, 1] - 128) / scale[2], (yuv[:, 2] - 128) / scale[2]
    r, b = y + (2 - 2 * kr) * cr, y + (2 - 2 * kb) * cb
    return np.stack([r, (y - kr * r - kb * b) / (1 - kr - kb), b], -1).clip(0, 1) * 255


def write_patches(path: Path, codes: np.ndarray, **tags: int) -> None:
    """A lossless 4:2:0 clip of seven by seven patches with these [49, 3] codes."""
    planes = codes.reshape(7, 7, 3).astype(np.uint8)
    y, u, v = (planes[..., i].repeat(SIDE, 0).repeat(SIDE, 1) for i in range(3))
    packed = np.concatenate([y.ravel(), u[::2, ::2].ravel(), v[::2, ::2].ravel()]).reshape(-1, 7 * SIDE)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width = stream.height = 7 * SIDE
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(packed, format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            frame.color_range = tags["color_range"]
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def read_patches(path: Path) -> np.ndarray:
    """[49, 3] codes in the middle of every patch, as stored: no conversion."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    side, middle = 7 * SIDE, slice(SIDE // 2, None, SIDE)
    planes = [np.frombuffer(p, np.uint8).reshape(-1, p.line_size) for p in frame.planes]
    y = planes[0][:side, :side][middle, middle]
    half = slice(SIDE // 4, None, SIDE // 2)
    u, v = (p[: side // 2, : side // 2][half, half] for p in planes[1:])
    return np.stack([y, u, v], -1).reshape(-1, 3).astype(np.float64)


CASES = {
    "BT.601": {"colorspace": 5, "color_primaries": 6, "color_trc": 6, "color_range": 1},
    "BT.709": {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1},
    "BT.709 full range": {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 2},
    "sRGB transfer": {"colorspace": 1, "color_primaries": 1, "color_trc": 13, "color_range": 1},
    "BT.2020 SDR": {"colorspace": 9, "color_primaries": 9, "color_trc": 14, "color_range": 1},
}


@pytest.mark.parametrize("case", CASES)
def test_patches_come_through(home: Path, tmp_path: Path, case: str) -> None:
    """Codes change by 1 at most: 8-bit RGB between two 8-bit Y'CbCr allows no less. Tags stay."""
    tags = CASES[case]
    matrix, full = tags["colorspace"], tags["color_range"] == 2
    codes = to_yuv(RGB, matrix, full)
    write_patches(tmp_path / "in.mp4", codes, **tags)
    np.testing.assert_array_equal(read_patches(tmp_path / "in.mp4"), codes)
    recipe = parse_recipe(str(save_tiny(home, "tiny")), strength=0.0)
    lossless = SinkOptions(EncoderOptions(extra=(("qp", "0"),)))
    stylize_file(FileJob(tmp_path / "in.mp4", recipe, tmp_path / "out.mp4", writing=lossless))
    found = read_patches(tmp_path / "out.mp4")
    assert np.abs(found - codes).max() <= 1
    difference = np.abs(to_rgb(found, matrix, full) - to_rgb(codes, matrix, full))
    assert difference.mean() <= 0.4 and difference.max() <= 2.2  # one code of chroma is up to 2.1 levels of blue
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        kept = (int(frame.colorspace), int(frame.color_primaries), int(frame.color_trc), int(frame.color_range))
    assert kept == tuple(tags.values())
