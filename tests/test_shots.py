"""A size for each shot: where sizes change, where they do not, and that every way to the result takes the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import save_tiny
from test_cluster_unit import Bench
from test_faces import a_face

from vidstyle import faces, shots
from vidstyle.batch.messages import Ended
from vidstyle.catalog import parse_recipe
from vidstyle.engine_options import EngineOptions
from vidstyle.frame import AUTO
from vidstyle.job import FileJob, Progress, open_source, stylize_file
from vidstyle.sizing import at_its_faces
from vidstyle.source import SourceOptions, VideoSource
from vidstyle.stylizer import Stylizer
from vidstyle.workfolder import SIZES, work_path

SIZE = (480, 360)
TICK = 512  # of 1/12800 s: 25 pictures a second
EYES = {"wide": 0.18, "close": 0.45, "nobody": 0.0}  # eye distance ÷ the short side
BLUE = {"wide": 40, "close": 120, "nobody": 200}  # what tells the finder of these tests, see `finder`
RED = {"wide": 30, "close": 150, "nobody": 90}


def drawn(kind: str, index: int) -> np.ndarray:
    """uint8 [360, 480, 3]: gradients that move a little."""
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    red = RED[kind] + (x // 8 + index) % 60
    return np.stack([red, (y // 4 + index) % 90, np.full_like(x, BLUE[kind])], -1).astype(np.uint8)


def write_film(path: Path, pictures: Sequence[np.ndarray], keys: int = 15, tick: int = TICK) -> Path:
    """With a key picture every ``keys`` pictures, wherever the cuts are."""
    with av.open(str(path), "w") as out:
        options = {"crf": "12", "x264-params": f"keyint={keys}:min-keyint={keys}:scenecut=0"}
        video = out.add_stream("libx264", rate=25, options=options)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        video.codec_context.time_base = Fraction(1, 12800)
        for index, image in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index * tick, Fraction(1, 12800)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return path


def film(path: Path, *parts: tuple[str, int], **options: int) -> Path:
    """Shots of (kind, number of pictures), joined."""
    kinds = [kind for kind, count in parts for _ in range(count)]
    return write_film(path, [drawn(kind, index) for index, kind in enumerate(kinds)], **options)


@pytest.fixture(autouse=True)
def finder(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Finds the face that `drawn` stands for; gets the pictures that were looked at."""
    seen: list[np.ndarray] = []

    def found(image: np.ndarray, **_: object) -> np.ndarray:
        seen.append(image)
        kind = min(BLUE, key=lambda kind: abs(BLUE[kind] - float(image[..., 2].mean())))
        return a_face(EYES[kind]) if EYES[kind] else np.zeros((0, 2))

    monkeypatch.setattr(faces, "faces_in", found)
    return seen


def looked_at(path: Path, by_shot: bool = True) -> faces.Suited:
    with VideoSource(path, SourceOptions.of_size(AUTO)) as source:
        return faces.suited(source, by_shot)


def job_for(source: Path, home: Path, **options: object) -> FileJob:
    return FileJob(source, parse_recipe(str(save_tiny(home, "t"))), reading=SourceOptions.of_size(AUTO), **options)  # type: ignore[arg-type]


MIXED = (("wide", 40), ("close", 52), ("wide", 37))
SWITCHES = ((0, 360), (40 * TICK, 256), (92 * TICK, 360))


# --- where sizes change


@pytest.mark.parametrize("keys", [15, 8, 40])
def test_sizes_change_at_the_cuts_to_the_picture(tmp_path: Path, keys: int) -> None:
    path = film(tmp_path / "in.mp4", *MIXED, keys=keys)
    suited = looked_at(path)
    assert (suited.size, suited.shots) == (360, SWITCHES)
    assert suited.note.startswith("faces: 2 sizes by shot (360, 256 lines)")
    with VideoSource(path, SourceOptions(suited.size, shots=suited.shots)) as source:
        assert source.sizes == [(360, 480), (256, 341)]
        heights = [frame.image.shape[0] for frame in source]
    assert heights == [360] * 40 + [256] * 52 + [360] * 37


