"""`vidstyle image` and `vidstyle preview`: real picture files in, real picture files out."""

from __future__ import annotations

import errno
import json
import os
import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import make_clip, save_tiny

from vidstyle.catalog import parse_recipe
from vidstyle.errors import SinkError, SourceError, StyleError, UsageError
from vidstyle.images import check_target, stylize_image, targets, write_picture
from vidstyle.lettering import HEIGHT, shorten, text_width, write_text
from vidstyle.picture import ENCODERS, NotAPictureError, Picture, encode_picture, on_white, read_picture, resize
from vidstyle.picture_tags import read_profile
from vidstyle.preview import TILE, contact_sheet, sample_picture, usable_styles
from vidstyle.stylizer import Stylizer

PROFILE = bytes(16) + b"RGB " + bytes(range(256)) * 300  # longer than one JPEG segment takes


def smooth(height: int, width: int) -> np.ndarray:
    """uint8 [height, width, 3] without two equal corners; soft, so that JPEG keeps it."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack(
        [x * 255 // max(1, width), y * 255 // max(1, height), (x + y) * 100 // (width + height)], -1
    ).astype(np.uint8)


def encoded(codec: str, image: np.ndarray | tuple[np.ndarray, np.ndarray], pix_fmt: str) -> bytes:
    """One picture in any of an encoder's pixel formats; pal8 is given as (indices, palette)."""
    frame = av.VideoFrame.from_ndarray(image, format=pix_fmt)  # type: ignore[arg-type]
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = frame.width, frame.height, pix_fmt  # type: ignore[attr-defined]
    context.time_base = Fraction(1, 25)
    return b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))  # type: ignore[attr-defined]


def with_exif(jpeg: bytes, value: int, order: str = "<") -> bytes:
    """A JPEG with a handmade EXIF segment: another tag, then the orientation."""
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    entries = struct.pack(f"{order}HHII", 0x100, 4, 1, 7) + struct.pack(f"{order}HHIHH", 0x112, 3, 1, value, 0)
    exif = b"Exif\0\0" + mark + struct.pack(f"{order}IH", 8, 2) + entries + bytes(4)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def png_claiming(width: int, height: int) -> bytes:
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(999))))
    body = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def save(path: Path, image: np.ndarray | Picture) -> Path:
    picture = image if isinstance(image, Picture) else Picture(image)
    path.write_bytes(encode_picture(picture, path.suffix, 98))
    return path


def vidstyle(*args: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vidstyle", *map(str, args)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def stylizer(home: Path):
    with Stylizer(parse_recipe(str(save_tiny(home / "styles", "tiny"))), precision="f32") as stylizer:
        yield stylizer


@pytest.fixture
def nothing(home: Path):
    """Changes no pixel."""
    with Stylizer(parse_recipe(str(save_tiny(home / "styles", "tiny")), 0.0), precision="f32") as stylizer:
        yield stylizer


# Reading


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
    for name, error, words in (
        ("gone.png", SourceError, "No such file"),
        ("empty.png", SourceError, "empty"),
        ("text.png", SourceError, "not a picture"),
        (".", SourceError, "folder"),
        ("clip.mp4", NotAPictureError, "vidstyle file"),
    ):
        with pytest.raises(error, match=words):
            read_picture(tmp_path / name)


def test_an_animation_is_a_video(tmp_path: Path) -> None:
    path = tmp_path / "moving.gif"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb8"
        for level in (0, 255):
            frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), level, np.uint8), format="rgb24")
            out.mux(stream.encode(frame.reformat(format="rgb8")))
        out.mux(stream.encode(None))
    with pytest.raises(NotAPictureError, match="vidstyle file"):
        read_picture(path)


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


@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_a_colour_profile_is_kept(tmp_path: Path, nothing: Stylizer, extension: str) -> None:
    source = save(tmp_path / f"in{extension}", Picture(smooth(16, 24), profile=PROFILE))
    for target in (tmp_path / "out.png", tmp_path / "out.jpg"):
        assert stylize_image(source, target, nothing).notes == ()
        assert read_profile(target.read_bytes()) == PROFILE
        assert read_picture(target).rgb.shape == (16, 24, 3)
    assert "profile" in stylize_image(source, tmp_path / "out.webp", nothing).notes[0]


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


def test_strength_0_gives_every_pixel_back(tmp_path: Path, nothing: Stylizer) -> None:
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    report = stylize_image(save(tmp_path / "in.png", image), tmp_path / "out.png", nothing, size=None)
    assert np.array_equal(read_picture(tmp_path / "out.png").rgb, image)
    assert (report.width, report.height) == (53, 37)


