"""The tone map against the standards' own points, and the fast path against the exact one."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from vidstyle.frame import TRC_HLG, TRC_PQ
from vidstyle.hdr import ToneMap, hlg_to_nits, knee, nits_to_pq, pq_to_nits, to_sdr
from vidstyle.source import VideoSource


def test_known_points_of_the_curves() -> None:
    assert pq_to_nits(np.array([0.0, 0.508078, 0.751827, 1.0])) == pytest.approx([0, 100, 1000, 10000], rel=1e-3)
    assert nits_to_pq(pq_to_nits(np.linspace(0, 1, 50))) == pytest.approx(np.linspace(0, 1, 50), abs=1e-6)
    grey = np.repeat(np.array([0.0, 0.75, 1.0])[:, None], 3, 1)
    assert hlg_to_nits(grey)[:, 0] == pytest.approx(
        [0, 203, 1000], rel=2e-2, abs=1e-2
    )  # BT.2408: 75 % is diffuse white


def test_the_knee_keeps_the_dark_and_ends_at_white() -> None:
    nits = np.array([0.0, 1.0, 20.0, 80.0])
    assert knee(nits) == pytest.approx(nits, rel=1e-4, abs=1e-6)
    assert knee(np.array([1000.0, 4000.0])) == pytest.approx([203, 203], rel=1e-3)
    rising = knee(np.linspace(0, 1000, 400))
    assert (np.diff(rising) > 0).all()


@pytest.mark.parametrize("transfer", [TRC_PQ, TRC_HLG])
def test_grey_stays_grey_and_order_stays(transfer: int) -> None:
    ramp = np.repeat(np.linspace(0, 1, 200)[:, None], 3, 1)
    shown = to_sdr(ramp, transfer)
    assert np.ptp(shown, axis=1).max() < 2e-3
    assert (np.diff(shown[:, 1]) >= -1e-9).all()
    assert shown[0, 0] == 0 and shown[-1, 0] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("transfer", [TRC_PQ, TRC_HLG])
def test_the_table_is_as_good_as_the_formula(transfer: int) -> None:
    """Within 2 levels for greys and for 98 of 100 random colours; the rest lie outside of BT.709, next to its edge."""
    rng = np.random.default_rng(0)
    signal = rng.random((48, 64, 3)) * 0.75
    signal[:16] = np.linspace(0, 0.75, 64)[None, :, None]
    planes = np.round(signal * 65535).astype(np.uint16)
    frame = av.VideoFrame(64, 48, "gbrp16le")
    for plane, channel in zip(frame.planes, (1, 2, 0), strict=True):
        rows = np.zeros((48, plane.line_size // 2), np.uint16)
        rows[:, :64] = planes[..., channel]
        plane.update(rows.tobytes())
    mapped = ToneMap(64, 48, transfer)(frame).reformat(format="rgb24").to_ndarray()
    difference = np.abs(mapped.astype(float) - 255 * to_sdr(signal, transfer))
    assert difference[:16].max() <= 2
    assert np.quantile(difference[16:], 0.98) <= 2


def test_an_hdr_file_becomes_a_bright_sdr_picture(shared) -> None:
    with VideoSource(shared("media/hdr10-av1.mp4")) as source:
        frame = next(iter(source))
        assert source.colour.transfer == TRC_PQ
        assert (source.info.colour.matrix, source.info.colour.transfer) == (1, 1)
    with av.open(str(shared("media/hdr10-av1.mp4"))) as container:
        flat = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert frame.image.mean() > flat.mean() * 1.2  # PQ shown as it stands is dim
    assert frame.image.astype(float).std() > flat.astype(float).std() * 1.3  # and flat


def test_times_do_not_suffer(tmp_path: Path) -> None:
    path = tmp_path / "hlg.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx265", rate=25, options={"x265-params": "log-level=none"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p10le"
        context = video.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 9, 9, TRC_HLG, 1
        for index, pts in enumerate([0, 1, 5, 6, 9]):
            image = np.full((48, 64, 3), 40 + 30 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p10le", dst_colorspace=9)
            frame.pts, frame.time_base = pts, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    with VideoSource(path) as source:
        assert source.colour.is_hdr
        frames = list(source)
    assert [f.time for f in frames] == [Fraction(n, 25) for n in (0, 1, 5, 6, 9)]
    brightness = [f.image.mean() for f in frames]
    assert all(a < b for a, b in pairwise(brightness))