def test_a_films_own_beginning_does_not_matter(tmp_path: Path) -> None:
    """What is before the first time is of the first size."""
    path = film(tmp_path / "in.mp4", ("wide", 4))
    with VideoSource(path, SourceOptions(360, shots=((512, 256), (1024, 360)))) as source:
        assert [frame.image.shape[0] for frame in source] == [256, 256, 360, 360]


@pytest.mark.parametrize("which", ["dissolve", "flash", "one shot"])
def test_nothing_changes_without_a_clear_cut(tmp_path: Path, which: str) -> None:
    pictures = [drawn("wide", index) for index in range(60)]
    close = [drawn("close", index) for index in range(60)]
    if which == "dissolve":
        shares = np.linspace(0, 1, 14)
        mixed = [(pictures[-1] * (1 - s) + close[0] * s).astype(np.uint8) for s in shares]
        pictures += [*mixed, *close]
    elif which == "flash":  # light, and its end: no cut of two
        pictures += [np.full_like(close[0], 255), *close]
    else:
        pictures = [drawn("wide", index) for index in range(120)]
    path = write_film(tmp_path / "in.mp4", pictures)
    suited = looked_at(path)
    assert suited.shots == () and suited == looked_at(path, by_shot=False)


def test_a_shot_that_is_short_is_of_the_size_before_it(tmp_path: Path) -> None:
    short = film(tmp_path / "a.mp4", ("wide", 45), ("close", 24), ("wide", 45), ("close", 40), keys=6)
    assert looked_at(short).shots == ((0, 360), (114 * TICK, 256))
    begins = film(tmp_path / "b.mp4", ("close", 20), ("wide", 45), ("close", 45), keys=5)
    assert looked_at(begins).shots == ((0, 360), (65 * TICK, 256))


def test_pictures_without_faces_ask_for_nothing(tmp_path: Path) -> None:
    path = film(tmp_path / "in.mp4", ("close", 45), ("nobody", 45), ("close", 45), ("nobody", 45), ("wide", 45))
    assert looked_at(path).shots == ((0, 256), (180 * TICK, 360))


def test_faces_that_are_not_sure_ask_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = faces.faces_in
    monkeypatch.setattr(faces, "faces_in", lambda *args, **options: real(*args, **options) * [1, 0.4])
    assert looked_at(film(tmp_path / "in.mp4", *MIXED)).shots == ()


def test_a_long_film_is_looked_at_more_often_where_it_is_mixed(tmp_path: Path, finder: list[np.ndarray]) -> None:
    """Of five shots of 20 seconds each, two pictures a second."""
    tick, parts = 6400, (("wide", 40), ("close", 40), ("wide", 40), ("close", 40), ("wide", 40))
    path = film(tmp_path / "in.mp4", *parts, keys=7, tick=tick)
    assert looked_at(path).shots == tuple((i * 40 * tick, (360, 256)[i % 2]) for i in range(5))
    assert len(finder) <= 100
    finder.clear()
    assert looked_at(film(tmp_path / "alike.mp4", ("wide", 200), keys=7, tick=tick)).shots == ()
    assert len(finder) <= faces.MOMENTS + faces.CLOSER


