"""The unit of work: segments made alone, in any order, by any number of runs, are those of a straight run."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media import make_clip, packets, save_tiny
from test_frames_after import moving

from vidstyle import faces
from vidstyle.batch.decide import Fingerprints
from vidstyle.batch.messages import Ended, Task
from vidstyle.catalog import parse_recipe
from vidstyle.cluster.messages import Broken, Join, Order, Prepared
from vidstyle.cluster.worker import StyleWorker
from vidstyle.frame import AUTO
from vidstyle.job import FileJob, stylize_file
from vidstyle.planning import Plan, make_plan
from vidstyle.report import Report
from vidstyle.segment import read_segment
from vidstyle.source import SourceOptions, VideoSource
from vidstyle.stylizer import Stylizer
from vidstyle.unit import Unit, unit_frames
from vidstyle.workfolder import work_path

SPARSE = [i * 12800 for i in range(45)]  # a picture a second: five segments


class Bench:
    """A worker in this process, and a video for it."""

    def __init__(self, source: Path, recipe: str, folder: Path, **options: object) -> None:
        options = {"reading": SourceOptions(size=48), **options}
        self.template = FileJob(Path(), parse_recipe(recipe), **options)  # type: ignore[arg-type]
        self.worker = StyleWorker(self.template, Fingerprints(self.template))
        target = folder / "out.mp4"
        self.task = Task(source, target, target, False)
        self.folder = folder

    def prepare(self) -> tuple[Prepared, Plan]:
        prepared = self.worker.prepare(self.task)
        assert prepared.ended is None and prepared.plan is not None, prepared
        return prepared, prepared.plan

    def style(self, prepared: Prepared, unit: Unit) -> list[int]:
        assert prepared.plan is not None
        made = self.worker.style(Order(self.task, prepared.output, prepared.plan, unit, prepared.suited))
        assert not made.error, made.error
        return [done.number for done in made.done]

    def join(self, prepared: Prepared, numbers: list[int], accepted: frozenset[int] = frozenset()) -> Ended | Broken:
        return self.worker.assemble(
            Join(self.task, prepared.output, numbers, accepted, "", 0, 1.0, [], prepared.suited)
        )

    def all_units(self, plan: Plan) -> list[Unit]:
        last = len(plan.starts) - 1
        return [Unit(number, number if number < last else None) for number in range(last + 1)]

    def is_straight(self, prepared: Prepared) -> bool:
        """Whether the output is what one machine makes of the whole video."""
        output = self.folder / f"straight{prepared.output.suffix}"
        stylize_file(replace(self.template, source=self.task.source, output=output))
        if output.suffix == ".mkv":  # every Matroska file has a number of its own
            kinds = ("video", "audio")
            return all(packets(output, kind) == packets(prepared.output, kind) for kind in kinds)
        return output.read_bytes() == prepared.output.read_bytes()


@pytest.fixture
def recipe(home: Path) -> str:
    return str(save_tiny(home, "tiny"))


@pytest.fixture
def bench(recipe: str, tmp_path: Path) -> Bench:
    return Bench(make_clip(tmp_path / "in.mp4", pts=SPARSE).path, recipe, tmp_path)


def test_units_in_any_order_give_the_straight_runs_bytes(bench: Bench) -> None:
    prepared, plan = bench.prepare()
    made = [bench.style(prepared, unit) for unit in reversed(bench.all_units(plan))]
    assert made == [[4], [3], [2], [1], [0]]
    ended = bench.join(prepared, [0, 1, 2, 3, 4])
    assert isinstance(ended, Ended) and ended.status == "done"
    report = Report.from_dict(ended.report)
    assert (report.frames_in, report.frames_out, report.pts_equal, report.audio_equal) == (45, 45, True, True)
    assert bench.is_straight(prepared)
    assert not work_path(prepared.output).exists()


def test_all_workers_take_the_size_that_was_found_once(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    monkeypatch.setattr(faces, "faces_in", lambda image, **_: [seen.append(image), np.array([[0.45, 1.0]])][1])
    source = make_clip(tmp_path / "in.mp4", pts=SPARSE, size=(320, 240)).path
    bench = Bench(source, recipe, tmp_path, reading=SourceOptions.of_size(AUTO))
    prepared, plan = bench.prepare()
    assert prepared.suited is not None and prepared.suited.size == 208 and prepared.pixels == 208 * 277
    seen.clear()
    for unit in bench.all_units(plan):
        bench.style(prepared, unit)
    ended = bench.join(prepared, [0, 1, 2, 3, 4])
    assert not seen
    assert isinstance(ended, Ended) and Report.from_dict(ended.report).working == "277x208"
    assert bench.is_straight(prepared)


def test_a_unit_may_be_several_segments_and_done_twice(bench: Bench) -> None:
    prepared, _ = bench.prepare()
    assert bench.style(prepared, Unit(1, 2)) == [1, 2]
    before = (work_path(prepared.output) / "00002.mkv").read_bytes()
    assert bench.style(prepared, Unit(2, None)) == [2, 3, 4]
    assert (work_path(prepared.output) / "00002.mkv").read_bytes() == before
    assert bench.style(prepared, Unit(0, 0)) == [0]
    assert isinstance(bench.join(prepared, [0, 1, 2, 3, 4]), Ended)
    assert bench.is_straight(prepared)


@pytest.mark.parametrize("kind", ["bframes.mp4", "open.ts", "uneven.mkv", "interlaced.ts", "interlaced.mkv"])
def test_seams_are_invisible_also_in_what_has_a_memory(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Interlaced video goes through a filter that looks at the pictures before and after."""
    from test_frames_after import KINDS

    monkeypatch.setattr("vidstyle.segment.SECONDS", Fraction(1))
    codec, options = KINDS[kind]
    bench = Bench(moving(tmp_path / kind, codec, **options), recipe, tmp_path)
    prepared, plan = bench.prepare()
    made = [number for unit in bench.all_units(plan) for number in bench.style(prepared, unit)]
    assert len(made) >= 4
    assert isinstance(bench.join(prepared, made), Ended)
    assert bench.is_straight(prepared)


