"""Numbered pictures in `vidstyle batch`: each series of them is one video, or numbered pictures again."""

from __future__ import annotations

import json
import os
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from batch_shop import Shop, rest, wait_for
from media import picture, video_times
from picture_files import COUNT, make_series, save

from vidstyle import cli
from vidstyle.batch.inputs import Found, Item, find
from vidstyle.batch.journal import Journal, look
from vidstyle.batch.names import Names
from vidstyle.errors import SourceError, UsageError
from vidstyle.inputs import batch_input
from vidstyle.picture import Picture

pytest_plugins = "batch_fixtures"

GIVEN = ("in", "--fps", "24", "--size", "native")


def put(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"\x00")


def tree(shop: Shop) -> None:
    """Two shots, a loose picture and a video."""
    for name in ("sh010", "sh020"):
        make_series(shop.folder / "in" / name)
    save(shop.folder / "in" / "photo.png", picture(0, 64, 48))
    shop.clip("edit.mp4", 5)


def search(*inputs: str, folder: str = "out", ours: tuple[str, ...] = ()) -> Found:
    return find(inputs, Path(folder), named, map(Path, ours), numbered=True)


def named(source: Path) -> str:
    series = batch_input(source, Fraction(24), by_name=True).series
    return f"{source.stem}.tiny{source.suffix}" if series is None else f"{series.named.stem}.tiny.mp4"


def sources(found: Found) -> list[str]:
    return [item.source.as_posix() for item in found.items]


def numbers(folder: Path, before: str) -> list[int]:
    return sorted(int(path.name[len(before) :].partition(".")[0]) for path in folder.glob(f"{before}*.png"))


def states(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix not in (".jsonl", ".lock")}


def test_runs_of_two_are_series_and_what_is_loose_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(Path("in/a"), *(f"{name}.{number}.png" for name in ("x", "y") for number in (9, 10)), "one.0001.png", "z.png")
    put(Path("in"), "x.0001.exr", "x.0002.exr", "x.0001.png", "x.0002.png", "v.mp4", "notes.txt")
    put(Path("in/.git"), "x.1.png", "x.2.png")
    found = search("in")
    pictures = ["in/x.%04d.png", "in/x.%04d.exr"]  # what cannot be read takes no name from what can
    assert sources(found) == ["in/v.mp4", *pictures, "in/a/x.%d.png", "in/a/y.%d.png"]
    assert [item.target.as_posix() for item in found.items][1:4] == ["out/x.tiny.mp4"] * 2 + ["out/a/x.tiny.mp4"]
    assert (found.passed_over, found.pictures) == (3, 2)
    assert sources(find(["in"], Path("out"), named)) == ["in/v.mp4"]


def test_patterns_name_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in/a", "in/b", "in[1]"):
        put(Path(name), "x.1001.png", "x.1002.png", "x_y.1001.png", "x_y.1002.png")
    put(Path("in/a"), "one.1.png")
    both = [("in/a/x.%04d.png", "out/a/x.tiny.mp4"), ("in/b/x.%04d.png", "out/b/x.tiny.mp4")]
    for pattern in ("in/*/x.%04d.png", "in/**/x.####.png", "in/?/[x].%04d.png"):
        assert [(item.source.as_posix(), item.target.as_posix()) for item in search(pattern).items] == both
    assert sources(search("in/a/x*.%04d.png")) == ["in/a/x.%04d.png", "in/a/x_y.%04d.png"]
    assert sources(search("in[1]/x.####.png", "in/a/one.%d.png")) == ["in[1]/x.%04d.png", "in/a/one.%d.png"]
    with pytest.raises(SourceError, match=r"no picture is called in/a/no.%04d.png \(there are in/a/one"):
        search("in/a/no.%04d.png")
    with pytest.raises(UsageError, match="nothing matches"):
        search("in/*/x.%05d.png")
    with pytest.raises(UsageError, match=r"check the pattern; numbered pictures become videos with .*--fps 24"):
        find(["in/*/x.%04d.png"], Path("out"), named)


