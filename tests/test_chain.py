"""The chain's engine: stages go on where they were stopped, are redone where options changed, fail in one line."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from training.chain import Chain, OnStep, Stage
from training.pictures import fingerprint
from vidstyle.errors import Interrupted, SinkError, StyleError, VidstyleError


class Told:
    """A view that keeps what it was told, and stops at a step."""

    def __init__(self, stop: tuple[str, int] | None = None) -> None:
        self.stop, self.stage = stop, ""
        self.ended: list[tuple[str, bool]] = []

    def begin(self, stage: Stage, number: int, of: int) -> None:  # noqa: ARG002
        self.stage = stage.name

    def step(self, done: int, of: int, figures: dict[str, float]) -> None:  # noqa: ARG002
        if self.stop == (self.stage, done):
            raise Interrupted(130)

    def end(self, stage: Stage, seconds: float, was_done: bool) -> None:
        assert seconds >= 0
        self.ended.append((stage.name, was_done))


def counting(work: list[str]) -> Callable[[str, tuple[str, ...], object], Stage]:
    """Stages of three steps that note when they run, and go on from the step they noted."""

    def stage(name: str, needs: tuple[str, ...], options: object) -> Stage:
        def run(folder: Path, on_step: OnStep) -> None:
            state = folder / "state"
            for step in range(int(state.read_text()) if state.exists() else 0, 3):
                work.append(f"{name}{step}")
                state.write_text(str(step + 1))
                on_step(step + 1, 3, {})

        return Stage(name, name, needs, options, run, 3)

    return stage


def test_a_chain_goes_on_where_it_was_stopped_and_redoes_what_changed(tmp_path: Path) -> None:
    work: list[str] = []
    stage = counting(work)

    def chain(options: int) -> Chain:
        return Chain(
            tmp_path, (stage("a", (), 0), stage("b", ("a",), options), stage("c", ("b",), 0), stage("d", (), 0))
        )

    with pytest.raises(Interrupted):
        chain(0).go(Told(("b", 2)))
    assert work == ["a0", "a1", "a2", "b0", "b1"]
    told = Told()
    chain(0).go(told)
    assert work[5:] == ["b2", "c0", "c1", "c2", "d0", "d1", "d2"]
    assert told.ended == [("a", True), ("b", False), ("c", False), ("d", False)]
    work.clear()
    again = Told()
    chain(1).go(again)  # another option of b: it and what follows from it
    assert work == ["b0", "b1", "b2", "c0", "c1", "c2"]
    assert again.ended == [("a", True), ("b", False), ("c", False), ("d", True)]


def test_a_folder_that_is_trained_in_is_refused_to_a_second_training(tmp_path: Path) -> None:
    work: list[str] = []
    chain = Chain(tmp_path, (counting(work)("a", (), 0),))

    class Second(Told):
        def step(self, done: int, of: int, figures: dict[str, float]) -> None:
            with pytest.raises(StyleError, match="another vidstyle is training in"):
                chain.go(Told())
            super().step(done, of, figures)

    chain.go(Second())
    assert work == ["a0", "a1", "a2"]
    chain.go(Told())  # let go of at the end


def test_a_folder_of_somebody_elses_is_not_begun_anew(tmp_path: Path) -> None:
    """Whoever keeps drawings in mine/student and trains with --run mine would lose them."""
    work: list[str] = []
    chain = Chain(tmp_path, (counting(work)("a", (), 0), counting(work)("b", (), 0)))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "drawing.png").touch()
    with pytest.raises(SinkError, match=r"/b is there, and is no training's: choose another folder with --run"):
        chain.go(Told())
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["b", "drawing.png"]
    (tmp_path / "b" / "drawing.png").rename(tmp_path / "drawing.png")
    (tmp_path / "b").rmdir()
    chain.go(Told())
    assert (tmp_path / "drawing.png").exists() and len(work) == 6


def test_pictures_are_the_same_whatever_else_lies_beside_them(tmp_path: Path) -> None:
    """A training of hours began anew since somebody had looked into the folder."""
    (tmp_path / "a.png").write_bytes(b"a")
    before = fingerprint(tmp_path)
    for name in (".DS_Store", "Thumbs.db", "notes.txt", ".hidden.png", "gone.txt"):
        (tmp_path / name).touch()
    assert fingerprint(tmp_path) == before
    (tmp_path / "b.jpg").touch()
    assert fingerprint(tmp_path) != before


def test_a_picture_that_may_not_be_looked_at_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"a")

    def refused(_path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refused)
    with pytest.raises(VidstyleError, match=r"cannot read .*a\.png: Permission denied"):
        fingerprint(tmp_path)


def test_a_full_disk_is_one_line_and_what_was_done_stays(tmp_path: Path) -> None:
    def full(_folder: Path, _on_step: OnStep) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    fine = counting([])("a", (), 0)
    chain = Chain(tmp_path, (fine, Stage("b", "b", ("a",), 0, full)))
    with pytest.raises(SinkError, match=r"No space left.*make room"):
        chain.go(Told())
    assert chain.done(fine, chain.keys()["a"]) is not None


def test_a_result_that_was_removed_is_made_again(tmp_path: Path) -> None:
    out = tmp_path / "style"

    def work(_folder: Path, on_step: OnStep) -> None:
        out.write_text("x")
        on_step(1, 1, {})

    chain = Chain(tmp_path, (Stage("s", "s", (), 0, work, 1, "file", out),))
    chain.go(Told())
    out.unlink()
    told = Told()
    chain.go(told)
    assert told.ended == [("s", False)] and out.exists()


@pytest.mark.parametrize("broken", ["", "{", "[]", "null"])
def test_a_broken_note_counts_as_none_and_its_stage_begins_anew(tmp_path: Path, broken: str) -> None:
    work: list[str] = []
    chain = Chain(tmp_path, (counting(work)("a", (), 0),))
    chain.go(Told())
    (tmp_path / "a" / "done.json").unlink()
    (tmp_path / "a" / "begun.json").write_text(broken)
    chain.go(Told())
    assert work == ["a0", "a1", "a2"] * 2
    (tmp_path / "a" / "done.json").write_text(broken)
    told = Told()
    chain.go(told)  # what was begun is known: it only ends again
    assert told.ended == [("a", False)] and len(work) == 6
