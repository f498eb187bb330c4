"""HDR to SDR: PQ and HLG pictures as a BT.709 screen should show them; and drawn ones back.

Both ways are computed once as tables of colours and applied by FFmpeg's ``lut3d`` (tetrahedral), which costs some
milliseconds a picture; swscale's own tone map takes seconds to set up.

Sources: SMPTE ST 2084 (PQ), ITU-R BT.2100 (HLG and its OOTF), BT.2390 (the knee), BT.2087 (BT.2020 to BT.709),
BT.2408 (diffuse white at 203 cd/m2).
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vidstyle.errors import SinkError, SourceError
from vidstyle.frame import TRC_PQ
from vidstyle.tags import plane

TONE_MAPPED = "HDR was tone-mapped to SDR (BT.709)"  # for reports
WHITE = 203.0  # cd/m2 of diffuse white in HDR; of the SDR screen's white here
PEAK = 1000.0  # cd/m2 of the mastering display that is assumed; HLG's nominal peak
WHITE_16 = 255 << 8  # what swscale means by 1.0 in 16-bit RGB when it comes from, or goes to, limited range or 8 bits
SIZE = 65  # points of the tone map's table along each side
#: 8-bit levels that are points of the inverse's table: close together where its curve is steep
LEVELS = np.array([0, 1, 2, 4, 7, 11, 16, 22, *range(30, 200, 8), 205, 210, 215, 220, 224, 228, 232, 235, 238, 241, 243,
                   245, 247, *range(249, 256)], float)  # fmt: skip
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593])


def _to_xyz(*primaries: tuple[float, float]) -> np.ndarray:
    """[3, 3]: linear RGB with these red, green, blue (x, y) and the white D65 to CIE XYZ."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in (*primaries, (0.3127, 0.3290))]).T
    return columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])