def test_warm_up_frames_come_before_the_first_and_are_not_written(bench: Bench) -> None:
    prepared, plan = bench.prepare()
    with VideoSource(bench.task.source, SourceOptions(size=48)) as source:
        frames = [frame.pts for frame in unit_frames(source, plan, Unit(2, 2, warm=3))]
    assert frames == SPARSE[17:30]
    assert bench.style(prepared, Unit(2, 2, warm=3)) == [2]
    segment = read_segment(work_path(prepared.output) / "00002.json")
    assert segment is not None and (segment.after, len(segment.pts)) == (SPARSE[19], 10)


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "times"])
def test_a_damaged_segment_is_named(bench: Bench, damage: str) -> None:
    prepared, plan = bench.prepare()
    for unit in bench.all_units(plan):
        bench.style(prepared, unit)
    path = work_path(prepared.output) / "00002.mkv"
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 255
        path.write_bytes(data)
    elif damage == "cut":
        path.write_bytes(data[:-7])
    elif damage == "gone":
        path.unlink()
    else:
        path.with_suffix(".json").write_text("{")
    assert bench.join(prepared, [0, 1, 2, 3, 4]) == Broken([2], [])
    bench.style(prepared, Unit(2, 2))
    assert isinstance(bench.join(prepared, [0, 1, 2, 3, 4]), Ended)
    assert bench.is_straight(prepared)


def test_a_joint_that_does_not_fit_is_named(bench: Bench) -> None:
    prepared, plan = bench.prepare()
    for unit in bench.all_units(plan):
        bench.style(prepared, unit)
    path = work_path(prepared.output) / "00003.json"
    segment = read_segment(path)
    assert segment is not None and segment.before is not None
    text = path.read_text()
    path.write_text(text.replace(f'"before": {segment.before}', '"before": 1'))
    assert bench.join(prepared, [0, 1, 2, 3, 4]) == Broken([], [3])
    ended = bench.join(prepared, [0, 1, 2, 3, 4], frozenset({3}))
    assert isinstance(ended, Ended) and ended.status == "done"


