"""Figures of the scripts for a GPU: what is made of times, traces and checks, and how it is kept and shown."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gpu_copies
import gpu_file
import gpu_network
import gpu_timing
import pytest
import torch
from gpu_figures import Book, Figure, NotMeasuredError, read
from gpu_setup import published
from gpu_table import ROWS, aimed, markdown, of_files

ROOT = Path(__file__).resolve().parents[1]


# --- figures


def test_what_a_figure_says() -> None:
    low, high = Figure("a", "a", 0.449, "x", 0.45), Figure("b", "b", 0.45, "x", 0.45)
    assert (low.good, low.verdict, high.good, high.verdict) == (False, "MISSED", True, "ok")
    assert Figure("c", "c", 3.2, "MB", 3.2, True).good is True and Figure("c", "c", 3.21, "MB", 3.2, True).good is False
    assert Figure("d", "d", 1.0).good is None and Figure("d", "d", None, target=1.0).good is None
    failed = Figure("e", "e", note="failed: RuntimeError: x")
    assert failed.failed and failed.verdict == "FAILED" and failed.measured == "failed: RuntimeError: x"
    measured = [Figure("f", "f", value, "fps").measured for value in (12345.6, 123.4, 12.34, 1.234, 0.1234)]
    assert measured == ["12,346 fps", "123 fps", "12.3 fps", "1.23 fps", "0.123 fps"]


def test_figures_of_the_network() -> None:
    recipe, _ = published(None)
    seconds = {"matmul": 1.0, "eager": 0.003, "compiled": 0.0024, "tensorrt": 0.0011, "cuda": 0.001}
    made = gpu_network.figures("network.ttn.1080p", "ttn", seconds, recipe, (1080, 1920), "cuda", 800e12)
    value = {figure.key.removeprefix("network.ttn.1080p."): figure for figure in made}
    flops = 249.216e3 * 1080 * 1920  # performance of the published network: 124,608 multiply-adds a pixel
    assert value["peak"].value == pytest.approx(800)
    assert value["cuda.fps"].value == pytest.approx(1000) and value["cuda.ms"].value == pytest.approx(1)
    assert value["cuda.tflops"].value == pytest.approx(flops * 1000 / 1e12)
    assert value["cuda.of_peak"].value == pytest.approx(flops * 1000 / 800e12)
    assert (value["cuda.of_peak"].target, value["cuda.of_peak"].good) == (0.45, True)
    ratios = {key: value[f"cuda.over_{key}"] for key in ("eager", "compiled", "tensorrt")}
    assert [ratios[key].value for key in ratios] == pytest.approx([3, 2.4, 1.1])
    assert [ratios[key].target for key in ratios] == [1.5, 1.2, 1.0]


def test_figures_without_the_engine_have_no_ratio() -> None:
    recipe, _ = published(None)
    made = gpu_network.figures("k", "n", {"matmul": 1.0, "eager": 0.1}, recipe, (8, 8), "cuda", 1e12)
    assert not [figure for figure in made if "over" in figure.key] and "k.eager.fps" in {f.key for f in made}


def test_figures_of_a_file() -> None:
    seconds = {"decode": 0.001, "network": 0.0005, "encode": 0.002, "whole": 0.0025, "loop": 0.011}
    seconds |= {"bare decoding": 0.001}
    value = {f.key: f for f in [*gpu_file.figures("file.a.b", "a", seconds), *gpu_file.headlines(seconds, "veryfast")]}
    assert value["file.fps"].value == pytest.approx(400) and value["file.a.b.cores"].value == pytest.approx(1 / 0.003)
    slowest, over = value["file.of_slowest"], value["file.over_loop"]
    assert slowest.value == pytest.approx(0.8) and slowest.good is False and slowest.note == "encode"
    assert over.value == pytest.approx(4.4) and over.good is True
    assert value["file.a.b.of_slowest"].target is None  # the README's rows alone have one


def test_medians_are_taken_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def work(name: str, each: float) -> Callable[[int], None]:
        def run(count: int) -> None:
            order.append(name)
            clock[0] += each * count

        return run

    medians = gpu_timing.interleaved({"a": work("a", 0.01), "b": work("b", 0.03)}, torch.device("cpu"), 1.5)
    assert medians == pytest.approx({"a": 0.01, "b": 0.03})
    measured = order[4:]
    assert measured == ["a", "b"] * (len(measured) // 2) and len(measured) >= 6


def test_a_pipeline_has_so_many_calls_under_way() -> None:
    under_way, most, done = [0], [0], [0]

    def submit(_: Any) -> Callable[[], None]:
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])

        def result() -> None:
            under_way[0] -= 1
            done[0] += 1

        return result

    gpu_timing.pipelined(submit, None, 3)(10)
    assert (under_way[0], most[0], done[0]) == (0, 3, 10)


def test_percentiles() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert [gpu_timing.percentile(values, share) for share in (0.5, 0.95, 1.0)] == [50, 95, 100]
    assert gpu_timing.percentile([7.0], 0.5) == 7


# --- the book


def test_a_file_is_complete_after_every_figure(tmp_path: Path) -> None:
    book = Book(tmp_path / "b.json")
    for number in range(3):
        book.add(Figure(f"k{number}", "name", float(number), "ms", 1.0, True))
        data = json.loads((tmp_path / "b.json").read_text())
        assert [row["key"] for row in data["figures"]] == [f"k{n}" for n in range(number + 1)]
        assert data["figures"][-1]["good"] is (number <= 1)
    later = Book.open(tmp_path / "b.json")
    later.add(Figure("k1", "name", 9.0))
    assert [figure.value for figure in read(tmp_path / "b.json")[1].values()] == [0, 9, 2]


def test_a_failure_is_forgotten_once_it_works() -> None:
    book = Book()
    for error in (RuntimeError("no"), NotMeasuredError("no time was left for it"), None):
        with book.attempt("part", "name"):
            if error:
                raise error
        found = book.figures.get("part")
        assert (found.note if found else None) == {
            RuntimeError: "failed: RuntimeError: no",
            NotMeasuredError: "not measured: no time was left for it",
            type(None): None,
        }[type(error)]
    assert book.failures == 1


def test_nothing_is_begun_without_time() -> None:
    book = Book(ends=time.monotonic() + 5)
    book.need(1)
    with pytest.raises(NotMeasuredError):
        book.need(10)


# --- the table


def test_the_readmes_table() -> None:
    book = Book(facts={"GPU": "NVIDIA H200, 140 GiB", "torch": "torch 2.11.0+cu130"})
    book.add(aimed("network.ttn.1080p.cuda.over_eager", "n", 1.62, "x"))
    book.add(aimed("latency.ttn.1080p.p50", "n", 3.4, "ms"))
    book.add(Figure("network.student.1080p.cuda", "n", note="failed: EngineError: no kernel"))
    book.add(Figure("file", "n", note="not measured: PyAV is not here"))
    lines = markdown(book.facts, book.figures).splitlines()
    assert lines[0] == "Measured on: NVIDIA H200, 140 GiB, torch 2.11.0+cu130."
    row = {line.split(" | ")[0].removeprefix("| "): line.split(" | ")[1:] for line in lines[2:]}
    assert row["published network, 1080p: against torch eager (f16, channels last)"] == ["1.62 x", "≥ 1.5 x |"]
    assert row["published network, 1080p: one frame, upload to download, median"] == ["3.40 ms (missed)", "≤ 3 ms |"]
    assert row["bundled look, 1080p: frames a second on the GPU"][0] == "failed: EngineError: no kernel"
    assert row["file to file, 1080p: frames in flight"] == ["not measured", "≥ 2 |"]
    assert len(lines) == 4 + len(ROWS)
    assert row["checks of kernels and engines that failed"] == ["not measured", "≤ 0 |"]


def test_the_table_shows_the_checks(tmp_path: Path) -> None:
    def engine(precision: str, levels: int, psnr: float) -> dict[str, Any]:
        return {"engine": "cuda", "precision": precision, "levels": levels, "psnr": psnr}

    rows = [engine("f32", 1, 40.0), engine("f16", 2, 51.3), engine("bf16", 9, 45.2)]
    file = tmp_path / "check.json"
    for device, expected in (("NVIDIA H200", ["1.00 (missed)", "2.00", "45.2 dB"]), ("CPU, interpreted", [])):
        file.write_text(json.dumps({"device": device, "engines": rows, "misses": ["one"]}))
        facts, figures = of_files([file, tmp_path / "none.json"])
        table = [line.split(" | ")[1] for line in markdown(facts, figures).splitlines()[2:5]]
        assert table == (expected or ["not measured"] * 3)
    with pytest.raises(ValueError, match="holds no figures"):
        of_files([ROOT / "pyproject.toml"])


# --- the clock of a GPU, played


def test_a_gpus_time_is_that_between_two_events(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self, stream: str) -> None:
            log.append(f"event on {stream}")

        def synchronize(self) -> None:
            log.append("host waits")

        def elapsed_time(self, end: Event) -> float:
            assert end is not self
            return 30.0  # milliseconds

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: log.append(f"all of {device} waited for"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"the stream of {device}")
    device = torch.device("cuda:0")
    seconds = gpu_timing.seconds_per_call(lambda count: log.append(f"{count} calls"), 10, device)
    assert seconds == pytest.approx(0.003)
    on = "event on the stream of cuda:0"
    assert log == ["all of cuda:0 waited for", on, "10 calls", on, "host waits"]


# --- copies, as the profiler tells them


def event(category: str, name: str, start: float, length: float, **arguments: int) -> dict[str, Any]:
    return {"ph": "X", "cat": category, "name": name, "ts": start, "dur": length, "args": arguments}


def test_copies_are_counted_from_a_trace() -> None:
    frame = 3_110_400
    events = [
        {"ph": "M", "name": "process_name"},
        event("kernel", "fused", 0, 10, stream=7),
        event("kernel", "fused", 8, 10, stream=13),
        event("gpu_memcpy", "Memcpy HtoD (Pinned -> Device)", 10, 4, bytes=frame, stream=7),
        event("gpu_memcpy", "Memcpy DtoH (Device -> Pinned)", 16, 4, bytes=frame, stream=7),
        event("gpu_memcpy", "Memcpy HtoD (Pageable -> Device)", 30, 4, bytes=frame, stream=7),
        event("gpu_memcpy", "Memcpy DtoD (Device -> Device)", 0, 4, bytes=9 * frame, stream=7),
        event("gpu_memcpy", "Memcpy HtoD (Pageable -> Device)", 31, 1, bytes=8, stream=7),
    ]
    found = gpu_copies.moved(events)
    assert (found.up, found.down, found.pageable, found.streams) == (2 * frame + 8, frame, frame, 2)
    assert (found.copying, found.hidden) == (12, 6)
    run = gpu_copies.Run(events, frames=1, in_flight=3, up=2 * frame, down=frame)
    value = {figure.key: figure for figure in [*gpu_copies.counted(run), *gpu_copies.figures(found, run)]}
    assert value["copies.in_flight"].good and value["copies.counted_up"].value == pytest.approx(6.2208)
    assert value["copies.down"].value == pytest.approx(3.1104) and value["copies.down"].good
    assert value["copies.up"].good is False and value["copies.pageable"].good is False
    with pytest.raises(NotMeasuredError, match="no copies"):
        gpu_copies.figures(gpu_copies.moved(events[:3]), run)
