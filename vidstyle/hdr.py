"""HDR to SDR: PQ and HLG pictures as a BT.709 screen should show them.

The tone map is computed once as a table of colours and applied by FFmpeg's ``lut3d`` (tetrahedral), which
costs a few milliseconds a picture; swscale's own tone map takes seconds to set up (video-tools facts).

Sources: SMPTE ST 2084 (PQ), ITU-R BT.2100 (HLG and its OOTF), BT.2390 (the knee), BT.2087 (BT.2020 to BT.709),
BT.2408 (diffuse white at 203 cd/m2).
"""

from __future__ import annotations

import functools
import os
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vidstyle.errors import SourceError
from vidstyle.frame import TRC_PQ

WHITE = 203.0  # cd/m2 of diffuse white in HDR; of the SDR screen's white here
PEAK = 1000.0  # cd/m2 of the mastering display that is assumed; HLG's nominal peak
SIZE = 65  # points of the table along each side: 98 of 100 colours within 1.5 levels of the formula
_TO_709 = np.array(  # linear BT.2020 to linear BT.709 (BT.2087)
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]]
)
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593])


def pq_to_nits(v: np.ndarray) -> np.ndarray:
    """ST 2084's EOTF: signal 0..1 to cd/m2."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    p = np.clip(v, 0, 1) ** (1 / m2)
    return 10000 * (np.maximum(p - c1, 0) / (c2 - c3 * p)) ** (1 / m1)


def nits_to_pq(nits: np.ndarray) -> np.ndarray:
    """The inverse of `pq_to_nits`."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    y = (np.maximum(nits, 0) / 10000) ** m1
    return ((c1 + c2 * y) / (1 + c3 * y)) ** m2


def hlg_to_nits(v: np.ndarray) -> np.ndarray:
    """BT.2100's inverse OETF and its OOTF for a display of `PEAK`: signal [..., 3] in 0..1 to cd/m2."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    v = np.clip(v, 0, 1)
    scene = np.where(v <= 0.5, v**2 / 3, (np.exp((v - c) / a) + b) / 12)
    luminance = (scene * _LUMA_2020).sum(-1, keepdims=True)
    return PEAK * scene * np.maximum(luminance, 1e-9) ** 0.2  # gamma 1.2 at 1000 cd/m2


def knee(nits: np.ndarray) -> np.ndarray:
    """BT.2390's roll-off from `PEAK` to `WHITE`: nothing changes below about 90 cd/m2."""
    top, limit = nits_to_pq(np.array(PEAK)), nits_to_pq(np.array(WHITE))
    e, ceiling = np.clip(nits_to_pq(nits) / top, 0, 1), limit / top
    start = 1.5 * ceiling - 0.5
    t = np.clip((e - start) / (1 - start), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * start + (t**3 - 2 * t**2 + t) * (1 - start) + (-2 * t**3 + 3 * t**2) * ceiling
    return pq_to_nits(np.where(e < start, e, spline) * top)


def to_sdr(v: np.ndarray, transfer: int) -> np.ndarray:
    """HDR signal [..., 3], BT.2020 R'G'B' in 0..1, to the BT.709 signal for a BT.1886 screen, 0..1.

    The brightest channel is rolled off and the others follow, so hues stay.
    """
    nits = pq_to_nits(v) if transfer == TRC_PQ else hlg_to_nits(v)
    brightest = np.maximum(nits.max(-1, keepdims=True), 1e-6)
    linear = (nits * (knee(brightest) / brightest) / WHITE) @ _TO_709.T
    return np.clip(linear, 0, 1) ** (1 / 2.4)


def write_cube(path: Path, transfer: int) -> None:
    """Write `to_sdr` as a .cube table: red runs fastest."""
    axis = np.linspace(0, 1, SIZE)
    b, g, r = np.meshgrid(axis, axis, axis, indexing="ij")
    table = to_sdr(np.stack([r, g, b], -1).reshape(-1, 3), transfer)
    rows = map("%.5f %.5f %.5f".__mod__, map(tuple, table.tolist()))  # a third of np.savetxt's time
    path.write_text(f"LUT_3D_SIZE {SIZE}\n" + "\n".join(rows) + "\n")


@functools.cache
def _cube(transfer: int) -> str:
    """The table's file, made once a process and removed at its end."""
    import atexit

    handle, name = tempfile.mkstemp(prefix="vidstyle-", suffix=".cube")
    os.close(handle)
    atexit.register(Path(name).unlink, missing_ok=True)
    write_cube(Path(name), transfer)
    return name


class ToneMap:
    """Turns decoded pictures in gbrp16 (BT.2020 PQ or HLG, full range) into SDR gbrp of one size."""

    def __init__(self, width: int, height: int, transfer: int) -> None:
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=width, height=height, format=av.VideoFormat("gbrp16le", width, height), time_base=Fraction(1)
        )
        # The file's name was made here: letters, digits and the temporary folder's path, escaped for FFmpeg.
        name = _cube(transfer).replace("\\", "/").replace(":", "\\:").replace("'", "\\'")
        lut = graph.add("lut3d", f"file='{name}':interp=tetrahedral")
        sink = graph.add("buffersink")
        source.link_to(lut)
        lut.link_to(sink)
        try:
            graph.configure()
        except av.error.FFmpegError as error:
            raise SourceError(f"the HDR tone map cannot be set up: {error}") from error
        self._graph = graph

    def __call__(self, frame: Any) -> Any:
        frame.pts = None  # the filter would refuse times that repeat
        self._graph.push(frame)
        return self._graph.pull()
