"""The figures of a run as a picture: `python -m training.curves runs/anime` writes runs/anime/curves.png.

One panel for each figure of ``stats.jsonl`` over the steps: every row as a thin line, the running mean as a thick one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from training.options import run_command
from training.sheets import write_picture
from vidstyle.errors import SourceError

WIDTH, HEIGHT, COLUMNS = 420, 240, 3
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 30, 30
INK, FAINT, LINE = (40, 40, 40), (225, 200, 175), (170, 90, 20)  # BGR
UNTOLD = {"step", "seconds"}


def read(stats: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(steps, values) of every figure, each float64 [rows that have it], in order of appearance.

    A run that was resumed from an earlier checkpoint wrote some steps twice: the later row counts. A last line that
    was cut off is left out.
    """
    rows: dict[int, dict[str, float]] = {}
    for line in stats.read_text().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        rows = {step: kept for step, kept in rows.items() if step < row["step"]} | {int(row["step"]): row}
    names = dict.fromkeys(name for row in rows.values() for name in row if name not in UNTOLD)
    found = {}
    for name in names:
        points = [(step, row[name]) for step, row in rows.items() if name in row and np.isfinite(row[name])]
        if points:
            steps, values = np.array(points, np.float64).T
            found[name] = (steps, values)
    return found


def panel(name: str, steps: np.ndarray, values: np.ndarray, last: float) -> np.ndarray:
    """uint8 [HEIGHT, WIDTH, 3] BGR of one figure, the steps from 0 to ``last``."""
    image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    x = LEFT + steps / max(last, 1) * (WIDTH - LEFT - RIGHT)
    y = HEIGHT - BOTTOM - (values - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
    window = max(1, len(values) // 20)
    padded = np.pad(y, (window // 2, window - 1 - window // 2), "edge")
    smooth = np.convolve(padded, np.ones(window) / window, "valid")
    cv2.rectangle(image, (LEFT, TOP), (WIDTH - RIGHT, HEIGHT - BOTTOM), (210, 210, 210), 1)
    for line, colour, thick in ((y, FAINT, 1), (smooth, LINE, 2)):
        points = np.round(np.stack([x, line], 1)).astype(np.int32)
        cv2.polylines(image, [points], False, colour, thick, cv2.LINE_AA)
    _write(image, f"{name}  {values[-1]:.4g}", (LEFT, TOP - 10), 0.5)
    for value, height in ((high, TOP + 10), (low, HEIGHT - BOTTOM)):
        _write(image, f"{value:.4g}", (4, height), 0.38)
    _write(image, "0", (LEFT, HEIGHT - 10), 0.38)
    _write(image, f"{last:.0f} steps", (WIDTH - RIGHT - 80, HEIGHT - 10), 0.38)
    return image


def draw(stats: Path, path: Path) -> bool:
    """Write the picture of ``stats``; nothing, and False, where it has no row yet."""
    found = read(stats) if stats.exists() else {}
    if not found:
        return False
    last = max(float(steps[-1]) for steps, _ in found.values())
    panels = [panel(name, *points, last) for name, points in found.items()]
    panels += [np.full_like(panels[0], 255)] * (-len(panels) % min(COLUMNS, len(panels)))
    columns = min(COLUMNS, len(panels))
    rows = [np.concatenate(panels[i : i + columns], 1) for i in range(0, len(panels), columns)]
    write_picture(path, np.concatenate(rows)[..., ::-1])
    return True


def _write(image: np.ndarray, text: str, at: tuple[int, int], size: float) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, INK, 1, cv2.LINE_AA)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.curves", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders with a stats.jsonl")
    for run in parser.parse_args().runs:
        if not draw(run / "stats.jsonl", run / "curves.png"):
            raise SourceError(f"no training in {run}: expected a folder with a stats.jsonl that has figures")


if __name__ == "__main__":
    run_command(main)
