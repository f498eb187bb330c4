"""Numbered pictures as the output of `vidstyle file`: their numbers, their colours, and going on with them."""

from __future__ import annotations

import errno
import os
import threading
from array import array
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media import make_clip, picture, save_tiny
from picture_files import COUNT, encoded, make_series, save, vidstyle

from vidstyle.catalog import parse_recipe
from vidstyle.codecs import EncoderOptions
from vidstyle.errors import SinkError
from vidstyle.inputs import Input, video_input
from vidstyle.job import FileJob, Progress, stylize_file
from vidstyle.picture import Picture, read_picture
from vidstyle.picture_assembly import PictureAssembly, even_rate
from vidstyle.report import Report
from vidstyle.segment import SegmentWriter
from vidstyle.sink import SinkOptions
from vidstyle.source import SourceOptions
from vidstyle.workfolder import work_path

LOSSLESS = (".png", ".tif", ".dpx", ".webp")
ALPHA = np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8)


def noise(index: int) -> np.ndarray:
    """Saturated colours that change from pixel to pixel, as limited range or shared chroma would not keep them."""
    return np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8)


def unstyled(home: Path, source: Path | Input, output: Path, pix_fmt: str | None = None) -> FileJob:
    recipe = parse_recipe(str(save_tiny(home, "tiny")), 0.0)
    writing = SinkOptions(EncoderOptions(pix_fmt=pix_fmt))
    return FileJob(source, recipe, output, SourceOptions(size=None), writing)


def of_series(home: Path, pattern: Path, extension: str = ".png") -> FileJob:
    return unstyled(home, video_input(str(pattern), "24"), pattern.parent / "drawn" / f"to.%04d{extension}")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def raw(path: Path) -> np.ndarray:
    """The numbers in the file, of as many bits as they have."""
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray()


@pytest.mark.parametrize("extension", LOSSLESS)
def test_colours_come_back_to_the_bit(home: Path, tmp_path: Path, extension: str) -> None:
    for index in range(3):
        save(tmp_path / f"{index}.png", noise(index))
    report = stylize_file(of_series(home, tmp_path / "%d.png", extension))
    assert report.kept_everything and report.numbers == "0 to 2"
    for index in range(3):
        made = read_picture(tmp_path / "drawn" / f"to.{index:04d}{extension}")
        assert np.array_equal(made.rgb, noise(index)) and made.bits == 8


@pytest.mark.parametrize("extension", LOSSLESS)
def test_alpha_comes_back_to_the_bit(home: Path, tmp_path: Path, extension: str) -> None:
    save(tmp_path / "0.png", Picture(noise(0), ALPHA))
    report = stylize_file(of_series(home, tmp_path / "%d.png", extension))
    made = read_picture(tmp_path / "drawn" / f"to.0000{extension}")
    assert report.kept_everything and made.alpha is not None and np.array_equal(made.alpha, ALPHA)
    assert np.abs(made.rgb.astype(int) - noise(0))[ALPHA >= 128].max() <= 1


@pytest.mark.parametrize("extension", [".jpg", ".jpeg"])
def test_jpeg_keeps_colours_and_tells_of_alpha(home: Path, tmp_path: Path, extension: str) -> None:
    lines = np.zeros((48, 64, 3), np.uint8)
    lines[:, ::8] = (255, 0, 0)  # which shared chroma would make brown
    save(tmp_path / "0.png", Picture(lines, np.where(np.arange(64) < 60, 255, 0).astype(np.uint8) + 0 * ALPHA))
    report = stylize_file(of_series(home, tmp_path / "%d.png", extension))
    made = read_picture(tmp_path / "drawn" / f"to.0000{extension}").rgb.astype(int)
    assert np.abs(made - lines)[:, :56].mean() < 3 and made[:, 8].mean(0)[0] > 240
    assert report.reductions == [
        "the source is transparent; its pictures were put on black (.png, .tif, .dpx or .webp keeps transparency)"
    ]


@pytest.mark.parametrize(
    ("extension", "alpha", "most"), [(".png", 0, 65535), (".tif", 0, 65535), (".dpx", 0, 1023), (".png", 1, 65535)]
)
def test_deeper_sources_get_more_bits_of_which_white_is_white(
    home: Path, tmp_path: Path, extension: str, alpha: int, most: int
) -> None:
    """FFmpeg's scaler made white 65283 of 65535, and what was opaque 65532."""
    grey = np.repeat(np.arange(256, dtype=np.uint16)[None, :, None] * 257, 4, 0)
    deep = np.dstack([*[grey] * 3, *[np.full_like(grey, 65535)] * alpha])
    (tmp_path / "0.png").write_bytes(encoded("png", deep, "rgba64be" if alpha else "rgb48be"))
    report = stylize_file(of_series(home, tmp_path / "%d.png", extension))
    made = raw(tmp_path / "drawn" / f"to.0000{extension}")
    assert np.array_equal(made, np.round(deep / 65535 * most))
    assert report.reductions == ["the source has 16 bits a colour; styled pictures have 8"]


