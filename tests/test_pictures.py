"""Still pictures as files: what is read, what is refused, what is written."""

from __future__ import annotations

import errno
import os
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from media import make_clip
from picture_files import PROFILE, encoded, png_claiming, save, smooth, with_exif

from vidstyle.convert import resize
from vidstyle.errors import SinkError, SourceError
from vidstyle.images import write_picture
from vidstyle.picture import ENCODERS, NotAPictureError, Picture, encode_picture, read_picture


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("value", range(1, 9))
def test_every_exif_orientation_of_a_jpeg_is_applied(tmp_path: Path, value: int, order: str) -> None:
    upright = smooth(40, 56)
    # What a camera stores for each value, by the standard's "row 0 is at the visual ..., column 0 at the visual ...".
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[value]
    path = tmp_path / "camera.jpg"
    path.write_bytes(with_exif(encode_picture(Picture(np.ascontiguousarray(stored)), ".jpg", 98), value, order))
    found = read_picture(path).rgb
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).mean() < 3


def test_damaged_exif_means_upright(tmp_path: Path) -> None:
    jpeg = with_exif(encode_picture(Picture(smooth(16, 24)), ".jpg"), 6)
    at = jpeg.index(b"Exif")
    for position, value in ((at + 6, 0), (at + 10, 0xFF), (at + 12, 0xFF), (at + 14, 0xFF), (at + 34, 99)):
        path = tmp_path / "camera.jpg"
        path.write_bytes(jpeg[:position] + bytes([value]) + jpeg[position + 1 :])
        assert read_picture(path).rgb.shape in ((16, 24, 3), (24, 16, 3))


def test_grey_deep_and_palette_pictures_become_rgb(tmp_path: Path) -> None:
    grey = smooth(12, 20)[..., 0]
    deep = grey.astype(np.uint16) * 257
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 0], palette[:, 1] = 255, np.arange(256)  # alpha, red
    for name, data in {
        "grey": encoded("png", grey, "gray"),
        "deep grey": encoded("png", deep, "gray16be"),
        "deep": encoded("png", np.repeat(deep[..., None], 3, 2), "rgb48be"),
        "palette": encoded("png", (grey, palette), "pal8"),
    }.items():
        path = tmp_path / "in.png"
        path.write_bytes(data)
        picture = read_picture(path)
        assert picture.alpha is None, name
        want = np.stack([grey, grey * 0, grey * 0], -1) if name == "palette" else np.repeat(grey[..., None], 3, 2)
        assert np.abs(picture.rgb.astype(int) - want).max() <= 1, name


@pytest.mark.parametrize("extension", [".png", ".webp", ".tiff"])
def test_transparency_is_read(tmp_path: Path, extension: str) -> None:
    alpha = smooth(12, 20)[..., 0]
    image = np.dstack([smooth(12, 20), alpha])
    path = tmp_path / f"in{extension}"
    if extension == ".tiff":
        path.write_bytes(encoded("tiff", image, "rgba"))
    else:
        save(path, Picture(image[..., :3].copy(), alpha))
    assert np.array_equal(read_picture(path).alpha, alpha)


def test_a_name_says_nothing_of_the_contents(tmp_path: Path) -> None:
    path = tmp_path / "really a png.jpg"
    path.write_bytes(encode_picture(Picture(smooth(9, 11)), ".png"))
    assert np.array_equal(read_picture(path).rgb, smooth(9, 11))


