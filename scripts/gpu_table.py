"""The table for the README: every figure that has a target, beside it. Used by `scripts/gpu_bench --table`."""

from __future__ import annotations

import json
from pathlib import Path

from gpu_figures import TRIAL, Figure, read

#: share of what the measured bf16 arithmetic allows; times faster than torch eager, and than torch.compile
OF_PEAK, OVER_EAGER, OVER_COMPILED, OVER_TENSORRT = 0.45, 1.5, 1.2, 1.0
OF_SLOWEST, OVER_LOOP = 0.9, 4.0  # file to file: of the slowest stage alone; times faster than the loop of others
MB_EACH_WAY, IN_FLIGHT, LATENCY_MS = 3.2, 2, 3.0
LEVELS, DECIBELS = 2, 45.0  # of 255, the most that an engine, or less memory, may change; PSNR at half precision

NETS = {"ttn": "published network", "student": "bundled look"}

#: (key after the network, name, unit, target)
NETWORK = (
    ("cuda.fps", "frames a second on the GPU", "fps", None),
    ("cuda.of_peak", "share of the measured bf16 arithmetic", "", OF_PEAK),
    ("cuda.over_eager", "against torch eager (f16, channels last)", "x", OVER_EAGER),
    ("cuda.over_compiled", "against torch.compile (max-autotune, CUDA graphs)", "x", OVER_COMPILED),
    ("cuda.over_tensorrt", "against TensorRT (f16)", "x", OVER_TENSORRT),
)
FILE = "file to file, 1080p"
#: (key, name, unit, target, whether it is an upper limit): the README's rows, in order
ROWS: list[tuple[str, str, str, float | None, bool]] = [
    ("check.misses", "checks of kernels and engines that failed", "", 0, True),
    ("check.levels", "every engine against torch f32 (bf16 aside): greatest difference, of 255", "", LEVELS, True),
    ("check.psnr", "every engine against torch f32, f16 and bf16: least PSNR", "dB", DECIBELS, False),
    *(
        (f"network.{net}.1080p.{key}", f"{name}, 1080p: {text}", unit, target, False)
        for net, name in NETS.items()
        for key, text, unit, target in NETWORK
    ),
    *(
        (f"latency.{net}.1080p.p50", f"{name}, 1080p: one frame, upload to download, median", "ms", LATENCY_MS, True)
        for net, name in NETS.items()
    ),
    ("file.fps", f"{FILE}: frames a second", "fps", None, False),
    ("file.of_slowest", f"{FILE}: against the slowest of decode, network, encode alone", "x", OF_SLOWEST, False),
    ("file.over_loop", f"{FILE}: against a loop of pipes, pageable copies, a wait per frame", "x", OVER_LOOP, False),
    ("copies.up", f"{FILE}: uploaded a frame", "MB", MB_EACH_WAY, True),
    ("copies.down", f"{FILE}: downloaded a frame", "MB", MB_EACH_WAY, True),
    ("copies.in_flight", f"{FILE}: frames in flight", "", IN_FLIGHT, False),
    ("memory.levels", "too little memory: difference from the whole's result, of 255", "", LEVELS, True),
]


def of_files(paths: list[Path]) -> tuple[dict[str, str], dict[str, Figure]]:
    """(facts, figures) of files that gpu_bench and gpu_check wrote; a file that is not there holds none.

    Raises:
        ValueError: one is another file.
    """
    facts: dict[str, str] = {}
    figures: dict[str, Figure] = {}
    for path in paths:
        checked = _checked(path)
        more, found = read(path) if checked is None else ({}, checked)
        if TRIAL not in more:
            facts, figures = facts | more, figures | found
    return facts, figures


def _checked(path: Path) -> dict[str, Figure] | None:
    """Figures of a file of gpu_check; None of any other file."""
    try:
        data = json.loads(path.read_text())
        misses, engines = len(data["misses"]), data["engines"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if data["device"].startswith("CPU") or not engines:
        return {}
    levels = max(row["levels"] for row in engines if row["precision"] != "bf16")
    decibels = min(row["psnr"] for row in engines if row["precision"] != "f32")
    values = {"check.misses": misses, "check.levels": levels, "check.psnr": decibels}
    return {key: aimed(key, key, value, "dB" if key == "check.psnr" else "") for key, value in values.items()}


def rows(figures: dict[str, Figure]) -> list[tuple[str, str, str]]:
    """(figure, measured, target) as text, for every row of the README's table."""
    found = []
    for key, name, unit, target, most in ROWS:
        empty = Figure(key, name, None, unit, target, most)
        figure = figures.get(key) or _failure(figures, key) or empty
        missed = " (missed)" if figure.good is False else ""
        measured = "not measured" if figure.note.startswith("not measured") else figure.measured
        found.append((name, measured + missed, empty.aim))
    return found


def _failure(figures: dict[str, Figure], key: str) -> Figure | None:
    """What failed before the figure ``key`` could be measured."""
    words = key.split(".")
    above = (figures.get(".".join(words[:count])) for count in range(len(words) - 1, 0, -1))
    return next((figure for figure in above if figure is not None and figure.failed), None)


def markdown(facts: dict[str, str], figures: dict[str, Figure]) -> str:
    """The table, and a line on the machine above it."""
    known = [facts[key] for key in ("GPU", "driver", "torch", "Triton") if key in facts]
    head = f"Measured on: {', '.join(known)}.\n\n" if known else ""
    lines = ["| figure | measured | target |", "| --- | --- | --- |"]
    lines += [f"| {name} | {measured} | {target or '-'} |" for name, measured, target in rows(figures)]
    return head + "\n".join(lines)


def aimed(key: str, name: str, value: float, unit: str = "", note: str = "") -> Figure:
    """A figure with the target that `ROWS` gives its key, if it does."""
    goal, most = next(((goal, most) for row, _, _, goal, most in ROWS if row == key), (None, False))
    return Figure(key, name, value, unit, goal, most, note)
