"""The tone map against the standards' own points, and the fast path against the exact one."""

import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from lossless import raw_frame
from skimage.color import deltaE_ciede2000

from vidstyle.errors import SinkError
from vidstyle.frame import TRC_HLG, TRC_PQ
from vidstyle.hdr import (
    WHITE_16,
    InverseToneMap,
    ToneMap,
    hlg_to_nits,
    inverse_knee,
    knee,
    nits_to_hlg,
    nits_to_pq,
    pq_to_nits,
    to_hdr,
    to_sdr,
)
from vidstyle.source import VideoSource
from vidstyle.tags import plane

#: linear BT.709 to linear BT.2020, BT.2087
TO_2020 = np.array(
    [[0.6274039, 0.3292830, 0.0433131], [0.0690973, 0.9195404, 0.0113623], [0.0163914, 0.0880133, 0.8955953]]
)


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
    assert inverse_knee(knee(np.geomspace(0.01, 900, 50))) == pytest.approx(np.geomspace(0.01, 900, 50), rel=1e-4)
    rising = knee(np.linspace(0, 1000, 400))
    assert (np.diff(rising) > 0).all()


@pytest.mark.parametrize("transfer", [TRC_PQ, TRC_HLG])
def test_grey_stays_grey_and_order_stays(transfer: int) -> None:
    ramp = np.repeat(np.linspace(0, 1, 200)[:, None], 3, 1)
    shown = to_sdr(ramp, transfer)
    assert np.ptp(shown, axis=1).max() < 2e-3
    assert (np.diff(shown[:, 1]) >= -1e-9).all()
    assert shown[0, 0] == 0 and shown[-1, 0] == pytest.approx(1, abs=1e-3)


def colours_on_screen(peak: float) -> np.ndarray:
    """[64, 96, 3]: colours within BT.709 up to ``peak`` cd/m2, as linear BT.2020; the first rows are grey."""
    linear = np.random.default_rng(0).random((64, 96, 3)) ** 2.4 @ TO_2020.T
    linear[:16] = np.geomspace(1e-3, 1, 96)[None, :, None]
    return peak * linear


def signal_of(nits: np.ndarray, transfer: int) -> np.ndarray:
    return nits_to_pq(nits) if transfer == TRC_PQ else nits_to_hlg(nits)


def nits_of(signal: np.ndarray, transfer: int) -> np.ndarray:
    return pq_to_nits(signal) if transfer == TRC_PQ else hlg_to_nits(signal)


def frame_of(signal: np.ndarray, white: int = WHITE_16) -> av.VideoFrame:
    """gbrp16 with 1.0 being ``white``."""
    values = np.round(signal * white)
    return raw_frame("gbrp16le", [values[..., channel] for channel in (1, 2, 0)])


def signal_in(frame: av.VideoFrame) -> np.ndarray:
    return np.stack([plane(frame, index) for index in (2, 0, 1)], -1) / WHITE_16


def lab(signal: np.ndarray) -> np.ndarray:
    """CIELAB of BT.709 pictures on a BT.1886 screen."""
    to_xyz = np.array([[0.4123908, 0.3575843, 0.1804808], [0.2126390, 0.7151687, 0.0721923]])
    to_xyz = np.vstack([to_xyz, [0.0193308, 0.1191948, 0.9505322]])
    xyz = signal**2.4 @ to_xyz.T / to_xyz.sum(1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def itp(nits: np.ndarray) -> np.ndarray:
    """BT.2124's I, T, P times 720: a distance of 1 is just seen. From linear BT.2020."""
    cones = np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) / 4096
    mix = np.array([[2048, 2048, 0], [6610 / 2, -13613 / 2, 7003 / 2], [17933, -17390, -543]]) / 4096
    return 720 * nits_to_pq(nits @ cones.T) @ mix.T


