"""`vidstyle train` on a few pictures, in a few steps."""

from __future__ import annotations

from pathlib import Path

import pytest
from faces import FixedMesh
from test_portraits import FixedDetector

from training import landmarks, planning, portraits
from vidstyle.cli import main

TINY = [
    "pairs.count=4",
    "pairs.side=64",
    "pairs.pieces.exemplars=3",
    "student.steps=4",
    "student.widths=(4, 4, 4)",
    "student.crops.side=32",
    "student.crops.pairs=1",
]


def drawn_faces_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that find drawn faces and their landmarks stand in for the real ones."""
    for module in (portraits, planning):
        monkeypatch.setattr(module, "Detector", FixedDetector)
    monkeypatch.setattr(landmarks, "FaceMesh", FixedMesh)
    monkeypatch.setattr(landmarks, "mesh_file", lambda given: given)


def command(pictures: tuple[Path, Path], *more: str, name: str = "mine") -> list[str]:
    settings = [word for text in TINY for word in ("--set", text)]
    paths = ["--photos", str(pictures[0]), "--exemplars", str(pictures[1]), "--detector", __file__, "--device", "cpu"]
    return ["train", name, *paths, "--quick", *settings, *more]


def run(args: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(args)
    return int(ended.value.code or 0)
