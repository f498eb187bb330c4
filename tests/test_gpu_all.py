"""The scripts for a GPU: the loop to compare with, too little memory, and all of them in one call."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import gpu_all
import gpu_bench
import gpu_file
import gpu_loop
import gpu_memory
import gpu_network
import numpy as np
import pytest
import torch
from gpu_figures import Book
from gpu_setup import Setup
from gpu_tools import tiny_setup
from media import make_clip

from vidstyle import fitting
from vidstyle.engine import EngineSpec, load_engine
from vidstyle.errors import OutOfMemoryError

ROOT = Path(__file__).resolve().parents[1]
STARTING = 15.0  # seconds: Python, torch and CUDA, styles


pytestmark = pytest.mark.usefixtures("kept_threads")  # the trial on the CPU sets them


# --- the loop of others


def test_the_loop_styles_every_frame(tmp_path: Path) -> None:
    clip, out = make_clip(tmp_path / "c.mp4", 5, audio=0).path, tmp_path / "o.mp4"
    seen: list[np.ndarray] = []

    def submit(batch: Any) -> Callable[[], Any]:
        seen.append(batch.numpy())
        return lambda: 255 - batch

    styled = gpu_loop.one_frame(submit, torch.device("cpu"), (48, 64), torch.float32)
    assert gpu_loop.loop(clip, out, (48, 64), "ultrafast", 4, styled) > 0
    from gpu_clip import decoded

    before = [picture.to_ndarray(format="rgb24") for picture in decoded(clip)][:4]
    after = [picture.to_ndarray(format="rgb24") for picture in decoded(out)]
    assert len(seen) == len(after) == 4
    for source, given, result in zip(before, seen, after, strict=True):
        np.testing.assert_array_equal(given[0], source)
        assert np.abs(255 - source.astype(int) - result).mean() < 12


def test_the_loop_ends_with_an_error(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "c.mp4", 12, audio=0).path

    def failing(_: bytearray) -> bytes:
        raise RuntimeError("the device is lost")

    with pytest.raises(RuntimeError, match="device is lost"):
        gpu_loop.loop(clip, tmp_path / "o.mp4", (48, 64), "ultrafast", 12, failing)
    with pytest.raises(RuntimeError, match=r"process read did not start|styled 0 of 12"):
        gpu_loop.loop(tmp_path / "none.mp4", tmp_path / "o.mp4", (48, 64), "ultrafast", 12, bytes)


# --- too little memory


def test_room_is_given_and_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []
    total, held = 1000 << 20, 100 << 20
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: type("P", (), {"total_memory": total}))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: held)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, _: limits.append(share))
    with pytest.raises(RuntimeError), gpu_memory._room(tiny_setup(tmp_path), 150.0):
        raise RuntimeError
    assert limits == pytest.approx([0.25, 1.0])


def memory_of(room: int) -> Any:
    """Stands for a device with room for so many pixels at a time."""

    def load(recipe: Any, spec: EngineSpec, engine: str) -> Any:
        if spec.height * spec.width * spec.max_batch > room:
            raise OutOfMemoryError("the GPU has 1 GiB left, 2 are needed")
        return load_engine(recipe, spec, engine)

    return load


@pytest.mark.parametrize("enough", [False, True])
def test_too_little_memory_changes_nothing_of_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enough: bool
) -> None:
    size = (200, 420)
    setup, book = tiny_setup(tmp_path, sizes={"1080p": size}), Book()
    monkeypatch.setattr(Setup, "need_gpu", lambda _: None)
    monkeypatch.setattr(gpu_memory, "FRAMES", 3)
    monkeypatch.setattr(gpu_memory, "_needed", lambda *_: (1.0, 2.0))

    @contextmanager
    def room(_: Setup, mib: float) -> Iterator[None]:
        pixels = 10**9 if enough else int(mib * size[0] * size[1])
        with monkeypatch.context() as patch:
            patch.setattr(fitting, "load_engine", memory_of(pixels))
            yield

    monkeypatch.setattr(gpu_memory, "_room", room)
    gpu_memory.memory(setup, book)
    if enough:
        assert "were enough for a batch of 8: nothing was tried" in book.figures["memory.ttn.too_little"].note
        return
    worst = book.figures["memory.levels"]
    assert worst.value is not None and worst.value <= 1 and worst.good
    assert not book.failures
    told = [text for name, text in book.facts.items() if name.startswith("memory, ttn")]
    assert "1 at a time" in told[0] and "parts" in told[1]


# --- all in one call


def steps_of(*commands: str) -> list[gpu_all.Step]:
    return [gpu_all.Step(f"s{n}", ("/bin/sh", "-c", text), 1.0, "log.txt") for n, text in enumerate(commands)]


def test_all_goes_on_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(gpu_all, "LEAST", 0.5)
    monkeypatch.setattr(gpu_all, "KEPT_BACK", 0.0)
    steps = steps_of("echo one", "echo two; exit 3", "sleep 100 & sleep 100", "echo late")
    steps[2] = replace(steps[2], share=0.05)
    missing = gpu_all.Step("missing", (str(tmp_path / "none"),), 1.0, "log.txt")
    how = gpu_all.run(tmp_path, time.monotonic() + 30, dict(os.environ), [*steps, missing])
    shortened = [text.split(",")[0] for text in how.values()]
    assert shortened[:2] == ["ok", "failed (exit code 3)"] and shortened[2].startswith("ended after")
    assert shortened[3:] == ["ok", "failed (No such file or directory)"]
    assert {"one", "two", "late"} <= set((tmp_path / "log.txt").read_text().split())
    assert "not measured" in (tmp_path / "table.md").read_text()
    assert "  two" in capsys.readouterr().out  # the end of the log of what failed
    late = gpu_all.run(tmp_path, time.monotonic(), dict(os.environ), steps[:1])
    assert late == {"s0": "not begun: no time was left"}


def test_what_a_step_started_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_all, "GRACE", 0.2)
    children = tmp_path / "children"
    step = steps_of(f"sleep 100 & echo $! > {children}; trap '' TERM; wait; sleep 100")[0]
    assert gpu_all.perform(step, tmp_path / "log.txt", dict(os.environ), 0.5).startswith("ended")
    with pytest.raises(ProcessLookupError):
        for _ in range(50):  # an orphan is reaped by whoever adopted it
            os.kill(int(children.read_text()), 0)
            if Path(f"/proc/{children.read_text().strip()}/stat").read_text().split()[2] == "Z":
                raise ProcessLookupError
            time.sleep(0.1)


def test_all_checks_first_and_measures_every_part_once(tmp_path: Path) -> None:
    planned = gpu_all.steps(tmp_path, cpu=True, train=False)
    assert planned[0].command[0] == "scripts/gpu_check"
    parts = [word for step in planned[1:] for word in step.command if word in gpu_bench.PARTS]
    assert sorted(parts) == sorted(gpu_bench.PARTS)
    assert all("--cpu" in step.command for step in planned)


def test_what_has_a_target_is_begun_even_if_all_before_takes_its_whole_share(tmp_path: Path) -> None:
    left, given = 9 * 60 - gpu_all.KEPT_BACK, dict[str, float]()
    for step in gpu_all.steps(tmp_path, cpu=False, train=False):
        given |= dict.fromkeys(step.command, left * step.share - gpu_all.GRACE)
        left *= 1 - step.share
    assert given["compile"] > gpu_network.COMPILE_SECONDS + STARTING
    assert given["file"] > gpu_file.SECONDS + STARTING


def test_what_has_no_target_waits_until_all_that_has_one_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other presets took the time of the copies, and of torch.compile."""
    ran: list[tuple[str, str]] = []

    def seconds(_: Setup, net: str, preset: str) -> tuple[dict[str, float], dict[str, str]]:
        ran.append((net, preset))
        return dict.fromkeys(("decode", "bare decoding", "network", "encode", "whole", "loop"), 0.01), {}

    monkeypatch.setattr(gpu_file, "_seconds", seconds)
    setup, book = tiny_setup(tmp_path), Book()
    monkeypatch.setattr(Setup, "on_gpu", True)
    gpu_file.file(setup, book)
    assert ran == gpu_file.RUNS[:1]
    gpu_file.presets(setup, book)
    assert ran == gpu_file.RUNS
    parts = [word for step in gpu_all.steps(tmp_path, cpu=False, train=False) for word in step.command]
    assert max(map(parts.index, ("copies", "compile", "memory"))) < min(map(parts.index, ("presets", "needs")))


