"""What training writes to be looked at or read again is there whole, or it is said that it is not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from training import contact, data, open_looks
from training.sheets import write_picture, write_sheet
from training.world import TrainingError


def test_a_picture_is_written_in_its_own_colours(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    write_picture(tmp_path / "a.png", image)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], image)
    rows = [torch.full((3, 3, 4, 4), value) for value in (-2.0, 0.5)]
    write_sheet(tmp_path / "sheet.png", rows)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (8, 12, 3) and set(sheet[:4].flat) == {0} and set(sheet[4:].flat) == {191}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "sheet.png"]


def test_a_sheet_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    canvas = np.zeros((2 * data.SIDE, 2 * data.SIDE, 3), np.uint8)
    with pytest.raises(TrainingError, match=r"cannot write .*nowhere.sheet\.png: No such file"):
        contact.people(lambda x: x, lambda x: x, [canvas], tmp_path / "nowhere" / "sheet.png")


def test_exemplars_that_cannot_be_written_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk: a look must not be trained from the few that fitted."""
    from faces import POINTS, draw_face

    def full(self: Path, _: bytes) -> int:
        raise OSError(28, "No space left on device", str(self))

    face = np.array([[0, 0, 256, 256, *(POINTS * 2).ravel(), 1.0]])
    (tmp_path / "in").mkdir()
    write_picture(tmp_path / "in" / "a.png", draw_face(0, 256))
    monkeypatch.setattr(open_looks, "detector_file", lambda path: path)
    monkeypatch.setattr(open_looks, "Detector", lambda *_: lambda _image: face)
    monkeypatch.setattr(open_looks, "fault", lambda *_: "")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(TrainingError, match="No space left"):
        open_looks.make(tmp_path / "in", tmp_path / "out", "comic", None)
    assert list((tmp_path / "out").iterdir()) == []


def test_what_a_teacher_made_is_kept_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, made = tmp_path / "targets.npy", np.arange(5)

    def cut_off(file: object, _: np.ndarray) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(np, "save", cut_off)
        data._kept(path, lambda: made)
    assert not path.exists()
    np.testing.assert_array_equal(data._kept(path, lambda: made), made)
    np.testing.assert_array_equal(data._kept(path, lambda: pytest.fail("it is there")), made)
