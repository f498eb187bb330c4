"""The chain's last training: going on to the bit, full memory, losses that are not finite."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from faces import draw_face, drawn_as

from training import distill, recipes, student
from training.crops import CropOptions
from training.options import set_options
from training.run import SHAPES
from training.world import TrainingError
from vidstyle.errors import Interrupted
from vidstyle.style import load_style

SMALL = student.Options(
    steps=6, widths=(4, 4), crops=CropOptions(side=32, pairs=1, empty=0.0, offset=3), adversarial_from=0.0, lr=1e-2
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pairs of small faces; the student's usual shape cut down to two levels."""
    from training import pairs

    shape = recipes.student.runs.DEFAULT
    monkeypatch.setattr(student.runs, "DEFAULT", type(shape)("student", (4, 4), (0, 1), (0, 0), guided=False))
    faces = np.stack([draw_face(seed, 64) for seed in range(6)])
    points = np.zeros((6, 5, 2), np.float32)
    pairs.write(tmp_path / "pairs", 0, faces, np.stack([drawn_as(face) for face in faces]), points)
    return tmp_path / "pairs"


def test_a_student_has_the_shape_that_was_asked_for() -> None:
    """`--set student.shape=fast` was taken and changed nothing."""
    options = set_options(student.Options(), ["shape=fast"])
    assert student.architecture(options) == SHAPES["fast"] != student.architecture(student.Options())
    assert student.architecture(set_options(options, ["widths=(4, 4, 8)"])).widths == (4, 4, 8)


def test_a_stopped_student_equals_a_straight_one_to_the_bit(made: Path, tmp_path: Path) -> None:
    def stop(done: int, _of: int, _figures: dict[str, float]) -> None:
        if done == 3:
            raise Interrupted(130)

    straight = student.train(tmp_path / "a", tmp_path, made, None, SMALL)
    with pytest.raises(Interrupted):
        student.train(tmp_path / "b", tmp_path, made, None, SMALL, stop)
    stopped = student.train(tmp_path / "b", tmp_path, made, None, SMALL)
    ranges = load_style(straight).ranges
    assert ranges and ranges == load_style(stopped).ranges  # for int8; the style for people has them as well
    student.finish(
        straight, {"name": "mine", "look": "", "licence": "", "provenance": ""}, tmp_path / "mine.safetensors"
    )
    assert load_style(tmp_path / "mine.safetensors").ranges == ranges
    one, two = load_style(straight).weights, load_style(stopped).weights
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert json.loads((tmp_path / "a" / "options.json").read_text())["steps"] == 6


@pytest.mark.parametrize("full", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_memory_that_runs_out_halves_the_crops(
    full: Exception, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:

    tried: list[int] = []
    real = student._train

    def short(run: Path, data: object, teacher: object, options: student.Options, *rest: object) -> object:
        tried.append(options.crops.pairs)
        if options.crops.pairs > 1:
            raise full
        return real(run, data, teacher, options, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(student, "_train", short)
    options = replace(SMALL, steps=1, crops=replace(SMALL.crops, pairs=4))
    student.train(tmp_path / "run", tmp_path, made, None, options)
    assert tried == [4, 2, 1] and "memory ran out" in caplog.text
    monkeypatch.setattr(student, "_train", lambda *_: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(TrainingError, match="not enough memory"):
        student.train(tmp_path / "run2", tmp_path, made, None, options)


def test_a_loss_that_is_not_finite_names_its_terms_and_keeps_the_checkpoint(made: Path, tmp_path: Path) -> None:

    with pytest.raises(TrainingError, match=r"loss of step \d is not finite.*l1.*lr lower"):
        student.train(tmp_path / "run", tmp_path, made, None, replace(SMALL, lr=1e30, steps=20))


def test_only_a_loss_that_is_not_finite_asks_for_a_lower_rate(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def full(path: Path, _: object) -> None:
        raise TrainingError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(distill, "write_sheet", full)
    with pytest.raises(TrainingError, match=r"sheet-000001\.png: No space left on device$"):
        student.train(tmp_path / "run", tmp_path, made, None, replace(SMALL, steps=1))


def test_a_checkpoint_that_was_cut_off_is_told_and_left_for_the_person_to_delete(made: Path, tmp_path: Path) -> None:
    options = replace(SMALL, steps=1)
    student.train(tmp_path / "run", tmp_path, made, None, options)
    path = tmp_path / "run" / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(
        TrainingError, match=r"cannot go on from .*checkpoint\.pt \(.*\): delete it to begin anew"
    ) as told:
        student.train(tmp_path / "run", tmp_path, made, None, options)
    assert "\n" not in str(told.value)
    path.unlink()
    student.train(tmp_path / "run", tmp_path, made, None, options)