@pytest.mark.parametrize("part", ["batches", "in_flight"])
def test_shapes_that_are_ready_are_measured_when_the_time_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """All were loaded first, for minutes; and a run that was ended meanwhile had none of them."""
    book = Book(ends=time.monotonic() + 1000)

    @contextmanager
    def loaded(*_: Any, **__: Any) -> Iterator[Any]:
        book.ends = time.monotonic() + 1
        yield type("Engine", (), {"spec": EngineSpec(1, 1), "submit": done, "submit_on_device": done})

    def done(_: Any) -> Callable[[], None]:
        return lambda: None

    monkeypatch.setattr(Setup, "loaded", loaded)
    (gpu_network._batches if part == "batches" else gpu_network._in_flight)(tiny_setup(tmp_path), book, "ttn")
    second, *_, first = book.figures.values()
    assert first.key.endswith("1") and first.value
    assert second.key.endswith("2") and second.note == "not measured: no time was left for it"


def test_a_step_of_measuring_knows_its_time(tmp_path: Path) -> None:
    fake = tmp_path / "scripts" / "gpu_bench"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\necho "$@"\n')
    fake.chmod(0o755)
    step = gpu_all.Step("bench", ("scripts/gpu_bench", "machine"), 1.0, "log.txt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu_all, "ROOT", tmp_path)
        assert gpu_all.perform(step, tmp_path / "log.txt", dict(os.environ), 65.0) == "ok"
    assert "machine --minutes 1.000" in (tmp_path / "log.txt").read_text()
