import os
from pathlib import Path

import pytest

from vidstyle.cores import usable_cores


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "max 100000"}, 64),
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000", "cpu.max": "900000 100000"}, 3),
        ({"cpu,cpuacct/a/b/cpu.cfs_quota_us": "400000", "cpu,cpuacct/a/b/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu,cpuacct/a/b/cpu.cfs_quota_us": "-1", "cpu,cpuacct/a/b/cpu.cfs_period_us": "100000"}, 64),
        ({"cpu.max": "torn"}, 64),
        ({}, 64),
    ],
)
def test_cores_follow_the_quota_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    own = tmp_path / "own"
    own.write_text("4:cpu,cpuacct:/a/b\n1:name=systemd:/\n0::/a/b\n")
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert usable_cores(tmp_path / "groups", own) == cores
    assert usable_cores(tmp_path, tmp_path / "missing") == 64