_TO_709 = np.linalg.solve(
    _to_xyz((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), _to_xyz((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
)  # linear BT.2020 to linear BT.709; rows sum to 1: grey stays grey
_TO_2020 = np.linalg.inv(_TO_709)


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


def nits_to_hlg(nits: np.ndarray) -> np.ndarray:
    """The inverse of `hlg_to_nits`, [..., 3]."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    shown = np.maximum(nits, 0) / PEAK
    luminance = (shown * _LUMA_2020).sum(-1, keepdims=True) ** (1 / 1.2)
    scene = np.clip(shown / np.maximum(luminance, 1e-9) ** 0.2, 0, 1)
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, b)) + c)


def knee(nits: np.ndarray) -> np.ndarray:
    """BT.2390's roll-off from `PEAK` to `WHITE`: nothing changes below about 90 cd/m2."""
    top, limit = nits_to_pq(np.array(PEAK)), nits_to_pq(np.array(WHITE))
    e, ceiling = np.clip(nits_to_pq(nits) / top, 0, 1), limit / top
    start = 1.5 * ceiling - 0.5
    t = np.clip((e - start) / (1 - start), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * start + (t**3 - 2 * t**2 + t) * (1 - start) + (-2 * t**3 + 3 * t**2) * ceiling
    return pq_to_nits(np.where(e < start, e, spline) * top)


def inverse_knee(nits: np.ndarray) -> np.ndarray:
    """The inverse of `knee`, from a table: `WHITE` becomes `PEAK`."""
    table = np.append(0, np.geomspace(1e-4, PEAK, 100_000))
    return np.interp(nits, knee(table), table)


def to_sdr(v: np.ndarray, transfer: int) -> np.ndarray:
    """HDR signal [..., 3], BT.2020 R'G'B' in 0..1, to the BT.709 signal for a BT.1886 screen, 0..1.

    The brightest channel is rolled off and the others follow, so hues stay.
    """
    nits = pq_to_nits(v) if transfer == TRC_PQ else hlg_to_nits(v)
    brightest = np.maximum(nits.max(-1, keepdims=True), 1e-6)
    linear = (nits * (knee(brightest) / brightest) / WHITE) @ _TO_709.T
    return np.clip(linear, 0, 1) ** (1 / 2.4)


@functools.cache
def luma_curve(bits: int, limited: bool, transfer: int) -> np.ndarray:
    """uint8 [2 ** bits]: the luma of greys, as `to_sdr` leaves it, in the same range."""
    unit = 2 ** (bits - 8)
    black, span = (16, 219) if limited else (0, 255)
    signal = (np.arange(2**bits) - black * unit) / (span * unit if limited else 2**bits - 1)
    shown = to_sdr(np.repeat(signal[:, None], 3, 1).clip(0, 1), transfer)[:, 0]
    return np.round(black + span * shown).astype(np.uint8)


def to_hdr(v: np.ndarray, transfer: int) -> np.ndarray:
    """The inverse of `to_sdr` for what it did not clip: colours within BT.709, up to `PEAK`."""
    nits = (np.clip(v, 0, 1) ** 2.4) @ _TO_2020.T * WHITE
    brightest = np.maximum(nits.max(-1, keepdims=True), 1e-6)
    nits = nits * (inverse_knee(brightest) / brightest)
    return nits_to_pq(nits) if transfer == TRC_PQ else nits_to_hlg(nits)


def write_cube(path: Path, points: np.ndarray, colours: Callable[[np.ndarray], np.ndarray]) -> None:
    """Write a function of colours [N, 3] as a .cube table with these ``points`` along each side; red runs fastest."""
    b, g, r = np.meshgrid(points, points, points, indexing="ij")
    table = colours(np.stack([r, g, b], -1).reshape(-1, 3))
    rows = map("%.6f %.6f %.6f".__mod__, map(tuple, table.tolist()))  # a third of np.savetxt's time
    path.write_text(f"LUT_3D_SIZE {len(points)}\n" + "\n".join(rows) + "\n")


def write_curve(path: Path, values: np.ndarray) -> None:
    """Write one curve for all channels as a .cube table."""
    path.write_text(f"LUT_1D_SIZE {len(values)}\n" + "".join(f"{v:.6f} {v:.6f} {v:.6f}\n" for v in values))


@functools.cache
def _file(write: Callable[..., None], *arguments: Any) -> str:
    """A table's file, made once a process and removed at its end; its name as FFmpeg wants it escaped.

    Raises:
        SinkError: it cannot be written.
    """
    import atexit

    try:
        handle, name = tempfile.mkstemp(prefix="vidstyle-", suffix=".cube")
        os.close(handle)
        atexit.register(Path(name).unlink, missing_ok=True)
        write(Path(name), *arguments)
    except OSError as error:
        why = f"cannot write a table of colours for HDR to {tempfile.gettempdir()} ({error.strerror or error})"
        raise SinkError(f"{why}: free some space there, or set TMPDIR to another folder") from error
    # Made here: letters, digits and the temporary folder's path.
    return name.replace("\\", "/").replace(":", "\\:").replace("'", "\\'")


def _write_tone_map(path: Path, transfer: int, white: int) -> None:
    signal = np.linspace(0, 65535 / white, SIZE)
    write_cube(path, signal, lambda v: to_sdr(v, transfer) * (WHITE_16 / 65535))


def _write_inverse(path: Path, transfer: int) -> None:
    write_cube(path, LEVELS / 255, lambda v: to_hdr(v, transfer) * (WHITE_16 / 65535))


def _write_spread(path: Path) -> None:
    """Level to place in the inverse's table."""
    levels = np.linspace(0, 65535 / 256, 4096)
    write_curve(path, np.interp(levels, LEVELS, np.linspace(0, 1, len(LEVELS))))


class _Tables:
    """Pictures in gbrp16 of one size through FFmpeg's table filters, (name, options) each."""

    def __init__(self, width: int, height: int, *filters: tuple[str, str]) -> None:
        self._graph = av.filter.Graph()
        form = av.VideoFormat("gbrp16le", width, height)
        nodes: list[Any] = [self._graph.add_buffer(width=width, height=height, format=form, time_base=Fraction(1))]
        nodes += [self._graph.add(name, options) for name, options in filters]
        try:
            self._graph.link_nodes(*nodes, self._graph.add("buffersink")).configure()
        except av.error.FFmpegError as error:
            raise SourceError(f"the HDR tables cannot be set up: {error}") from error

    def _apply(self, frame: Any) -> Any:
        frame.pts = None  # the filter would refuse times that repeat
        self._graph.push(frame)
        return self._graph.pull()


class ToneMap(_Tables):
    """Turns decoded pictures in gbrp16 (BT.2020 PQ or HLG, 1.0 being ``white``) into SDR of one size.

    Against the formula at most 1 in CIEDE2000 up to diffuse white, 2 above it, 0.15 on average, for colours within
    BT.709; rounding to 8 bits alone is up to 0.9.
    """

    def __init__(self, width: int, height: int, transfer: int, white: int = WHITE_16) -> None:
        super().__init__(
            width, height, ("lut3d", f"file='{_file(_write_tone_map, transfer, white)}':interp=tetrahedral")
        )

    def __call__(self, frame: Any) -> np.ndarray:
        """uint8 [H, W, 3] RGB; rounded here, since swscale dithers each channel in its own way."""
        planes = self._apply(frame)
        image = np.empty((planes.height, planes.width, 3), np.uint8)
        for channel, index in enumerate((2, 0, 1)):
            image[..., channel] = (plane(planes, index) + 128) >> 8
        return image


class InverseToneMap(_Tables):
    """Turns drawn SDR pictures in gbrp into gbrp16 (BT.2020 PQ or HLG) of one size, for swscale and a 10-bit encoder.

    The inverse of `ToneMap`, at most 3 levels of 10 bits from the formula. The highest of the 255 levels lie far
    apart (254 is 590 cd/m2, 255 is 1000): there the curve it inverts is flat.
    """

    def __init__(self, width: int, height: int, transfer: int) -> None:
        spread = ("lut1d", f"file='{_file(_write_spread)}':interp=linear")
        super().__init__(
            width, height, spread, ("lut3d", f"file='{_file(_write_inverse, transfer)}':interp=tetrahedral")
        )
        self._transfer = transfer

    def __call__(self, frame: Any) -> Any:
        """gbrp16 of a picture in gbrp."""
        signal = self._apply(frame.reformat(format="gbrp16le", threads=1))
        signal.color_primaries, signal.color_trc = 9, self._transfer
        return signal
