"""Portraits packed into one file: the same people, nearly the same pixels, no package that a bare machine lacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_portraits import FixedDetector, save
from train_command import drawn_faces_are_found

from training import landmarks, openness, packed, planning, portraits, recipes
from training.portraits import Options
from vidstyle.errors import SourceError

ROOT = Path(__file__).resolve().parents[1]

#: Runs what follows as on a machine with torch, OpenCV, NumPy and safetensors alone.
BARE = """
import runpy, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"av", "openvino", "platformdirs", "typer", "rich", "click", "h5py"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """40 portraits as `training.portraits` leaves them."""
    drawn_faces_are_found(monkeypatch)
    portraits.prepare(save(tmp_path / "in", 40), tmp_path / "made", Path(__file__), Options(held=0.2))
    landmarks.ensure(tmp_path / "made", None)
    return tmp_path / "made"


def test_what_is_unpacked_is_what_was_packed(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "people.portraits"
    packed.write(folder, file)
    assert packed.count(file) == 40
    packed.unpack(file, tmp_path / "again", Options(held=0.2))
    for part in ("train", "held"):
        before, after = portraits.load(folder, part), portraits.load(tmp_path / "again", part)
        assert before.names and sorted(before.names) == sorted(after.names)
        order = [after.names.index(name) for name in before.names]
        np.testing.assert_array_equal(before.landmarks, after.landmarks[order])
        dense, again = (openness.dense_of(made, part) for made in (folder, tmp_path / "again"))
        np.testing.assert_array_equal(dense, again[order])
        difference = before.faces.astype(float) - after.faces[order]
        assert np.sqrt((difference**2).mean()) < 8  # of drawn noise, which WebP likes least


def test_what_is_no_pack_is_refused(folder: Path, tmp_path: Path) -> None:
    file, bad = tmp_path / "people.portraits", tmp_path / "bad.portraits"
    packed.write(folder, file)
    whole = file.read_bytes()
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    for data in (b"", b"text", whole[: len(whole) // 2], (tmp_path / "other.npz").read_bytes()):
        bad.write_bytes(data)
        with pytest.raises(SourceError, match="pack them anew"):
            packed.count(bad)
    with pytest.raises(SourceError, match="no file"):
        packed.count(tmp_path / "none.portraits")


def test_packing_needs_the_ending_a_training_knows(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training.packed", str(tmp_path), str(tmp_path / "people.zip")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and ".portraits" in done.stderr


def test_a_packed_file_that_is_missing_is_said_before_any_work(tmp_path: Path) -> None:
    wishes = recipes.Wishes(
        "mine", tmp_path / "a.portraits", tmp_path / "b.portraits", tmp_path / "run", tmp_path / "mine.safetensors"
    )
    with pytest.raises(SourceError, match=r"a\.portraits"):
        recipes.chain(wishes)


def test_a_training_from_packs_can_be_planned(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portraits, "Detector", FixedDetector)
    file = tmp_path / "people.portraits"
    packed.write(folder, file)
    small = ("pairs.side=64", "student.widths=(4, 4, 4)", "student.crops.side=32", "student.crops.pairs=1")
    wishes = recipes.Wishes(
        "mine", file, file, tmp_path / "run", tmp_path / "mine.safetensors", "quick", Path(__file__), settings=small
    )
    monkeypatch.setattr(planning.student.distill, "write_sheet", None)  # at the end: its time is no step's
    rows = planning.plan(recipes.chain(wishes), wishes)
    assert [(row.name, row.steps, row.seconds) for row in rows[:2]] == [
        ("crops/photos", 40, 0.0),
        ("crops/exemplars", 40, 0.0),
    ]


def test_a_training_and_its_ablation_run_on_packs_where_little_is_installed(folder: Path, tmp_path: Path) -> None:
    """From photos and exemplars packed into files to the table, with neither PyAV nor OpenVINO nor the command line."""
    file, run = tmp_path / "people.portraits", tmp_path / "run"
    packed.write(folder, file)
    settings = ["expression.steps=1", "expression.batch=2", "ttn.steps=1", "ttn.batch=1", "ttn.size=64"]
    settings += [f"ttn.start={ROOT / 'vidstyle/styles/artstyle.safetensors'}", "student.steps=1"]
    settings += ["student.crops.side=64", "student.crops.pairs=1"]
    command = [sys.executable, "-c", BARE, "training.ablation", "mine", "--mode", "standard", "--without", "per"]
    command += ["--photos", str(file), "--exemplars", str(file), "--run", str(run), "--device", "cpu"]
    done = subprocess.run([*command, "--set", *settings], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {path.stem for path in (run / "styles").glob("*")} == {"mine", "mine-without-per"}
    table = (run / "evaluation" / "table.md").read_text()
    assert "| full |" in table and "| w/o L_per |" in table
