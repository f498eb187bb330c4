"""What a batch remembers, and what it decides from that."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from media import save_tiny

from vidstyle.batch.decide import TRIES, Decision, Fingerprints, decide
from vidstyle.batch.inputs import Item
from vidstyle.batch.journal import NAME, Journal, stamp
from vidstyle.catalog import parse_recipe
from vidstyle.codecs import EncoderOptions
from vidstyle.engine_options import EngineOptions
from vidstyle.errors import SinkError
from vidstyle.job import FileJob
from vidstyle.sink import SinkOptions
from vidstyle.source import SourceOptions


class World:
    """One source, its output and the journal, without any styling."""

    def __init__(self, folder: Path, style: Path) -> None:
        self.folder = folder / "out"
        self.item = Item(folder / "a.mp4", self.folder / "a.tiny.mp4")
        self.item.source.write_bytes(b"the video")
        self.job = FileJob(Path(), parse_recipe(str(style)))
        self.file = self.item.target.name

    def write(self, event: str, made: bytes = b"", source: Path | None = None, **data: object) -> None:
        """What a run with the present job and source writes down; ``made`` is its output."""
        source = source or self.item.source
        with Journal(self.folder) as journal:
            fingerprint = Fingerprints(self.job).of(source)
            marks = {"fingerprint": fingerprint, "stamp": stamp(source), "before": stamp(self.item.target)}
            journal.write("started", self.item.target, source, file=self.file, **marks)
            if made:
                self.item.target.with_name(self.file).write_bytes(made)
            if event != "started":
                journal.write(event, self.item.target, source, fingerprint=fingerprint, size=len(made), **data)

    def decide(self, overwrite: bool = False, retry: bool = False, item: Item | None = None) -> Decision:
        with Journal(self.folder) as journal:
            item = item or self.item
            return decide(item, journal.entry(item.target), Fingerprints(self.job), overwrite, retry)


@pytest.fixture
def world(home: Path, tmp_path: Path) -> World:
    return World(tmp_path, save_tiny(home, "tiny"))


def test_a_new_video_is_to_do(world: World) -> None:
    assert world.decide() == Decision("do")


def test_what_is_done_is_skipped_also_when_the_folder_moved_or_the_threads_changed(world: World) -> None:
    world.write("done", b"result")
    assert world.decide() == Decision("skip", "done before")
    assert world.decide(overwrite=True).action == "skip"  # the same command again must not begin from the start
    world.job = replace(
        world.job, engine=EngineOptions(threads=3), writing=SinkOptions(EncoderOptions(threads=2), overwrite=True)
    )
    assert world.decide().action == "skip"
    moved = world.folder.rename(world.folder.with_name("moved"))
    world.folder, item = moved, Item(world.item.source, moved / world.item.target.name)
    assert world.decide(item=item).action == "skip"


def test_another_source_or_option_is_made_anew(world: World) -> None:
    job = world.job
    changed = {
        "an option of writing changed (--crf was not given, is 30)": replace(
            job, writing=SinkOptions(EncoderOptions(crf=30))
        ),
        "an option of reading changed (--size was 720, is 480)": replace(job, reading=SourceOptions(size=480)),
        "the engine changed (--precision was not given, is f32)": replace(job, engine=EngineOptions(precision="f32")),
        "the steadying changed (was not given, is 0.4)": replace(job, steady=0.4),
        "the style changed (--strength was 1, is 0.5)": replace(job, recipe=replace(job.recipe, strength=0.5)),
    }
    world.write("done", b"result")
    for what, world.job in changed.items():
        assert world.decide() == Decision("do", f"made anew: {what}")
    world.write("done", b"result")  # at half of the strength
    world.job = replace(job, recipe=replace(job.recipe, strength=0.6))
    assert world.decide() == Decision("do", "made anew: the style changed (--strength was 0.5, is 0.6)")
    world.write("done", b"result")
    world.item.source.write_bytes(b"the other")
    assert world.decide() == Decision("do", "made anew: the source changed")


def test_an_output_that_is_gone_is_made_again(world: World) -> None:
    world.write("done", b"result")
    world.item.target.unlink()
    assert world.decide() == Decision("do", "its output is gone")


def test_an_output_in_another_container_is_found_again(world: World) -> None:
    world.file = "a.tiny.mkv"  # since the one of its source cannot hold all of it
    world.write("done", b"result")
    assert world.decide().action == "skip"
    world.folder.joinpath("a.tiny.mkv").write_bytes(b"edited since then")
    assert "was changed since a batch made it" in world.decide().why


def test_files_of_others_are_kept(world: World) -> None:
    world.folder.mkdir()
    world.item.target.write_bytes(b"mine")
    decision = world.decide()
    assert (decision.action, decision.code) == ("fail", SinkError.exit_code)
    assert "exists and no batch made it" in decision.why and "--overwrite" in decision.why
    assert world.decide(overwrite=True).action == "do"


def test_an_output_that_was_edited_is_kept(world: World) -> None:
    world.write("done", b"result")
    world.item.target.write_bytes(b"edited since then")
    assert "was changed since a batch made it" in world.decide().why
    assert world.decide(overwrite=True).action == "do"


def test_the_output_of_another_source_is_kept(world: World) -> None:
    other = world.item.source.with_name("b.mp4")
    other.write_bytes(b"another video")
    world.write("done", b"result")
    decision = world.decide(item=replace(world.item, source=other))
    assert decision.action == "fail" and f"was made from {world.item.source}" in decision.why
    copy = world.item.source.with_name("c.mp4")
    copy.write_bytes(world.item.source.read_bytes())
    assert world.decide(item=replace(world.item, source=copy)).action == "skip"


def test_a_failure_is_tried_three_times_and_then_only_when_asked(world: World) -> None:
    for count in range(TRIES):
        assert world.decide().action == "do", count
        world.write("failed", reason="is damaged", code=4)
    held = world.decide()
    assert (held.action, held.code) == ("fail", 4)
    assert "is damaged" in held.why and "--retry" in held.why
    assert world.decide(retry=True).action == "do"
    world.item.source.write_bytes(b"copied again")
    assert world.decide().action == "do"


def test_a_full_disk_is_no_fault_of_the_video(world: World) -> None:
    for _ in range(TRIES + 1):
        world.write("failed", reason="the disk is full", code=5)
    assert world.decide().action == "do"


def test_a_failed_change_keeps_the_old_output_known(world: World) -> None:
    world.write("done", b"result")
    before, world.job = world.job, replace(world.job, writing=SinkOptions(EncoderOptions(crf=30)))
    world.write("failed", reason="killed", code=1)
    world.item.target.write_bytes(b"result")
    assert world.decide().why == "made anew: an option of writing changed (--crf was not given, is 30)"
    world.job = before
    assert world.decide().action == "skip"


def test_losses_are_a_failure_that_is_not_repeated(world: World) -> None:
    world.write("incomplete", b"half", reason="cut short", code=1)
    assert world.decide() == Decision("fail", "cut short", 1)
    assert world.decide(retry=True).action == "do"


def test_an_output_whose_record_was_lost_in_a_crash_is_made_again(world: World) -> None:
    world.write("started", b"complete, but who knows how")
    assert world.decide() == Decision("do", "was interrupted")


def test_an_interrupted_change_that_was_taken_back_is_no_work(world: World) -> None:
    world.write("done", b"result")
    before, world.job = world.job, replace(world.job, writing=SinkOptions(EncoderOptions(crf=30)))
    world.write("started")
    assert world.decide().why == "was interrupted"
    world.job = before
    assert world.decide().action == "skip"


def test_a_file_of_others_is_not_ours_through_an_interrupted_run(world: World) -> None:
    world.folder.mkdir()
    world.item.target.write_bytes(b"mine")
    world.write("started")  # with --overwrite, and killed before the end
    assert world.decide().action == "fail"


def test_a_source_that_did_not_change_is_not_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thousands of videos only those that changed are opened."""
    world.write("done", b"result")
    fingerprints = Fingerprints(world.job)
    fingerprints.of(world.item.source)  # any first one
    monkeypatch.setattr(FileJob, "fingerprint", lambda _: pytest.fail("read again"))
    with Journal(world.folder) as journal:
        entry = journal.entry(world.item.target)
        assert decide(world.item, entry, fingerprints, False, False).action == "skip"


