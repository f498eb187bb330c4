"""Small faces in small pictures: `--size auto` enlarges them for the network, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from media import make_clip, save_tiny
from test_faces import a_face
from test_shots import film, job_for

import vidstyle
from vidstyle import faces
from vidstyle.engine_options import EngineOptions
from vidstyle.frame import AUTO, BEST
from vidstyle.images import stylize_image
from vidstyle.job import open_source, stylize_file
from vidstyle.picture import Picture, encode_picture
from vidstyle.sizing import at_its_faces
from vidstyle.source import SourceOptions
from vidstyle.stylizer import Stylizer

SMALL = (480, 270)


@pytest.fixture
def eyes(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Every picture shows a face with this eye distance ÷ the short side."""
    return lambda share: monkeypatch.setattr(faces, "faces_in", lambda *_, **__: a_face(share))


@pytest.mark.parametrize(
    ("apart", "own", "size"),
    [(24, 360, 720), (24, 270, 720), (30, 480, 720), (34, 360, 720), (40, 360, 608), (60, 360, 360), (70, 360, 360)],
)
def test_small_faces_get_the_size_that_the_looks_draw_best(apart: float, own: int, size: int) -> None:
    larger = [each for each in faces.LADDER if own < each <= 720]
    assert faces.larger_size([a_face(apart / own)] * 3, own, larger) == size


def test_what_may_be_no_face_enlarges_nothing() -> None:
    assert faces.larger_size([a_face(0.06), *[np.zeros((0, 2))] * 3], 360, [720]) == 360


def test_a_small_video_is_worked_at_more_lines_and_comes_out_as_large_as_it_was(
    home: Path, tmp_path: Path, eyes: Callable[[float], None]
) -> None:
    eyes(0.09)
    source = make_clip(tmp_path / "in.mp4", frames=8, size=SMALL).path
    job = job_for(source, home, output=tmp_path / "out.mp4")
    report = stylize_file(job)
    assert report.working == "1280x720" and report.frames_out == 8
    assert any(
        note == "worked at 1280x720, enlarged, as the looks draw small faces badly "
        "(--size native takes 14 % of the network's time)"
        for note in report.notes
    )
    with av.open(str(tmp_path / "out.mp4")) as out:
        assert (out.streams.video[0].width, out.streams.video[0].height) == SMALL
    for size in (None, 720):
        fixed = replace(job, reading=SourceOptions(size), output=tmp_path / f"{size}.mp4")
        assert stylize_file(fixed).working == "480x270"


def test_the_best_size_has_no_bound_of_720_lines(home: Path, tmp_path: Path, eyes: Callable[[float], None]) -> None:
    source = make_clip(tmp_path / "in.mp4", frames=2, size=(1280, 720)).path
    job = job_for(source, home)
    for apart, size in ((22, "2560x1440"), (37, "2162x1216"), (70, "1280x720"), (160, "654x368")):
        eyes(apart / 720)
        best = replace(job, reading=SourceOptions.of_size(BEST), output=tmp_path / f"{apart}.mp4")
        assert stylize_file(best).working == size
    large = make_clip(tmp_path / "large.mp4", frames=2, size=(1920, 1080)).path
    eyes(60 / 1080)
    for size, working in ((AUTO, "1280x720"), (BEST, "1920x1080")):
        reading, output = SourceOptions.of_size(size), tmp_path / f"{size}.mp4"
        assert stylize_file(replace(job, source=large, reading=reading, output=output)).working == working


def test_only_the_cpu_enlarges(home: Path, tmp_path: Path, eyes: Callable[[float], None]) -> None:
    """A GPU's conversion does not, and TensorRT has an engine for each size, built in minutes."""
    eyes(0.09)
    source = make_clip(tmp_path / "in.mp4", frames=2, size=SMALL).path
    for engine in (EngineOptions("cuda", "cuda:0"), EngineOptions("tensorrt", "cuda:0")):
        job = job_for(source, home)
        with open_source(job) as opened:
            suited = at_its_faces(replace(job, engine=engine), opened).suited
            assert (suited is None or suited.size is None) and opened.info.working == (270, 480)


def test_a_shot_of_small_faces_is_enlarged_between_close_ups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "in.mp4", ("wide", 40), ("close", 52), ("wide", 37))
    monkeypatch.setattr(faces, "faces_in", lambda image, **_: a_face(0.1 if image[..., 2].mean() < 80 else 0.45))
    with open_source(job_for(path, tmp_path)) as source:
        suited = faces.suited(source, by_shot=True, enlarge=True)
        assert [size for _, size in suited.shots] == [720, 256, 720] and suited.size == 720
        source.work_at(suited.size, suited.shots)
        assert {frame.image.shape[:2] for frame in source} == {(720, 960), (256, 341)}


def test_a_picture_is_drawn_larger_where_its_faces_are_small(
    home: Path, tmp_path: Path, eyes: Callable[[float], None]
) -> None:
    eyes(0.05)
    image = np.random.default_rng(0).integers(0, 255, (450, 600, 3), np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 3)
    style = save_tiny(home, "t")
    larger = cv2.resize(image, (1621, 1216), interpolation=cv2.INTER_CUBIC)
    wanted = cv2.resize(vidstyle.stylize(larger, style), (600, 450), interpolation=cv2.INTER_AREA)
    assert faces.size_of_picture(image) == 1216
    found = vidstyle.stylize(image, style, size=AUTO)
    assert np.abs(found.astype(int) - wanted).mean() < 0.5
    (tmp_path / "in.png").write_bytes(encode_picture(Picture(image), ".png"))
    with Stylizer(job_for(tmp_path / "in.png", home).recipe) as stylizer:
        stylize_image(tmp_path / "in.png", tmp_path / "out.png", stylizer)
    assert np.array_equal(cv2.imread(str(tmp_path / "out.png"))[..., ::-1], found)


def test_small_pictures_are_not_enlarged_for_their_own_sake(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(1).integers(0, 255, (200, 300, 3), np.uint8)
    style = save_tiny(home, "t")
    for found in (a_face(0.35), np.zeros((0, 2))):
        monkeypatch.setattr(faces, "faces_in", lambda *_, found=found, **__: found)
        assert np.array_equal(vidstyle.stylize(image, style, size=AUTO), vidstyle.stylize(image, style))


def test_real_small_faces_come_nearer_to_the_look(shared: Callable[[str], Path]) -> None:
    """Faces of strangers, eyes 24 pixels apart, against the look of the same picture where they are 68 apart."""
    from training.data import face_canvas, halved
    from training.evaluate import held_out
    from training.sweeps import at_scale, psnr

    def look(image: np.ndarray) -> np.ndarray:
        return vidstyle.stylize(image, style="anime")

    for pair in held_out(shared("photos"), 3):
        canvas = face_canvas(*pair)
        best = look(halved(canvas))
        plain, auto = (
            psnr(at_scale(lambda image, size=size: vidstyle.stylize(image, style="anime", size=size), canvas, 24), best)
            for size in (None, AUTO)
        )
        assert auto > plain + 2
