"""Failures injected at every stage: raised once, no thread, no handle, and no file left that cannot be gone on from."""

import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from media import Clip, make_clip, save_tiny

from engines.openvino import OpenVINOEngine
from vidstyle.assembly import Assembly
from vidstyle.catalog import parse_recipe
from vidstyle.encoder import Encoder
from vidstyle.errors import EngineError, Interrupted, SinkError, SourceError, VidstyleError
from vidstyle.job import FileJob, stylize_file
from vidstyle.remux import Remuxer
from vidstyle.segment import SegmentWriter
from vidstyle.source import VideoSource
from vidstyle.workfolder import work_path

Threads = Callable[[], list[str]]

#: where a failure strikes: (owner, method, what is raised there, what the caller sees)
PLACES: list[tuple[type, str, Callable[[], BaseException], type[BaseException]]] = [
    (VideoSource, "_convert", lambda: SourceError("x"), SourceError),
    (VideoSource, "_convert", MemoryError, MemoryError),
    (OpenVINOEngine, "submit", lambda: EngineError("x"), EngineError),
    (OpenVINOEngine, "submit", lambda: RuntimeError("x"), RuntimeError),
    (Encoder, "_picture", lambda: OSError(5, "Input/output error"), SinkError),
    (SegmentWriter, "_mux", lambda: OSError(28, "No space left on device"), SinkError),
    (SegmentWriter, "finish", lambda: OSError(28, "No space left on device"), SinkError),
    (Remuxer, "copy_until", lambda: OSError(28, "No space left on device"), SinkError),
    (Assembly, "verify", lambda: OSError(5, "Input/output error"), SinkError),
    (SegmentWriter, "write", lambda: Interrupted(130), Interrupted),
]


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    """45 pictures in five segments, with two sound tracks."""
    return make_clip(tmp_path / "in.mp4", pts=[i * 12800 for i in range(45)], audio=2)


@pytest.fixture
def job(home: Path, clip: Clip, tmp_path: Path) -> FileJob:
    return FileJob(clip.path, parse_recipe(str(save_tiny(home, "tiny"))), tmp_path / "out.mp4")


def inject(patch: pytest.MonkeyPatch, place: int, after: int) -> list[int]:
    """Fail at call number ``after`` of a place, once; counts the calls."""
    owner, name, error, _ = PLACES[place]
    real, calls = getattr(owner, name), [0]

    def failing(*args: object, **more: object) -> object:
        calls[0] += 1
        if calls[0] == after:
            raise error()
        return real(*args, **more)

    patch.setattr(owner, name, failing)
    return calls


def check_clean(job: FileJob, error: BaseException | None, our_threads: Threads) -> None:
    assert our_threads() == []
    assert not job.target.exists()
    if work_path(job.target).exists():
        assert error is not None and "--resume" in error.__notes__[0]
        left = {path.suffix for path in work_path(job.target).iterdir()} - {"", ".json", ".mkv"}
        assert left == set()
    else:
        assert not hasattr(error, "__notes__")


def strike(job: FileJob, place: int, after: int) -> BaseException | None:
    """One run with one failure; the error that came out, None where the run was over before."""
    with pytest.MonkeyPatch.context() as patch:
        calls = inject(patch, place, after)
        try:
            stylize_file(job)
        except BaseException as error:
            assert calls[0] >= after
            assert isinstance(error, PLACES[place][3]), repr(error)
            return error
    assert calls[0] < after
    return None


@pytest.mark.parametrize("place", range(len(PLACES)))
def test_one_failure_at_each_place(job: FileJob, our_threads: Threads, place: int) -> None:
    error = strike(job, place, 1)
    assert error is not None
    check_clean(job, error, our_threads)


@pytest.mark.slow
def test_two_hundred_failures(job: FileJob, our_threads: Threads) -> None:
    """At random places and moments, some runs going on from the ones before; then one that is whole."""
    rng = random.Random(4)
    handles = psutil.Process().num_fds() if os.name == "posix" else 0
    for _ in range(200):
        place, after = rng.randrange(len(PLACES)), rng.choice([1, 2, 9, 10, 11, 20, 31, 44, 45])
        error = strike(replace(job, resume=True), place, after)
        if error is None:
            job.target.unlink()
            continue
        check_clean(job, error, our_threads)
    stylize_file(replace(job, resume=True))
    whole = replace(job, output=job.target.with_name("straight.mp4"))
    stylize_file(whole)
    assert job.target.read_bytes() == whole.target.read_bytes()
    if os.name == "posix":
        assert psutil.Process().num_fds() <= handles + 8


@pytest.mark.parametrize("fault", ["folder gone", "folder read-only"])
def test_the_output_folder_changes_during_the_run(
    job: FileJob, tmp_path: Path, our_threads: Threads, fault: str
) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    job = replace(job, output=folder / "out.mp4")

    def change(progress: object) -> None:
        if getattr(progress, "frames", 0) == 15:
            if fault == "folder gone":
                for path in sorted(folder.rglob("*"), reverse=True):
                    path.rmdir() if path.is_dir() else path.unlink()
                folder.rmdir()
            else:
                work_path(job.target).chmod(0o500)

    if fault == "folder read-only" and os.geteuid() == 0:
        pytest.skip("root may write to a read-only folder")
    with pytest.raises(VidstyleError) as caught:
        stylize_file(job, change)
    assert isinstance(caught.value, SinkError) and "\n" not in str(caught.value)
    assert our_threads() == []
