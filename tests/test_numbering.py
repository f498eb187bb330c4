"""Which numbered pictures are meant, what is missing among them, and how many are shown a second."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from vidstyle.errors import SourceError, UsageError
from vidstyle.numbering import find_series, is_pattern, parse_rate, pattern_of


def put(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


@pytest.mark.parametrize(
    ("names", "pattern", "found"),
    [
        ("shot.{:04d}.png", "shot.%04d.png", "shot.%04d.png, 8 to 12"),
        ("shot.{:04d}.png", "shot.####.png", "shot.%04d.png, 8 to 12"),
        ("shot.{:d}.png", "shot.%d.png", "shot.%d.png, 8 to 12"),
        ("{:03d}.JPG", "%03d.JPG", "%03d.JPG, 8 to 12"),
        ("v2_{:05d}.left.tif", "v2_%05d.left.tif", "v2_%05d.left.tif, 8 to 12"),
        ("a#1 {:02d}.dpx", "a#1 %02d.dpx", "a#1 %02d.dpx, 8 to 12"),
        ("100%_{:02d}.png", "100%%_%02d.png", "100%%_%02d.png, 8 to 12"),
        ("{:03d}_v7.png", "%03d_v7.png", "%03d_v7.png, 8 to 12"),  # the last number is another
    ],
)
def test_a_pattern_finds_its_first_and_last_picture(tmp_path: Path, names: str, pattern: str, found: str) -> None:
    put(tmp_path, *(names.format(number) for number in range(8, 13)), "shot.0099.txt", "other.0001.png")
    series = find_series(str(tmp_path / pattern))
    assert series is not None and str(series) == found and series.count == 5
    assert [series.name(number) for number in (8, 12)] == [names.format(8), names.format(12)]


def test_a_folder_stands_for_its_one_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "shot", *(f"a.{number}.png" for number in range(998, 1003)))
    put(tmp_path / "shot", "cover.png", "sheet2.png", "notes1.txt", "notes2.txt", "._a.998.png", "._a.999.png")
    series = find_series(str(tmp_path / "shot"))
    assert series is not None and str(series) == "a.%03d.png, 998 to 1002"
    assert series.named == tmp_path / "shot.png"  # beside the folder
    monkeypatch.chdir(tmp_path / "shot")
    assert (here := find_series(".")) is not None and here.named == tmp_path / "shot.png"
    assert (named := find_series("a.%d.png")) is not None and named.named == Path("a.png")
    put(tmp_path / "one", "0007.png")
    assert (one := find_series(str(tmp_path / "one"))) is not None and one.count == 1


def test_several_series_in_a_folder_are_named(tmp_path: Path) -> None:
    put(tmp_path, "a.01.png", "a.02.png", "a.01.exr", "a.02.exr", "b_1.jpg", "b_2.jpg")
    with pytest.raises(SourceError) as error:
        find_series(str(tmp_path))
    listed = ", ".join(str(tmp_path / name) for name in ("a.%02d.exr", "a.%02d.png", "b_%d.jpg"))
    assert str(error.value) == f"{tmp_path} holds {listed}: name one of them"


def test_numbers_that_are_missing_are_named(tmp_path: Path) -> None:
    put(tmp_path, *(f"s.{number:04d}.png" for number in (1, 2, 4, 7, 8)), "s.20231201120000.png")
    with pytest.raises(SourceError) as error:
        find_series(str(tmp_path / "s.%04d.png"))
    assert "s.0003.png, s.0005.png to s.0006.png, s.0009.png to s.20231201119999.png are missing in" in str(error.value)
    (tmp_path / "s.20231201120000.png").unlink()
    put(tmp_path, "s.0005.png", "s.0006.png")
    with pytest.raises(SourceError, match=r"^s.0003.png is missing in .* \(s.%04d.png, 1 to 8\): make what is missing"):
        find_series(str(tmp_path))


def test_numbers_beyond_what_ffmpeg_counts_are_named(tmp_path: Path) -> None:
    """The pictures behind 2147483647 were told as damaged, and a series of such alone as a result out of range."""
    put(tmp_path, *(f"f{number}.png" for number in range(2**31 - 3, 2**31 + 1)))
    with pytest.raises(SourceError, match=r"f2147483648.png: numbers up to 2147483647 are read: give"):
        find_series(str(tmp_path))
    (tmp_path / "f2147483648.png").unlink()
    assert (series := find_series(str(tmp_path))) is not None and series.count == 3


def test_what_is_no_series(tmp_path: Path) -> None:
    put(tmp_path, "a.0001.png", "a.0002.png", "in.mp4")
    put(tmp_path / "films", "a1.mp4", "a2.mp4", "cover.png")
    put(tmp_path / "odd", "shot.%04d.png")
    for name in ("odd/shot.%04d.png", "in.mp4", "missing.mp4", "films", "x" * 300, "100%.png"):
        assert find_series(str(tmp_path / name)) is None
    with pytest.raises(SourceError, match=r"no picture is called .*a.%03d.png \(there are .*a.%04d.png\)$"):
        find_series(str(tmp_path / "a.%03d.png"))
    with pytest.raises(SourceError, match=r"no picture is called .*missing/%d.png$"):
        find_series(str(tmp_path / "missing" / "%d.png"))
    with pytest.raises(UsageError, match="several numbers"):
        find_series(str(tmp_path / "a%d_%d.png"))
    with pytest.raises(UsageError, match="no pictures that are read in series"):
        find_series(str(tmp_path / "a%d.mp4"))


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("24", Fraction(24)),
        ("23.976", Fraction(24000, 1001)),
        ("23.98", Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("119.88", Fraction(120000, 1001)),
        ("30000/1001", Fraction(30000, 1001)),
        ("25.0", Fraction(25)),
        ("12.5", Fraction(25, 2)),
        ("1/2", Fraction(1, 2)),
    ],
)
def test_rates_as_editors_mean_them(text: str, rate: Fraction) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["0", "-24", "abc", "24fps", "", "1e2", "1/0", "481", "nan", "2_4", " 24"])
def test_other_rates_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--fps is .*: expected pictures a second as 24, 23.976 or 30000/1001"):
        parse_rate(text)


def test_names_of_patterns(tmp_path: Path) -> None:
    assert is_pattern("drawn/%05d.png") and is_pattern("a.####.jpg")
    assert not is_pattern("drawn/a.png") and not is_pattern("a%d.mp4")
    put(tmp_path, "a%d.png")
    assert not is_pattern(str(tmp_path / "a%d.png"))
    assert pattern_of(Path("in/shot.1001.png")) == Path("in/shot.%04d.png")
    assert pattern_of(Path("in/shot.png")) is None and pattern_of(Path("a1.mp4")) is None