@pytest.mark.parametrize(("peak", "most"), [(203, 1.0), (800, 2.0)])
@pytest.mark.parametrize(("transfer", "white"), [(TRC_PQ, WHITE_16), (TRC_HLG, WHITE_16), (TRC_PQ, 1023 << 6)])
def test_the_table_is_as_good_as_the_formula(transfer: int, white: int, peak: float, most: float) -> None:
    """In CIEDE2000, for any colour a BT.709 screen has; rounding to 8 bits alone is up to 0.9."""
    signal = np.round(signal_of(colours_on_screen(peak), transfer) * white) / white
    mapped = ToneMap(96, 64, transfer, white)(frame_of(signal, white))
    exact = to_sdr(signal, transfer)
    difference = deltaE_ciede2000(lab(mapped / 255), lab(exact))
    assert difference.max() <= most
    assert difference.mean() <= 0.2
    assert np.abs(mapped[:16] - 255 * exact[:16]).max() <= 0.8  # greys, in levels
    assert np.ptp(mapped[:16], axis=-1).max() == 0


@pytest.mark.parametrize("transfer", [TRC_PQ, TRC_HLG])
def test_the_inverse_formula(transfer: int) -> None:
    shown = np.random.default_rng(0).random((1000, 3))
    assert to_sdr(to_hdr(shown, transfer), transfer) == pytest.approx(shown, abs=2e-4)
    grey = np.repeat(np.array([0.0, 0.5, 1.0])[:, None], 3, 1)
    assert nits_of(to_hdr(grey, transfer), transfer)[:, 1] == pytest.approx(
        [0, 203 * 0.5**2.4, 1000], rel=2e-3, abs=1e-6
    )


@pytest.mark.parametrize("transfer", [TRC_PQ, TRC_HLG])
def test_drawn_pictures_become_hdr_again(transfer: int) -> None:
    """Every one of the 8-bit colours within 3 levels of 10 bits of the formula, 99 of 100 within 1."""
    drawn = np.random.default_rng(0).integers(0, 256, (128, 256, 3))
    drawn[:16] = np.arange(256)[None, :, None]
    drawn[16:80] = np.clip(drawn[16:80, :, :1] + drawn[16:80] // 8 - 16, 0, 255)  # close to grey
    planes = InverseToneMap(256, 128, transfer)(raw_frame("gbrp", [drawn[..., n] for n in (1, 2, 0)]))
    assert (planes.format.name, planes.color_primaries, planes.color_trc) == ("gbrp16le", 9, transfer)
    error = np.abs(signal_in(planes) - to_hdr(drawn / 255, transfer)) * 876
    assert error.max() <= 3
    assert np.quantile(error, 0.99) <= 1
    assert error[:16].max() <= 0.6


@pytest.mark.parametrize("transfer", [TRC_PQ, TRC_HLG])
def test_the_way_there_and_back(transfer: int) -> None:
    """Through 8 bits of SDR: within 5 of BT.2124's units up to diffuse white, greys within 3 up to twice that."""
    signal = np.round(signal_of(colours_on_screen(203), transfer) * WHITE_16) / WHITE_16
    signal[:16] = np.round(signal_of(2 * colours_on_screen(203)[:16], transfer) * WHITE_16) / WHITE_16
    drawn = ToneMap(96, 64, transfer)(frame_of(signal))
    sdr = raw_frame("gbrp", [drawn[..., channel] for channel in (1, 2, 0)])
    back = signal_in(InverseToneMap(96, 64, transfer)(sdr))
    difference = np.linalg.norm(itp(nits_of(back, transfer)) - itp(nits_of(signal, transfer)), axis=-1)
    assert difference.max() <= 5 and difference.mean() <= 1
    assert difference[:16].max() <= 3


def test_a_10_bit_encoder_gets_the_codes_it_should() -> None:
    drawn = np.repeat(np.arange(0, 256, 8)[None, :, None], 32, 0).repeat(3, 2)
    planes = InverseToneMap(32, 32, TRC_PQ)(raw_frame("gbrp", [drawn[..., n] for n in (1, 2, 0)]))
    coded = planes.reformat(format="yuv420p10le", dst_colorspace=9, src_color_range=2, dst_color_range=1)
    expected = 64 + 876 * to_hdr(drawn / 255, TRC_PQ)[..., 0]
    assert np.abs(plane(coded, 0)[:, 2:-2] - expected[:, 2:-2]).max() <= 1.2


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


@pytest.mark.skipif(sys.platform == "win32", reason="no limit can be set there")
def test_a_full_temporary_folder_is_told_with_its_remedy() -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # writing more fails, as on a full disk
    try:
        with pytest.raises(SinkError, match=r"cannot write a table .*: free some space there, or set TMPDIR"):
            ToneMap(64, 48, TRC_PQ, white=1 << 15)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
