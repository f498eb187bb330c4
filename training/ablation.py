"""The paper's Table 1 for one look: trained whole, and with each part left out: `python -m training.ablation --help`.

Everything that the trainings share (crops, generator, calibration, pairs, expression) is done once. What is left out:

``ccn``  the texture network sees the raw exemplars alone (only with --mode full: the other way never sees more);
``gem``  no turns and no scales;
``ttn``  the small network learns from pairs directly: of the same z, or by analogies (the paper inverts photos into the
         generator instead);
``per``  no facial perception loss.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import torch

from training import measures
from training.chain import Chain, Stage
from training.compare import compare
from training.identity import load_identity
from training.options import device_name, run_command
from training.recipes import ABLATIONS, MODES, USED, Wishes, ablations, chain
from training.world import join

log = logging.getLogger("ablation")


class Lines:
    """A view of lines in the log."""

    def begin(self, stage: Stage, number: int, of: int) -> None:
        log.info("%d of %d: %s", number, of, stage.title)

    def step(self, done: int, of: int, figures: dict[str, float]) -> None:
        if done == of or done % 250 == 0:
            log.info("   %d of %d %s", done, of, {name: round(value, 4) for name, value in figures.items()})

    def end(self, stage: Stage, seconds: float, was_done: bool) -> None:
        log.info("   %s: %.0f s%s", stage.name, seconds, ", done before" if was_done else "")


def chains(wishes: Wishes, parts: tuple[str, ...]) -> dict[str, tuple[Chain, Path]]:
    """By the table's names: the chain of the whole and of each part left out, with its style file."""
    made = {}
    for part in ("", *parts):
        name = f"w/o {part.upper() if part != 'per' else 'L_per'}" if part else "full"
        out = wishes.run / "styles" / f"{wishes.name}{f'-without-{part}' if part else ''}.safetensors"
        made[name] = chain(replace(wishes, without=part, out=out)), out
    return made


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.ablation", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--exemplars", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="folder of the training")
    parser.add_argument("--mode", choices=[mode for mode in MODES if ablations(mode)], default="full")
    parser.add_argument("--without", nargs="*", choices=ABLATIONS, help="parts to leave out (default: all there are)")
    parser.add_argument("--set", nargs="*", default=[], metavar="K=V", help="as ttn.steps=2000")
    for name in ("detector", "mesh", "generator", "features", "identity", "inception"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--device", type=device_name, default="auto", help="cpu, cuda, auto")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.device = str(join(args.device).device)
    # Features and identity are also what the table is measured with, whether the way of training uses them or not.
    names = ("detector", "generator", "device", "seed", *USED[args.mode])
    given = {name: getattr(args, name) for name in names}
    wishes = Wishes(
        args.name, args.photos, args.exemplars, args.run, args.run, args.mode, settings=tuple(args.set), **given
    )
    made = chains(wishes, ablations(args.mode) if args.without is None else tuple(args.without))
    where = measures.space(args.inception or args.features, args.device)  # hours may pass before they are needed
    load_identity("" if args.identity is None else str(args.identity), torch.device("cpu"))
    for name, (one, _) in made.items():
        log.info("== %s", name)
        one.go(Lines())
    styles = {name: out for name, (_, out) in made.items()}
    rows = compare(args.run, styles, 60, where, args.identity, args.device, mesh=args.mesh)
    log.info("\n%s", measures.table(rows))


if __name__ == "__main__":
    run_command(main)
