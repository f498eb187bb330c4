"""The folder's queue: a list that outlives the page, worked off by a batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from media import Clip, make_clip, save_tiny
from ui_client import until

from vidstyle.catalog import find_style
from vidstyle.engine import Recipe
from vidstyle.errors import SourceError, UsageError
from vidstyle.ui.folder import Queue
from vidstyle.ui.places import suggestions
from vidstyle.ui.studio import Choice

pytest_plugins = "ui_fixtures"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("a", "b", "c"):
        make_clip(folder / f"{name}.mp4", frames=5)
    return folder


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    one = opened(tmp_path)
    yield one
    one.close()


def opened(folder: Path) -> Queue:
    path = folder / "tiny.safetensors"
    if not path.exists():
        save_tiny(folder, "tiny")

    def recipe(choice: Choice) -> Recipe:
        return Recipe(((find_style(str(path)), 1.0),), choice.strength)

    return Queue(folder / "queue.json", recipe)


def names(queue: Queue) -> list[str]:
    return [entry.item.name for entry in queue.entries]


def test_files_and_folders_come_in_once(queue: Queue, clips: Path) -> None:
    assert queue.add(str(clips / "b.mp4")) == 1
    assert queue.add(f"  '{clips}' ") == 2
    assert queue.add(str(clips)) == 0
    assert names(queue) == ["b.mp4", "a.mp4", "c.mp4"]


def test_what_is_added_again_once_it_is_over_waits_again(queue: Queue, clips: Path) -> None:
    """A person picks another look, and adds the same folder."""
    queue.add(str(clips))
    for entry, status in zip(queue.entries, ("done", "failed", "waiting"), strict=True):
        entry.status, entry.frames = status, 5
    assert queue.add(str(clips)) == 0
    assert [(entry.status, entry.frames) for entry in queue.entries] == [("waiting", 0)] * 3


def test_what_is_not_there_is_told(queue: Queue, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        queue.add(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="not a whole path"):
        queue.add("clips")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no video in"):
        queue.add(str(tmp_path / "empty"))
    with pytest.raises(UsageError, match="where the results go"):
        queue.start()
    with pytest.raises(UsageError, match="not in the list"):
        queue.move("x", 0)
    assert queue.entries == []


def test_the_order_is_the_persons_and_outlives_the_page(queue: Queue, clips: Path, tmp_path: Path) -> None:
    queue.add(str(clips))
    queue.move(queue.entries[2].id, 0)
    queue.remove([queue.entries[1].id])
    queue.set(output=str(tmp_path / "out"), look="anime", strength=0.5)
    queue.entries[0].status = "running"  # as a page that was killed leaves it
    queue.set(second="sketch")
    queue.close()
    again = opened(tmp_path)
    assert names(again) == ["c.mp4", "b.mp4"]
    assert again.entries[0].status == "waiting"
    assert (again.settings.look, again.settings.second, again.settings.strength) == ("anime", "sketch", 0.5)
    again.close()


def test_a_damaged_list_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "queue.json").write_text('{"settings": 3')
    queue = opened(tmp_path)
    assert queue.entries == []
    queue.close()


def test_a_second_page_leaves_the_list_alone(queue: Queue, clips: Path, tmp_path: Path) -> None:
    second = opened(tmp_path)
    assert second.state()["locked"]
    with pytest.raises(UsageError, match="another vidstyle ui"):
        second.add(str(clips))
    second.close()
    assert queue.add(str(clips)) == 3


def test_it_works_in_the_lists_order_and_says_what_failed(queue: Queue, clips: Path, tmp_path: Path) -> None:
    (clips / "b.mp4").write_bytes(b"no video " * 100)
    queue.add(str(clips))
    queue.move(queue.entries[2].id, 0)
    queue.set(output=str(tmp_path / "out"))
    order: list[str] = []
    begin = queue.complete

    def watched() -> list:  # type: ignore[type-arg]
        found = begin()
        order.extend(item.source.name for item in found)
        return found

    queue.complete = watched  # type: ignore[method-assign]
    queue.start()
    until(lambda: not queue.is_running)
    assert order == ["c.mp4", "a.mp4", "b.mp4"]
    assert [entry.status for entry in queue.entries] == ["done", "done", "failed"]
    assert queue.entries[2].reason.startswith("b.mp4 is not a video")
    assert Path(queue.entries[0].output) == tmp_path / "out" / "c.tiny.mp4"
    assert Path(queue.entries[0].output).exists()
    make_clip(clips / "b.mp4", frames=5)
    queue.again(queue.entries[2].id)
    queue.start()
    until(lambda: not queue.is_running)
    assert [entry.status for entry in queue.entries] == ["done"] * 3
    queue.again(queue.entries[0].id)
    queue.start()
    until(lambda: not queue.is_running)
    assert queue.entries[0].status == "skipped"


def test_files_of_one_name_keep_their_folders(queue: Queue, tmp_path: Path) -> None:
    for name in ("x/a/clip", "x/b/clip", "y/a/clip", "z/clip"):
        (tmp_path / name).parent.mkdir(parents=True)
        make_clip(tmp_path / f"{name}.mp4", frames=3)
    assert queue.add(str(tmp_path / "x")) == 2
    assert [entry.below for entry in queue.entries] == ["a", "b"]
    for path in ("y", "y/a/clip.mp4", "z/clip.mp4", "z/../z/clip.mp4"):
        queue.add(str(tmp_path / path))
    assert [entry.below for entry in queue.entries] == ["a", "b", "y/a", ".", "z"]
    queue.remove([entry.id for entry in queue.entries[2:]])
    queue.set(output=str(tmp_path / "out"))
    queue.start()
    until(lambda: not queue.is_running)
    assert [entry.status for entry in queue.entries] == ["done", "done"], queue.entries
    assert sorted((tmp_path / "out").rglob("*.mp4")) == [tmp_path / f"out/{one}/clip.tiny.mp4" for one in "ab"]


def test_a_stop_keeps_what_waits(queue: Queue, long_clip: Clip, tmp_path: Path) -> None:
    queue.add(str(long_clip.path))
    queue.set(output=str(tmp_path / "out"))
    queue.start()
    until(lambda: queue.entries[0].frames)
    queue.stop()
    until(lambda: not queue.is_running)
    assert queue.entries[0].status == "waiting"
    assert not (tmp_path / "out" / "long.tiny.mp4").exists()


def test_a_folder_that_cannot_be_written_to_is_told(queue: Queue, clips: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    queue.add(str(clips / "a.mp4"))
    queue.set(output=str(tmp_path / "file"))
    queue.start()
    until(lambda: not queue.is_running)
    assert queue.error and queue.entries[0].status == "waiting"


def test_typed_paths_are_completed(clips: Path) -> None:
    assert suggestions(f"{clips}/A") == [str(clips / "a.mp4")]
    assert f"{clips}/" in suggestions(str(clips)[:-2])
    assert suggestions("/no/such/place/at/all") == []
    assert suggestions("~nobody-of-this-name/a") == []