def test_detail_that_the_small_picture_lacks_is_given_back(home: Path, tmp_path: Path) -> None:
    fine = np.random.default_rng(0).integers(60, 200, (96, 128, 1), np.uint8).repeat(3, 2)
    save(tmp_path / "0.png", fine)
    for size, most in ((None, 1), (48, 12)):
        reading = SourceOptions(size=size)
        stylize_file(replace(of_series(home, tmp_path / "%d.png", f".{size}.png"), reading=reading))
        made = read_picture(tmp_path / "drawn" / f"to.0000.{size}.png").rgb
        assert np.abs(made.astype(int) - fine).mean() <= most  # without it 31


def test_each_picture_keeps_its_number(home: Path, tmp_path: Path) -> None:
    pattern = make_series(tmp_path)
    job = of_series(home, pattern)
    report = stylize_file(replace(job, reading=SourceOptions(size=None, start=Fraction(5, 24), end=Fraction(8, 24))))
    assert names(tmp_path / "drawn") == ["to.1006.png", "to.1007.png", "to.1008.png"]
    assert np.array_equal(read_picture(tmp_path / "drawn" / "to.1007.png").rgb, picture(6, 64, 48))
    assert "3 frames in, 3 out, numbered 1006 to 1008; no sound" in report.lines()[1]
    assert report.kept_everything and report.output == str(tmp_path / "drawn" / "to.%04d.png")


def test_a_damaged_picture_moves_no_other(home: Path, tmp_path: Path) -> None:
    pattern = make_series(tmp_path)
    broken = tmp_path / "shot.1005.png"
    broken.write_bytes(broken.read_bytes()[:100])
    report = stylize_file(of_series(home, pattern))
    assert report.losses == ["shot.1005.png cannot be decoded (damaged?): a picture is missing there"]
    assert report.numbers == "1001 to 1012, with gaps"
    assert names(tmp_path / "drawn") == [f"to.{number}.png" for number in range(1001, 1013) if number != 1005]
    assert np.array_equal(read_picture(tmp_path / "drawn" / "to.1012.png").rgb, picture(11, 64, 48))


