"""Pictures of more than eight bits, and of HDR: what comes of them, and that it is told."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from lossless import raw_frame
from media import save_tiny
from picture_files import PROFILE, encoded, save, smooth

from vidstyle.catalog import parse_recipe
from vidstyle.frame import TRC_HLG, TRC_PQ
from vidstyle.hdr import to_hdr
from vidstyle.images import stylize_image
from vidstyle.picture import read_picture
from vidstyle.picture_tags import with_profile
from vidstyle.priority import kept_priority
from vidstyle.stylizer import Stylizer


@pytest.fixture
def nothing(home: Path):
    """Changes no pixel."""
    with Stylizer(parse_recipe(str(save_tiny(home / "styles", "tiny")), 0.0), precision="f32") as stylizer:
        yield stylizer


def deep(image: np.ndarray) -> Any:
    """[H, W, C] of 0..1 as a picture of 16 bits."""
    values = np.round(image * 65535)
    order = (1, 2, 0, 3)[: image.shape[2]]
    return raw_frame("gbrap16le" if len(order) == 4 else "gbrp16le", [values[..., channel] for channel in order])


def png(image: np.ndarray, transfer: int = 0) -> bytes:
    """A PNG of 16 bits; with ``transfer`` it says that it is BT.2020, by cICP."""
    form = "rgba64be" if image.shape[2] == 4 else "rgb48be"
    packed = deep(image).reformat(format=form)
    context: Any = av.CodecContext.create("png", "w")
    context.width, context.height, context.pix_fmt, context.time_base = packed.width, packed.height, form, Fraction(1)
    data = b"".join(bytes(packet) for packet in (*context.encode(packed), *context.encode(None)))
    body = b"cICP" + bytes([9, transfer, 0, 1])
    chunk = struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:33] + chunk + data[33:] if transfer else data


def avif(path: Path, image: np.ndarray, transfer: int) -> Path:
    """Of 10 bits, BT.2020."""
    frame = deep(image).reformat(format="yuv420p10le", dst_colorspace=9, src_color_range=2, dst_color_range=1)
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libsvtav1", rate=1, options={"crf": "5", "preset": "9"})
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p10le"
        for tagged in (stream.codec_context, frame):
            tagged.colorspace, tagged.color_primaries, tagged.color_trc, tagged.color_range = 9, 9, transfer, 1
        frame.pts, frame.time_base = 0, Fraction(1)
        with kept_priority():
            out.start_encoding()
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("transfer", [TRC_PQ, TRC_HLG])
@pytest.mark.parametrize("kind", ["png", "avif"])
def test_an_hdr_still_is_tone_mapped_and_told(
    tmp_path: Path, nothing: Stylizer, monkeypatch: pytest.MonkeyPatch, kind: str, transfer: int
) -> None:
    """As a screen should show it, and not as it stands, which is dim and flat."""
    monkeypatch.setenv("SVT_LOG", "1")  # the encoder writes to the terminal by itself: errors alone
    shown = smooth(64, 96)
    source, signal = tmp_path / f"a.{kind}", to_hdr(shown / 255, transfer)
    if kind == "avif":
        avif(source, signal, transfer)
    else:
        source.write_bytes(png(signal, transfer))
    report = stylize_image(source, tmp_path / "out.png", nothing, size=None)
    assert report.notes == ("HDR was tone-mapped to SDR (BT.709)",)
    off = np.abs(read_picture(tmp_path / "out.png").rgb.astype(int) - shown)
    assert off.mean() < (2.5 if kind == "avif" else 1)


def test_an_hdr_still_keeps_its_transparency_and_not_its_profile(tmp_path: Path) -> None:
    shown, alpha = smooth(64, 96), np.linspace(0, 1, 64 * 96).reshape(64, 96)
    data = png(np.dstack([to_hdr(shown / 255, TRC_PQ), alpha]), TRC_PQ)
    (tmp_path / "a.png").write_bytes(with_profile(data, PROFILE) or b"")
    picture = read_picture(tmp_path / "a.png")
    assert picture.hdr and picture.profile is None and picture.alpha is not None
    assert np.abs(picture.alpha - 255 * alpha).max() <= 1
    assert np.abs(picture.rgb.astype(int) - shown).mean() < 1


@pytest.mark.parametrize("name", ["a.png", "a.tif", "grey.png"])
def test_sixteen_bits_that_become_eight_are_told(tmp_path: Path, nothing: Stylizer, name: str) -> None:
    image, source = smooth(40, 56), tmp_path / name
    if name == "a.png":
        source.write_bytes(png(image / 255))
    elif name == "a.tif":
        source.write_bytes(encoded("tiff", image.astype(np.uint16) * 257, "rgb48le"))
    else:
        source.write_bytes(encoded("png", image[..., 0].astype(np.uint16) * 257, "gray16be"))
    report = stylize_image(source, tmp_path / "out.png", nothing)
    assert report.notes == ("the source has 16 bits a colour; styled pictures have 8",)
    assert stylize_image(save(tmp_path / "8.png", image), tmp_path / "out8.png", nothing).notes == ()