def test_a_style_changes_it_and_the_size_stays(tmp_path: Path, stylizer: Stylizer) -> None:
    source = save(tmp_path / "in.png", smooth(75, 101))
    stylize_image(source, tmp_path / "out.png", stylizer, size=32)
    found = read_picture(tmp_path / "out.png").rgb
    assert found.shape == (75, 101, 3)
    assert np.abs(found.astype(int) - smooth(75, 101)).mean() > 3


def test_alpha_is_put_back_or_put_on_white(tmp_path: Path, nothing: Stylizer) -> None:
    picture = Picture(smooth(40, 56), smooth(40, 56)[..., 1])
    source = save(tmp_path / "in.png", picture)
    for extension in (".png", ".webp"):
        assert stylize_image(source, tmp_path / f"out{extension}", nothing).notes == ()
        assert np.array_equal(read_picture(tmp_path / f"out{extension}").alpha, picture.alpha)
    assert "white" in stylize_image(source, tmp_path / "out.jpg", nothing).notes[0]
    found = read_picture(tmp_path / "out.jpg")
    assert found.alpha is None
    assert np.abs(found.rgb.astype(int) - on_white(picture).rgb).mean() < 2
    assert on_white(picture).rgb[0, 0].tolist() == [255, 255, 255]


def test_resizing_keeps_a_flat_picture_flat() -> None:
    flat = np.full((50, 70, 3), (200, 100, 50), np.uint8)
    for size in ((5, 7), (200, 280), (1, 1), (50, 70)):
        assert np.array_equal(resize(flat, *size), np.full((*size, 3), (200, 100, 50), np.uint8))


# Where results go


def test_names_of_results(tmp_path: Path) -> None:
    sources = [Path("a/x.jpg"), Path("b/y.heic")]
    assert targets(sources, None, "anime") == [Path("a/x.anime.jpg"), Path("b/y.anime.png")]
    assert targets(sources, "out", "anime") == [Path("out/x.anime.jpg"), Path("out/y.anime.png")]
    assert targets(sources[:1], "z.png", "anime") == [Path("z.png")]
    assert targets(sources[:1], "new/", "anime") == [Path("new/x.anime.jpg")]
    assert targets(sources[:1], str(tmp_path), "anime") == [tmp_path / "x.anime.jpg"]
    with pytest.raises(UsageError, match="both become"):
        targets([Path("a/x.jpg"), Path("b/x.jpg")], "out", "anime")


def test_an_output_is_refused_before_any_work(tmp_path: Path) -> None:
    source = save(tmp_path / "in.png", smooth(8, 8))
    link, hard = tmp_path / "link.png", tmp_path / "hard.png"
    link.symlink_to(source)
    hard.hardlink_to(source)
    for path in (source, link, hard, tmp_path / ".." / tmp_path.name / "in.png"):
        with pytest.raises(UsageError, match="source itself"):
            check_target(path, [source], True)
    other = save(tmp_path / "other.png", smooth(8, 8))
    with pytest.raises(SinkError, match="--overwrite"):
        check_target(other, [source], False)
    check_target(other, [source], True)
    for path, error, words in (
        (tmp_path / "out.gif", UsageError, r"\.png \.jpg"),
        (tmp_path / "out", UsageError, "extensions"),
        (tmp_path / "no" / "out.png", SinkError, "make it first"),
    ):
        with pytest.raises(error, match=words):
            check_target(path, [source], False)
    check_target(tmp_path / "no" / "out.png", [source], False, tmp_path / "no")


# The command


def test_awkward_names_come_out_as_they_went_in(home: Path, tmp_path: Path) -> None:
    save_tiny(home / "styles", "tiny")
    names = ["a%d", "-x", "a b", "concat:y", "ü漢字", "%03d*?[1]", "a.b"]
    for name in names:
        save(tmp_path / f"{name}.png", smooth(20, 30))
    done = vidstyle("image", "-s", "tiny", "-o", "out", "--", *(f"{name}.png" for name in names), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and done.stderr.count("\n") == len(names) + 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(f"{name}.tiny.png" for name in names)
    assert read_picture(tmp_path / "out" / "a%d.tiny.png").rgb.shape == (20, 30, 3)


def test_one_bad_picture_does_not_stop_the_others(home: Path, tmp_path: Path) -> None:
    save_tiny(home / "styles", "tiny")
    save(tmp_path / "good.jpg", smooth(20, 30))
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    clip = make_clip(tmp_path / "clip.mp4", frames=3, audio=0)
    done = vidstyle("image", "bad.jpg", clip.path, "good.jpg", "-s", "tiny", "--json", cwd=tmp_path)
    assert done.returncode == 3
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events] == ["failed", "failed", "picture", "done"]
    assert (events[3]["pictures"], events[3]["failed"], events[0]["exit_code"]) == (1, 2, 4)
    assert "use vidstyle file" in events[1]["error"] and len(done.stderr.splitlines()) == 2
    assert {p.name for p in tmp_path.iterdir() if p.is_file()} == {"good.jpg", "bad.jpg", "clip.mp4", "good.tiny.jpg"}


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["in.png", "-o", "in.png", "--overwrite"], 2, "source itself"),
        (["in.png", "-o", "out.xyz"], 2, "extensions"),
        (["in.png", "--quality", "0"], 2, "quality"),
        (["gone.png"], 4, "No such file"),
        (["in.png", "-o", "old.png"], 5, "--overwrite"),
        (["in.png", "--device", "gpu7"], 6, "gpu7"),
        (["in.png", "-s", "nosuch"], 7, "nosuch"),
    ],
)
def test_one_picture_ends_with_its_own_code(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], args: list[str], code: int, words: str
) -> None:
    from vidstyle.cli import main

    save_tiny(home / "styles", "anime")
    save(tmp_path / "in.png", smooth(20, 30))
    save(tmp_path / "old.png", smooth(2, 2))
    before = sorted(tmp_path.iterdir())
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as done:
        patch.chdir(tmp_path)
        main(["image", *args])
    assert done.value.code == code
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1, error
    assert sorted(tmp_path.iterdir()) == before


