"""Styles side by side on held-out faces, as the paper's Table 1: `python -m training.compare --help`.

`python -m training.compare RUN full=a.safetensors "w/o GEM"=b.safetensors` measures each style on the held-out photos
of a training's folder and writes ``table.md``, ``figures.json``, ``sheet.png`` and ``preference.html`` (see
`training.preference`) into ``RUN/evaluation``. The photos themselves are measured too: what no style at all would get.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import numpy as np
import torch

from training import landmarks, measures, openness, portraits, preference, sheets
from training.options import at_least, run_command
from training.stages import EXEMPLARS, PHOTOS
from training.student import drawn
from vidstyle.errors import UsageError

log = logging.getLogger("compare")

TURNS = (0.0, 15.0, 30.0, 45.0, 60.0, 90.0)  # degrees
SCALES = (0.5, 0.7, 0.8, 1.2, 1.5)  # of the trained size
Figures = dict[str, float]


def figures(
    sources: np.ndarray, results: np.ndarray, exemplars: np.ndarray, space: measures.Space, identity: Path | None
) -> Figures:
    """Distance of ``results`` to the look, and nearness to their own photos."""
    return measures.distances(results, exemplars, space) | measures.identity(sources, results, identity)


def sweeps(style: Path, faces: np.ndarray, device: torch.device) -> dict[str, list[float]]:
    """dB between the upright result and those of turned and scaled faces, turned back."""

    def look(face: np.ndarray) -> np.ndarray:
        return drawn(style, np.ascontiguousarray(face)[None], device)[0]

    return {
        "turn": measures.sweep(look, faces, [(angle, 1.0) for angle in TURNS]),
        "scale": measures.sweep(look, faces, [(0.0, scale) for scale in SCALES]),
    }


def compare(
    run: Path,
    styles: dict[str, Path],
    most: int,
    space: measures.Space,
    identity: Path | None,
    device: str = "cpu",
    mesh: Path | None = None,
) -> dict[str, Figures]:
    """Measure every style, write the files, give the table's rows.

    ``mesh``: see `training.landmarks`; without it nothing is said of how open eyes and mouths are.
    """
    where, out = torch.device(device), run / "evaluation"
    held = portraits.load(run / PHOTOS, "held")
    photos, points = np.ascontiguousarray(held.faces[:most]), held.landmarks[:most]
    exemplars = np.concatenate([portraits.load(run / EXEMPLARS, part).faces for part in ("train", "held")])
    results = {name: drawn(path, photos, where) for name, path in styles.items()}
    shown = {"photos": photos, **results}
    rows = {name: figures(photos, made, exemplars, space, identity) for name, made in shown.items()}
    if mesh is not None:
        net = landmarks.FaceMesh(mesh)
        dense = {name: net.each(made, points) for name, made in shown.items()}
        for name, row in rows.items():
            row |= openness.kept(dense["photos"], dense[name])
    swept = {name: sweeps(path, photos[:4], where) for name, path in styles.items()}
    everything = {"rows": rows, "sweeps": swept, "turns": TURNS, "scales": SCALES, "pictures": len(photos)}
    out.mkdir(exist_ok=True)
    (out / "figures.json").write_text(json.dumps(everything, indent=1))
    (out / "table.md").write_text(measures.table(rows) + "\n\n" + _sweep_table(swept) + "\n")
    columns = [np.concatenate([photos[i], *(made[i] for made in results.values())]) for i in range(min(8, len(photos)))]
    sheets.write_picture(out / "sheet.png", np.concatenate(columns, 1))
    if len(results) > 1:
        preference.write(out / "preference.html", photos, results)
    return rows


def _sweep_table(swept: dict[str, dict[str, list[float]]]) -> str:
    named = {
        name: {f"{angle:.0f} degrees": value for angle, value in zip(TURNS, found["turn"], strict=True)}
        | {f"x {scale:g}": value for scale, value in zip(SCALES, found["scale"], strict=True)}
        for name, found in swept.items()
    }
    return "dB to the upright result, by turn and scale:\n\n" + measures.table(named)


def _styles(texts: list[str]) -> dict[str, Path]:
    found = {}
    for text in texts:
        name, equals, path = text.rpartition("=")
        if not (name and equals and Path(path).is_file()):
            raise UsageError(f"got {text!r}: expected a name and a style file, as full=mine.safetensors")
        found[name] = Path(path)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.compare", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a training")
    parser.add_argument("styles", nargs="+", metavar="NAME=FILE", help="style files, as full=mine.safetensors")
    parser.add_argument("--most", type=at_least(2), default=60, help="held-out photos at most")
    parser.add_argument("--features", type=Path, help="Inception as TorchScript, or an encoder (default: no network)")
    parser.add_argument("--identity", type=Path, help="a face recogniser (default: no network)")
    parser.add_argument("--mesh", type=Path, help="MediaPipe's face mesh: how open eyes and mouths are is told, too")
    args = parser.parse_args()
    styles, where = _styles(args.styles), measures.space(args.features)
    rows = compare(args.run, styles, args.most, where, args.identity, mesh=args.mesh)
    log.info("\n%s\nin %s", measures.table(rows), args.run / "evaluation")


if __name__ == "__main__":
    run_command(main)
