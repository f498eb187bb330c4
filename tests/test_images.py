"""`vidstyle image`: real picture files in, real picture files out."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import typer
from media import make_clip, save_tiny
from picture_files import PROFILE, save, smooth, vidstyle, with_exif

from vidstyle.catalog import parse_recipe
from vidstyle.cli.image import _each
from vidstyle.errors import INTERRUPTED, Interrupted, SinkError, UsageError
from vidstyle.images import PictureReport, check_target, stylize_image, targets
from vidstyle.picture import Picture, encode_picture, on_white, read_picture
from vidstyle.picture_tags import read_exif, read_profile
from vidstyle.stylizer import Stylizer


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


@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_a_colour_profile_is_kept(tmp_path: Path, nothing: Stylizer, extension: str) -> None:
    source = save(tmp_path / f"in{extension}", Picture(smooth(16, 24), profile=PROFILE))
    for target in (tmp_path / "out.png", tmp_path / "out.jpg"):
        assert stylize_image(source, target, nothing).notes == ()
        assert read_profile(target.read_bytes()) == PROFILE
        assert read_picture(target).rgb.shape == (16, 24, 3)
    assert "profile" in stylize_image(source, tmp_path / "out.webp", nothing).notes[0]


@pytest.mark.parametrize("order", "<>")
def test_exif_is_kept_of_an_upright_picture_without_its_thumbnail(
    tmp_path: Path, nothing: Stylizer, order: str
) -> None:
    source = tmp_path / "in.jpg"
    jpeg = bytearray(with_exif(encode_picture(Picture(smooth(16, 24)), ".jpg"), 6, order))
    at = jpeg.index(b"Exif\0\0") + 6
    jpeg[at + 34 : at + 38] = struct.pack(f"{order}I", 8)  # where a second directory would be
    source.write_bytes(jpeg)
    for target in (tmp_path / "out.png", tmp_path / "out.jpg"):
        assert stylize_image(source, target, nothing).notes == ()
        assert read_picture(target).rgb.shape == (24, 16, 3)  # turned once
        exif = read_exif(target.read_bytes())
        assert exif is not None and exif[:22] == jpeg[at : at + 22] and exif[34:38] == bytes(4)
    assert stylize_image(source, tmp_path / "out.webp", nothing).notes == ("EXIF is not kept in .webp",)


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


def test_names_of_results(tmp_path: Path) -> None:
    sources = [Path("a/x.jpg"), Path("b/y.heic")]
    assert targets(sources, None, "anime") == [Path("a/x.anime.jpg"), Path("b/y.anime.png")]
    assert targets(sources, "out", "anime") == [Path("out/x.anime.jpg"), Path("out/y.anime.png")]
    assert targets(sources[:1], "z.png", "anime") == [Path("z.png")]
    assert targets(sources[:1], "new/", "anime") == [Path("new/x.anime.jpg")]
    assert targets(sources[:1], str(tmp_path), "anime") == [tmp_path / "x.anime.jpg"]
    (tmp_path / "file.jpg").touch()
    with pytest.raises(SinkError, match=r"file.jpg is a file, and 2 pictures go to a folder"):
        targets(sources, str(tmp_path / "file.jpg"), "anime")
    assert targets([Path("a/x.jpg"), Path("b/x.jpg")], "out", "anime") == [Path("out/x.anime.jpg")] * 2


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
    dangling = tmp_path / "dangling.png"
    dangling.symlink_to("nowhere.png")
    with pytest.raises(SinkError, match=r"dangling\.png exists"):
        check_target(dangling, [source], False)
    check_target(dangling, [source], True)
    for path, error, words in (
        (tmp_path / "out.gif", UsageError, r"\.png \.jpg"),
        (tmp_path / "out", UsageError, "extensions"),
        (tmp_path / "no" / "out.png", SinkError, "make it first"),
        (tmp_path / f"{'x' * 260}.png", SinkError, "is too long for this disk"),
    ):
        with pytest.raises(error, match=words):
            check_target(path, [source], False)
    check_target(tmp_path / "no" / "out.png", [source], False, tmp_path / "no")


# The command


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("command", ["image", "preview"])
def test_a_source_with_a_name_too_long_is_told(command: str, tmp_path: Path) -> None:
    done = vidstyle(command, f"{'x' * 300}.png", "-o", str(tmp_path / "out.png"))
    assert done.returncode == 4 and done.stderr.endswith("File name too long\n")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("command", ["image", "preview"])
@pytest.mark.parametrize(("source", "what"), [("http://me:secret@host/a.jpg", "a URL"), ("-", "standard input")])
def test_what_is_no_file_is_told_as_that(command: str, source: str, what: str) -> None:
    done = vidstyle(command, source)
    assert done.returncode == 2 and "secret" not in done.stderr
    assert done.stderr == f"vidstyle: this command reads files, got {what}: save it first, and give its path\n"


def test_a_name_cannot_command_the_terminal(home: Path, tmp_path: Path) -> None:
    save_tiny(home / "styles", "tiny")
    name = "a\x1b[2J\nb.png"
    save(tmp_path / name, smooth(20, 30))
    done = vidstyle("image", name, "none\x1b[2J.png", "-s", "tiny", "-o", "out", cwd=tmp_path)
    assert "\x1b" not in done.stderr and "out/a\\x1b[2J\\nb.tiny.png: 30x20" in done.stderr
    alone = vidstyle("image", "none\x1b[2J.png", "-s", "tiny", cwd=tmp_path)
    assert alone.returncode == 4 and "cannot read none\\x1b[2J.png" in alone.stderr


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


def test_of_two_that_would_become_one_file_the_first_has_it(home: Path, tmp_path: Path) -> None:
    save_tiny(home / "styles", "tiny")
    for name, size in (("a.tif", 20), ("a.bmp", 30), ("b.png", 40)):
        save(tmp_path / name, smooth(size, size))
    (tmp_path / "a.tif").rename(tmp_path / "a.qoi")  # neither keeps its ending
    (tmp_path / "a.bmp").rename(tmp_path / "a.gif")
    done = vidstyle("image", "a.qoi", "a.gif", "b.png", "-s", "tiny", "-o", "out", "--overwrite", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    both = str(Path("out", "a.tiny.png"))
    assert f"vidstyle: a.qoi and a.gif would both become {both}: rename one\n" in done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.tiny.png", "b.tiny.png"]
    assert read_picture(tmp_path / both).rgb.shape == (20, 20, 3)


def test_one_bad_picture_does_not_stop_the_others(home: Path, tmp_path: Path) -> None:
    save_tiny(home / "styles", "tiny")
    save(tmp_path / "good.jpg", smooth(20, 30))
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    clip = make_clip(tmp_path / "clip.mp4", frames=3, audio=0)
    done = vidstyle(
        "image",
        "bad.jpg",
        clip.path,
        "good.jpg",
        "./bad.jpg",
        tmp_path / "good.jpg",
        "-s",
        "tiny",
        "--json",
        cwd=tmp_path,
    )
    assert done.returncode == 3
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events] == ["failed", "failed", "picture", "done"]
    assert (events[3]["pictures"], events[3]["failed"], events[0]["exit_code"]) == (1, 2, 4)
    assert "use vidstyle file" in events[1]["error"] and len(done.stderr.splitlines()) == 2
    assert {p.name for p in tmp_path.iterdir() if p.is_file()} == {"good.jpg", "bad.jpg", "clip.mp4", "good.tiny.jpg"}


def test_stopped_in_the_middle_it_tells_what_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    def run(source: Path, target: Path) -> PictureReport:
        if source.name == "b.jpg":
            raise Interrupted(INTERRUPTED)
        return PictureReport(str(source), str(target), 30, 20, 0.1)

    with pytest.raises(Interrupted) as stop:
        _each([(Path(name), Path("out", name)) for name in ("a.jpg", "b.jpg")], run, json=False)
    assert stop.value.__notes__ == ["1 of 2 pictures styled"]
    assert capsys.readouterr().err.startswith("out/a.jpg: 30x20")


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["in.png", "-o", "in.png", "--overwrite"], 2, "source itself"),
        (["in.png", "-o", "out.xyz"], 2, "extensions"),
        (["in.png", "-o", "out"], 2, ".tiff, or out/ for a folder"),
        (["in.png", "-o", ""], 2, "the output's name is empty"),
        (["in.png", "-o", "-"], 2, "got standard output"),
        (["in.png", "-o", "s3://key:secret@bucket/out.png"], 2, "the output is a URL"),
        (["in.png", "old.png", "-o", ""], 2, "the output's name is empty"),
        (["in.png", "old.png", "-o", "out.png"], 2, "2 pictures go to a folder, got -o out.png: write out.png/ if"),
        (["in.png", "old.png", "-o", "out.mp4"], 2, "2 pictures go to a folder, got -o out.mp4"),
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
    assert words in error and "secret" not in error and error.count("\n") == 1, error
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("command", ["image", "preview"])
def test_a_file_that_may_not_be_read_is_no_mistake_in_the_words(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 4, as of every input that cannot be read; and of several pictures the others are styled."""
    from vidstyle.cli import app

    path = save(tmp_path / "in.png", smooth(2, 2))
    found = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    argument = next(param for param in found.params if param.param_type_name == "argument")
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    given = argument.process_value(typer.Context(found), [str(path)] if argument.nargs == -1 else str(path))
    assert given in (path, [path])


# The sheet
