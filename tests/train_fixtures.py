"""Pictures to train on; a test module names this one in ``pytest_plugins``."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
import torch
from faces import draw_face, drawn_as
from train_command import drawn_faces_are_found


@pytest.fixture(scope="module")
def drawn_pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of 22 photos and of 21 exemplars."""
    root = tmp_path_factory.mktemp("pictures")
    for name, count in (("photos", 22), ("drawings", 21)):
        (root / name).mkdir()
        for seed in range(count):
            face = draw_face(seed + 50 * (name == "drawings"))
            face = drawn_as(face) if name == "drawings" else face
            cv2.imwrite(str(root / name / f"{seed}.png"), face[..., ::-1])
    return root / "photos", root / "drawings"


@pytest.fixture
def pictures(drawn_pictures: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The same folders, and networks that find the drawn faces and their landmarks."""
    drawn_faces_are_found(monkeypatch)
    torch.set_num_threads(1)
    return drawn_pictures
