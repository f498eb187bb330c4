"""A worker of a batch whose device is lost at the first picture of any video named lost.mp4."""

from __future__ import annotations

from typing import Any

from vidstyle.batch import worker
from vidstyle.errors import DeviceLostError
from vidstyle.stylizer import Stylizer


def work(*args: Any) -> None:
    """As `vidstyle.batch.worker.work`, in a process of its own."""
    whole, close, unload = worker.stylize_file, Stylizer.close, Stylizer.unload

    def stylize_file(job: Any, report: Any, stylizer: Any) -> Any:
        if job.input.path.name == "lost.mp4":
            Stylizer.close = Stylizer.unload = _hang  # type: ignore[method-assign]
            raise DeviceLostError("cuda:1 stopped answering (unspecified launch failure): start again")
        return whole(job, report, stylizer)

    worker.stylize_file = stylize_file  # type: ignore[attr-defined]
    worker.work(*args)
    Stylizer.close, Stylizer.unload = close, unload  # type: ignore[method-assign]


def _hang(_: Stylizer) -> None:
    """What a driver may do after that."""
    raise AssertionError("a lost device was touched again")
