"""Files behind URLs: put in place whole, fetched once, and one line for whatever goes wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pytest
from cluster_tools import files_below

from vidstyle.batch.messages import Facts
from vidstyle.cluster import cache
from vidstyle.cluster import store as stores
from vidstyle.cluster.cache import Cache
from vidstyle.cluster.standins import StandIns, work_for
from vidstyle.cluster.store import Store, check, shown, store
from vidstyle.errors import EngineError, SinkError, SourceError, UsageError


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "PAUSES", (0.0, 0.0, 0.0))


@pytest.fixture
def memory() -> Iterator[Store]:
    fs = fsspec.filesystem("memory")
    yield store("memory://bucket/films")
    fs.rm("/", recursive=True)


# --- the store


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_files_are_put_listed_fetched_and_removed(kind: str, tmp_path: Path, memory: Store) -> None:
    place = memory if kind == "memory" else store(f"file://{tmp_path}/far")
    (tmp_path / "a").write_bytes(b"12345")
    place.put(tmp_path / "a", "below/a.mp4")
    place.put(tmp_path / "a", "b.mp4")
    assert {name: facts.size for name, facts in place.files().items()} == {"b.mp4": 5, "below/a.mp4": 5}
    assert list(place.matching("**/a.*")) == ["below/a.mp4"]
    place.fetch("below/a.mp4", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"12345"
    before = place.facts("b.mp4")
    (tmp_path / "a").write_bytes(b"other")
    place.put(tmp_path / "a", "b.mp4")
    assert before is not None and place.facts("b.mp4") not in (None, before)
    place.remove("b.mp4")
    place.remove("b.mp4")
    assert place.facts("b.mp4") is None
    place.clear()
    assert place.files() == {}


@pytest.mark.parametrize("way", ["files", "pattern"])
def test_a_link_is_the_file_that_it_leads_to(tmp_path: Path, way: str) -> None:
    (tmp_path / "a.mp4").write_bytes(b"1234")
    for name, to in (("link", "a.mp4"), ("gone", "nowhere"), ("itself", "itself.mp4"), ("folder", ".")):
        (tmp_path / f"{name}.mp4").symlink_to(to)
    place = store(f"file://{tmp_path}", SourceError)
    listed = place.files() if way == "files" else place.matching("*.mp4")
    assert sorted(listed) == ["a.mp4", "gone.mp4", "itself.mp4", "link.mp4"], "one that leads nowhere fails by name"
    assert listed["link.mp4"] == place.facts("link.mp4") and listed["link.mp4"].size == 4


def test_what_is_not_sent_whole_has_no_name_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = store(f"file://{tmp_path}/far")
    (tmp_path / "a").write_bytes(b"all of it")
    place.put(tmp_path / "a", "a.mp4")

    def half(_: str, target: str, **__: Any) -> None:
        Path(target).write_bytes(b"hal")
        raise ConnectionError("reset by peer\nand more")

    monkeypatch.setattr(place.fs, "put_file", half)
    with pytest.raises(SinkError, match=r"^cannot write file:///.*/far/a\.mp4: reset by peer$"):
        place.put(tmp_path / "a", "a.mp4")
    assert files_below(tmp_path / "far") == ["a.mp4"] and (tmp_path / "far/a.mp4").read_bytes() == b"all of it"


@pytest.mark.parametrize(
    ("error", "tries", "words"),
    [
        (ConnectionError("lost"), 4, "lost"),
        (PermissionError("403"), 1, "no access"),
        (FileNotFoundError("x"), 1, "no such file, folder or bucket"),
        (type("NoCredentialsError", (Exception,), {})("x"), 1, "no keys for it are found"),
    ],
)
def test_a_lost_connection_is_tried_again_and_a_refusal_is_not(error: Exception, tries: int, words: str) -> None:
    asked = []

    class Fs:
        def get_file(self, *_: str) -> None:
            asked.append(1)
            raise error

    with pytest.raises(SourceError, match=rf"^cannot fetch s3://b/in/a\.mp4: {words}"):
        Store("s3://me:secret@b/in", Fs(), "b/in", SourceError).fetch("a.mp4", Path("x"))
    assert len(asked) == tries


def test_a_connection_that_comes_back_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = store(f"file://{tmp_path}/far")
    real, lost = place.fs.put_file, [ConnectionError(), TimeoutError()]

    def sometimes(*args: Any, **kwargs: Any) -> None:
        if lost:
            raise lost.pop()
        real(*args, **kwargs)

    monkeypatch.setattr(place.fs, "put_file", sometimes)
    (tmp_path / "a").write_bytes(b"x")
    place.put(tmp_path / "a", "a")
    assert files_below(tmp_path / "far") == ["a"]


def test_packages_and_protocols_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: str) -> None:
        raise ImportError("Install s3fs to access S3") from ModuleNotFoundError("No module", name="s3fs")

    with pytest.raises(UsageError, match=r"^cannot use foo://b: foo:// is not known"):
        store("foo://b")
    monkeypatch.setattr(fsspec, "get_filesystem_class", absent)
    with pytest.raises(EngineError, match=r"^s3:// needs the package s3fs: pip install s3fs$"):
        store("s3://b/x")


def test_a_place_that_cannot_be_written_to_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SinkError, match=r"^cannot write file:///"):
        check(f"file://{tmp_path}/file/below")
    check(f"file://{tmp_path}/new")
    assert files_below(tmp_path) == ["file"]
    assert shown("sftp://me:secret@host/films") == "sftp://host/films"


# --- the cache


class Shelf:
    """Sources in a folder behind a URL, and a cache of them; counts what is fetched."""

    def __init__(self, folder: Path, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.far, self.near = folder / "far", folder / "near"
        self.far.mkdir()
        self.place = store(f"file://{self.far}", SourceError)
        self.cache, self.fetched = Cache(folder / "cache", limit), list[str]()
        real = Store.fetch

        def counted(place: Store, name: str, file: Path) -> None:
            self.fetched.append(name)
            real(place, name, file)

        monkeypatch.setattr(Store, "fetch", counted)

    def put(self, name: str, data: bytes) -> None:
        (self.far / name).write_bytes(data)

    def take(self, name: str, at: float = 0.0) -> bytes:
        facts = self.place.facts(name)
        assert facts is not None
        link = self.near / str(len(list(self.near.glob("*")))) / name
        self.cache.take(self.place, name, facts, link)
        for path in self.cache.folder.glob("*.whole") if at else ():
            if path.samefile(link):
                os.utime(path, (at, at))
        return link.read_bytes()

    @property
    def kept(self) -> list[bytes]:
        return sorted(path.read_bytes() for path in self.cache.folder.iterdir() if path.suffix != ".lock")


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    return Shelf(tmp_path, 10, monkeypatch)


def test_a_source_is_fetched_once_and_again_when_it_changes(shelf: Shelf) -> None:
    shelf.put("a", b"1234")
    assert [shelf.take("a"), shelf.take("a")] == [b"1234"] * 2 and shelf.fetched == ["a"]
    shelf.put("a", b"5678")
    os.utime(shelf.far / "a", (1, 1))
    assert shelf.take("a") == b"5678" and shelf.fetched == ["a", "a"]
    assert shelf.kept == [b"5678"], "the other state is gone"


def test_a_name_may_be_no_text(shelf: Shelf) -> None:
    """As of files that came from a disk with another encoding."""
    name = os.fsdecode(b"caf\xe9.mp4")
    shelf.put(name, b"1234")
    assert shelf.take(name) == b"1234"
    stand_ins = StandIns(shelf.near / "work", shelf.place.url)
    item = stand_ins._item(f"{shelf.place.url}/{name}", "a.mp4", Facts("file:///a.mp4", 1, "m"), lambda path: path)
    assert item.source.exists() and work_for(name)


def test_the_least_recently_used_goes_first(shelf: Shelf) -> None:
    for at, name in enumerate("abc", start=1000):
        shelf.put(name, name.encode() * 4)
        shelf.take(name, at)
    assert shelf.kept == [b"bbbb", b"cccc"]
    shelf.take("b", 2000)
    shelf.put("d", b"dddd")
    shelf.take("d")
    assert shelf.kept == [b"bbbb", b"dddd"]
    shelf.put("e", b"e" * 20)
    assert shelf.take("e") == b"e" * 20, "larger than the cache"
    assert (shelf.near / "0/a").read_bytes() == b"aaaa", "what a worker has stays while it has it"


def test_what_another_worker_removed_meanwhile_is_fetched_again(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that needs room takes what was not used for longest, which may be the one that is taken now."""
    shelf.put("a", b"1234")
    shelf.take("a")
    looked = cache._is

    def seen_and_removed(path: Path, size: int) -> bool:
        monkeypatch.setattr(cache, "_is", looked)
        found = looked(path, size)
        path.unlink()
        return found

    monkeypatch.setattr(cache, "_is", seen_and_removed)
    assert shelf.take("a") == b"1234" and shelf.fetched == ["a", "a"]