# The sheet


def test_letters_are_drawn_where_they_are_asked_for() -> None:
    image = np.zeros((40, 200, 3), np.uint8)
    write_text(image, "Ag|%~", 10, 12, (255, 0, 0))
    ink = np.argwhere(image[..., 0] == 255)
    assert ink.min(0).tolist() >= [12, 10] and (ink.max(0) < [12 + 2 * HEIGHT, 10 + text_width("Ag|%~")]).all()
    write_text(image, "漢\n", 195, 35, (0, 255, 0))  # unknown letters and the edge do not matter
    assert shorten("abc", 1000) == "abc"
    assert text_width(shorten("a long name of a style", 120)) <= 120 and shorten("a long name", 80).endswith("..")


@pytest.mark.parametrize("size", [(720, 1280), (1280, 720), (3, 5), (300, 300)])
def test_a_sheet_holds_every_tile(size: tuple[int, int]) -> None:
    tiles = [(f"look {i}", np.full((*size, 3), 20 * i, np.uint8)) for i in range(7)]
    sheet = contact_sheet(tiles)
    scale = min(TILE[0] / size[0], TILE[1] / size[1])
    area = round(size[0] * scale) * round(size[1] * scale)
    for i in range(1, 7):
        assert (sheet == 20 * i).all(-1).sum() >= area * 0.98
    assert 0.6 < sheet.shape[1] / sheet.shape[0] < 3


def test_a_sample_is_a_still_or_a_picture_a_third_in(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=12, audio=0)  # blue tells the index: 9 a picture
    found = {at: sample_picture(clip.path, at)[..., 2].mean() / 9 for at in (None, Fraction(0), Fraction(10, 25))}
    assert [round(index) for index in found.values()] == [4, 0, 10]
    with pytest.raises(UsageError, match="beyond the end"):
        sample_picture(clip.path, Fraction(2))
    save(tmp_path / "in.png", smooth(64, 100))
    assert sample_picture(tmp_path / "in.png", size=32).shape == (32, 50, 3)


def test_only_whole_styles_that_a_name_reaches_are_shown(home: Path) -> None:
    with pytest.raises(StyleError, match="styles pull"):
        usable_styles_of_user(home)
    save_tiny(home / "styles", "one")
    broken = save_tiny(home / "styles", "two", seed=1)
    broken.write_bytes(broken.read_bytes()[:-1] + b"\x01")
    names, left_out = usable_styles_of_user(home)
    assert names == ["one"] and "altered" in left_out[0]


def usable_styles_of_user(home: Path) -> tuple[list[str], list[str]]:
    """Of the test's own folder: the package may bring styles too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vidstyle.catalog.bundled_dir", lambda: home / "none")
        styles, left_out = usable_styles()
    return [name for name, _ in styles], left_out


def test_a_preview_shows_every_style(home: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(("one", "two")):
        save_tiny(home / "styles", name, seed)
    clip = make_clip(tmp_path / "clip %d.mp4", frames=6, audio=0)
    done = vidstyle("preview", clip.path, "--at", "0.1", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {"one", "two"} <= set(told["styles"]) and told["output"] == str(tmp_path / "clip %d.preview.png")
    sheet = read_picture(tmp_path / "clip %d.preview.png").rgb
    assert sheet.shape[0] * sheet.shape[1] > 3 * 480 * 360
    again = vidstyle("preview", clip.path, "-o", tmp_path / "clip %d.preview.png")
    assert again.returncode == 5 and "--overwrite" in again.stderr
