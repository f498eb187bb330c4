"""A run that was stopped anywhere goes on, and its result equals that of a run that was not."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from filelock import FileLock
from media import left_behind, make_clip, packets, save_tiny, video_times

from vidstyle.assembly import decoding_times
from vidstyle.catalog import parse_recipe
from vidstyle.codecs import EncoderOptions
from vidstyle.errors import SinkError
from vidstyle.job import FileJob, Progress, stylize_file
from vidstyle.planning import make_plan
from vidstyle.report import Report
from vidstyle.sink import SegmentSink, SinkOptions
from vidstyle.source import SourceOptions, VideoSource
from vidstyle.stylizer import Stylizer
from vidstyle.unit import Unit, pump, unit_frames, warm_for
from vidstyle.workfolder import WorkFolder, work_path

SPARSE = [i * 12800 for i in range(45)]  # a picture a second: five segments


def test_a_run_that_ends_takes_nothing_of_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one may begin as soon as the lock is free."""
    target = tmp_path / "out.mp4"
    first, second = (WorkFolder(target, {"the source": number}, False, False) for number in "12")
    with first:
        release = first._lock.release
        monkeypatch.setattr(first._lock, "release", lambda: (release(), second.__enter__()))
    assert sorted(path.name for path in second.path.iterdir()) == ["job.json", "lock"]
    with pytest.raises(SinkError, match="another run"), WorkFolder(target, {}, False, False):
        pytest.fail("two runs are writing one output")
    second.__exit__(None, None)
    assert not work_path(target).exists()


@pytest.fixture
def job(home: Path, tmp_path: Path) -> FileJob:
    """45 pictures in five segments, with sound, in a style that changes them."""
    clip = make_clip(tmp_path / "in.mp4", pts=SPARSE)
    return FileJob(clip.path, parse_recipe(str(save_tiny(home, "tiny"))), tmp_path / "out.mp4")


class CrashError(Exception):
    """As a crash would."""


def stop_after(frames: int):
    def on_progress(progress: Progress) -> None:
        if progress.frames == frames:
            raise CrashError

    return on_progress


def interrupted(job: FileJob, frames: int) -> CrashError:
    with pytest.raises(CrashError) as caught:
        stylize_file(job, stop_after(frames))
    return caught.value


def straight(job: FileJob, tmp_path: Path) -> Path:
    whole = replace(job, output=tmp_path / f"straight{job.target.suffix}", resume=False)
    stylize_file(whole)
    return whole.target


@pytest.mark.parametrize("frames", [11, 23, 44, 45])
def test_the_result_equals_a_straight_runs_to_the_byte(job: FileJob, tmp_path: Path, frames: int) -> None:
    error = interrupted(job, frames)
    done = (frames - 1) // 10 * 10
    assert error.__notes__ == [f"{done} frames are done: the same command with --resume goes on from there"]
    assert not job.target.exists()
    seen: list[Progress] = []
    report = stylize_file(replace(job, resume=True), seen.append)
    assert (report.frames_in, report.frames_out, report.pts_equal, report.audio_equal) == (45, 45, True, True)
    assert [p.frames for p in seen] == list(range(done + 1, 46))
    assert job.target.read_bytes() == straight(job, tmp_path).read_bytes()
    assert not work_path(job.target).exists()


@pytest.mark.parametrize("frames", [11, 23, 44])
def test_what_has_a_memory_has_the_same_after_going_on(job: FileJob, tmp_path: Path, frames: int) -> None:
    """Smoothing over time: each picture has a share of those before it, also across the joint."""
    job = replace(job, steady=0.4)
    interrupted(job, frames)
    seen: list[Progress] = []
    report = stylize_file(replace(job, resume=True), seen.append)
    assert (report.frames_in, report.frames_out, report.pts_equal) == (45, 45, True)
    assert seen[0].frames == (frames - 1) // 10 * 10 + 1
    assert job.target.read_bytes() == straight(job, tmp_path).read_bytes()
    (tmp_path / "plain").mkdir()
    plain = straight(replace(job, steady=0.0), tmp_path / "plain")
    assert plain.read_bytes() != job.target.read_bytes()


def test_a_unit_made_elsewhere_has_the_memory_of_those_before(job: FileJob, tmp_path: Path) -> None:
    """The third segment alone, as a worker makes it, against the same one of a straight run."""
    job = replace(job, steady=0.5)
    interrupted(job, 44)
    folder, alone = work_path(job.target), tmp_path / "alone"
    alone.mkdir()
    with VideoSource(job.input, job.reading) as source, Stylizer(job.recipe) as stylizer:
        plan, unit = make_plan(source), Unit(2, 2, warm=warm_for(job.steady))
        sink = SegmentSink(job.target, source, job.writing, Report("", ""), alone, plan, [], unit.first)
        pump(source, unit_frames(source, plan, unit), stylizer, sink.write, job.steady)
        sink.finish()
    assert (alone / "00002.mkv").read_bytes() == (folder / "00002.mkv").read_bytes()