def test_a_video_begins_at_1_and_says_what_pictures_cannot_hold(home: Path, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", frames=12)
    report = stylize_file(unstyled(home, clip.path, tmp_path / "new" / "drawn" / "a_#.jpg"))
    assert names(tmp_path / "new" / "drawn") == sorted(f"a_{number}.jpg" for number in range(1, 13))
    assert [(note.kind, note.action, note.reason) for note in report.streams] == [
        ("video", "styled", ""),
        ("audio", "dropped", "numbered pictures hold no aac sound"),
    ]
    assert report.strict_losses() == ["audio aac: numbered pictures hold no aac sound"]
    assert report.notes == ["pictures have no times of their own: play them at 25 a second"]
    text = "\n".join(report.lines())
    assert "12 frames in, 12 out, numbered 1 to 12; no sound kept" in text and "exact" not in text


def test_uneven_times_are_told_as_lost(home: Path, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", pts=[0, 512, 1024, 3072, 3584], audio=0)
    report = stylize_file(unstyled(home, clip.path, tmp_path / "a.%d.png"))
    told = "the source's times are uneven, and pictures have none: they were 14.29 a second on average"
    assert report.strict_losses() == [told]


@pytest.mark.parametrize(
    ("rate", "base", "said"),
    [("24000/1001", "1/1000", None), ("30000/1001", "1/90000", "30000/1001"), ("25", "1/25", "50"), ("7", "1/7", None)],
)
def test_an_even_rate_is_found_in_rounded_times(rate: str, base: str, said: str | None) -> None:
    ticks = array("q", [round(index / Fraction(rate) / Fraction(base)) + 9 for index in range(200)])
    assert even_rate(ticks, Fraction(base), said and Fraction(said)) == Fraction(rate)
    ticks[100] += 2
    assert even_rate(ticks, Fraction(base), said and Fraction(said)) is None


def test_the_pattern_is_what_python_and_events_name(home: Path, tmp_path: Path) -> None:
    import vidstyle as package

    save_tiny(home / "styles", "tiny")
    make_clip(tmp_path / "in.mp4", frames=3)
    output = str(tmp_path / "a.##.tif")
    report = package.stylize_file(tmp_path / "in.mp4", output, "tiny")
    assert (report.output, report.frames_out) == (str(tmp_path / "a.%02d.tif"), 3)
    given = ("--style", "tiny", "--json", "--report", "report.json", "--compare", "--strict")
    done = vidstyle("file", "in.mp4", "-o", "b.%d.webp", *given, cwd=tmp_path)
    assert done.returncode == 1 and "--strict: audio aac: numbered pictures hold no aac sound" in done.stderr
    assert '"output": "b.%d.webp"' in done.stdout and '"output": "b.%d.webp"' in (tmp_path / "report.json").read_text()
    assert read_picture(tmp_path / "b.1.webp").rgb.shape == (48, 128, 3)


def test_a_pipe_becomes_pictures_too(home: Path, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.ts", frames=12)
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(clip.path.read_bytes(),))
    writer.start()
    report = stylize_file(unstyled(home, fifo, tmp_path / "drawn" / "%02d.png"))
    writer.join()
    assert names(tmp_path / "drawn") == [f"{number:02d}.png" for number in range(1, 13)]
    assert report.losses == [] and [note.action for note in report.streams] == ["styled", "dropped"]


# Going on


class CrashError(Exception):
    """As a crash would."""


@pytest.fixture
def job(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileJob:
    """Twelve pictures in four segments."""
    monkeypatch.setattr("vidstyle.segment.SECONDS", Fraction(1, 8))
    return of_series(home, make_series(tmp_path))


def crashes(job: FileJob, when: Callable[[Progress], bool] = lambda _: False) -> None:
    def stop(progress: Progress) -> None:
        if when(progress):
            raise CrashError

    with pytest.raises(CrashError):
        stylize_file(job, stop)


def goes_on_as(job: FileJob) -> Report:
    """The report of a run that goes on, whose pictures must be those of one that was left alone."""
    report = stylize_file(replace(job, resume=True))
    straight = job.target.parent.parent / "straight" / job.target.name
    stylize_file(replace(job, output=straight))
    made, wanted = job.target.parent, straight.parent
    assert names(made) == names(wanted) and len(names(made)) == COUNT
    assert all((made / name).read_bytes() == (wanted / name).read_bytes() for name in names(made))
    return report


@pytest.mark.parametrize("frames", [4, 9, 12])
def test_it_goes_on_where_it_was_stopped(job: FileJob, frames: int) -> None:
    crashes(job, lambda progress: progress.frames == frames)
    assert names(job.target.parent) == ["to.png.part"]
    report = goes_on_as(job)
    done = (frames - 1) // 3 * 3
    assert report.notes == [f"went on after {done} frames of an interrupted run"]
    assert (report.frames_out, report.numbers) == (COUNT, "1001 to 1012")


@pytest.mark.parametrize("fails_at", [1, 7])
@pytest.mark.parametrize("where", ["written", "named"])
def test_a_crash_at_the_end_is_gone_on_with(
    job: FileJob, monkeypatch: pytest.MonkeyPatch, where: str, fails_at: int
) -> None:
    owner, name = (PictureAssembly, "_write") if where == "written" else (Path, "replace")
    count, real = 0, getattr(owner, name)

    def crashing(this: Any, *args: Any) -> Any:
        nonlocal count
        if where == "written" or this.name.startswith("picture-"):
            count += 1
            if count == fails_at:
                raise CrashError
        return real(this, *args)

    monkeypatch.setattr(owner, name, crashing)
    crashes(job)
    assert len(names(job.target.parent)) == (1 if where == "written" else fails_at)
    if where == "named" and fails_at > 1:
        with pytest.raises(SinkError, match="holds 12 frames of an interrupted run: --resume goes on"):
            stylize_file(job)
    goes_on_as(job)


def test_pictures_that_only_look_as_if_they_were_of_that_run_stay(job: FileJob) -> None:
    """Where nothing of the run is left that they could be of."""
    crashes(job, lambda progress: progress.frames == 9)
    part = work_path(job.target)
    for path in part.glob("0*.json"):
        path.unlink()
    (part / "placing").touch()
    (part.parent / "to.1003.png").write_bytes(b"mine")
    with pytest.raises(SinkError, match=r"to.1003.png exists in .*drawn: give another name with -o, or --overwrite"):
        stylize_file(replace(job, resume=True))
    assert (part.parent / "to.1003.png").read_bytes() == b"mine"


def test_other_names_are_another_run(job: FileJob) -> None:
    crashes(job, lambda progress: progress.frames == 9)
    other = replace(job, output=job.target.with_name("to_%d.png"), resume=True)
    with pytest.raises(SinkError, match=r"the pictures' names changed \(was to.%04d.png, is to_%d.png\)"):
        stylize_file(other)


@pytest.mark.parametrize(("owner", "name", "kept"), [(PictureAssembly, "_write", 12), (SegmentWriter, "write", 3)])
def test_a_full_disk_keeps_what_was_done(
    job: FileJob, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, kept: int
) -> None:
    count, real = 0, getattr(owner, name)

    def full(*args: Any) -> Any:
        nonlocal count
        count += 1
        if count == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    with monkeypatch.context() as patch, pytest.raises(SinkError, match=r"the disk is full; .*to.%04d.png was no") as e:
        patch.setattr(owner, name, full)
        stylize_file(job)
    assert e.value.__notes__ == [f"{kept} frames are done: the same command with --resume goes on from there"]
    assert e.value.exit_code == 5 and names(job.target.parent) == ["to.png.part"]
    assert not list(work_path(job.target).glob("picture-*"))
    goes_on_as(job)