def test_a_torn_last_line_is_passed_over_and_not_written_into(world: World) -> None:
    world.write("done", b"result")
    path = world.folder / NAME
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"event": "fai')
    assert world.decide().action == "skip"
    world.item.target.unlink()
    world.write("failed", reason="x", code=4)
    lines = path.read_bytes().splitlines()
    assert lines[2] == b'{"event": "fai'
    assert [json.loads(line)["event"] for line in lines[:2] + lines[3:]] == ["started", "done", "started", "failed"]
    path.write_bytes(b"\0\0\0\n[1]\n" + whole + b'{"event": "later", "output": "x"}\n')
    world.item.target.write_bytes(b"result")
    assert world.decide().action == "skip"


def test_one_batch_at_a_time(world: World) -> None:
    with Journal(world.folder), pytest.raises(SinkError, match="another batch is at work"), Journal(world.folder):
        pass
    with Journal(world.folder):
        pass


def test_what_another_batch_wrote_meanwhile_is_read(world: World) -> None:
    journal = Journal(world.folder)
    journal.read()
    world.write("done", b"result")
    with journal:
        assert journal.entry(world.item.target) is not None


def test_a_folder_that_cannot_be(world: World) -> None:
    with pytest.raises(SinkError, match=r"cannot use .*Not a directory"), Journal(world.item.source / "out"):
        pass