def test_an_end_that_is_missing_is_noticed(bench: Bench) -> None:
    prepared, _ = bench.prepare()
    bench.style(prepared, Unit(0, 3))
    assert bench.join(prepared, [0, 1, 2, 3]) == Broken([], [3])


def test_another_run_goes_on_from_what_is_there(bench: Bench) -> None:
    prepared, _ = bench.prepare()
    bench.style(prepared, Unit(3, 3))
    again, plan = bench.prepare()
    assert [done.number for done in again.done] == [3]
    for unit in bench.all_units(plan):
        if unit.first != 3:
            bench.style(again, unit)
    assert isinstance(bench.join(again, [0, 1, 2, 3, 4]), Ended)
    assert bench.is_straight(prepared)


def test_one_machine_goes_on_from_a_clusters_work(bench: Bench) -> None:
    prepared, _ = bench.prepare()
    bench.style(prepared, Unit(0, 1))
    bench.style(prepared, Unit(3, 3))
    seen: list[int] = []
    job = replace(bench.template, source=bench.task.source, output=prepared.output, resume=True)
    stylize_file(job, lambda progress: seen.append(progress.frames))
    assert seen[0] == 21
    assert bench.is_straight(prepared)


def test_a_copy_that_comes_late_leaves_nothing(bench: Bench) -> None:
    """The other copy was first, and the video is finished: its folder is gone."""
    prepared, plan = bench.prepare()
    for unit in bench.all_units(plan):
        bench.style(prepared, unit)
    assert isinstance(bench.join(prepared, [0, 1, 2, 3, 4]), Ended)
    made = bench.worker.style(Order(bench.task, prepared.output, plan, Unit(2, 2)))
    assert made.error and not work_path(prepared.output).exists()


def test_small_and_unseekable_videos_are_one_piece(recipe: str, tmp_path: Path) -> None:
    for source in (make_clip(tmp_path / "short.mp4").path, moving(tmp_path / "in.avi", "mpeg4", count=600)):
        bench = Bench(source, recipe, tmp_path)
        prepared = bench.worker.prepare(bench.task)
        assert prepared.plan is None and prepared.ended is None
        assert not work_path(prepared.output).exists()
        assert bench.worker.whole(bench.task).status == "done"
        prepared.output.unlink()


def test_segments_begin_at_key_pictures(tmp_path: Path) -> None:
    """One every three seconds: those nearest before 10, 20, 30 seconds."""
    options = {"x264-params": "keyint=75:min-keyint=75:scenecut=0"}
    path = moving(tmp_path / "keys.mp4", "libx264", count=900, **options)
    with VideoSource(path) as source:
        plan = make_plan(source)
        base = source.info.time_base
    assert [pts * base for pts in plan.starts] == [0, 9, 18, 30]
    assert [plan.number_of(int(Fraction(second) / base)) for second in (0, 8, 9, 17, 18, 29, 30, 39, 40)] == [
        *(0, 0, 1, 1, 2, 2, 3, 3, 4)
    ]


def test_a_failure_comes_back_as_an_answer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared, plan = bench.prepare()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("vidstyle.segment.SegmentWriter.finish", full)
        made = bench.worker.style(Order(bench.task, prepared.output, plan, Unit(1, 1)))
    assert "the disk is full" in made.error and made.code == 5
    assert not list(work_path(prepared.output).glob("*.part"))
    bench.task.source.write_bytes(b"nothing")
    again = bench.worker.prepare(bench.task)
    assert again.ended is not None and again.ended.status == "failed" and again.begun is not None


def test_the_engine_stays_warm(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[int] = []
    real = Stylizer.engine_for

    def counting(self: Stylizer, height: int, width: int) -> object:
        before = self._engines._engine
        engine = real(self, height, width)
        loaded.append(engine is not before)
        return engine

    monkeypatch.setattr(Stylizer, "engine_for", counting)
    prepared, plan = bench.prepare()
    for unit in bench.all_units(plan):
        bench.style(prepared, unit)
    assert sum(loaded) == 1 and len(loaded) > 5