def test_pictures_that_a_batch_made_are_no_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(Path("in/a"), *(f"{name}.{number}.png" for name in ("x", "x.tiny", "mine.tiny") for number in (10, 11)))
    with Journal(Path("in")) as journal:
        target, source = Path("in/a/x.tiny.%d.png"), Path("in/a/x.%d.png")  # as of a source with 9, which is gone
        journal.write("started", target, source, file=target.name, fingerprint={}, stamp=None, before=None)
        journal.write("done", target, source, fingerprint={}, size=2)
    assert sources(search("in")) == sources(search("in", folder="in", ours=(str(target),)))
    assert sources(search("in")) == ["in/a/mine.tiny.%02d.png", "in/a/x.%02d.png"]


def test_the_state_of_a_series_is_that_of_all_its_pictures(tmp_path: Path) -> None:
    pattern = tmp_path / "x.%04d.png"
    assert look(pattern) is None and look(tmp_path / "away" / "x.%d.png") is None
    put(tmp_path, "x.0001.png", "x.0002.png", "x.3.png", "y.0003.png")
    before = look(pattern)
    assert before is not None and before[0] == 2 and before == look(pattern)
    os.utime(tmp_path / "x.0001.png", ns=(0, 0))
    assert (after := look(pattern)) is not None and after[0] == 2 and after != before


def test_patterns_that_may_name_one_file_are_one_name(tmp_path: Path) -> None:
    names = Names(watching=False)
    first, second = (Item(tmp_path / f"{name}.mp4", tmp_path / f"a.%0{name}d.png") for name in ("4", "3"))
    assert names.claim(first.target, first) is None
    assert names.claim(second.target, second) == first
    assert names.claim(tmp_path / "b.%03d.png", second) is None


def test_every_series_becomes_a_video_then_only_what_changed(shop: Shop) -> None:
    tree(shop)
    planned = shop.run(*GIVEN, "--dry-run").stdout
    assert f"do      {COUNT} frames  in/sh010/shot.%04d.png -> out/sh010/shot.tiny.mp4" in planned
    done = shop.run(*GIVEN)
    assert done.returncode == 0 and "passed over 1 other file" in done.stderr, done.stderr
    assert shop.results() == ["edit.tiny.mp4", "sh010/shot.tiny.mp4", "sh020/shot.tiny.mp4"]
    times = [float(time) for time in video_times(shop.out / "sh010/shot.tiny.mp4")]
    assert times == pytest.approx([index / 24 for index in range(COUNT)], abs=1e-4)

    before = states(shop.out)
    done = shop.run(*GIVEN, "--report", "report.json")
    assert done.returncode == 0 and "0 done, 3 skipped" in done.stderr and states(shop.out) == before
    files = json.loads((shop.folder / "report.json").read_text())["files"]
    assert [file["source"] for file in files] == ["in/edit.mp4", "in/sh010/shot.%04d.png", "in/sh020/shot.%04d.png"]

    save(shop.folder / "in" / "sh020" / "shot.1004.png", picture(40, 64, 48))
    (shop.folder / "in" / "sh010" / "shot.1003.png").unlink()
    done = shop.run(*GIVEN)
    assert done.returncode == 3 and "1 done, 1 skipped, 1 failed" in done.stderr
    assert "again    in/sh020/shot.%04d.png: made anew: the source changed\n" in done.stderr
    assert "failed   in/sh010/shot.%04d.png: shot.1003.png is missing in in/sh010 (" in done.stderr
    save(shop.folder / "in" / "sh010" / "shot.1003.png", picture(2, 64, 48))

    planned = shop.run("in", "--fps", "25", "--size", "native", "--dry-run").stdout
    assert planned.count("(made anew: --fps changed (was 24, is 25))") == 1
    assert "made anew: the source and --fps changed" in planned.replace("source changed and", "source and")
    assert "skip               in/edit.mp4 -> out/edit.tiny.mp4  (done before)" in planned


