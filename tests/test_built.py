"""`vidstyle.built`: what was built is found again, and nothing that another could have written is trusted."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import fields, replace
from pathlib import Path

import pytest

from vidstyle import built, sealed
from vidstyle.built import Key, Record
from vidstyle.errors import EngineError

KEY = Key("tensorrt", 720, 1280, 1, "f16", "NVIDIA H200, 9.0", "TensorRT 10.15.1", "2.11.0", "weights", "code")
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX's owners and permissions")
pytestmark = pytest.mark.usefixtures("home")


def record(key: Key = KEY, **values: object) -> Record:
    return replace(Record(key, "anime", 6, 61.5, 52.1), **values)


def the_file() -> Path:
    (path,) = built.folder().glob("*.engine")
    return path


def test_what_is_stored_is_found() -> None:
    assert built.fetch(KEY) is None
    kept = record(ms=1.5, fps=700.0)
    built.store(kept, b"engine")
    assert built.fetch(KEY) == (kept, b"engine")
    (entry,) = built.entries()
    assert entry.record == kept and entry.digest == KEY.digest
    told = kept.as_dict()
    assert told["key"] == KEY.digest and told["gpu"] == "NVIDIA H200, 9.0" and told["psnr"] == 52.1


@pytest.mark.parametrize("name", [f.name for f in fields(Key)])
def test_every_part_of_the_key_counts(name: str) -> None:
    built.store(record(), b"engine")
    value = getattr(KEY, name)
    other = replace(KEY, **{name: value + 1 if isinstance(value, int) else f"{value}x"})
    assert other.digest != KEY.digest
    is_level = name in ("optimization_level", "tiling")
    assert (built.fetch(other) is not None) == is_level  # which change no result
    assert built.fetch(other, any_level=False) is None


def test_the_quickest_of_a_family_serves() -> None:
    built.store(record(), b"not measured")
    built.store(record(replace(KEY, optimization_level=5), ms=1.2), b"quick")
    built.store(record(replace(KEY, optimization_level=0), ms=1.9), b"slow")
    assert built.fetch(replace(KEY, optimization_level=4))[1] == b"quick"
    assert built.fetch(replace(KEY, optimization_level=0), any_level=False)[1] == b"slow"


def test_a_measurement_is_added() -> None:
    built.store(record(), b"engine")
    new = built.measured(record(), 1.25, 800.0)
    assert (new.ms, new.fps) == (1.25, 800.0)
    assert built.fetch(KEY) == (replace(new, date=built.fetch(KEY)[0].date), b"engine")
    built.remove("all")
    assert built.measured(record(), 1.0, 2.0).ms == 1.0 and not built.entries()


@pytest.mark.parametrize("place", [0, 20, 60, 200, -1])
def test_a_changed_byte_anywhere_is_refused(place: int, caplog: pytest.LogCaptureFixture) -> None:
    built.store(record(), b"engine")
    data = bytearray(the_file().read_bytes())
    data[place] ^= 1
    the_file().write_bytes(data)
    assert built.fetch(KEY) is None
    assert "damaged or not built by you: building again" in caplog.text


@pytest.mark.parametrize("length", [0, 10, 60, -1])
def test_a_cut_file_is_refused(length: int) -> None:
    built.store(record(), b"engine")
    the_file().write_bytes(the_file().read_bytes()[:length])
    assert built.fetch(KEY) is None


def test_a_file_sealed_with_another_key_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if copied from another user, with the owner changed."""
    built.store(record(), b"engine")
    sealed.secret_file().unlink()
    assert built.fetch(KEY) is None
    built.store(record(), b"mine")
    data = the_file().read_bytes()
    monkeypatch.setenv("VIDSTYLE_HOME", str(tmp_path / "other"))
    built.store(record(), b"other")
    the_file().write_bytes(data)
    assert built.fetch(KEY) is None


def test_a_good_file_under_another_s_name_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """Or an engine for one GPU would be run on another."""
    built.store(record(), b"engine")
    other = replace(KEY, gpu="NVIDIA H100, 9.0")
    the_file().rename(built.folder() / f"{other.digest}.engine")
    assert built.fetch(other) is None
    assert "of another key" in caplog.text


def test_a_sealed_file_of_another_version_is_refused() -> None:
    for body in (b"", (4).to_bytes(8, "big") + b"{}  ", (30).to_bytes(8, "big") + b'{"key": {"engine": "tensorrt"}}'):
        sealed.write_sealed(built.folder() / f"{KEY.digest}.engine", body)
        assert built.fetch(KEY) is None


@posix
def test_files_are_for_their_owner_alone() -> None:
    built.folder().mkdir(parents=True, mode=0o755)
    built.store(record(), b"engine")
    for path, mode in (
        (the_file(), 0o600),
        (sealed.secret_file(), 0o600),
        (built.folder(), 0o700),
        (sealed.secret_file().parent, 0o700),
    ):
        assert path.stat().st_mode & 0o777 == mode, path


@posix
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(mode: int, caplog: pytest.LogCaptureFixture) -> None:
    built.store(record(), b"engine")
    the_file().chmod(mode)
    assert built.fetch(KEY) is None
    assert "open to other users: building again" in caplog.text