def test_a_name_that_the_disk_cannot_hold_is_told(world: World) -> None:
    decision = world.decide(item=replace(world.item, target=world.folder / f"{'x' * 255}.mp4"))
    assert (decision.action, decision.code) == ("fail", SinkError.exit_code)
    assert "too long for this disk" in decision.why and "rename the source" in decision.why


def test_the_file_that_is_in_the_way_is_named(world: World) -> None:
    world.file = "a.tiny.mkv"
    world.write("done", made=b"result")
    (world.folder / world.file).write_bytes(b"edited since")
    assert "a.tiny.mkv exists and was changed since a batch made it" in world.decide().why


@pytest.mark.parametrize(
    "line",
    [
        [],
        {"event": "done", "output": 5, "source": 7, "size": "x"},
        {"event": "started", "output": "a.tiny.mp4", "source": 5, "file": "a.tiny.mp4", "stamp": None, "before": None},
        {"event": "started", "output": "a.tiny.mp4", "source": "x", "file": "../a", "stamp": None, "before": None},
        {"event": "started", "output": "a.tiny.mp4", "source": "x", "file": "a", "stamp": [1], "before": None},
        {"event": "started", "output": "a.tiny.mp4", "source": "x", "file": "a", "stamp": None, "before": [1]},
        {"event": "started", "output": "", "source": "x", "file": "a", "stamp": None, "before": None},
        {"event": "started", "output": "a\0", "source": "x", "file": "a", "stamp": None, "before": None},
        {"event": "failed", "output": "a.tiny.mp4", "source": "x", "reason": 7, "code": 1},
        {"event": "started", "output": "/", "source": "x", "file": "a", "stamp": None, "before": None},
        {"event": "started", "output": "a.tiny.mp4", "source": "x", "file": "a", "stamp": [1e999, 1], "before": None},
        pytest.param("[" * 200_000, id="deep"),
    ],
    ids=str,
)
def test_a_line_that_is_none_of_a_journal_is_passed_over(world: World, line: object) -> None:
    """Any file of that name in a folder of videos is read."""
    world.write("done", b"result")
    with open(world.folder / NAME, "a") as file:
        file.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
    assert world.decide() == Decision("skip", "done before")
    journal = Journal(world.folder)
    journal.read()
    assert set(journal.outputs()) == {world.item.target}


def test_a_journal_whose_beginning_was_cut_off_still_tells_what_was_made(world: World) -> None:
    world.write("done", b"result")
    path = world.folder / NAME
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[-1])
    journal = Journal(world.folder)
    journal.read()
    assert list(journal.made()) == [(world.item.target, world.item.source)]
    assert world.decide().action == "skip"


def test_the_file_system_is_asked_once_for_an_output(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a million videos on a network's disk every question counts."""
    asked, ask = list[Path](), Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **more: (asked.append(path), ask(path, **more))[1])
    assert world.decide().action == "do"
    assert asked.count(world.item.target) == 1