def test_what_cannot_be_a_video_fails_by_name_and_the_rest_is_done(shop: Shop) -> None:
    inputs = shop.folder / "in"
    make_series(inputs / "a", count=2)
    for name, end in (("shot_1001.png", ".png"), ("shot.1001.exr", ".exr"), ("shot.1002.exr", ".exr")):
        (inputs / "a" / name).write_bytes((inputs / "a" / "shot.1001.png").read_bytes())
        (inputs / "a" / f"linear.{name[5:9]}{end}").write_bytes(b"v/1\x01")
    (inputs / "a" / "shot_1002.png").write_bytes((inputs / "a" / "shot.1002.png").read_bytes())
    for number in (1, 2):
        save(inputs / f"size.{number}.png", picture(0, 64, 48 * number))
    make_series(inputs / "hole", count=3)
    (inputs / "hole" / "shot.1002.png").unlink()
    done = shop.run(*GIVEN)
    assert done.returncode == 3 and "Traceback" not in done.stderr, done.stderr
    assert shop.results() == ["a/shot.tiny.mp4"]
    for name, reason in (
        ("in/size.%d.png", "in/size.2.png is 64x96, and size.1.png is 64x48: the pictures of a series have one size"),
        ("in/hole/shot.%04d.png", "shot.1002.png is missing in in/hole"),
        ("in/a/linear.%04d.exr", "such pictures hold linear light"),
        ("in/a/shot_%04d.png", "in/a/shot.%04d.png becomes out/a/shot.tiny.mp4 too: rename one"),
        ("in/a/shot.%04d.exr", "in/a/shot.%04d.png becomes out/a/shot.tiny.mp4 too: rename one"),
    ):
        assert any(name in line and reason in line for line in done.stderr.splitlines()), (name, done.stderr)
    planned = shop.run(*GIVEN, "--dry-run").stdout
    assert "1 to skip, 5 would fail" in planned


def test_pictures_keep_their_numbers_and_are_no_sources_beside_them(shop: Shop) -> None:
    tree(shop)
    make_series(shop.folder / "in" / "sh020", ".jpg")  # becomes pictures of the same names
    shop.out = shop.folder / "in"
    given = (*GIVEN, "--pictures", "png", "-o", "in", "--jobs", "2")
    planned = shop.run(*given, "--dry-run").stdout
    assert "in/sh010/shot.%04d.png -> in/sh010/shot.tiny.%04d.png" in planned
    done = shop.run(*given)
    assert done.returncode == 3 and "3 done, 1 failed" in done.stderr, done.stderr
    assert "in/sh020/shot.%04d.jpg becomes in/sh020/shot.tiny.%04d.png too" in done.stderr
    assert numbers(shop.out / "sh010", "shot.tiny.") == [1001 + index for index in range(COUNT)]
    assert numbers(shop.out, "edit.tiny.") == [1, 2, 3, 4, 5]
    assert [line["output"] for line in shop.journal("done") if "sh010" in line["source"]] == [
        "sh010/shot.tiny.%04d.png"
    ]

    before = states(shop.out)
    assert "0 done, 3 skipped, 1 failed" in shop.run(*given).stderr and states(shop.out) == before
    planned = shop.run(*GIVEN, "-o", "other", "--dry-run").stdout
    assert "tiny.%04d.png" not in planned and "3 to do" in planned

    (shop.out / "sh010" / "shot.tiny.1003.png").write_bytes(b"painted over")
    done = shop.run(*given)
    told = "in/sh010/shot.tiny.%04d.png exists and was changed since a batch made it"
    assert told in done.stderr and (shop.out / "sh010" / "shot.tiny.1003.png").read_bytes() == b"painted over"
    for path in (shop.out / "sh010").glob("shot.tiny.*.png"):
        path.unlink()
    done = shop.run(*given)
    assert "again    in/sh010/shot.%04d.png: its output is gone\n" in done.stderr
    assert len(numbers(shop.out / "sh010", "shot.tiny.")) == COUNT


