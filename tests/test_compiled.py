import os
import sys
from pathlib import Path

import pytest

from vidstyle import compiled


def test_what_is_stored_comes_back_and_nothing_else(home: Path) -> None:
    assert compiled.fetch("runtime", "a") is None
    compiled.store("runtime", "a", b"network")
    assert compiled.fetch("runtime", "a") == b"network"
    assert compiled.fetch("runtime", "b") is None
    assert compiled.fetch("other", "a") is None
    (file,) = (home / "cache" / "runtime").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", [b"", b"x" * 10, None])
def test_a_damaged_file_is_never_used(home: Path, damage: bytes | None) -> None:
    compiled.store("runtime", "a", b"network" * 100)
    (file,) = (home / "cache" / "runtime").iterdir()
    data = bytearray(file.read_bytes())
    data[200] ^= 1
    file.write_bytes(bytes(data) if damage is None else damage)
    assert compiled.fetch("runtime", "a") is None
    assert not file.exists()


def test_only_the_newest_are_kept(home: Path) -> None:
    for index in range(compiled.KEEP + 5):
        compiled.store("runtime", str(index), b"x")
        path = compiled._path("runtime", str(index))
        os.utime(path, (index, index))
    compiled.store("runtime", "last", b"x")
    assert len(list((home / "cache" / "runtime").iterdir())) == compiled.KEEP
    assert compiled.fetch("runtime", "0") is None
    assert compiled.fetch("runtime", "last") == b"x"


@pytest.mark.skipif(sys.platform == "win32", reason="no limit can be set there")
def test_a_full_disk_leaves_no_part_behind(home: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # writing more fails, as on a full disk
    try:
        compiled.store("runtime", "a", b"network" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((home / "cache" / "runtime").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_no_error(home: Path) -> None:
    home.mkdir()
    (home / "cache").write_text("a file where the folder should be")
    compiled.store("runtime", "a", b"network")
    assert compiled.fetch("runtime", "a") is None
