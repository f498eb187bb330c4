"""Kinds of pictures that other programs write: what is in them is kept, or it is said that it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_files import PROFILE, smooth, vidstyle

from vidstyle.errors import SourceError, UsageError
from vidstyle.picture import NotAPictureError, read_picture
from vidstyle.preview import sample_picture

Image: Any = pytest.importorskip("PIL.Image")


@pytest.fixture
def image() -> Any:
    return Image.fromarray(smooth(40, 56))


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_alpha_of_an_avif_is_kept(tmp_path: Path, image: Any, orientation: int) -> None:
    exif, alpha = Image.Exif(), smooth(40, 56)[..., 0]
    exif[0x112] = orientation
    image.putalpha(Image.fromarray(alpha))
    image.save(tmp_path / "a.avif", exif=exif, quality=100)
    picture = read_picture(tmp_path / "a.avif")
    want = np.rot90(alpha, -1) if orientation == 6 else alpha
    assert picture.alpha is not None and picture.alpha.shape == want.shape == picture.rgb.shape[:2]
    assert np.abs(picture.alpha.astype(int) - want).max() <= 3


@pytest.mark.parametrize("compression", ["jpeg", "zstd"])
def test_a_tiff_that_would_come_out_black_is_refused(tmp_path: Path, image: Any, compression: str) -> None:
    image.save(tmp_path / "a.tif", compression=compression)
    with pytest.raises(SourceError, match=r"is a TIFF compressed .*: save it with LZW, or as \.png"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "packbits"])
def test_other_tiffs_are_read_with_their_profile(tmp_path: Path, image: Any, compression: str | None) -> None:
    image.save(tmp_path / "a.tif", compression=compression, icc_profile=PROFILE)
    picture = read_picture(tmp_path / "a.tif")
    assert np.array_equal(picture.rgb, smooth(40, 56)) and picture.profile == PROFILE and not picture.more


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits"])
def test_a_tiff_that_is_damaged_in_the_middle_is_refused(tmp_path: Path, image: Any, compression: str) -> None:
    image.resize((400, 300)).save(tmp_path / "a.tif", compression=compression)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 60] = bytes(range(60))
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(SourceError, match=r"is damaged.*: copy or download it again"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.usefixtures("home")
def test_pages_that_are_left_out_are_told(tmp_path: Path, image: Any) -> None:
    image.save(tmp_path / "a.tif", save_all=True, append_images=[image])
    assert "of its pages the first alone was styled" in vidstyle("image", "a.tif", "-o", "b.png", cwd=tmp_path).stderr


def test_animations_are_not_styled_by_their_first_picture(tmp_path: Path, image: Any) -> None:
    for extension, error, words in (
        ("avif", NotAPictureError, "AVIF: use vidstyle file"),
        ("webp", SourceError, "WebP"),
    ):
        path = tmp_path / f"a.{extension}"
        image.save(path, save_all=True, append_images=[image.rotate(90)])
        with pytest.raises(error, match=f"is an animated {words}"):
            read_picture(path)
    for command in ("preview", "file"):
        done = vidstyle(command, "a.webp", cwd=tmp_path)
        assert done.returncode == 4 and "is an animated WebP, which FFmpeg cannot read" in done.stderr


@pytest.mark.parametrize("extension", ["gif", "qoi"])
def test_a_picture_cut_short_is_refused(tmp_path: Path, image: Any, extension: str) -> None:
    path = tmp_path / f"a.{extension}"
    image.save(path)
    whole = path.read_bytes()
    assert read_picture(path).rgb.shape == (40, 56, 3)
    if extension == "gif":
        path.write_bytes(whole + b"\n")  # as some programs write them
        assert read_picture(path).rgb.shape == (40, 56, 3)
    for share in (0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(SourceError, match="is cut short: copy or download it again"):
            read_picture(path)


@pytest.mark.parametrize("way", ["zero", "other"])
@pytest.mark.parametrize(
    ("extension", "options"), [("gif", {"interlace": 0}), ("gif", {"interlace": 1}), ("qoi", {}), ("avif", {})]
)
def test_a_picture_damaged_in_the_middle_is_refused(
    tmp_path: Path, extension: str, options: dict[str, int], way: str
) -> None:
    """FFmpeg makes a torn one of it, without an error."""
    noisy = np.random.default_rng(0).integers(0, 4, (120, 160, 3), np.uint8) * 9 + smooth(120, 160) // 2
    path = tmp_path / f"a.{extension}"
    Image.fromarray(noisy).save(path, **options)
    whole = path.read_bytes()
    assert read_picture(path).rgb.shape == (120, 160, 3)
    for share in (0.3, 0.6, 0.85):
        at = int(len(whole) * share)
        damaged = bytes(20) if way == "zero" else bytes(value ^ 0x55 for value in whole[at : at + 20])
        path.write_bytes(whole[:at] + damaged + whole[at + 20 :])
        with pytest.raises(SourceError, match="damaged"):
            read_picture(path)


@pytest.mark.parametrize("colours", [1, 2, 37, 256])
def test_whole_gifs_and_qois_are_not_called_damaged(tmp_path: Path, colours: int) -> None:
    rng = np.random.default_rng(colours)
    for height, width in ((1, 1), (7, 300), (200, 150)):
        flat = Image.fromarray(rng.integers(0, colours, (height, width), np.uint8))
        flat.save(tmp_path / "a.gif")
        flat.convert("RGB").save(tmp_path / "a.qoi")
        for name in ("a.gif", "a.qoi"):
            assert np.array_equal(read_picture(tmp_path / name).rgb, np.asarray(flat.convert("RGB")))


def test_the_largest_picture_of_an_icon_is_taken(tmp_path: Path, image: Any) -> None:
    image.resize((128, 128)).save(tmp_path / "a.ico", sizes=[(16, 16), (128, 128), (32, 32)])
    assert read_picture(tmp_path / "a.ico").rgb.shape == (128, 128, 3)


def test_a_targa_is_known_by_its_name(tmp_path: Path, image: Any) -> None:
    image.save(tmp_path / "a%d.tga")
    assert np.array_equal(read_picture(tmp_path / "a%d.tga").rgb, smooth(40, 56))


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("extension", ["avif", "ico", "jp2", "ppm", "tga"])
def test_a_picture_of_any_kind_is_no_video(tmp_path: Path, image: Any, extension: str) -> None:
    image.save(tmp_path / f"a.{extension}")
    done = vidstyle("file", f"a.{extension}", cwd=tmp_path)
    assert done.returncode == 4
    assert done.stderr.endswith(f"is a picture, not a video: use vidstyle image a.{extension}\n")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [f"a.{extension}"]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("command", ["image", "preview"])
def test_a_folder_that_is_not_there_is_told_of_the_source(tmp_path: Path, command: str) -> None:
    done = vidstyle(command, "nowhere/a.jpg", cwd=tmp_path)
    assert (
        done.returncode == 4 and done.stderr.strip() == "vidstyle: cannot read nowhere/a.jpg: No such file or directory"
    )


def test_a_picture_has_no_time(tmp_path: Path, image: Any) -> None:
    image.save(tmp_path / "a.png")
    with pytest.raises(UsageError, match=r"--at is for videos, and .* is a picture: leave it out"):
        sample_picture(tmp_path / "a.png", at=3)  # type: ignore[arg-type]


def test_a_picture_that_cannot_be_read_is_no_video_on_the_page(tmp_path: Path, image: Any) -> None:
    from vidstyle.ui.media import look_into

    image.save(tmp_path / "a.tif", compression="jpeg")
    with pytest.raises(SourceError, match="is a TIFF compressed by JPEG"):
        look_into(tmp_path / "a.tif")
