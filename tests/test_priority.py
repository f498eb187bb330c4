"""Whatever an encoder does to it, the priority of our threads is what the person gave them."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest

from vidstyle.priority import TASKS, kept_priority

pytestmark = pytest.mark.skipif(not TASKS.is_dir(), reason="the threads of a process are listed on Linux alone")


def policies() -> set[int]:
    return {os.sched_getscheduler(int(task.name)) for task in TASKS.iterdir()}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid(), reason="SVT-AV1 takes a priority as root alone")
def test_svt_av1_gets_no_real_time_priority(tmp_path: Path) -> None:
    before = policies()
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream = out.add_stream("libsvtav1", rate=25, options={"preset": "12"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        with kept_priority():
            out.start_encoding()
            assert policies() != before, "this version takes none: kept_priority is no longer needed"
        assert policies() == before
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        out.mux(stream.encode(None))
    assert policies() == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid(), reason="only root may take a real-time priority")
def test_what_was_there_before_comes_back_also_after_an_error() -> None:
    batch = os.SCHED_BATCH
    os.sched_setscheduler(0, batch, os.sched_param(0))
    try:
        with pytest.raises(ValueError, match="refused"), kept_priority():
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
            raise ValueError("refused")
        assert os.sched_getscheduler(0) == batch
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