def test_a_disk_with_less_room_than_the_limit_is_not_filled(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.cache = replace(shelf.cache, limit=100)
    for at, name in enumerate("ab", start=1000):
        shelf.put(name, name.encode() * 4)
        shelf.take(name, at)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=3))
    shelf.put("c", b"cc")
    shelf.take("c")
    assert shelf.kept == [b"aaaa", b"bbbb", b"cc"], "it fits"
    shelf.put("d", b"dddd")
    shelf.take("d")
    assert shelf.kept == [b"bbbb", b"cc", b"dddd"], "what was not used for longest made room"


def test_a_partial_fetch_is_never_used(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.put("a", b"1234")

    def torn(_: Store, __: str, file: Path) -> None:
        file.write_bytes(b"12")
        raise SourceError("the connection is lost")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "fetch", torn)
        with pytest.raises(SourceError, match="lost"):
            shelf.take("a")
        patch.setattr(Store, "fetch", lambda _, __, file: file.write_bytes(b"12"))
        with pytest.raises(SourceError, match="changed while it was fetched"):
            shelf.take("a")
    assert shelf.kept == []
    assert shelf.take("a") == b"1234"
    next(shelf.cache.folder.glob("*.whole")).write_bytes(b"12")  # a disk that lost its end
    assert shelf.take("a") == b"1234"
