"""The size that the network works at for the faces of a picture or a video: `--size auto`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from media import make_clip, save_tiny

import vidstyle
from vidstyle import faces
from vidstyle.catalog import parse_recipe
from vidstyle.engine_options import EngineOptions
from vidstyle.errors import UsageError
from vidstyle.frame import AUTO
from vidstyle.job import FileJob, open_source, stylize_file
from vidstyle.sizing import at_its_faces, reading_of
from vidstyle.source import SourceOptions, VideoSource


def a_face(eyes: float, count: float = 1.0) -> np.ndarray:
    """As `faces.faces_in` tells of a picture with one face, ``eyes`` of the short side between its eyes."""
    return np.array([[eyes, count]])


NONE = np.zeros((0, 2))


@pytest.mark.parametrize(
    ("eyes", "size"),
    [(0.02, 720), (0.05, 720), (0.1, 720), (0.2, 368), (0.28, 256), (0.45, 208)],
)
def test_eyes_get_the_distance_that_the_looks_draw_best(eyes: float, size: int) -> None:
    assert faces.best_size([a_face(eyes)] * 3) == size


def test_without_faces_the_size_stays() -> None:
    assert faces.best_size([]) == faces.best_size([NONE] * 12) == 720
    assert faces.best_size([a_face(0.3, 0.5), *[NONE] * 11], 640) == 640, "one doubtful face in twelve pictures"


def test_close_ups_count_for_more_than_small_faces() -> None:
    assert faces.best_size([a_face(0.25), a_face(0.05)]) < 500
    assert faces.best_size([a_face(0.25), *[a_face(0.05)] * 20]) > 600


def test_a_size_is_never_larger_than_what_is_there() -> None:
    assert faces.best_size([a_face(0.2)], 300) == 300
    assert faces.best_size([a_face(0.3)], 300) == 256
    assert faces.best_size([a_face(0.4)], 120) == 120


@pytest.fixture
def portrait(shared: Callable[[str], Path]) -> np.ndarray:
    """uint8 RGB, a face with its eyes 137 pixels apart, none that the network was trained on."""
    folder = shared("photos")
    from training import data

    image, rows = next(data.photos(folder, training=False))
    points = rows[0][4:14].reshape(5, 2)
    scale = 137 / float(np.linalg.norm(points[0] - points[1]))
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


def distances(image: np.ndarray) -> tuple[float, float]:
    """(mean eye distance in pixels, how many faces)."""
    found = faces.faces_in(image)
    return float(np.average(found[:, 0], weights=found[:, 1]) * min(image.shape[:2])), float(found[:, 1].sum())


@pytest.mark.parametrize(
    ("scale", "turn"), [(0.25, None), (0.5, None), (1.0, None), (0.25, cv2.ROTATE_90_CLOCKWISE), (0.5, cv2.ROTATE_180)]
)
def test_a_face_is_found_and_measured(portrait: np.ndarray, scale: float, turn: int | None) -> None:
    page = np.full((900, 1200, 3), 90, np.uint8)
    small = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:900, :1200]
    page[: small.shape[0], 100 : 100 + small.shape[1]] = small[:, :1100]
    page = page if turn is None else cv2.rotate(page, turn)
    eyes, count = distances(page)
    assert eyes == pytest.approx(137 * scale, rel=0.3)
    assert 0.3 < count < 1.5


def test_no_face_is_found_where_none_is() -> None:
    y, x = np.mgrid[0:480, 0:640]
    waves = np.stack([128 + 100 * np.sin(x / 17), 128 + 90 * np.sin(y / 23), 128 + 80 * np.cos((x + y) / 31)], -1)
    assert faces.faces_in(waves.astype(np.uint8))[:, 1].sum() < faces.FEW


def test_a_picture_is_drawn_at_the_size_that_suits_its_face(portrait: np.ndarray, home: Path) -> None:
    style = save_tiny(home, "t")
    close = portrait[: min(portrait.shape[:2]), : min(portrait.shape[:2])]
    size = faces.size_of_picture(close)
    assert size in faces.LADDER and size < min(720, *close.shape[:2])
    assert np.array_equal(vidstyle.stylize(close, style, size=AUTO), vidstyle.stylize(close, style, size=size))
    assert not np.array_equal(vidstyle.stylize(close, style, size=AUTO), vidstyle.stylize(close, style))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mp4", frames=8, size=(480, 360)).path


@pytest.fixture
def close_up(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Every picture shows a face of a close-up; gets the pictures that were looked at."""
    seen: list[np.ndarray] = []

    def found(image: np.ndarray, side: int = faces.SIDE) -> np.ndarray:
        if side == faces.SIDE:
            seen.append(image)
        return a_face(0.25)

    monkeypatch.setattr(faces, "faces_in", found)
    return seen


