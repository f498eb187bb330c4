import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.curves import COLUMNS, HEIGHT, WIDTH, draw, panel, read


def write(path: Path, rows: list[dict[str, float]], tail: str = "") -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + tail)
    return path


def test_a_resumed_run_is_one_line_and_a_cut_off_row_is_left_out(tmp_path: Path) -> None:
    rows = [{"step": s, "seconds": 1.0, "l1": s / 100, "psnr": float(s)} for s in (50, 100, 150, 200)]
    again = [{"step": 150, "l1": 0.5, "critic": 1.0}, {"step": 200, "l1": float("nan"), "critic": 2.0}]
    found = read(write(tmp_path / "stats.jsonl", rows + again, '{"step": 250, "l'))
    assert list(found) == ["l1", "psnr", "critic"]
    assert [part.tolist() for part in found["l1"]] == [[50, 100, 150], [0.5, 1.0, 0.5]]
    assert found["psnr"][0].tolist() == [50, 100] and found["critic"][1].tolist() == [1, 2]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_picture_has_a_panel_for_each_figure(tmp_path: Path, count: int) -> None:
    rows = [{"step": s, **{f"f{i}": s * i for i in range(count)}} for s in (1, 2, 3)]
    draw(write(tmp_path / "stats.jsonl", rows), tmp_path / "curves.png")
    image = cv2.imread(str(tmp_path / "curves.png"))
    assert image is not None
    assert image.shape[:2] == (-(-count // COLUMNS) * HEIGHT, min(count, COLUMNS) * WIDTH)


def test_a_rising_figure_rises() -> None:
    steps = np.arange(1, 101, dtype=np.float64)
    image = panel("up", steps, steps, 100)
    blue = np.argwhere((image == (170, 90, 20)).all(-1))
    left, right = blue[blue[:, 1] < 160, 0].mean(), blue[blue[:, 1] > 320, 0].mean()
    assert left > right + 60  # rows count downwards


def test_no_statistics_give_no_picture(tmp_path: Path) -> None:
    draw(tmp_path / "stats.jsonl", tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
