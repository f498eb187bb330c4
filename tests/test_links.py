"""Outputs that are links: what they lead to is written, whole or not at all, as cp and ffmpeg write it."""

import json
from pathlib import Path

import pytest
from media import make_clip, save_tiny, video_times
from picture_files import save, smooth, vidstyle

from vidstyle.picture import read_picture


@pytest.fixture
def linked(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is read; links in it lead to ``kept``, a folder beside it."""
    save_tiny(home / "styles", "tiny")
    folder = tmp_path / "here"
    for place in (folder, tmp_path / "kept"):
        place.mkdir()
    make_clip(folder / "in.mp4", frames=3)
    save(folder / "in.png", smooth(20, 30))
    monkeypatch.chdir(folder)
    return folder


def link(name: str, there: bool) -> Path:
    """``name`` leads to a file whose own name says nothing; its path."""
    target = Path("../kept", f"{Path(name).name}-1")
    Path(name).symlink_to(target.absolute())
    if there:
        target.write_text('{"before": 1}')
    return target


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_video(linked: Path, there: bool, resume: list[str]) -> None:
    target, report = link("out.mp4", there), link("report.json", there)
    words = ("file", "in.mp4", "-s", "tiny", "-o", "out.mp4", "--report", "report.json", "--overwrite", *resume)
    done = vidstyle(*words)
    assert done.returncode == 0, done.stderr
    assert Path("out.mp4").is_symlink() and len(video_times(target)) == 3
    assert Path("report.json").is_symlink() and json.loads(report.read_text())["frames_out"] == 3
    assert {path.name for path in Path("../kept").iterdir()} == {target.name, report.name}
    assert {path.name for path in linked.iterdir()} == {"in.mp4", "in.png", "out.mp4", "report.json"}


@pytest.mark.parametrize("there", [True, False])
def test_a_picture(linked: Path, there: bool) -> None:
    target = link("out.png", there)
    done = vidstyle("image", "in.png", "-s", "tiny", "-o", "out.png", "--overwrite")
    assert done.returncode == 0, done.stderr
    assert Path("out.png").is_symlink() and read_picture(target).rgb.shape == (20, 30, 3)
    assert [path.name for path in Path("../kept").iterdir()] == [target.name]
    assert {path.name for path in linked.iterdir()} == {"in.mp4", "in.png", "out.png"}


@pytest.mark.usefixtures("linked")
def test_where_a_link_leads_there_must_be_a_folder() -> None:
    for name in ("out.mp4", "out.png"):
        Path(name).symlink_to("gone/file")
    for command, source, name in (("file", "in.mp4", "out.mp4"), ("image", "in.png", "out.png")):
        done = vidstyle(command, source, "-s", "tiny", "-o", name, "--overwrite")
        assert done.returncode == 5 and f"gone to write {name} to: make it first\n" in done.stderr
        assert Path(name).is_symlink()


@pytest.mark.usefixtures("linked")
def test_a_batch() -> None:
    Path("out").mkdir()
    target, report = link("out/in.tiny.mp4", True), link("all.json", True)
    done = vidstyle("batch", "in.mp4", "-s", "tiny", "-o", "out", "--overwrite", "--report", "all.json", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert Path("out/in.tiny.mp4").is_symlink() and len(video_times(target)) == 3
    assert Path("all.json").is_symlink() and len(json.loads(report.read_text())["files"]) == 1
    assert len(list(Path("../kept").iterdir())) == 2