@posix
def test_a_file_of_another_owner_is_refused(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    built.store(record(), b"engine")
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    assert built.fetch(KEY) is None
    assert "another user's: building again" in caplog.text


@posix
def test_a_link_is_not_followed() -> None:
    built.store(record(), b"engine")
    path = the_file()
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))
    assert built.fetch(KEY) is None


@posix
def test_a_key_that_others_could_read_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    built.store(record(), b"engine")
    before = sealed.secret_file().read_bytes()
    sealed.secret_file().chmod(0o640)
    assert built.fetch(KEY) is None
    assert "readable by other users" in caplog.text
    built.store(record(), b"new")
    assert sealed.secret_file().read_bytes() != before
    assert built.fetch(KEY)[1] == b"new"


def test_a_file_system_without_links_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", none)
    built.store(record(), b"engine")
    assert built.fetch(KEY)[1] == b"engine"
    assert [path.name for path in sealed.secret_file().parent.iterdir()] == ["seal.key"]


def run(code: str) -> subprocess.Popen[str]:
    start = "import os, sys, time; from vidstyle import built, sealed; from vidstyle.built import Key, Record\n"
    key = f"key = {KEY!r}\n"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", start + key + code]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("last_deed", ["fsync", "fdopen"])
def test_a_process_killed_while_it_writes_leaves_the_old_one(last_deed: str) -> None:
    built.store(record(), b"old")
    code = f"os.{last_deed} = lambda *a: os._exit(9)\nbuilt.store(Record(key, 'anime', 3, 1.0, 50.0), b'new')"
    process = run(code)
    process.communicate(timeout=60)
    assert process.returncode == 9
    assert built.fetch(KEY)[1] == b"old"
    (part,) = built.folder().glob("*.part")
    os.utime(part, (time.time() - 7200,) * 2)
    built.store(record(replace(KEY, width=640)), b"next")  # tidies up
    assert not part.exists()


def test_of_two_builders_the_second_uses_the_first_one_s() -> None:
    code = """
if built.fetch(key) is None:
    with built.building(key):
        if built.fetch(key) is None:
            print("builds", flush=True)
            time.sleep(1.5)
            built.store(Record(key, "anime", 6, 1.5, 50.0), str(os.getpid()).encode())
print(built.fetch(key)[1].decode())
"""
    processes = [run(code), run(code)]
    said = [process.communicate(timeout=60)[0].split() for process in processes]
    assert sum("builds" in words for words in said) == 1, said
    assert said[0][-1] == said[1][-1]


def test_who_waits_for_another_builder_says_so() -> None:
    told: list[str] = []
    said = threading.Event()

    def wait() -> None:
        built.BUILD.set(built.Build(tell=lambda line: (told.append(line), said.set())))
        with built.building(KEY):
            told.append("in turn")

    thread = threading.Thread(target=wait)
    with built.building(KEY):
        thread.start()
        assert said.wait(30)
        assert told == ["another vidstyle builds this engine: waiting for it, some minutes perhaps"]
    thread.join(30)
    assert told[1:] == ["in turn"]


def test_two_processes_agree_on_the_key() -> None:
    processes = [run("print((sealed._known_secret() or sealed._new_secret()).hex())") for _ in range(3)]
    assert len({process.communicate(timeout=60)[0] for process in processes}) == 1
    assert [path.name for path in sealed.secret_file().parent.iterdir()] == ["seal.key"]


def test_only_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(built, "KEEP", 3)
    keys = [replace(KEY, width=100 + i) for i in range(5)]
    for age, key in enumerate(keys):
        built.store(record(key), b"engine")
        os.utime(built.folder() / f"{key.digest}.engine", (1000 + age,) * 2)
    built.store(record(replace(KEY, width=999)), b"engine")
    assert built.fetch(keys[0]) is None and built.fetch(keys[4]) is not None
    assert len(built.entries()) == 3


def test_engines_are_removed_by_key_style_or_all() -> None:
    others = [record(replace(KEY, width=100 + i), style=style) for i, style in enumerate(("3d", "3d", "sketch"))]
    for one in (record(), *others):
        built.store(one, b"engine")
    assert [entry.digest for entry in built.remove(KEY.digest[:8])] == [KEY.digest]
    assert len(built.remove("3d")) == 2 and not built.remove("3d")
    built.timing_cache().write_bytes(b"measurements")
    assert len(built.remove("all")) == 1 and not built.timing_cache().exists()
    assert built.entries() == []


def test_a_styles_name_is_never_the_beginning_of_a_key() -> None:
    """The look 3d is called as every 256th key begins."""
    begins = next(key for key in (replace(KEY, width=width) for width in range(100, 9000)) if key.digest[:2] == "3d")
    look = record(replace(KEY, width=99), style="3d")
    for one in (record(begins, style="anime"), look):
        built.store(one, b"engine")
    assert [entry.digest for entry in built.remove("3d")] == [look.key.digest]
    assert not built.remove("3d") and not built.remove(begins.digest[:7])
    assert [entry.digest for entry in built.remove(begins.digest[:8])] == [begins.digest]


@posix
def test_a_folder_that_cannot_be_written_is_named(home: Path) -> None:
    home.mkdir()
    (home / "cache").write_text("a file")
    with pytest.raises(EngineError, match=r"cannot be kept in .*engines .*VIDSTYLE_HOME"):
        built.store(record(), b"engine")
    with pytest.raises(EngineError, match=r"cannot be kept in .*engines"), built.building(KEY):
        pass
    assert built.fetch(KEY) is None