@pytest.mark.parametrize("extension", [".mkv", ".ts", ".mov"])
def test_every_container_and_a_second_stop(job: FileJob, tmp_path: Path, extension: str) -> None:
    job = replace(job, output=tmp_path / f"out{extension}")
    interrupted(job, 12)
    interrupted(replace(job, resume=True), 33)
    stylize_file(replace(job, resume=True))
    again = straight(job, tmp_path)
    assert video_times(job.target) == video_times(again)
    for kind in ("video", "audio"):
        assert packets(job.target, kind) == packets(again, kind)


@pytest.mark.parametrize(
    "name",
    [
        "bbb_2500ms.ts",
        pytest.param("sample_edit_list_no_sync_frame_before_edit.mp4", marks=pytest.mark.slow),
        "sample.mkv",
    ],
)
def test_real_files_cut_into_short_segments(
    job: FileJob, shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("vidstyle.segment.SECONDS", Fraction(3, 10))
    job = replace(job, source=shared(f"media/{name}"), reading=SourceOptions(size=48), output=tmp_path / "out.mp4")
    interrupted(job, 25)
    report = stylize_file(replace(job, resume=True))
    assert report.pts_equal and report.audio_equal is not False
    assert job.target.read_bytes() == straight(job, tmp_path).read_bytes()


def test_an_interrupted_runs_work_is_not_thrown_away_by_accident(job: FileJob) -> None:
    interrupted(job, 30)
    with pytest.raises(SinkError, match=r"20 frames of an interrupted run: --resume .*--overwrite"):
        stylize_file(job)
    interrupted(replace(job, resume=True), 31)
    seen: list[Progress] = []
    stylize_file(replace(job, writing=SinkOptions(overwrite=True)), seen.append)
    assert seen[0].frames == 1


def test_resuming_nothing_is_an_ordinary_run(job: FileJob) -> None:
    assert stylize_file(replace(job, resume=True)).frames_out == 45


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"reading": SourceOptions(size=24)}, "an option of reading"),
        ({"writing": SinkOptions(EncoderOptions(crf=30))}, "an option of writing"),
        ({"source": "other"}, "the source"),
        ({"recipe": "other"}, "the style"),
    ],
)
def test_what_changed_is_named(job: FileJob, home: Path, change: dict, named: str) -> None:
    interrupted(job, 30)
    if "source" in change:
        data = bytearray(job.source.read_bytes())
        data[len(data) // 2] ^= 1
        job.source.write_bytes(data)
        change = {}
    elif "recipe" in change:
        change = {"recipe": parse_recipe(str(save_tiny(home, "other", seed=5)))}
    with pytest.raises(SinkError, match=f"{named} changed"):
        stylize_file(replace(job, resume=True, **change))
    assert work_path(job.target).exists()


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "times"])
def test_a_damaged_segment_is_made_again(job: FileJob, tmp_path: Path, damage: str) -> None:
    interrupted(job, 45)
    segment = work_path(job.target) / "00002.mkv"
    data = bytearray(segment.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 255
        segment.write_bytes(data)
    elif damage == "cut":
        segment.write_bytes(data[:-7])
    elif damage == "gone":
        segment.with_suffix(".json").unlink()
    else:
        segment.with_suffix(".json").write_text('{"number": 2')
    seen: list[Progress] = []
    stylize_file(replace(job, resume=True), seen.append)
    assert seen[0].frames == 21
    assert job.target.read_bytes() == straight(job, tmp_path).read_bytes()


def test_a_second_run_on_one_output_refuses(job: FileJob) -> None:
    folder = work_path(job.target)
    folder.mkdir()
    with FileLock(folder / "lock"), pytest.raises(SinkError, match="another run"):
        stylize_file(replace(job, resume=True))
    stylize_file(job)


@pytest.mark.parametrize("name", ["mine.txt", "mine/deep.txt", "00000.mkv", ""])
def test_what_somebody_else_put_there_is_not_touched(job: FileJob, name: str) -> None:
    mine = work_path(job.target) / name
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine")  # with no name: a browser's unfinished download
    for overwrite in (False, True):
        with pytest.raises(SinkError, match=r"out\.mp4\.part is in the way"):
            stylize_file(replace(job, writing=SinkOptions(overwrite=overwrite)))
    assert mine.read_text() == "mine" and not job.target.exists()
    assert not (work_path(job.target) / "lock").exists()


def test_what_somebody_puts_there_meanwhile_is_kept(job: FileJob) -> None:
    interrupted(job, 12)
    mine = work_path(job.target) / "mine.txt"
    mine.touch()
    stylize_file(replace(job, resume=True))
    assert [path.name for path in work_path(job.target).iterdir()] == ["mine.txt"]


def test_a_disk_that_is_full_at_the_beginning_leaves_nothing(job: FileJob, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vidstyle.workfolder.write_whole", full)
    with pytest.raises(SinkError, match="disk is full"):
        stylize_file(job)
    assert not work_path(job.target).exists()


def test_nothing_is_left_where_nothing_was_finished(job: FileJob) -> None:
    error = interrupted(job, 7)
    assert not hasattr(error, "__notes__")
    assert not work_path(job.target).exists()


def test_a_failing_end_keeps_the_pictures(job: FileJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(SinkError, match="disk is full") as caught:
        patch.setattr("vidstyle.assembly.Assembly.join", full)
        stylize_file(job)
    assert "45 frames are done" in caught.value.__notes__[0]
    seen: list[Progress] = []
    report = stylize_file(replace(job, resume=True), seen.append)
    assert seen == [] and report.frames_out == 45
    assert job.target.read_bytes() == straight(job, tmp_path).read_bytes()


def test_notes_of_the_reading_survive_the_stop(job: FileJob, shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidstyle.segment.SECONDS", Fraction(1, 2))
    source = shared("media/sample-with-large-length.avi")
    job = replace(job, source=source, reading=SourceOptions(size=48))
    expected: Report = stylize_file(replace(job, output=job.target.with_name("whole.mp4")))
    assert any("repaired" in note for note in expected.notes)
    interrupted(job, expected.frames_out - 1)
    report = stylize_file(replace(job, resume=True))
    assert [n for n in report.notes if "went on" not in n] == expected.notes
    assert report.losses == expected.losses


def run_cli(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vidstyle", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_segments(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while len(list(folder.glob("[0-9]*.json"))) < count:
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.005)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, bytes]:
    """A clip of 12 segments, a style file, and what a run that nobody stops makes of it."""
    folder = tmp_path_factory.mktemp("film")
    clip = make_clip(folder / "in.mp4", size=(320, 240), pts=[i * 5120 for i in range(300)]).path
    style, output = str(save_tiny(folder, "tiny")), folder / "straight.mp4"
    process = run_cli("file", str(clip), "-s", style, "-o", str(output))
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return clip, style, output.read_bytes()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_process_goes_on(film: tuple[Path, str, bytes], tmp_path: Path, how: signal.Signals) -> None:
    clip, style, whole = film
    output = tmp_path / "out.mp4"
    command = ("file", str(clip), "-s", style, "-o", str(output))
    process = run_cli(*command)
    wait_for_segments(work_path(output), 2, process)
    process.send_signal(how)
    _, said = process.communicate(timeout=30)
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[how]
    if how == signal.SIGINT:
        assert "--resume" in said
    assert not output.exists()
    process = run_cli(*command, "--resume", "--json")
    events, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    done = json.loads(events.splitlines()[-1])
    assert done["frames_out"] == 300 and done["pts_equal"] and done["audio_equal"]
    assert output.read_bytes() == whole
    assert left_behind(tmp_path, "out.mp4") == []


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([[0, 1, 2], [3, 4]], [0, 1, 2, 3, 4]),
        ([[0, 2, 1], [3, 9, 5]], [-1, 0, 1, 2, 3, 5]),
        ([[0, 300, 100, 200], [400]], [-100, 0, 100, 200, 300]),
        ([[7]], [7]),
    ],
)
def test_decoding_times(segments: list[list[int]], expected: list[int]) -> None:
    found = list(decoding_times(segments))
    assert found == expected
    assert all(dts <= pts for dts, pts in zip(found, (p for s in segments for p in s), strict=True))


@pytest.mark.slow
def test_a_long_film_killed_three_times(home: Path, shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kill_and_resume import prove

    monkeypatch.setenv("VIDSTYLE_HOME", str(home))
    style = str(save_tiny(home, "tiny"))
    results = prove(shared("media/long_180p_av1.mp4"), [0.1, 0.5, 0.9], [f"--style={style}"], tmp_path)
    for result in results:
        assert result.identical and result.total == 21766
        # One segment of ten seconds at 60 frames a second, and what was reported after the last one was finished.
        assert result.killed - result.kept <= 700 and result.went_on == result.kept + 1