@pytest.mark.usefixtures("close_up")
def test_a_video_is_worked_at_the_size_of_its_faces(clip: Path, home: Path) -> None:
    job = FileJob(clip, parse_recipe(str(save_tiny(home, "t"))), reading=SourceOptions.of_size(AUTO))
    report = stylize_file(job)
    assert report.working == "405x304"
    assert any("405x304" in note and "--size" in note for note in report.notes)
    with av.open(report.output) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (480, 360)
    given = stylize_file(replace(job, output=clip.with_name("b.mp4"), reading=SourceOptions(304)))
    assert Path(report.output).read_bytes() == clip.with_name("b.mp4").read_bytes()
    assert not any("--size" in note for note in given.notes)


def looked_at(path: Path, reading: SourceOptions = SourceOptions.of_size(AUTO)) -> faces.Suited:
    with VideoSource(path, reading) as source:
        return faces.suited(source)


def test_a_size_that_was_given_is_not_looked_into(clip: Path, home: Path, close_up: list[np.ndarray]) -> None:
    job = FileJob(clip, parse_recipe(str(save_tiny(home, "t"))), reading=SourceOptions(360))
    with open_source(job) as source:
        assert at_its_faces(job, source) is job
    assert not close_up


def test_small_videos_are_not_looked_into(tmp_path: Path, close_up: list[np.ndarray]) -> None:
    small = make_clip(tmp_path / "small.mp4", frames=4, size=(64, 48)).path
    assert looked_at(small) == faces.Suited()
    assert not close_up


def test_an_engine_that_is_built_for_one_size_keeps_it(
    clip: Path, home: Path, close_up: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EngineOptions, "settled", lambda self: self)
    job = FileJob(clip, parse_recipe(str(save_tiny(home, "t"))), reading=SourceOptions.of_size(AUTO))
    with open_source(job) as source:
        assert reading_of(at_its_faces(job, source)).size == 304
    close_up.clear()
    fixed = replace(job, engine=EngineOptions("tensorrt", "cuda:0"))
    with VideoSource(clip, fixed.reading) as source:
        assert at_its_faces(fixed, source) is fixed and source.info.working == (360, 480)
    assert not close_up


def test_all_of_a_long_video_is_looked_at(tmp_path: Path, close_up: list[np.ndarray]) -> None:
    pts = [i * 6400 for i in range(600)]  # five minutes, a key picture at most every 250 pictures
    long = make_clip(tmp_path / "long.mp4", pts=pts, size=(224, 216), audio=0).path
    looked_at(long)
    assert 3 <= len(close_up) <= faces.MOMENTS
    part = replace(SourceOptions.of_size(AUTO), start=faces.Fraction(200), end=faces.Fraction(210))
    close_up.clear()
    looked_at(long, part)
    assert 1 <= len(close_up) <= 3, "only of the part"


def test_a_video_with_one_key_picture_is_looked_at_in_its_middle_too(clip: Path, close_up: list[np.ndarray]) -> None:
    looked_at(clip)
    assert len(close_up) == 2
    assert not np.array_equal(*close_up)


def test_a_long_shot_counts_for_more_than_a_short_one(
    tmp_path: Path, close_up: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key pictures are at 0, 125 and 250 of 300 seconds, which is looked at twelve times."""
    long = make_clip(tmp_path / "long.mp4", pts=[i * 6400 for i in range(600)], size=(224, 216), audio=0).path
    asked: list[float] = []
    monkeypatch.setattr(faces, "faces_in", lambda image, **_: [close_up.append(image), a_face(0.25, len(close_up))][1])
    monkeypatch.setattr(faces, "best_size", lambda found, *_: [asked.extend(rows[0, 1] for rows in found), 720][1])
    looked_at(long)
    assert asked == sorted(asked) and len(close_up) == 3
    assert (len(asked), asked.count(1), asked.count(2)) in ((12, 5, 5), (12, 6, 5))


def test_words_for_sizes() -> None:
    assert SourceOptions.of_size(AUTO) == SourceOptions(by_faces=True)
    assert SourceOptions.of_size(None).size is None
    assert SourceOptions.of_size(360) == SourceOptions(360)
    with pytest.raises(UsageError, match="'auto'"):
        vidstyle.stylize(np.zeros((8, 8, 3), np.uint8), size="large")