def test_what_is_decoded_for_cuts_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where that does not suffice for all of them, for those that gain most."""
    path = film(tmp_path / "in.mp4", *MIXED)
    monkeypatch.setattr(shots, "LITTLE", Fraction(1))
    assert looked_at(path).shots == SWITCHES
    monkeypatch.setattr(shots, "WHOLE", 0)
    monkeypatch.setattr(shots, "last_cut", lambda *_: pytest.fail("more is decoded than may be"))
    assert looked_at(path).shots == ()


# --- films of one size


@pytest.mark.parametrize("kind", ["wide", "close"])
def test_a_film_of_one_size_is_made_as_before(
    home: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path / "in.mp4", (kind, 30), keys=10)
    monkeypatch.setattr(shots, "last_cut", lambda *_: pytest.fail("nothing is decoded to find a cut"))
    suited = looked_at(path)
    assert suited.shots == () and suited == looked_at(path, by_shot=False)
    report = stylize_file(job_for(path, home, output=tmp_path / "auto.mp4"))
    size = SourceOptions(suited.size or 720)
    stylize_file(replace(job_for(path, home, output=tmp_path / "given.mp4"), reading=size))
    assert (tmp_path / "auto.mp4").read_bytes() == (tmp_path / "given.mp4").read_bytes()
    assert "," not in report.working


@pytest.mark.parametrize("engine", [EngineOptions("torch", "cpu", pictures="device"), EngineOptions("torch", "cuda:0")])
def test_pictures_on_a_device_have_one_size(
    home: Path, tmp_path: Path, engine: EngineOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EngineOptions, "settled", lambda self: self)
    job = job_for(film(tmp_path / "in.mp4", *MIXED), home)
    with open_source(job) as source:
        found = at_its_faces(replace(job, engine=engine), source).suited
    assert found is not None and found.shots == ()


# --- every way to the result


def test_a_run_says_its_sizes_and_a_resumed_one_ends_as_a_straight_one(
    home: Path, tmp_path: Path, finder: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidstyle.segment.SECONDS", Fraction(1))
    job = job_for(film(tmp_path / "in.mp4", *MIXED), home, output=tmp_path / "out.mp4")

    doing: list[str] = []

    def stop(progress: Progress) -> None:
        doing.append(progress.doing)
        if progress.frames == 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stylize_file(job, stop)
    assert any("looking for faces, at" in text for text in doing) and any("finding cuts, at" in text for text in doing)
    assert not any(doing[-10:]) and (work_path(tmp_path / "out.mp4") / SIZES).exists()
    finder.clear()
    report = stylize_file(replace(job, resume=True))
    assert not finder, "what the interrupted run found counts"
    assert report.working == "480x360, 341x256" and report.frames_out == 129
    assert any("2 sizes by shot (360, 256 lines)" in note for note in report.notes)
    with Stylizer(job.recipe) as stylizer:
        assert stylize_file(replace(job, output=tmp_path / "straight.mp4"), stylizer=stylizer).working == report.working
        assert stylizer._engines.count == 2, "each engine is loaded once, and kept"
    assert (tmp_path / "straight.mp4").read_bytes() == (tmp_path / "out.mp4").read_bytes()
    assert not work_path(tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("steady", [0.0, 0.5])
def test_units_in_any_order_give_the_straight_runs_bytes(
    home: Path, tmp_path: Path, finder: list[np.ndarray], monkeypatch: pytest.MonkeyPatch, steady: float
) -> None:
    if steady:
        pytest.importorskip("cv2")
    monkeypatch.setattr("vidstyle.segment.SECONDS", Fraction(1))
    path = film(tmp_path / "in.mp4", *MIXED)
    recipe = str(save_tiny(home, "tiny"))
    bench = Bench(path, recipe, tmp_path, reading=SourceOptions.of_size(AUTO), steady=steady)
    prepared, plan = bench.prepare()
    assert prepared.suited is not None and prepared.suited.shots == SWITCHES
    finder.clear()
    numbers = [number for unit in reversed(bench.all_units(plan)) for number in bench.style(prepared, unit)]
    assert bench.worker._stylizer._engines.count == 2
    ended = bench.join(prepared, sorted(numbers))
    assert isinstance(ended, Ended) and ended.status == "done" and not finder
    assert ended.report["working"] == "480x360, 341x256"
    assert bench.is_straight(prepared)


def test_each_picture_is_drawn_as_at_its_size_alone(home: Path, tmp_path: Path) -> None:
    path, recipe = film(tmp_path / "in.mp4", *MIXED), parse_recipe(str(save_tiny(home, "t")))
    with Stylizer(recipe, in_flight=0, batch=0) as stylizer:
        with VideoSource(path, SourceOptions(360, shots=SWITCHES)) as source:
            stylizer.keep(source.sizes)
            mixed = list(stylizer.frames(source))
        assert stylizer._engines.count == 2
        for size in (360, 256):
            with VideoSource(path, SourceOptions(size)) as source:
                alone = list(stylizer.frames(source))
            own = [(one, other) for one, other in zip(mixed, alone, strict=True) if one.image.shape[0] == size]
            assert own and all(np.array_equal(one.image, other.image) for one, other in own)
        stylizer.keep([(256, 341)])
        assert stylizer.engine_for(256, 341) and stylizer._engines.count == 2
        assert stylizer.engine_for(360, 480) and stylizer._engines.count == 3
