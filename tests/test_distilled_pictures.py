"""What distillation learns from: photos and clips that a person gives, and what is kept of them."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from distilling import CPU, SMALL, canvases
from faces import draw_face
from media import make_clip
from style_files import TINY, random_weights

from training import data, distill, inputs, warping
from training.crops import Cropper
from training.world import TrainingError
from vidstyle.errors import SourceError, UsageError
from vidstyle.network import Architecture
from vidstyle.style import Card, Style, save_style

FACE = [60.0, 60.0, 80.0, 110.0, 70, 90, 130, 90, 100, 125, 76, 155, 124, 155, 1.0]


def photos(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        cv2.imwrite(str(folder / name), draw_face(1, 200)[..., ::-1])
    (folder / "faces.json").write_text(json.dumps({name: [FACE] for name in names}))
    return folder


def test_kept_pictures_are_not_taken_for_those_of_other_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second distillation in the same folder of runs learned from the first one's photos, and said nothing."""
    asked: list[int] = []
    monkeypatch.setattr(
        data, "teach", lambda sources, *_, **__: asked.append(1) or np.zeros((len(sources), 4, 4, 3), np.uint8)
    )
    teacher = Style(Card("x", "", Architecture("ttn"), "", "", sha256="0" * 64), {})
    mine, others, cache = photos(tmp_path / "a", "a.png"), photos(tmp_path / "b", "b.png"), tmp_path / "canvases"
    first = data.build(mine, [], None, teacher, cache)
    assert np.array_equal(data.build(mine, [], None, teacher, cache).source, first.source) and len(asked) == 2
    for folder, clips in ((others, []), (mine, [Path("more.mp4")])):
        with pytest.raises(UsageError, match="canvases holds pictures of other --photos or --clips"):
            data.build(folder, clips, None, teacher, cache)
    (cache / "made-of.json").unlink()  # kept by an earlier version, which did not note it
    assert np.array_equal(data.build(others, [], None, teacher, cache).source, first.source)


def test_a_limit_is_that_of_a_packs_canvases_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was taken, and changed nothing: all canvases of the pack were taught."""
    monkeypatch.setattr(data, "teach", lambda sources, *_: sources)
    monkeypatch.setattr(distill, "load_style", lambda _: None)
    packed = np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1), np.zeros(8, np.uint8)
    for limit, left in ((3, [0, 4, 7]), (None, list(range(8)))):
        _, made = distill._materials(argparse.Namespace(pack=tmp_path, limit=limit), "anime", packed, "cpu")
        assert made.source.ravel().tolist() == left and made.target.ravel().tolist() == left
        assert len(made.kind) == len(left) and made.coloured is not None and len(made.coloured.matrix) == len(left)


def test_a_run_is_gone_on_with_from_the_same_teacher_and_limit_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another one was taken without a word, and the look was of both."""
    for seed, name in enumerate(("a", "b")):
        save_style(tmp_path / f"{name}.safetensors", Card(name, "", TINY, "", ""), random_weights(TINY, seed))
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / "a.safetensors", tmp_path / "copy/other.safetensors")
    shutil.copy(tmp_path / "b.safetensors", tmp_path / "copy/a.safetensors")
    monkeypatch.setattr(distill.data, "build", lambda *_, **__: canvases())
    monkeypatch.setattr(distill, "train", lambda run, *_, **__: run.save(tmp_path / "runs/anime/checkpoint.pt"))

    def run(teacher: str, *more: str) -> str:
        words = [
            "--teacher",
            str(tmp_path / f"{teacher}.safetensors"),
            "--photos",
            "b",
            "--run",
            str(tmp_path / "runs"),
        ]
        monkeypatch.setattr("sys.argv", ["distill", "anime", *words, *more])
        try:
            distill.main()
        except SystemExit as stopped:
            assert stopped.code == 1
        return capsys.readouterr().err.strip().rpartition("error: ")[2]

    assert run("b", "--limit", "7") == ""
    (tmp_path / "runs/anime/checkpoint.pt").unlink()
    assert run("a", "--limit", "3") == ""  # of one without a checkpoint there is nothing to go on with
    assert run("copy/other", "--limit", "3") == ""  # the same network in another file
    assert "(--teacher was a.safetensors, is " in run("b", "--limit", "3")
    assert "(--teacher was another file of this name, is " in run("copy/a", "--limit", "3")
    assert "learns from something else (--limit was 3, is not given): give what it began with" in run("a")
    assert "b.safetensors; --limit was 3, is 4)" in run("b", "--limit", "4")
    monkeypatch.setattr(distill.Run, "load", lambda self, _: setattr(self, "step", 9000))  # all is done
    assert run("a", "--limit", "3") == "" and "--teacher was a" in run("b", "--limit", "3")
    (tmp_path / "runs/anime/learns-from.json").unlink()  # as of a run of an earlier version
    assert run("b") == "" and "--limit was not given, is 3" in run("b", "--limit", "3")


def test_clips_are_not_left_out_for_want_of_a_detector(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the faces in --clips are found by --detector"):
        data.sources(photos(tmp_path / "a", "a.png"), [Path("clip.mp4")], None)


def test_clips_and_detectors_that_are_none_are_told(tmp_path: Path) -> None:
    none = Path(__file__)
    with pytest.raises(SourceError, match=r"cannot read .*Invalid data"):
        next(inputs.decoded(none))
    with pytest.raises(SourceError, match="is not a face detector that OpenCV can load"):
        next(data.clip_frames([none], none))
    clip = make_clip(tmp_path / "clip.mp4", frames=3).path
    assert len(list(inputs.decoded(clip))) == 3
    with pytest.raises(SourceError, match="is not a face detector that OpenCV can load"):
        warping.Clip(clip, none, 64, 2)


def test_pictures_without_a_face_are_refused() -> None:
    no_faces = canvases()
    no_faces.kind[:] = data.EMPTY
    with pytest.raises(TrainingError, match="among 4 pictures to learn from is no face"):
        Cropper(no_faces, SMALL, CPU)