def test_pictures_of_somebody_else_are_not_replaced(shop: Shop) -> None:
    make_series(shop.folder / "in" / "a", count=2)
    put(shop.out / "a", "shot.tiny.0007.png")
    done = shop.run(*GIVEN, "--pictures", "png")
    assert done.returncode == 3
    assert "out/a/shot.tiny.%04d.png exists and no batch made it: choose another folder, or --overwrite" in done.stderr
    assert shop.results() == ["a/shot.tiny.0007.png"]


@pytest.mark.parametrize("options", [(), ("--pictures", "png")])
def test_a_killed_batch_goes_on_inside_a_series(shop: Shop, options: tuple[str, ...]) -> None:
    make_series(shop.folder / "in", count=400)
    given = ("in", "--fps", "4", "--size", "native", *options)  # segments of 40 pictures
    process = shop.start(*given)
    while process.poll() is None and not list(shop.out.rglob("00001.json")):  # sooner than an event tells it
        time.sleep(0.002)
    process.kill()
    rest(process)
    done = shop.run(*given)
    assert done.returncode == 0 and "again    in/shot.%04d.png: was interrupted\n" in done.stderr, done.stderr
    (report,) = (line["report"] for line in shop.journal("done"))
    assert any(note.startswith("went on after") for note in report["notes"]) and report["frames_out"] == 400
    assert not list(shop.out.rglob("*.part"))
    whole = shop.run(*given, "-o", "whole")
    assert whole.returncode == 0, whole.stderr
    for name in shop.results():
        assert (shop.out / name).read_bytes() == (shop.folder / "whole" / name).read_bytes()


def test_alpha_of_any_picture_decides_the_container(shop: Shop) -> None:
    make_series(shop.folder / "in", count=3)
    glass = np.full((48, 64), 90, np.uint8)
    save(shop.folder / "in" / "shot.1002.png", Picture(picture(1, 64, 48), glass))
    done = shop.run(*GIVEN)
    assert done.returncode == 0 and shop.results() == ["shot.tiny.mov"], done.stderr
    assert "again" not in shop.run(*GIVEN).stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--fps", "24", "--watch"), "of numbered pictures nobody sees which is the last: leave out --fps, or --watch"),
        (("--fps", "24", "--cluster", "local"), "a cluster takes videos: leave out --fps, or --cluster"),
        (("--pictures", "png", "--cluster", "local"), "--cluster writes videos: leave out --pictures, or --cluster"),
        (("--fps", "24p"), "--fps is '24p': expected pictures a second"),
        (("--pictures", "exr"), "--pictures is 'exr': expected one of png, jpg"),
        (("--pictures", "png", "--codec", "h264"), ".png pictures are made by png, got --codec h264: leave it out"),
        (("--pictures", "png", "--crf", "20"), "the encoder png has no option 'crf'"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_done(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: tuple[str], told: str
) -> None:
    monkeypatch.chdir(shop.folder)
    with pytest.raises(SystemExit) as end:
        cli.main(shop.command("in", *options)[3:])
    assert end.value.code == 2 and told in capsys.readouterr().err
    assert not shop.out.exists()


def test_a_watched_folder_may_become_pictures(shop: Shop) -> None:
    shop.clip("a.mp4", 3)
    process = shop.start("in", "--watch", "--every", "0.2", "--pictures", "jpg")
    done = wait_for(process, lambda event: event["event"] == "done")
    process.terminate()
    assert rest(process)[0] == 143 and done["output"] == "out/a.tiny.%04d.jpg"
    assert shop.results() == [f"a.tiny.000{number}.jpg" for number in (1, 2, 3)]
