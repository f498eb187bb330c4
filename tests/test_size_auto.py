"""`--size auto` around a run: what is told before it looks, how often it looks, and what it says."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media import make_clip, save_tiny
from test_cluster_unit import Bench
from test_faces import a_face
from test_inputs import standard_input
from web import Site, serve

from vidstyle import faces
from vidstyle.batch.messages import Ended
from vidstyle.catalog import parse_recipe
from vidstyle.cli.image import image
from vidstyle.cluster.film import PREPARE, WHOLE, Film
from vidstyle.codecs import EncoderOptions
from vidstyle.errors import SinkError, UsageError
from vidstyle.frame import AUTO
from vidstyle.inputs import Input, parse_input
from vidstyle.job import FileJob, stylize_file
from vidstyle.outputs import PIPE
from vidstyle.picture import Picture, encode_picture
from vidstyle.report import Report
from vidstyle.sink import SinkOptions
from vidstyle.source import SourceOptions, VideoSource

LARGE = (480, 360)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mp4", frames=8, size=LARGE).path


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Every picture shows a face of a close-up; gets the pictures that were looked at."""
    pictures: list[np.ndarray] = []
    monkeypatch.setattr(faces, "faces_in", lambda image, **_: [pictures.append(image), a_face(0.25)][1])
    return pictures


def job_for(source: Path | Input, home: Path, **options: object) -> FileJob:
    return FileJob(source, parse_recipe(str(save_tiny(home, "t"))), reading=SourceOptions.of_size(AUTO), **options)  # type: ignore[arg-type]


def test_what_cannot_be_written_is_refused_before_faces_are_looked_for(
    clip: Path, home: Path, tmp_path: Path, seen: list[np.ndarray]
) -> None:
    there, job = tmp_path / "there.mp4", job_for(clip, home)
    there.write_bytes(b"mine")
    wrong = {
        "exists": replace(job, output=there),
        "no folder": replace(job, output=tmp_path / "missing" / "out.mp4"),
        "is the source itself": replace(job, output=clip),
        "cannot write": replace(job, output=tmp_path / "out.xyz"),
        "cannot hold vp9": replace(job, output=tmp_path / "a.mov", writing=with_encoder(codec="vp9")),
        "nonsense": replace(job, output=tmp_path / "b.mp4", writing=with_encoder(codec="nonsense")),
        "'fastest'": replace(job, output=tmp_path / "c.mp4", writing=with_encoder(preset="fastest")),
        "refuses these settings": replace(
            job, output=tmp_path / "d.mkv", writing=with_encoder(codec="ffv1", extra=(("slices", "7"),))
        ),
    }
    for words, one in wrong.items():
        with pytest.raises((SinkError, UsageError), match=words):
            stylize_file(one)
        assert not seen, words
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["in.mp4", "there.mp4"]


def write_png(path: Path) -> None:
    """Of 600x450."""
    path.write_bytes(encode_picture(Picture(np.zeros((450, 600, 3), np.uint8)), ".png"))


def with_encoder(**options: object) -> SinkOptions:
    return SinkOptions(EncoderOptions(**options))  # type: ignore[arg-type]