def test_a_small_picture_behind_a_jpeg_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "camera.jpg"
    path.write_bytes(encode_picture(Picture(smooth(40, 56)), ".jpg") + encode_picture(Picture(smooth(8, 8)), ".jpg"))
    assert read_picture(path).rgb.shape == (40, 56, 3)


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tiff"])
def test_a_picture_cut_short_is_refused(tmp_path: Path, extension: str) -> None:
    path = save(tmp_path / f"cut{extension}", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match="damaged"):
        read_picture(path)


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello\n" * 99)
    make_clip(tmp_path / "clip.mp4", frames=3)
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8000))
    for name, error, words in (
        ("gone.png", SourceError, "No such file"),
        ("empty.png", SourceError, "empty"),
        ("text.png", SourceError, "not a picture"),
        ("sound.wav", SourceError, r"no picture in it \(found: audio\)"),
        (".", SourceError, "folder"),
        ("clip.mp4", NotAPictureError, "vidstyle file"),
    ):
        with pytest.raises(error, match=words):
            read_picture(tmp_path / name)


@pytest.mark.parametrize(("name", "codec", "pixels"), [("a.gif", "gif", "rgb8"), ("a.png", "apng", "rgb24")])
def test_an_animation_is_a_video(tmp_path: Path, name: str, codec: str, pixels: str) -> None:
    def write(levels: list[int]) -> Path:
        with av.open(str(tmp_path / name), "w", format=codec) as out:
            stream = out.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = 16, 16, pixels
            for level in levels:
                frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), level, np.uint8), format="rgb24")
                out.mux(stream.encode(frame.reformat(format=pixels)))
            out.mux(stream.encode(None))
        return tmp_path / name

    with pytest.raises(NotAPictureError, match="vidstyle file"):
        read_picture(write([0, 255]))
    assert read_picture(write([7])).rgb.shape == (16, 16, 3)


def test_a_huge_claim_is_refused_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png_claiming(60000, 60000))
    with pytest.raises(SourceError, match="3600 megapixels, at most 200"):
        read_picture(path)


# Writing


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 1), (37, 53)])
@pytest.mark.parametrize("extension", ENCODERS)
def test_odd_sizes_survive_every_format(tmp_path: Path, extension: str, size: tuple[int, int]) -> None:
    image = smooth(*size)
    found = read_picture(save(tmp_path / f"out{extension}", image)).rgb
    assert found.shape == image.shape
    tolerance = {".jpg": 12, ".jpeg": 12, ".webp": 25}.get(extension, 0)  # WebP halves the chroma of a few pixels
    assert np.abs(found.astype(int) - image).mean() <= tolerance


def test_quality_is_the_size_of_a_jpeg_and_a_webp() -> None:
    image = Picture(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    for extension in (".jpg", ".webp"):
        sizes = [len(encode_picture(image, extension, quality)) for quality in (1, 40, 75, 92)]
        assert sizes == sorted(set(sizes)), extension


def test_webp_of_quality_100_is_exact(tmp_path: Path) -> None:
    path = tmp_path / "out.webp"
    path.write_bytes(encode_picture(Picture(smooth(37, 53)), ".webp", 100))
    assert np.array_equal(read_picture(path).rgb, smooth(37, 53))


def test_a_profile_for_other_than_rgb_is_left_out(tmp_path: Path) -> None:
    cmyk = PROFILE.replace(b"RGB ", b"CMYK")
    assert read_picture(save(tmp_path / "in.jpg", Picture(smooth(16, 24), profile=cmyk))).profile is None


def test_what_an_encoder_cannot_hold_is_one_line() -> None:
    with pytest.raises(SinkError, match=r"16384x1 .*use \.png"):
        encode_picture(Picture(np.zeros((1, 16384, 3), np.uint8)), ".webp")


def test_a_full_disk_leaves_nothing_and_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out.png"
    target.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SinkError, match="No space"):
        write_picture(target, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["out.png"] and target.read_bytes() == b"old"


# Styling


def test_resizing_keeps_a_flat_picture_flat() -> None:
    flat = np.full((50, 70, 3), (200, 100, 50), np.uint8)
    for size in ((5, 7), (200, 280), (1, 1), (50, 70)):
        assert np.array_equal(resize(flat, *size), np.full((*size, 3), (200, 100, 50), np.uint8))


# Where results go
