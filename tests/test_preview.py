"""A sheet of every look, and its lettering."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media import make_clip, save_tiny
from picture_files import save, smooth, vidstyle

from vidstyle.errors import StyleError, UsageError
from vidstyle.lettering import HEIGHT, shorten, text_width, write_text
from vidstyle.picture import read_picture
from vidstyle.preview import TILE, contact_sheet, sample_picture, usable_styles


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
