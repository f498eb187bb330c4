"""A thousand videos in one batch: every one exact, and no memory for those that are done."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from media import save_tiny

from scripts.bench_batch import bench_batch

COUNT = 1000


@pytest.mark.slow
def test_a_thousand_videos(home: Path) -> None:
    many = bench_batch(COUNT, str(save_tiny(home, "tiny")))
    assert many.exact == len(many.ends) == COUNT
    for megabytes in (many.worker_mb, many.batch_mb):
        first, last = (statistics.median(megabytes[part]) for part in (many.first, many.last))
        assert last < first * 1.05, f"{first:.0f} MB in the first tenth, {last:.0f} in the last"