def test_a_terminal_for_the_video_is_refused_before_faces_are_looked_for(
    clip: Path, home: Path, seen: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout", terminal)
    with pytest.raises(UsageError, match="standard output is a terminal"):
        stylize_file(job_for(clip, home, output=PIPE))
    assert not seen


def test_an_interrupted_runs_work_is_told_before_faces_are_looked_for(
    clip: Path, home: Path, tmp_path: Path, seen: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidstyle.segment.SECONDS", Fraction(1, 10))
    job = job_for(clip, home, output=tmp_path / "out.mp4")

    def stop(progress: object) -> None:
        if progress.frames == 6:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stylize_file(job, stop)
    seen.clear()
    with pytest.raises(SinkError, match="--resume goes on from there"):
        stylize_file(job)
    assert not seen
    assert stylize_file(replace(job, resume=True)).frames_out == 8
    assert stylize_file(replace(job, output=tmp_path / "straight.mp4")).working == "405x304"
    assert (tmp_path / "straight.mp4").read_bytes() == (tmp_path / "out.mp4").read_bytes()


def test_a_cluster_looks_once_at_a_video_that_it_does_not_cut(
    clip: Path, home: Path, tmp_path: Path, seen: list[np.ndarray]
) -> None:
    bench = Bench(clip, str(save_tiny(home, "tiny")), tmp_path, reading=SourceOptions.of_size(AUTO))
    film = Film(lambda *_: None)
    film.send(bench.task)
    prepare = film.next_alone(PREPARE)
    assert prepare is not None
    film.answer(prepare, bench.worker.prepare(prepare.argument), "here")
    assert seen
    seen.clear()
    whole = film.next_alone(WHOLE)
    assert whole is not None
    ended = bench.worker.whole(whole.argument)
    assert isinstance(ended, Ended) and ended.status == "done" and not seen
    report = Report.from_dict(ended.report)
    assert report.working == "405x304" and any("405x304" in note for note in report.notes)


def test_a_cluster_refuses_an_encoder_before_it_looks(home: Path, tmp_path: Path, seen: list[np.ndarray]) -> None:
    long = make_clip(tmp_path / "long.mp4", pts=[i * 12800 for i in range(45)], size=LARGE).path
    options = {"reading": SourceOptions.of_size(AUTO), "writing": with_encoder(preset="fastest")}
    bench = Bench(long, str(save_tiny(home, "tiny")), tmp_path, **options)
    prepared = bench.worker.prepare(bench.task)
    assert prepared.ended is not None and "'fastest'" in prepared.ended.reason
    assert not seen


def test_a_batch_refuses_before_it_looks(clip: Path, home: Path, tmp_path: Path, seen: list[np.ndarray]) -> None:
    recipe, reading = str(save_tiny(home, "tiny")), SourceOptions.of_size(AUTO)
    wrong = Bench(clip, recipe, tmp_path, reading=reading, writing=with_encoder(preset="fastest"))
    assert "'fastest'" in wrong.worker.whole(wrong.task).reason
    taken = Bench(clip, recipe, tmp_path, reading=reading)
    (tmp_path / "in.tiny.mp4").write_bytes(b"mine")
    assert taken.worker.whole(taken.task).taken
    assert not seen


def test_an_image_is_refused_before_it_is_looked_at(home: Path, tmp_path: Path, seen: list[np.ndarray]) -> None:
    save_tiny(home / "styles", "t")
    write_png(tmp_path / "in.png")
    (tmp_path / "out.png").write_bytes(b"mine")
    for out in ("out.png", "missing/out.png", "out.xyz"):
        with pytest.raises((SinkError, UsageError)):
            image([tmp_path / "in.png"], str(tmp_path / out), style=str(home / "styles" / "t.safetensors"))
    assert not seen


# --- streams


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_file_behind_a_url_is_looked_at_as_the_file_itself(tmp_path: Path, seen: list[np.ndarray], name: str) -> None:
    path = make_clip(tmp_path / name, pts=[i * 6400 for i in range(600)], size=LARGE, audio=0).path
    with VideoSource(path, SourceOptions.of_size(AUTO)) as source:
        faces.suited(source)
    of_file = list(seen)
    assert len(of_file) >= 3
    seen.clear()
    with serve(Site(tmp_path)) as site, VideoSource(parse_input(f"{site.url}/{name}")) as source:
        before = len(site.asked)
        assert faces.suited(source).size == 304
        assert len(site.asked) - before <= 2 * faces.MOMENTS
        assert sum(1 for _ in source) == 600, "all of it is read as before"
    assert len(seen) == len(of_file) and all(map(np.array_equal, seen, of_file))


@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
def test_what_can_only_be_read_from_its_beginning_is_told(tmp_path: Path, seen: list[np.ndarray], name: str) -> None:
    make_clip(tmp_path / name, size=LARGE)
    with serve(Site(tmp_path, ranges=name == "a.ts")) as site, VideoSource(parse_input(f"{site.url}/{name}")) as source:
        suited = faces.suited(source)
        assert sum(1 for _ in source) == 12
    assert suited.size is None and not seen
    assert suited.note == "worked at 480x360: a stream cannot be searched for faces beforehand (--size)"


def test_a_pipes_size_is_told(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_clip(tmp_path / "a.mkv", size=LARGE).path.read_bytes()
    with standard_input(monkeypatch, data):
        report = stylize_file(job_for(parse_input("-"), home, output=tmp_path / "out.mkv"))
    assert report.working == "480x360"
    assert [note for note in report.notes if "--size" in note] == [
        "worked at 480x360: a stream cannot be searched for faces beforehand (--size)"
    ]


# --- small faces


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], None]:
    """Every picture shows a face with this eye distance ÷ the short side: as it seems at first, and from closer."""

    def show(roughly: float, closely: float) -> None:
        def found(*_: object, side: int = faces.SIDE) -> np.ndarray:
            return a_face(closely if side > faces.SIDE else roughly)

        monkeypatch.setattr(faces, "faces_in", found)

    return show


@pytest.mark.parametrize(
    ("roughly", "closely", "most", "says"),
    [
        (45, 30, 1440, "faces are small (eyes about 30 pixels apart at 720 lines): --size best draws them better, in "),
        (45, 20, 1440, "--size best draws them better, in up to 4.0 times the time"),
        (45, 38, 1440, "--size best draws them better, in up to 2.9 times the time"),
        (45, 30, 1080, "--size best draws them better, in up to 2.1 times the time"),  # a GPU enlarges none
        (45, 30, 800, ""),  # hardly better
        (45, 44, 1440, ""),
        (60, 30, 1440, ""),
        (45, 30, 720, ""),
    ],
)
def test_small_faces_are_told_where_a_larger_size_draws_them_better(
    small: Callable[[float, float], None], roughly: float, closely: float, most: int, says: str
) -> None:
    small(roughly / 720, closely / 720)
    found = faces._suited([faces.Look(np.zeros((720, 1280, 3), np.uint8))], 720, (), most)
    assert found.size is None and says in found.note and bool(found.note) == bool(says)


def test_a_body_that_seems_one_large_face_makes_no_size_smaller(small: Callable[[float, float], None]) -> None:
    picture = np.zeros((720, 1280, 3), np.uint8)
    small(0.14, 0.045)
    assert faces.best_size([faces.faces_in(picture)]) == 512
    assert faces.size_of_picture(picture, 720) == 720
    small(0.4, 0.3)  # a close-up seems smaller from nearby
    assert faces.size_of_picture(picture) == faces.best_size([a_face(0.4)])


def test_small_faces_of_a_video_are_told(
    small: Callable[[float, float], None], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(30 / 300, 30 / 300)
    monkeypatch.setattr(faces, "AT_MOST", 300)
    source = make_clip(tmp_path / "in.mp4", frames=2, size=(600, 450)).path
    job = job_for(source, home)
    report = stylize_file(replace(job, reading=replace(job.reading, size=300)))
    told = "faces are small (eyes about 30 pixels apart at 300 lines): --size best draws them better, in up to 4.2"
    assert report.working == "400x300" and any(note.startswith(told) for note in report.notes)
    assert any(told in line for line in report.lines())
